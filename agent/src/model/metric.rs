//! Metric families and series.

use super::Labels;
use std::{fmt, sync::Arc};
pub use twarga_plugin_api::Kind;

/// A metric family as a plugin declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The Prometheus name, `_total` included.
    pub name: Box<str>,
    /// The instrument kind.
    pub kind: Kind,
    /// The UCUM code of the unit, empty for none.
    pub unit: Box<str>,
    /// One sentence for people.
    pub help: Box<str>,
    /// The label keys in the order of the declaration.
    pub label_keys: Vec<Box<str>>,
    /// The plugin that declared it.
    pub plugin: Box<str>,
}

/// A series: a metric family and the values of its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesDef {
    /// The family.
    pub metric: Arc<Metric>,
    /// Its labels, sorted by key.
    pub labels: Labels,
}

/// As in the Prometheus exposition: `host_cpu_seconds_total{cpu="0",mode="idle"}`.
impl fmt::Display for SeriesDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.metric.name, self.labels)
    }
}

/// The store's number of a series, the same for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);
