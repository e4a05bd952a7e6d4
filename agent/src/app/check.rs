//! What only the whole agent can check of a configuration: its plugins by their files, whose code is not run, and its
//! alert rules by the views and the metrics that those plugins declare.

use crate::{
    config::{self, AlertRule, Examined, Fault, Level, Mode, Plugin, Problem, RulePlace},
    host::{Candidate, Catalogue, Metadata, Refusal, Strategy, discover, would_load},
    model::Digest,
    views::{self, Select, Source, Subject, View},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use twarga_plugin_api::abi::metadata::ANY_NAMESPACE;

/// The prefix of the agent's own metrics.
const OWN_METRICS: &str = "twarga_agent_";

/// Whether plugins are loaded afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    /// Nobody else tells of plugins that can't be loaded.
    Never,
    /// Loading tells it itself.
    Follows,
}

/// All problems of this kind.
pub fn problems(examined: &Examined, loading: Loading) -> Vec<(Level, Problem)> {
    let catalogue = discover(&examined.config.agent.plugin_dirs);
    let mut look = Look {
        examined,
        catalogue: &catalogue,
        loading,
        declared: BTreeMap::new(),
        whole: true,
        open: false,
        out: Vec::new(),
    };
    for (name, table) in &examined.config.plugins {
        look.plugin(name, table);
    }
    for rule in &examined.config.alerts {
        look.rule(rule);
    }
    look.out
}

struct Look<'a> {
    examined: &'a Examined,
    catalogue: &'a Catalogue,
    loading: Loading,
    /// The metrics of the enabled plugins.
    declared: BTreeMap<&'a str, &'a str>,
    /// Those are all: each enabled plugin was found.
    whole: bool,
    /// An enabled plugin learns its metrics from others while it runs.
    open: bool,
    out: Vec<(Level, Problem)>,
}

impl<'a> Look<'a> {
    fn add(&mut self, level: Level, at: Option<(&Path, usize)>, key: String, message: String, hint: String) {
        self.out.push((level, self.examined.problem(at, key, message, hint)));
    }

    fn plugin(&mut self, name: &str, table: &Plugin) {
        let key = config::key_below("plugins", name);
        match metadata(self.catalogue, &table.plugin) {
            Ok((file, metadata)) if table.enabled => {
                if self.loading == Loading::Never {
                    self.would_load(&key, table, file);
                }
                let metrics = metadata.metrics.iter();
                self.declared.extend(metrics.map(|metric| (metric.name.as_str(), metadata.name.as_str())));
                self.open |= metadata.namespaces.iter().any(|name| name == ANY_NAMESPACE);
                self.config(&key, table, metadata);
            }
            Ok(_) => {}
            Err(refused) => {
                self.whole &= !table.enabled;
                self.not_found(key, table, refused);
            }
        }
    }

    /// A file that is there may not be loaded all the same: others may have written it, or it is not the pinned one.
    fn would_load(&mut self, key: &str, table: &Plugin, file: &Path) {
        let strategy = match table.mode {
            Mode::InProcess => Strategy::InProcess,
            Mode::Isolated => Strategy::Isolated,
        };
        let Err(refusal) = would_load(file, &table.plugin, table.limits.sha256.map(Digest), strategy) else {
            return;
        };
        let (message, advice) = told(file, &refusal);
        match (&table.place.pin, refusal) {
            (Some((place, line)), Refusal::OtherDigest { .. }) => {
                let key = format!("{key}.sha256");
                self.add(Level::Error, Some((place, *line)), key, message, advice.into());
            }
            _ => self.not_found(key.to_owned(), table, (message, advice)),
        }
    }

    fn not_found(&mut self, key: String, table: &Plugin, (message, advice): (String, &str)) {
        // what is missing may stand in the part that was not understood, and a bad key proves nothing
        let unsure = ["plugin", "enabled"].map(|own| config::key_below(&key, own));
        if self.examined.incomplete
            || self.examined.is_refused(&key)
            || unsure
                .iter()
                .chain(["agent.plugin_dirs".to_owned()].iter())
                .any(|key| self.examined.is_wrong(key))
        {
            return;
        }
        let place = table.place.file.as_deref().map(|file| (file, table.place.line));
        if !table.enabled {
            let hint = "put its .so into a plugin directory, or remove this table; it is disabled anyway";
            self.add(Level::Warning, place, key, message, hint.into());
        } else if self.loading == Loading::Never {
            self.add(Level::Error, place, key, message, advice.into());
        }
    }

