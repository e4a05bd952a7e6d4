//! What the configuration needs to know of the process, in one place, so that tests can say otherwise.

use std::{
    env,
    path::{Path, PathBuf, absolute},
};

/// The surroundings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The current directory.
    pub current_dir: PathBuf,
    /// `$HOME`
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`
    pub config_home: Option<PathBuf>,
    /// `$XDG_STATE_HOME`
    pub state_home: Option<PathBuf>,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// The directory of the executable.
    pub exe_dir: Option<PathBuf>,
    /// `/etc/twarga-agent`
    pub system_config: PathBuf,
    /// `/usr/lib/twarga-agent/plugins`
    pub system_plugins: PathBuf,
    /// `/var/lib/twarga-agent`
    pub system_state: PathBuf,
}

/// Our folder's name within the directories of all programs.
const NAME: &str = "twarga-agent";

impl Environment {
    /// This process's.
    pub fn of_process() -> Self {
        // a relative path in these variables is to be ignored: XDG Base Directory Specification
        let dir = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let exe = env::current_exe().ok();
        Self {
            current_dir: env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            home: dir("HOME"),
            config_home: dir("XDG_CONFIG_HOME"),
            state_home: dir("XDG_STATE_HOME"),
            is_root: rustix::process::geteuid().is_root(),
            exe_dir: exe.and_then(|file| file.parent().map(Path::to_path_buf)),
            system_config: Path::new("/etc").join(NAME),
            system_plugins: Path::new("/usr/lib").join(NAME).join("plugins"),
            system_state: Path::new("/var/lib").join(NAME),
        }
    }

    /// All of it below one folder, without root's rights, so that nothing of the machine matters: for tests.
    pub fn below(dir: &Path) -> Self {
        Self {
            current_dir: dir.join("work"),
            home: Some(dir.join("home")),
            config_home: None,
            state_home: None,
            is_root: false,
            exe_dir: Some(dir.join("bin")),
            system_config: dir.join("etc"),
            system_plugins: dir.join("plugins"),
            system_state: dir.join("var"),
        }
    }

    /// The folders in which `agent.toml` is looked for, in this order.
    pub(super) fn config_dirs(&self) -> Vec<PathBuf> {
        let user = self.config_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")));
        let user = user.map(|dir| dir.join(NAME));
        [Some(self.current_dir.clone()), user, Some(self.system_config.clone())]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Where data lies if nothing else is said; nothing without a home.
    pub(super) fn data_dir(&self) -> Option<PathBuf> {
        if self.is_root {
            return Some(self.system_state.clone());
        }
        let state = self.state_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/state")));
        state.map(|dir| dir.join(NAME))
    }

    /// A path of the command line, made absolute.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        let joined = self.current_dir.join(path);
        absolute(&joined).unwrap_or(joined)
    }

    /// A path as short as it can be named from here.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.current_dir).unwrap_or(path).to_path_buf()
    }
}
