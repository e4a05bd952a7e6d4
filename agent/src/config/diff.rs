//! What a new configuration changes in a running agent.

use super::{AlertRule, Config, Plugin};
use std::collections::{BTreeMap, BTreeSet};

/// The keys of a plugin's table that say when it collects.
const TIMES: [&str; 4] = ["interval", "deadline", "offset", "jitter"];

/// What is to be done to get from one configuration to another; names and keys in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Plugins that are to run and did not.
    pub started: Vec<String>,
    /// Plugins that ran and are to run no longer.
    pub stopped: Vec<String>,
    /// Plugins that go on, and the keys of their tables that changed: `interval`, `config` …; `instance` where the label
    /// of that name comes or goes with another table of the same plugin.
    pub changed: BTreeMap<String, Vec<&'static str>>,
    /// Alert rules that are new.
    pub alerts_added: Vec<String>,
    /// Alert rules that are gone.
    pub alerts_removed: Vec<String>,
    /// Alert rules that changed.
    pub alerts_changed: Vec<String>,
    /// Other keys that changed and take effect at once.
    pub keys: Vec<&'static str>,
}

impl Diff {
    /// From `old` to `new`. Where a table stands in its file counts for nothing.
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut diff = Self { keys: keys(old, new), ..Self::default() };
        let names: BTreeSet<&String> = old.plugins.keys().chain(new.plugins.keys()).collect();
        for name in names {
            match (running(old, name), running(new, name)) {
                (None, Some(_)) => diff.started.push(name.clone()),
                (Some(_), None) => diff.stopped.push(name.clone()),
                (Some(before), Some(after)) => {
                    let mut changed = changed(before, after);
                    if old.agent.align_offset != new.agent.align_offset && after.offset.is_none() {
                        changed.push("offset");
                    }
                    if old.has_instances(&before.plugin) != new.has_instances(&after.plugin) {
                        changed.push("instance");
                    }
                    if !changed.is_empty() {
                        diff.changed.insert(name.clone(), changed);
                    }
                }
                (None, None) => {}
            }
        }
        diff.alerts(&old.alerts, &new.alerts);
        diff
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether alert rules changed.
    pub fn has_alerts(&self) -> bool {
        !(self.alerts_added.is_empty() && self.alerts_removed.is_empty() && self.alerts_changed.is_empty())
    }

    /// Whether of a plugin that goes on only its times changed, so that its collector can stay.
    pub fn only_times(changed: &[&str]) -> bool {
        changed.iter().all(|key| TIMES.contains(key))
    }

    fn alerts(&mut self, old: &[AlertRule], new: &[AlertRule]) {
        let find = |rules: &[AlertRule], name: &str| rules.iter().find(|rule| rule.name == name).cloned();
        for rule in new {
            match find(old, &rule.name) {
                None => self.alerts_added.push(rule.name.clone()),
                Some(before) if before != *rule => self.alerts_changed.push(rule.name.clone()),
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|rule| find(new, &rule.name).is_none());
        self.alerts_removed.extend(gone.map(|rule| rule.name.clone()));
        for names in [&mut self.alerts_added, &mut self.alerts_removed, &mut self.alerts_changed] {
            names.sort();
        }
    }
}

impl Config {
    /// Whether several tables run this plugin, so that a label tells them apart.
    pub fn has_instances(&self, plugin: &str) -> bool {
        self.plugins.values().filter(|table| table.enabled && table.plugin == plugin).count() > 1
    }

    /// The keys in which this differs from the configuration that the agent was started with and that only a start
    /// reads.
    pub fn needs_restart(&self, started: &Self) -> Vec<&'static str> {
        let (old, new) = (started, self);
        let keys = [
            ("agent.data_dir", old.agent.data_dir != new.agent.data_dir),
            ("agent.labels", old.agent.labels != new.agent.labels),
            ("agent.watch", old.agent.watch != new.agent.watch),
            ("http.listen", old.http.listen != new.http.listen),
            ("http.timestamps", old.http.timestamps != new.http.timestamps),
            ("http.hosts", old.http.hosts != new.http.hosts),
            ("http.auth.user_tokens", old.http.user_tokens != new.http.user_tokens),
            ("http.auth.admin_tokens", old.http.admin_tokens != new.http.admin_tokens),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }
}

impl Plugin {
    /// Whether both tables say the same, wherever they stand.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.enabled == other.enabled && changed(self, other).is_empty()
    }
}

fn running<'a>(config: &'a Config, name: &str) -> Option<&'a Plugin> {
    config.plugins.get(name).filter(|table| table.enabled)
}

fn changed(old: &Plugin, new: &Plugin) -> Vec<&'static str> {
    let keys = [
        ("plugin", old.plugin != new.plugin),
        ("interval", old.interval != new.interval),
        ("deadline", old.deadline != new.deadline),
        ("offset", old.offset != new.offset),
        ("jitter", old.jitter != new.jitter),
        ("mode", old.mode != new.mode),
        ("max_series", old.max_series != new.max_series),
        ("limits", old.limits != new.limits),
        ("config", old.config != new.config),
    ];
    keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