    /// A plugin's own table against its schema.
    fn config(&mut self, key: &str, table: &Plugin, metadata: &Metadata) {
        if metadata.schema.is_empty() {
            return;
        }
        let Ok(schema) = serde_json::from_str::<serde_json::Value>(&metadata.schema) else {
            let message = format!("not checked: the schema of plugin {} is no JSON", metadata.name);
            let place = config::plugin_key_place(&table.place, "");
            return self.add(Level::Warning, place, format!("{key}.config"), message, String::new());
        };
        for violation in config::validate(&schema, &serde_json::Value::from(table.config.clone())) {
            let dot = if violation.key.is_empty() { "" } else { "." };
            let key = format!("{key}.config{dot}{}", violation.key);
            let follows = violation.fault == Fault::Missing && self.examined.incomplete;
            if !follows && !self.examined.is_wrong(&key) {
                let place = config::plugin_key_place(&table.place, &violation.path);
                self.add(Level::Error, place, key, violation.message, violation.hint);
            }
        }
    }

    fn rule(&mut self, rule: &AlertRule) {
        let key = config::key_below("alert", &rule.name);
        let place = self.examined.rules.get(&rule.name).cloned().unwrap_or_default();
        match views::find(&rule.metric) {
            Some(view) => self.labels_of_view(&key, rule, view, &place),
            None => self.metric(&key, rule, &place),
        }
    }

    /// A host's view is one value without labels, so that a rule with labels would never match.
    fn labels_of_view(&mut self, key: &str, rule: &AlertRule, view: &View, place: &RulePlace) {
        let Subject::Host(select) = view.subject else { return };
        if rule.labels.is_empty() {
            return;
        }
        let message = format!("the view {} has no labels, so that no series matches these", view.name);
        let hint = match (select, view.from) {
            (Select::AllCpus | Select::Disk, Source::Scaled(metric, factor)) => {
                // without the noise of the division
                let threshold = (rule.threshold / factor * 1e9).round() / 1e9;
                format!("write metric = {metric:?} with threshold = {threshold}, or remove the labels")
            }
            _ => "remove the labels".into(),
        };
        self.add(Level::Error, at(place.labels.as_ref()), format!("{key}.labels"), message, hint);
    }

    /// A metric that nobody declares may come at run time.
    fn metric(&mut self, key: &str, rule: &AlertRule, place: &RulePlace) {
        let metric = rule.metric.as_str();
        if metric.starts_with(OWN_METRICS) || self.declared.contains_key(metric) {
            return;
        }
        if !self.whole || self.examined.incomplete {
            return; // it may be one of a plugin that could not be looked at
        }
        let of_others =
            self.catalogue.candidates.iter().filter_map(|candidate| candidate.metadata.as_ref().ok());
        let owner = of_others.into_iter().find(|other| other.metrics.iter().any(|one| one.name == metric));
        let (message, hint) = match owner {
            Some(owner) => (
                format!("a metric of the plugin {}, which is not enabled", owner.name),
                format!("enable it: [{}]", config::key_below("plugins", &owner.name)),
            ),
            None => {
                let known = views::NAMES.iter().chain(self.declared.keys()).copied();
                let near = config::did_you_mean(metric, known);
                if self.open && near.is_none() {
                    return; // nobody knows what a program will print
                }
                let hint =
                    near.unwrap_or_else(|| "it can only match if a plugin adds it while it runs".into());
                (format!("no view, and no enabled plugin declares a metric {metric}"), hint)
            }
        };
        self.add(Level::Warning, at(place.metric.as_ref()), format!("{key}.metric"), message, hint);
    }
}

fn at(place: Option<&(PathBuf, usize)>) -> Option<(&Path, usize)> {
    place.map(|(file, line)| (file.as_path(), *line))
}

/// What the file of a plugin says of itself; else why it would not be loaded, and what to do.
fn metadata<'c>(
    catalogue: &'c Catalogue,
    plugin: &str,
) -> Result<(&'c Path, &'c Metadata), (String, &'static str)> {
    let found = catalogue.find(plugin).map_err(|error| told(&error.file, &error.refusal))?;
    let of_file = |candidate: &&Candidate| candidate.file == found.file;
    match catalogue.candidates.iter().find(of_file).map(|candidate| (&candidate.file, &candidate.metadata)) {
        Some((file, Ok(metadata))) => Ok((file, metadata)),
        Some((_, Err(refusal))) => Err(told(&found.file, refusal)),
        // not reached: what was found is a candidate
        None => Err((format!("{} is gone", found.file.display()), "run it again")),
    }
}

