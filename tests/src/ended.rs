//! Programs that end by themselves, and plugin files that are not what cargo built.

use crate::agent::{Home, install};
use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; nothing where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// The four plugins of the host, in process.
pub const HOST_PLUGINS: [&str; 4] = ["host-cpu", "host-mem", "host-disk", "host-net"];

impl Home {
    /// Puts the four plugins of the host into the plugin directory.
    #[must_use]
    pub fn host_plugins(self) -> Self {
        HOST_PLUGINS.iter().fold(self, |home, name| home.plugin(name))
    }

    /// Puts these bytes into the plugin directory.
    pub fn plugin_file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.plugins().join(name);
        install(&file, bytes);
        file
    }

    /// Runs a command line to its end.
    ///
    /// # Panics
    /// Where it has not ended within 20 s.
    pub fn end(&self, command: &mut Command) -> Ended {
        let dir = tempfile::tempdir_in(self.path("")).unwrap_or_else(|error| panic!("no directory: {error}"));
        let (out, err) = (dir.path().join("out"), dir.path().join("err"));
        let create = |file: &PathBuf| File::create(file).unwrap_or_else(|error| panic!("{error}"));
        command.stdout(create(&out)).stderr(create(&err));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let read = |file: &PathBuf| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < end => std::thread::sleep(POLL),
                other => {
                    let _ = child.kill(); // it may have ended just now
                    let _ = child.wait();
                    panic!("{command:?} has not ended ({other:?}):\n{}{}", read(&out), read(&err));
                }
            }
        };
        Ended { code: status.code(), out: read(&out), err: read(&err) }
    }
}

/// An `agent.toml` with this interval, the tables of these plugins in process, and more text.
pub fn config(interval: &str, plugins: &[&str], more: &str) -> String {
    let tables = plugins.iter().map(|name| format!("[plugins.{name}]\nmode = \"in_process\"\n"));
    format!("[agent]\ninterval = \"{interval}\"\n{}{more}\n", tables.collect::<String>())
}
