//! A version that is to be loaded into the agent's process is loaded by another one first: an initialiser that crashes
//! would end the agent, and one that hangs holds a lock of the dynamic linker which other threads need, at their end too.

use super::{
    super::{approve::open_checked, error::LoadError, error::Refusal},
    channel::{Channel, Silence},
    frames::{Frame, decode},
    keeper::Keeper,
    process::{Process, Task},
};
use crate::model::Digest;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long loading may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Loads a file in a process of its own, with the agent's rights, that is gone afterwards. Whether it is a plugin that
/// can be used is for the real load to say; where there can be no process, that is made without this.
///
/// # Errors
/// The file, and how its loading ended.
pub fn rehearse(
    path: &Path,
    name: &str,
    pinned: Option<Digest>,
    keeper: &Arc<Keeper>,
) -> Result<(), LoadError> {
    let rehearsed = open_checked(path, name, pinned).and_then(|file| {
        let until = Instant::now() + PATIENCE;
        match Process::start(name, &file, Task::Rehearse, keeper, until) {
            Ok((process, channel)) => hear(process, channel, until).map_err(Refusal::Rehearsal),
            Err(error) => {
                tracing::warn!("plugin {name}: no process to try its new file in: {error}");
                Ok(())
            }
        }
    });
    rehearsed.map_err(|refusal| LoadError { file: path.into(), refusal })
}

fn hear(mut process: Process, mut channel: Channel, until: Instant) -> Result<(), String> {
    let silence = match channel.receive(process.ended(), until).map(decode) {
        Ok(Ok(Frame::Answer(_))) => return Ok(()),
        Ok(Ok(_)) => return Err(process.kill_for("not a frame of a plugin's process")),
        Ok(Err(error)) => Silence::Nonsense(error),
        Err(silence) => silence,
    };
    drop(channel);
    Err(process.end(&silence, PATIENCE))
}
