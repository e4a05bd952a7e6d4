//! What the HTTP API asks of the rest of the agent. `app` answers; tests answer with a fake.

pub use crate::alert::{ActiveAlert, AlertState};
pub use crate::query::{History, HistoryError, HistoryGap, HistoryQuery, StepInfo, StepQuery, Target};
pub use crate::views::{Flat, FlatValue};
use crate::{
    config::{ConfigErrors, Diff},
    model::{Metric, PluginState, PluginStatus, SeriesDef, Snapshot, Timestamp},
    store::{EventFilter, StoredEvent},
};
use serde::Serialize;
use std::{collections::BTreeMap, future::Future, sync::Arc};

/// What the HTTP API asks of the rest of the agent.
///
/// [`history`](Self::history), [`events`](Self::events) and [`metrics_list`](Self::metrics_list) may block: they are
/// called on threads made for that, few at a time. All other calls are made on the thread that serves HTTP and must
/// answer from memory.
pub trait Backend: Send + Sync + 'static {
    /// The latest values.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// The host's flat answer; nothing before the first collection.
    fn host_flat(&self) -> Option<Flat>;

    /// A machine's flat answer; nothing where there is no such machine, or nothing was collected of it yet.
    fn vm_flat(&self, vm_id: i64) -> Option<Flat>;

    /// Whether there is, or ever was, a machine of this number.
    fn vm_exists(&self, vm_id: i64) -> bool;

    /// All known machines.
    fn vms(&self) -> Vec<Vm>;

    /// The alerts that are pending or firing, in the order in which they are shown.
    fn alerts(&self) -> Arc<[ActiveAlert]>;

    /// Every plugin that was found or is configured, in the order in which it is to be shown.
    fn plugins(&self) -> Vec<PluginStatus>;

    /// Whether the agent has come up.
    fn ready(&self) -> Readiness;

    /// Points of one series or view, newest first. May block.
    fn history(&self, query: &HistoryQuery) -> Result<History, HistoryError>;

    /// Events, newest first. May block. The error is for the log.
    fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, String>;

    /// Every metric and view that has or had a series, in the order in which it is to be shown. May block. The error is
    /// for the log.
    fn metrics_list(&self) -> Result<Vec<MetricEntry>, String>;

    /// Collects now, stores, evaluates alerts: one plugin (the key of its table), or every enabled one. The future is
    /// dropped when the request's deadline passes.
    fn collect(&self, plugin: Option<String>) -> impl Future<Output = CollectOutcome> + Send;

    /// Switches a plugin (the key of its table) on or off, or starts it anew. It is done also where the future is dropped.
    fn switch(&self, plugin: String, switch: Switch) -> impl Future<Output = SwitchOutcome> + Send;

    /// Reads the configuration again and applies what changed. It is done also where the future is dropped.
    fn reload(&self) -> impl Future<Output = ReloadOutcome> + Send;

    /// Deletes raw samples that are strictly older than so many days; their number. The error is for the log.
    fn cleanup(&self, days: u32) -> impl Future<Output = Result<u64, String>> + Send;
}

/// A machine, as `/api/vms` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Vm {
    /// Its number, the same for ever.
    pub vm_id: i64,
    /// The provider's UUID, or the index's id of a machine that was never created.
    pub vm: String,
    /// Its name.
    pub vm_name: Option<String>,
    /// The old system's word: `running`, `stopped`, `pending`, `destroyed`, `unknown`.
    pub vm_status: String,
    /// The exact state: `running`, `paused`, `shutoff` …
    pub state: String,
    /// Such as `libvirt`.
    pub provider: Option<String>,
    /// The project's directory.
    pub project: Option<String>,
    /// The owner of the project.
    pub owner: Option<String>,
    /// Its address.
    pub ip_address: Option<String>,
    /// Time since its process started.
    pub uptime_seconds: Option<i64>,
    /// When a plugin last told of it.
    #[serde(serialize_with = "super::answers::optional_time")]
    pub last_seen: Option<Timestamp>,
    /// Whether a plugin tells of it at present. Where not, the state is the last that was known.
    pub fresh: bool,
    /// Why the state is unknown; nothing where it is known.
    pub reason: Option<String>,
}

/// Whether the agent has come up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What it still waits for, in few words each; ready when empty.
    pub waiting_for: Vec<String>,
}

