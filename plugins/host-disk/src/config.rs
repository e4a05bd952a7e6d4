//! The plugin's configuration: `[plugins.host-disk.config]`.

use crate::pattern::{Lists, Pattern};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{path::PathBuf, time::Duration};
use twarga_plugin_api::{Error, Result};

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
    #[serde(deserialize_with = "duration")]
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
        if self.deadline.is_zero() {
            return Err(Error::config("deadline", "must be more than nothing, such as `2s`"));
        }
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
    fn durations_are_written_as_people_write_them() {
        assert_eq!(parse_duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse_duration("1.5 s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("1m"), Some(Duration::from_secs(60)));
        for bad in ["", "2", "s", "-1s", "1..2s", "2 weeks", "61m", "1e3s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
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
        assert!(refused(json!({"deadline": "0s"})).starts_with("deadline|"));
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
