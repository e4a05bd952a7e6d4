//! Notices that files of the configuration or of plugins changed. It sleeps in the kernel until something happens in one
//! of their folders.

use super::manager::Managing;
use crate::{config::Config, host::Identity};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{net::unix::pipe::Receiver, time::timeout};

/// Who changes a file often changes it again at once.
const QUIET: Duration = Duration::from_millis(300);
/// But a folder that is never quiet is looked at all the same.
const LONGEST: Duration = Duration::from_secs(3);

/// Looks until the task is aborted.
pub(super) async fn watch(managing: Managing) {
    if let Err(error) = look(&managing).await {
        tracing::warn!(
            "changes of files can't be noticed: {error}; after a change send SIGHUP, or POST /-/reload"
        );
    }
}

async fn look(managing: &Managing) -> io::Result<()> {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    // not a pipe, but read and waited for as one: the ways that are made for any descriptor are unsafe
    let mut notices = Receiver::from_owned_fd_unchecked(inotify.try_clone()?)?;
    let mut seen = Seen::of(&managing.overview().config);
    let mut watched = Watched::new();
    loop {
        let before = std::mem::replace(&mut watched, watch_folders(&inotify, &managing.overview().config));
        // of what came into a folder before it was watched there is no notice
        if watched == before {
            something_happens(&mut notices).await?;
            let began = Instant::now();
            while began.elapsed() < LONGEST {
                match timeout(QUIET, something_happens(&mut notices)).await {
                    Ok(happened) => happened?,
                    Err(_) => break,
                }
            }
        }
        let now = Seen::of(&managing.overview().config);
        if now.config != seen.config {
            managing.reload_and_log("its files changed").await;
        } else if now.plugins != seen.plugins {
            managing.rescan().await;
        }
        seen = now; // what changed since brings another notice
    }
}

/// The folders that are watched, with the kernel's numbers: a folder that was made anew has another one.
type Watched = BTreeMap<PathBuf, i32>;

/// The folders of the configuration's files and those of plugins. One that is not there is not looked at.
fn watch_folders(notices: &OwnedFd, config: &Config) -> Watched {
    let mut watched = Watched::new();
    let changes = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::ATTRIB
        | WatchFlags::ONLYDIR;
    let files = config.files.iter().filter_map(|file| file.parent().map(Path::to_path_buf));
    for folder in files.chain(drop_ins(config)).chain(config.agent.plugin_dirs.clone()) {
        match inotify::add_watch(notices, &folder, changes) {
            Ok(number) => drop(watched.insert(folder, number)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            Err(error) => tracing::warn!("{}: changes can't be noticed: {error}", folder.display()),
        }
    }
    watched
}

/// Waits, and forgets what happened: what matters is what is there now.
async fn something_happens(notices: &mut Receiver) -> io::Result<()> {
    notices.readable().await?;
    let mut room = [0_u8; 4096];
    loop {
        match notices.try_read(&mut room) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The folder of drop-ins, whether it is there or not.
fn drop_ins(config: &Config) -> Option<PathBuf> {
    config.files.first().map(|main| main.with_file_name("agent.d"))
}

/// The files as they were.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    config: BTreeMap<PathBuf, Option<Identity>>,
    plugins: BTreeMap<PathBuf, Option<Identity>>,
}

impl Seen {
    fn of(config: &Config) -> Self {
        let main = config.files.first().cloned();
        let files = main
            .into_iter()
            .chain(drop_ins(config).map(|folder| below(&folder, "toml")).into_iter().flatten());
        let plugins = config.agent.plugin_dirs.iter().flat_map(|folder| below(folder, "so"));
        let identified = |file: PathBuf| {
            let identity = Identity::of(&file).ok();
            (file, identity)
        };
        Self { config: files.map(identified).collect(), plugins: plugins.map(identified).collect() }
    }
}

/// The files of a folder with this ending.
fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == ending)).collect()
}