/// A metric or a view, as `/api/metrics` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricEntry {
    /// Its name.
    pub name: String,
    /// `gauge`, `counter`, `info` or `stateset`.
    pub kind: &'static str,
    /// The UCUM code of its unit; a view's own unit.
    pub unit: String,
    /// One sentence for people.
    pub help: String,
    /// The plugin that declared it; nothing for a view.
    pub plugin: Option<String>,
    /// Its label keys: as declared, then what its series have beside, such as `instance`.
    pub labels: Vec<String>,
    /// How many series there are.
    pub series: usize,
    /// Whether it is computed from others at the edge.
    pub view: bool,
}

impl MetricEntry {
    /// A metric, no series of which was added yet.
    pub fn of_metric(metric: &Metric) -> Self {
        Self {
            name: metric.name.to_string(),
            kind: metric.kind.word(),
            unit: metric.unit.to_string(),
            help: metric.help.to_string(),
            plugin: Some(metric.plugin.to_string()),
            labels: metric.label_keys.iter().map(ToString::to_string).collect(),
            series: 0,
            view: false,
        }
    }

    /// Counts a series, and notes the keys of its labels.
    pub fn add(&mut self, series: &SeriesDef) {
        self.series += 1;
        for (key, _) in series.labels.iter() {
            if !self.labels.iter().any(|known| known == key) {
                self.labels.push(key.to_owned());
            }
        }
    }
}

/// How a collection on demand went.
#[derive(Clone, Debug, PartialEq)]
pub enum CollectOutcome {
    /// It was done, stored, and alerts were evaluated.
    Done {
        /// Plugins whose collection failed, and why.
        failures: Vec<(String, String)>,
    },
    /// No plugin of this name is configured or was found.
    UnknownPlugin,
    /// The plugin does not run, and why.
    NotRunning(String),
    /// The agent could not (it is stopping, the writer is gone …); for the log.
    Failed(String),
}

/// What becomes of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It runs, whatever its table says.
    Enable,
    /// It does not.
    Disable,
    /// Its collector is made anew, and its failures are forgotten.
    Restart,
}

impl Switch {
    /// The word of its route.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Restart => "restart",
        }
    }

    /// As in "can't be …".
    pub const fn participle(self) -> &'static str {
        match self {
            Self::Enable => "enabled",
            Self::Disable => "disabled",
            Self::Restart => "restarted",
        }
    }
}

/// How switching a plugin went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchOutcome {
    /// It was done; where the plugin stands now.
    Done(PluginState),
    /// No plugin of this name is configured or was found.
    UnknownPlugin,
    /// It can't be, and why.
    Refused(String),
    /// The agent could not; for the log.
    Failed(String),
}

/// How reading the configuration again went.
#[derive(Clone, Debug, PartialEq)]
pub enum ReloadOutcome {
    /// It applies.
    Done(Box<Reloaded>),
    /// It has errors, and nothing was changed.
    Invalid(ConfigErrors),
    /// The agent could not; for the log.
    Failed(String),
}

/// What a new configuration changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reloaded {
    /// Plugins, alert rules and other keys.
    pub diff: Diff,
    /// Keys whose new values only a start takes.
    pub needs_restart: Vec<&'static str>,
    /// What is allowed but hardly meant, and what could not be done; a line each.
    pub warnings: Vec<String>,
    /// Plugins whose file was replaced: they are being tried out.
    pub upgrading: Vec<String>,
    /// Plugins that are enabled and did not start, and why.
    pub failed: BTreeMap<String, String>,
}

/// Whether one of the [warnings](Reloaded::warnings) says of this plugin that it is not loaded, or not started.
pub fn warns_of_not_started(warning: &str, plugin: &str) -> bool {
    warning.starts_with(&format!("plugin {plugin} is not "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Labels};

    #[test]
    fn labels_are_those_that_series_have_the_declared_ones_first() {
        let metric = Arc::new(Metric {
            name: "host_filesystem_size_bytes".into(),
            kind: Kind::Gauge,
            unit: "By".into(),
            help: "Size.".into(),
            label_keys: vec!["mountpoint".into(), "device".into()],
            plugin: "host-disk".into(),
        });
        let mut entry = MetricEntry::of_metric(&metric);
        for instance in ["", "a", "b"] {
            let labels = Labels::new([("device", "x"), ("instance", instance), ("mountpoint", "/")]);
            entry.add(&SeriesDef { metric: Arc::clone(&metric), labels });
        }
        assert_eq!(entry.labels, ["mountpoint", "device", "instance"]);
        assert_eq!(entry.series, 3);
    }
}
