//! Which files are read, how they join, what the command line replaces, and the shipped `agent.toml`.
#![allow(clippy::unwrap_used)]

mod files;
mod joined;
mod shipped;
mod values;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use twarga_agent::config::{self, AlignOffset, Config, Environment, Flags, Loaded, Mode, TimestampStyle};

/// A folder with files, and the surroundings of a process in it.
struct Home {
    dir: TempDir,
    environment: Environment,
    flags: Flags,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::below(dir.path());
        fs::create_dir_all(&environment.current_dir).unwrap();
        Self { dir, environment, flags: Flags::default() }
    }

    /// With this text as `./agent.toml`.
    fn with(text: &str) -> Self {
        let home = Self::new();
        home.write("work/agent.toml", text.as_bytes());
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn load(&self) -> Loaded {
        config::load_in(&self.flags, &self.environment).map_err(|errors| errors.to_string()).unwrap()
    }

    fn config(&self) -> Config {
        self.load().config
    }

    fn warnings(&self) -> String {
        self.load().warnings.iter().map(|problem| format!("{problem}\n")).collect()
    }

    fn errors(&self) -> String {
        config::load_in(&self.flags, &self.environment).unwrap_err().to_string()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn shipped() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent.toml")).unwrap()
}
