//! The plugin's configuration: `[plugins.vagrant-vm.config]`.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::{path::PathBuf, time::Duration};
use twarga_plugin_api::{Error, Result};

/// See the README for every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose machines: names of users, `"*"` for all of this host. Without it: all for root, else one's own.
    pub(crate) users: Option<Vec<String>>,
    /// Machine indexes beside those of the users' homes.
    pub(crate) index: Vec<PathBuf>,
    /// Where proc, run and etc lie, and the users' homes.
    pub(crate) root: PathBuf,
    /// A provider, or a home, that has not answered for so long is reported, and nothing else waits for it.
    #[serde(deserialize_with = "duration")]
    pub(crate) timeout: Duration,
    pub(crate) libvirt: Libvirt,
    pub(crate) virtualbox: VirtualBox,
    pub(crate) qemu: Qemu,
}

/// `[plugins.vagrant-vm.config.libvirt]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Libvirt {
    pub(crate) enabled: bool,
    /// Sockets of libvirtd or virtqemud; empty for the usual places.
    pub(crate) sockets: Vec<PathBuf>,
}

/// `[plugins.vagrant-vm.config.virtualbox]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VirtualBox {
    pub(crate) enabled: bool,
    /// A path, or a name that is looked for in the folders of `PATH`.
    pub(crate) command: PathBuf,
    /// How old an answer of it may be: it is expensive.
    #[serde(deserialize_with = "duration")]
    pub(crate) refresh: Duration,
}

/// `[plugins.vagrant-vm.config.qemu]`: machines of providers that have no service to ask, by their processes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Qemu {
    pub(crate) enabled: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            users: None,
            index: Vec::new(),
            root: "/".into(),
            timeout: Duration::from_secs(1),
            libvirt: Libvirt::default(),
            virtualbox: VirtualBox::default(),
            qemu: Qemu::default(),
        }
    }
}

impl Default for Libvirt {
    fn default() -> Self {
        Self { enabled: true, sockets: Vec::new() }
    }
}

impl Default for VirtualBox {
    fn default() -> Self {
        Self { enabled: true, command: "VBoxManage".into(), refresh: Duration::from_secs(30) }
    }
}

impl Default for Qemu {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Config {
    /// Refuses what can't mean anything.
    ///
    /// # Errors
    /// Names the first such key.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.root.is_absolute() {
            return Err(Error::config("root", "must be an absolute path, such as `/` or `/host`"));
        }
        if self.timeout.is_zero() {
            return Err(Error::config("timeout", "must be more than nothing, such as `1s`"));
        }
        for (at, user) in self.users.iter().flatten().enumerate() {
            if user.is_empty() {
                return Err(Error::config(format_args!("users[{at}]"), "an empty name is nobody's"));
            }
        }
        for (key, paths) in [("index", &self.index), ("libvirt.sockets", &self.libvirt.sockets)] {
            if let Some(at) = paths.iter().position(|path| !path.is_absolute()) {
                return Err(Error::config(format_args!("{key}[{at}]"), "must be an absolute path"));
            }
        }
        if self.virtualbox.command.as_os_str().is_empty() {
            return Err(Error::config("virtualbox.command", "must name a program, such as `VBoxManage`"));
        }
        Ok(())
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).ok_or_else(|| {
        D::Error::custom(format_args!("`{text}` is not a duration such as `2s`, `500ms` or `1m`"))
    })
}

/// `2s`, `1.5s`, `500ms`, `1m`; at most an hour.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let number_ends = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
    let (number, unit) = text.split_at(number_ends);
    let scale = match unit.trim_start() {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * scale;
    if seconds > 3600.0 { None } else { Duration::try_from_secs_f64(seconds).ok() }
}
