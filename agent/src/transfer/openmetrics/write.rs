//! Writing the text.

use crate::{
    model::{Kind, Labels, Metric, SeriesDef},
    transfer::{definitions::unit_of, export::Row, number},
};
use std::{fmt::Write, sync::Arc};

/// Writes families and samples.
#[derive(Debug, Default)]
pub(in crate::transfer) struct OpenMetricsWriter {
    family: Option<Arc<Metric>>,
    /// Name and labels of the series that is being written.
    series: String,
}

impl OpenMetricsWriter {
    /// What stands before the samples of a series, once there is one.
    pub(in crate::transfer) fn series(&mut self, out: &mut String, def: &SeriesDef) {
        let metric = &def.metric;
        if self.family.as_ref().is_none_or(|family| **family != **metric) {
            heading(out, metric);
            self.family = Some(metric.clone());
        }
        self.series = match (metric.kind, metric.label_keys.last()) {
            (Kind::StateSet, Some(state)) => {
                let named = def.labels.iter().map(|(key, value)| match key == &**state {
                    true => (&*metric.name, value),
                    false => (key, value),
                });
                format!("{}{}", metric.name, Labels::new(named))
            }
            _ => def.to_string(),
        };
    }

    pub(in crate::transfer) fn row(&mut self, out: &mut String, row: &Row<'_>) {
        out.push_str(&self.series);
        out.push(' ');
        number::write_value(out, row.point.value);
        out.push(' ');
        number::write_seconds(out, row.point.time);
        out.push('\n');
    }

    pub(in crate::transfer) fn end(out: &mut String) {
        out.push_str("# EOF\n");
    }
}

fn heading(out: &mut String, metric: &Metric) {
    let name = &*metric.name;
    let (family, kind) = match metric.kind {
        Kind::Counter => match name.strip_suffix("_total") {
            Some(family) => (family, "counter"),
            None => (name, "unknown"),
        },
        Kind::Info => match name.strip_suffix("_info") {
            Some(family) => (family, "info"),
            None => (name, "gauge"),
        },
        kind => (name, kind.word()),
    };
    let _ = writeln!(out, "# TYPE {family} {kind}"); // a String takes everything
    if let Some((word, code)) = unit_of(family)
        && *metric.unit == *code
        && !matches!(metric.kind, Kind::Info | Kind::StateSet)
    {
        let _ = writeln!(out, "# UNIT {family} {word}");
    }
    if !metric.help.is_empty() {
        let _ = write!(out, "# HELP {family} ");
        for c in metric.help.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('\n');
    }
}
