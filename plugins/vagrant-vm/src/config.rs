//! The plugin's configuration: `[plugins.vagrant-vm.config]`.

use serde::Deserialize;
use std::{path::PathBuf, time::Duration};
use twarga_plugin_api::{Error, Result, duration};

/// The longest of the durations.
const HOUR: Duration = Duration::from_secs(3600);

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
    /// A provider, or a home, that has not answered for so long is reported; the machines of others are read all the same.
    #[serde(deserialize_with = "duration::deserialize")]
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
    #[serde(deserialize_with = "duration::deserialize")]
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
        duration::in_range("timeout", self.timeout, Duration::from_millis(1)..=HOUR)?;
        duration::in_range("virtualbox.refresh", self.virtualbox.refresh, Duration::ZERO..=HOUR)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use twarga_plugin_api::serde_json::{self, Value, json};

    fn parse(config: Value) -> Result<Config> {
        let config: Config = serde_json::from_value(config)?;
        config.check().map(|()| config)
    }

    #[test]
    fn without_a_word_the_usual_is_meant() {
        let config = parse(json!({})).unwrap();
        assert_eq!((config.users, config.index, config.root), (None, Vec::new(), PathBuf::from("/")));
        assert_eq!(config.timeout, Duration::from_secs(1));
        assert_eq!(config.virtualbox.command, PathBuf::from("VBoxManage"));
        assert!(config.libvirt.enabled && config.virtualbox.enabled && config.qemu.enabled);
    }

    #[test]
    fn keys_are_taken_over() {
        let config = parse(json!({
            "users": ["lab", "*"],
            "index": ["/srv/ci/index"],
            "root": "/host",
            "timeout": "250ms",
            "libvirt": {"sockets": ["/run/other.sock"]},
            "virtualbox": {"command": "/opt/bin/VBoxManage", "refresh": "1m"},
            "qemu": {"enabled": false},
        }));
        let config = config.unwrap();
        assert_eq!(config.users, Some(vec!["lab".into(), "*".into()]));
        assert_eq!(config.index, [PathBuf::from("/srv/ci/index")]);
        assert_eq!((config.root, config.timeout), ("/host".into(), Duration::from_millis(250)));
        assert_eq!(config.libvirt.sockets, [PathBuf::from("/run/other.sock")]);
        assert_eq!(config.virtualbox.refresh, Duration::from_secs(60));
        assert!(config.libvirt.enabled && config.virtualbox.enabled && !config.qemu.enabled);
    }

    #[test]
    fn wrong_values_are_named() {
        let refused = |config| {
            let error = parse(config).unwrap_err();
            format!("{}|{}", error.location(), error.message())
        };
        assert!(refused(json!({"root": "host"})).starts_with("root|"));
        assert!(refused(json!({"timeout": "0s"})).starts_with("timeout|0s is too short"));
        assert!(refused(json!({"timeout": "61m"})).starts_with("timeout|1h 1m is too long"));
        assert!(refused(json!({"timeout": "soon"})).contains("`soon` is not a duration"));
        assert!(refused(json!({"users": ["lab", ""]})).starts_with("users[1]|"));
        assert!(refused(json!({"index": ["/a", "b"]})).starts_with("index[1]|"));
        assert!(refused(json!({"libvirt": {"sockets": ["a"]}})).starts_with("libvirt.sockets[0]|"));
        assert!(refused(json!({"virtualbox": {"command": ""}})).starts_with("virtualbox.command|"));
        assert!(
            refused(json!({"virtualbox": {"refresh": "2h"}}))
                .starts_with("virtualbox.refresh|2h is too long")
        );
        assert!(refused(json!({"user": []})).contains("unknown field `user`"));
        assert!(refused(json!({"qemu": {"socket": ""}})).contains("unknown field `socket`"));
    }

    /// The fields that serde names when it meets one it does not know.
    fn fields<T: for<'de> Deserialize<'de> + std::fmt::Debug>() -> BTreeSet<String> {
        let error = serde_json::from_value::<T>(json!({"?": 0})).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected").unwrap();
        expected.split('`').skip(1).step_by(2).map(Into::into).collect()
    }

    fn properties(schema: &Value) -> BTreeSet<String> {
        assert_eq!(schema["additionalProperties"], json!(false));
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_schema_describes_the_configuration() {
        let schema: Value = serde_json::from_str(include_str!("../config.schema.json")).unwrap();
        assert_eq!(properties(&schema), fields::<Config>());
        let table = |name: &str| properties(&schema["properties"][name]);
        assert_eq!(table("libvirt"), fields::<Libvirt>());
        assert_eq!(table("virtualbox"), fields::<VirtualBox>());
        assert_eq!(table("qemu"), fields::<Qemu>());
        let fed = parse(defaults(&schema)).unwrap();
        assert_eq!(format!("{fed:?}"), format!("{:?}", parse(json!({})).unwrap()));
    }

    /// The default of each key, those of the tables too.
    fn defaults(schema: &Value) -> Value {
        let of = |(key, property): (&String, &Value)| match property["properties"].is_object() {
            true => (key.clone(), defaults(property)),
            false => (key.clone(), property["default"].clone()),
        };
        schema["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(of)
            .filter(|(_, value)| !value.is_null())
            .collect()
    }
}