/// The keys beside plugins and alert rules that can change while the agent runs.
fn keys(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("agent.interval", old.agent.interval != new.agent.interval),
        ("agent.plugin_dirs", old.agent.plugin_dirs != new.agent.plugin_dirs),
        ("agent.align_offset", old.agent.align_offset != new.agent.align_offset),
        ("storage.retention", old.storage.retention != new.storage.retention),
        ("storage.retention_1m", old.storage.retention_1m != new.storage.retention_1m),
        ("storage.retention_1h", old.storage.retention_1h != new.storage.retention_1h),
        ("storage.max_loss", old.storage.max_loss != new.storage.max_loss),
        ("storage.max_size", old.storage.max_size != new.storage.max_size),
        ("views.disk", old.views.disk != new.views.disk),
    ];
    keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags, load_in};
    use std::{fs, path::Path};

    const BASE: &str = "[agent]\ninterval = \"2s\"\n[plugins.a]\n[plugins.b]\nenabled = false\n";

    /// What this file says.
    fn config(dir: &Path, text: &str) -> Config {
        let environment = Environment::below(dir);
        fs::create_dir_all(&environment.current_dir).unwrap();
        fs::write(environment.current_dir.join("agent.toml"), text).unwrap();
        load_in(&Flags::default(), &environment).unwrap().config
    }

    fn diff(old: &str, new: &str) -> Diff {
        let dir = tempfile::tempdir().unwrap();
        Diff::between(&config(dir.path(), old), &config(dir.path(), new))
    }

    #[test]
    fn a_line_more_is_no_change() {
        assert!(diff(BASE, BASE).is_empty());
        assert!(diff(BASE, &format!("# a remark\n\n{BASE}")).is_empty());
        assert!(diff(BASE, &BASE.replace("[plugins.a]\n", "[plugins.a]\nenabled = true\n")).is_empty());
    }

    #[test]
    fn plugins_come_and_go() {
        let started = diff(BASE, &BASE.replace("false", "true"));
        assert_eq!(started, Diff { started: vec!["b".into()], ..Diff::default() });
        let stopped = diff(BASE, &BASE.replace("[plugins.a]", "[plugins.a]\nenabled = false"));
        assert_eq!(stopped, Diff { stopped: vec!["a".into()], ..Diff::default() });
        let gone = diff(BASE, &BASE.replace("[plugins.a]", "[plugins.c]"));
        assert_eq!(gone, Diff { started: vec!["c".into()], stopped: vec!["a".into()], ..Diff::default() });
        assert!(diff(BASE, &BASE.replace("[plugins.b]\nenabled = false", "")).is_empty(), "it did not run");
    }

    #[test]
    fn what_changed_of_a_plugin_is_told() {
        for (table, keys, only_times) in [
            ("interval = \"3s\"", vec!["interval", "deadline"], true),
            ("deadline = \"1s\"", vec!["deadline"], true),
            ("jitter = \"1s\"\noffset = \"10ms\"", vec!["offset", "jitter"], true),
            ("max_series = 5", vec!["max_series"], false),
            ("plugin = \"z\"", vec!["plugin"], false),
            ("config = { x = 1 }\ninterval = \"4s\"\ndeadline = \"2s\"", vec!["interval", "config"], false),
        ] {
            let diff = diff(BASE, &BASE.replace("[plugins.a]", &format!("[plugins.a]\n{table}")));
            assert_eq!(Diff::only_times(&keys), only_times, "{table}");
            assert_eq!(diff, Diff { changed: [("a".to_owned(), keys)].into(), ..Diff::default() }, "{table}");
        }
    }

    #[test]
    fn a_second_instance_gives_the_first_one_a_label() {
        let diff = diff(BASE, &format!("{BASE}[plugins.a2]\nplugin = \"a\"\n"));
        assert_eq!(diff.started, ["a2"]);
        assert_eq!(diff.changed, [("a".to_owned(), vec!["instance"])].into());
    }

    #[test]
    fn a_default_concerns_those_who_say_nothing_else() {
        let own = format!("{BASE}[plugins.c]\ninterval = \"7s\"\n");
        let changed = diff(&own, &own.replace("\"2s\"", "\"3s\""));
        assert_eq!(changed.changed, [("a".to_owned(), vec!["interval", "deadline"])].into());
        assert_eq!(changed.keys, ["agent.interval"]);
        let offset = diff(&own, &own.replace("[agent]", "[agent]\nalign_offset = \"none\""));
        assert_eq!(offset.changed.len(), 2);
        assert!(offset.changed.values().all(|keys| *keys == ["offset"]));
    }

    #[test]
    fn rules_are_known_by_their_names() {
        let rule = |name: &str, threshold: u32| {
            format!("[[alert]]\nname = \"{name}\"\nmetric = \"m\"\nop = \">\"\nthreshold = {threshold}\n")
        };
        let old = format!("{BASE}{}{}{}", rule("x", 1), rule("y", 1), rule("z", 1));
        let new = format!("{BASE}{}{}{}", rule("z", 1), rule("y", 2), rule("w", 1));
        let told = diff(&old, &new);
        assert!(told.has_alerts());
        assert_eq!((told.alerts_added, told.alerts_removed), (vec!["w".to_owned()], vec!["x".to_owned()]));
        assert_eq!(told.alerts_changed, ["y"]);
    }

    #[test]
    fn what_only_a_start_reads() {
        let dir = tempfile::tempdir().unwrap();
        let old = config(dir.path(), BASE);
        let text = format!("{BASE}[http]\nlisten = \"127.0.0.1:1\"\n[storage]\nretention = \"8d\"\n");
        let new = config(dir.path(), &text);
        assert_eq!(new.needs_restart(&old), ["http.listen"]);
        assert_eq!(Diff::between(&old, &new).keys, ["storage.retention"]);
        assert_eq!(old.needs_restart(&old), [""; 0]);
    }
}