/// The two parts of a load error's text.
fn told(file: &Path, refusal: &Refusal) -> (String, &'static str) {
    let message = match refusal {
        Refusal::NotFound(_) | Refusal::Ambiguous(_) => refusal.to_string(),
        _ => format!("{}: {refusal}", file.display()),
    };
    (message, refusal.advice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags};
    use std::fs;

    /// The problems of this `agent.toml` in a place without any plugin.
    fn told(text: Option<&str>, loading: Loading) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::below(dir.path());
        fs::create_dir_all(&environment.current_dir).unwrap();
        if let Some(text) = text {
            fs::write(environment.current_dir.join("agent.toml"), text).unwrap();
        }
        let examined = config::examine_in(&Flags::default(), &environment);
        let place = dir.path().display().to_string();
        let line = |(level, problem): (Level, Problem)| format!("{level:?} {problem}").replace(&place, "");
        problems(&examined, loading).into_iter().map(line).collect()
    }

    #[test]
    fn plugins_that_are_nowhere() {
        let all = told(None, Loading::Never);
        assert_eq!(all.len(), 5);
        assert_eq!(
            all[0],
            "Error plugins.host-cpu: no plugin `host-cpu` in /bin, /plugins; put its .so into one of these \
             directories, or disable it"
        );
        assert_eq!(told(None, Loading::Follows), [""; 0]);
        let disabled = "[agent]\n[plugins.\"a\"]\nenabled = false\n";
        let warning = "Warning agent.toml:2: plugins.a: no plugin `a` in /bin, /plugins; put its .so into a plugin \
                       directory, or remove this table; it is disabled anyway";
        for loading in [Loading::Never, Loading::Follows] {
            assert_eq!(told(Some(disabled), loading), [warning]);
        }
    }

    #[test]
    fn bad_keys_prove_nothing() {
        for text in [
            "agent.plugin_dirs = 5\n[plugins.a]",
            "[plugins.a]\nplugin = 5",
            "[plugins.a]\nenabled = \"no\"",
            "[plugins]\na = 5",
            "[plugins.\"a b\"]",
            "[plugins.a]\n[agent]\nplugin_dirs = [\n",
        ] {
            assert_eq!(told(Some(text), Loading::Never), [""; 0], "{text}");
        }
    }

    #[test]
    fn labels_of_views() {
        let rule = |metric: &str, more: &str| {
            let text = format!(
                "[[alert]]\nname = \"x\"\nmetric = \"{metric}\"\nop = \">\"\nthreshold = 85\n{more}\n"
            );
            told(Some(&text), Loading::Never)
        };
        let labels = "labels = { cpu = \"0\" }";
        let error = |rest: &str| [format!("Error agent.toml:6: alert.x.labels: the view {rest}")];
        assert_eq!(
            rule("host_cpu_percent", labels),
            error(
                "host_cpu_percent has no labels, so that no series matches these; write metric = \
                 \"host_cpu_usage_ratio\" with threshold = 0.85, or remove the labels"
            )
        );
        assert_eq!(
            rule("host_disk_used_gb", labels),
            error(
                "host_disk_used_gb has no labels, so that no series matches these; write metric = \
                 \"host_filesystem_used_bytes\" with threshold = 91268055040, or remove the labels"
            )
        );
        for metric in ["host_memory_percent", "host_net_send_speed"] {
            let rest = format!("{metric} has no labels, so that no series matches these; remove the labels");
            assert_eq!(rule(metric, labels), error(&rest));
        }
        assert_eq!(rule("vm_cpu_percent", "labels = { vm = \"web\" }"), [""; 0]);
        assert_eq!(rule("host_cpu_percent", "labels = {}"), [""; 0]);
        assert_eq!(rule("twarga_agent_anything", labels), [""; 0]);
        let near = "Warning agent.toml:3: alert.x.metric: no view, and no enabled plugin declares a metric \
                    host_cpu_procent; did you mean `host_cpu_percent`?";
        assert_eq!(rule("host_cpu_procent", ""), [near]);
    }

    #[test]
    fn the_place_is_that_of_the_file_which_gave_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::below(dir.path());
        let work = &environment.current_dir;
        fs::create_dir_all(work.join("agent.d")).unwrap();
        fs::write(
            work.join("agent.toml"),
            "[[alert]]\nname = \"system_high_cpu\"\nlabels = { cpu = \"0\" }\n",
        )
        .unwrap();
        fs::write(work.join("agent.d/1.toml"), "[[alert]]\nname = \"system_high_cpu\"\nthreshold = 1\n")
            .unwrap();
        let mut examined = config::examine_in(&Flags::default(), &environment);
        for (level, problem) in problems(&examined, Loading::Never) {
            examined.add(level, problem);
        }
        let errors = examined.finish().unwrap_err();
        assert_eq!((errors.errors.len(), errors.errors[0].line), (1, 3));
        assert_eq!(errors.errors[0].file, Some("agent.toml".into()));
    }
}
