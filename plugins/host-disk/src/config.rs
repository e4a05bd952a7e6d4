//! The plugin's configuration: `[plugins.host-disk.config]`.

use crate::pattern::{Lists, Pattern};
use serde::Deserialize;
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};
use twarga_plugin_api::{Error, Result, duration};

/// The bounds of `deadline`.
const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

/// Where the readings come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// /proc, /sys and statvfs(3).
    Procfs,
    /// What the sysinfo crate gives: fewer series, on more systems.
    Sysinfo,
}

impl Default for Source {
    fn default() -> Self {
        if cfg!(target_os = "linux") { Self::Procfs } else { Self::Sysinfo }
    }
}

/// See the README for every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub(crate) source: Source,
    pub(crate) root: PathBuf,
    #[serde(deserialize_with = "duration::deserialize")]
    pub(crate) deadline: Duration,
    pub(crate) mounts: Lists,
    pub(crate) sources: Lists,
    pub(crate) fstypes: Lists,
    pub(crate) devices: Lists,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: Source::default(),
            root: "/".into(),
            deadline: Duration::from_secs(2),
            mounts: Lists::default(),
            sources: Lists::default(),
            fstypes: Lists::default(),
            devices: Lists::default(),
        }
    }
}

impl Config {
    /// Refuses patterns that can match nothing.
    ///
    /// # Errors
    /// Names the first such key.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.root.is_absolute() {
            return Err(Error::config("root", "must be an absolute path, such as `/` or `/host`"));
        }
        duration::in_range("deadline", self.deadline, DEADLINES)?;
        let mount_point = |text: &str| match text.starts_with(['/', '*']) {
            true => None,
            false => Some("a mount point begins with `/`"),
        };
        let device = |text: &str| match text.starts_with("/dev/") {
            true => Some("a block device is named as in /proc/diskstats, without `/dev/`: `sda`"),
            false => None,
        };
        check_lists("mounts", &self.mounts, mount_point)?;
        check_lists("sources", &self.sources, |_| None)?;
        check_lists("fstypes", &self.fstypes, |_| None)?;
        check_lists("devices", &self.devices, device)
    }
}

fn check_lists(key: &str, lists: &Lists, problem: impl Fn(&str) -> Option<&'static str>) -> Result<()> {
    let check = |list: &[Pattern], name: &str| {
        for (index, pattern) in list.iter().enumerate() {
            let empty = pattern.as_str().is_empty().then_some("an empty name matches nothing");
            if let Some(problem) = empty.or_else(|| problem(pattern.as_str())) {
                return Err(Error::config(format_args!("{key}.{name}[{index}]"), problem));
            }
        }
        Ok(())
    };
    check(&lists.include, "include")?;
    check(&lists.exclude, "exclude")
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
    fn wrong_values_are_named() {
        let refused = |config| {
            let error = parse(config).unwrap_err();
            format!("{}|{}", error.location(), error.message())
        };
        assert!(refused(json!({"mounts": {"exclude": ["/a", "b"]}})).starts_with("mounts.exclude[1]|"));
        assert!(refused(json!({"fstypes": {"include": [""]}})).starts_with("fstypes.include[0]|"));
        assert!(refused(json!({"devices": {"include": ["/dev/sda"]}})).starts_with("devices.include[0]|"));
        assert!(refused(json!({"root": "host"})).starts_with("root|"));
        assert_eq!(
            refused(json!({"deadline": "0s"})),
            "deadline|0s is too short: write a duration from 1ms to 1h"
        );
        assert!(refused(json!({"deadline": "61m"})).starts_with("deadline|1h 1m is too long: "));
        assert!(refused(json!({"deadline": "soon"})).contains("`soon` is not a duration"));
        assert!(refused(json!({"mount": {}})).contains("unknown field `mount`"));
    }

    /// The fields that serde names when it meets one it does not know.
    fn fields<T: for<'de> Deserialize<'de> + std::fmt::Debug>() -> BTreeSet<String> {
        let error = serde_json::from_value::<T>(json!({"?": 0})).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected").unwrap();
        expected.split('`').skip(1).step_by(2).map(Into::into).collect()
    }

    fn properties(schema: &Value) -> BTreeSet<String> {
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_schema_describes_the_configuration() {
        let schema: Value = serde_json::from_str(include_str!("../config.schema.json")).unwrap();
        assert_eq!(properties(&schema), fields::<Config>());
        assert_eq!(properties(&schema["$defs"]["lists"]), fields::<Lists>());
        assert_eq!(schema["additionalProperties"], json!(false));
        let defaults = schema["properties"].as_object().unwrap();
        let defaults: serde_json::Map<_, _> =
            defaults.iter().map(|(key, property)| (key.clone(), property["default"].clone())).collect();
        let fed = parse(Value::Object(defaults)).unwrap();
        assert_eq!(format!("{fed:?}"), format!("{:?}", parse(json!({})).unwrap()));
    }
}
