//! The `[plugins.host-net.config]` table.

use crate::glob::Pattern;
use std::path::PathBuf;
use twarga_plugin_api::prelude::*;

/// Host ends of container links: a new random name at every start of a container, and its traffic is counted on
/// the bridge or the physical interface as well. Docker, containerd and most CNI plugins; Calico; Cilium (`lxc` and
/// twelve digits, which leaves LXC's own bridges alone).
pub(crate) const CONTAINER_LINKS: [&str; 3] = ["veth*", "cali*", "lxc????????????"];

/// The longest time between two readings of the link facts that makes sense, in seconds.
const MAX_REFRESH: u64 = 86_400;

/// The plugin's configuration. Every key has a default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the numbers come from.
    pub source: Source,
    /// The folder below which `proc` and `sys` are found: the host's root mounted in a container, or a test's.
    pub root: PathBuf,
    /// Patterns of the interfaces that get series; empty for all.
    pub include: Vec<String>,
    /// Patterns of the interfaces that get none. By default the host ends of container links, or nothing
    /// where `include` says what is wanted.
    pub exclude: Option<Vec<String>>,
    /// Which interfaces `host_network_all_…` sums.
    pub total: Total,
    /// How old the slow facts of `/sys/class/net` may get, in seconds; 0 reads them at every collection.
    pub link_refresh_seconds: u64,
    /// Whether to collect `host_netstat_…`.
    pub netstat: bool,
    /// Whether to collect `host_sockstat_…`.
    pub sockstat: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: Source::default(),
            root: PathBuf::from("/"),
            include: vec![],
            exclude: None,
            total: Total::default(),
            link_refresh_seconds: 10,
            netstat: true,
            sockstat: true,
        }
    }
}

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Linux: `/proc/net` and `/sys/class/net`.
    Procfs,
    /// The sysinfo crate: fewer facts, on every platform that it knows.
    Sysinfo,
}

impl Default for Source {
    fn default() -> Self {
        if cfg!(target_os = "linux") { Self::Procfs } else { Self::Sysinfo }
    }
}

/// Which interfaces the totals sum.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "`total` is \"physical\", \"all\" or a list of patterns of interface names")]
pub enum Total {
    /// By a rule.
    Rule(Rule),
    /// The interfaces whose names match one of these patterns.
    Named(Vec<String>),
}

/// A rule for [`Total`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Interfaces with a device behind them, each packet once; on a machine that has none, as [`Rule::All`].
    Physical,
    /// Everything but loopback.
    All,
}

impl Default for Total {
    fn default() -> Self {
        Self::Rule(Rule::Physical)
    }
}

/// Which interfaces get series of their own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Filter {
    pub(crate) fn shows(&self, name: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Config {
    /// What can't be seen from the types.
    pub(crate) fn check(&self) -> Result<()> {
        let named: &[String] = if let Total::Named(names) = &self.total { names } else { &[] };
        let lists = [
            ("include", self.include.as_slice()),
            ("exclude", self.exclude.as_deref().unwrap_or_default()),
            ("total", named),
        ];
        for (key, patterns) in lists {
            if let Some(index) = patterns.iter().position(String::is_empty) {
                return Err(Error::config(
                    format_args!("{key}[{index}]"),
                    "is empty and would match no interface: remove it, or write `*` for all",
                ));
            }
        }
        if matches!(&self.total, Total::Named(names) if names.is_empty()) {
            return Err(Error::config("total", "names no interface: write \"physical\", \"all\" or names"));
        }
        if self.link_refresh_seconds > MAX_REFRESH {
            return Err(Error::config("link_refresh_seconds", format_args!("is more than {MAX_REFRESH}")));
        }
        if self.source == Source::Sysinfo && self.root != *"/" {
            return Err(Error::config(
                "root",
                "must be \"/\" with source = \"sysinfo\", which reads this machine",
            ));
        }
        Ok(())
    }

    pub(crate) fn filter(&self) -> Filter {
        let defaults = || CONTAINER_LINKS.iter().map(|text| Pattern::new(text)).collect();
        let compiled = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        let exclude = match &self.exclude {
            Some(texts) => compiled(texts),
            None if self.include.is_empty() => defaults(),
            None => vec![],
        };
        Filter { include: compiled(&self.include), exclude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twarga_plugin_api::serde_json::{self, Value, json};

    fn parse(config: Value) -> std::result::Result<Config, String> {
        serde_json::from_value(config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_schema_has_exactly_the_fields_and_their_defaults() {
        let schema: Value = serde_json::from_str(crate::CONFIG_SCHEMA).unwrap();
        assert_eq!(schema["additionalProperties"], json!(false));
        let properties = schema["properties"].as_object().unwrap();
        let defaults: serde_json::Map<_, _> =
            properties.iter().map(|(key, property)| (key.clone(), property["default"].clone())).collect();
        let config = parse(Value::Object(defaults)).unwrap();
        let filter = config.filter();
        assert_eq!(config, Config { exclude: config.exclude.clone(), ..Config::default() });
        assert_eq!(filter, Config::default().filter());
        assert_eq!(parse(json!({})).unwrap(), Config::default());

        let refusal = parse(json!({"no_such_key": 1})).unwrap_err();
        let (_, listed) = refusal.split_once("expected one of ").unwrap();
        let mut fields: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
        fields.sort_unstable();
        described.sort_unstable();
        assert_eq!(fields, described);
        assert!(properties.values().all(|property| property["description"].is_string()));
    }

    #[test]
    fn container_links_are_left_out_unless_asked_for() {
        let by_default = Config::default().filter();
        for shown in ["eth0", "lo", "docker0", "br-3f2a", "vnet0", "lxcbr0", "wg0", "bond0.12"] {
            assert!(by_default.shows(shown.as_bytes()), "{shown}");
        }
        for hidden in ["veth5e1f2aa", "cali0123456789a", "lxc0a1b2c3d4e5f"] {
            assert!(!by_default.shows(hidden.as_bytes()), "{hidden}");
        }
        let asked = parse(json!({"include": ["veth*", "eth?"]})).unwrap().filter();
        assert!(asked.shows(b"veth5e1f2aa") && asked.shows(b"eth0") && !asked.shows(b"lo"));
        let both = parse(json!({"include": ["eth*"], "exclude": ["eth1"]})).unwrap().filter();
        assert!(both.shows(b"eth0") && !both.shows(b"eth1"));
        assert!(parse(json!({"exclude": []})).unwrap().filter().shows(b"veth0"));
    }

    #[test]
    fn totals_are_a_word_or_a_list() {
        assert_eq!(parse(json!({"total": "all"})).unwrap().total, Total::Rule(Rule::All));
        let named = parse(json!({"total": ["eth*"]})).unwrap().total;
        assert_eq!(named, Total::Named(vec!["eth*".into()]));
        for bad in [json!("eth0"), json!(1), json!([1])] {
            assert!(parse(json!({ "total": bad })).unwrap_err().contains("list of patterns"), "{bad}");
        }
    }

    #[test]
    fn wrong_values_are_named_by_their_path() {
        for (config, path) in [
            (json!({"include": ["a", ""]}), "include[1]"),
            (json!({"exclude": [""]}), "exclude[0]"),
            (json!({"total": [""]}), "total[0]"),
            (json!({"total": []}), "total"),
            (json!({"link_refresh_seconds": 100_000}), "link_refresh_seconds"),
            (json!({"source": "sysinfo", "root": "/host"}), "root"),
        ] {
            let error = parse(config.clone()).unwrap().check().unwrap_err();
            assert_eq!(error.location(), path, "{config}");
        }
        Config::default().check().unwrap();
    }
}
