//! The series of a file that is read, and what is known of a metric by its name alone.

use super::number::shortened;
use crate::model::{Kind, Labels, Metric, SeriesDef};
use std::{collections::HashMap, sync::Arc};
use twarga_plugin_api::{is_metric_name, label_keys_problem};

/// The plugin, and the collector, of what no plugin of this agent declared.
pub(super) const IMPORT: &str = "import";

/// Unit suffixes of OpenMetrics, and the UCUM codes that they stand for.
const UNITS: [(&str, &str); 9] = [
    ("bytes", "By"),
    ("seconds", "s"),
    ("ratio", "1"),
    ("hertz", "Hz"),
    ("celsius", "Cel"),
    ("joules", "J"),
    ("watts", "W"),
    ("volts", "V"),
    ("amperes", "A"),
];

/// The unit suffix of a metric's name (`_total` not counted) and its UCUM code.
pub(super) fn unit_of(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.strip_suffix("_total").unwrap_or(name);
    UNITS.into_iter().find(|(word, _)| name.strip_suffix(word).is_some_and(|rest| rest.ends_with('_')))
}

/// A metric of which nothing but the name is known.
pub(super) fn guessed(name: &str) -> Metric {
    let kind = match name {
        _ if name.ends_with("_total") => Kind::Counter,
        _ if name.ends_with("_info") => Kind::Info,
        _ => Kind::Gauge,
    };
    Metric {
        name: name.into(),
        kind,
        unit: unit_of(name).map_or("", |(_, code)| code).into(),
        help: "".into(),
        label_keys: Vec::new(),
        plugin: IMPORT.into(),
    }
}

/// Refuses what the store's readers could not name again.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    match is_metric_name(name) {
        true => Ok(()),
        false => Err(format!("`{}` is no metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)", shortened(name))),
    }
}

/// Refuses label keys that are none.
pub(super) fn check_labels(labels: &Labels) -> Result<(), String> {
    let keys: Vec<&str> = labels.iter().map(|(key, _)| key).collect();
    match label_keys_problem(&keys.join(",")) {
        None => Ok(()),
        Some(problem) => Err(format!("labels {}: {problem}", shortened(&labels.to_string()))),
    }
}

/// Labels as the exposition writes them, `{cpu="0",mode="idle"}`; a comma after the last is allowed.
pub(super) fn parse_labels(text: &str) -> Result<Labels, String> {
    let parsed = match text.strip_suffix(",}") {
        _ if text == "{}" => Some(Labels::default()),
        Some(rest) => Labels::parse(&format!("{rest}}}")),
        None => Labels::parse(text),
    };
    let labels = parsed.ok_or_else(|| {
        format!("`{}` are no labels: write them as {{cpu=\"0\",mode=\"idle\"}}", shortened(text))
    })?;
    check_labels(&labels)?;
    Ok(labels)
}

/// The series of a file, by the text that names them there.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    by_text: HashMap<String, usize>,
    all: Vec<SeriesDef>,
}

impl Definitions {
    /// The place of a series that was there before.
    pub(super) fn place(&self, text: &str) -> Option<usize> {
        self.by_text.get(text).copied()
    }

    /// Adds a series. Without label keys, the metric gets those of the series.
    pub(super) fn add(&mut self, text: &str, mut metric: Metric, labels: Labels) -> usize {
        if metric.label_keys.is_empty() {
            metric.label_keys = labels.iter().map(|(key, _)| key.into()).collect();
        }
        let shared = self.all.last().map(|last| &last.metric).filter(|last| ***last == metric).cloned();
        let place = self.all.len();
        self.all.push(SeriesDef { metric: shared.unwrap_or_else(|| Arc::new(metric)), labels });
        self.by_text.insert(text.into(), place);
        place
    }

    /// The series at a place.
    pub(super) fn get(&self, place: usize) -> &SeriesDef {
        &self.all[place]
    }
}
