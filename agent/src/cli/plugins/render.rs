//! The formats of `plugins run`.

use super::live::{Reading, Shown};
use crate::{cli::table::columns, model::Kind, trial::kind_word};
use serde_json::json;
use std::fmt::Write;

/// For people: a line about the collection, its series, what is missing, its error.
pub(super) fn table(shown: &Shown<'_>) -> String {
    let absent: Vec<_> = shown.collector.absent().collect();
    let (count, missing, millis) = (shown.readings.len(), absent.len(), shown.took.as_secs_f64() * 1000.0);
    let time = shown.collector.time();
    let mut text = format!("{time}  {count} samples, {missing} unavailable, {millis:.2} ms\n");
    let rows: Vec<Vec<String>> = shown
        .readings
        .iter()
        .map(|Reading { series, value, reset, rate }| {
            let unit = if series.metric.unit.is_empty() { "-" } else { &series.metric.unit };
            let rate = match rate {
                _ if *reset => "reset".into(),
                Some(rate) => format!("{rate:.3}/s"),
                None => String::new(),
            };
            vec![series.to_string(), series.metric.kind.word().into(), unit.into(), value.to_string(), rate]
        })
        .chain(absent.iter().map(|(series, reason)| {
            let unit = if series.metric.unit.is_empty() { "-" } else { &series.metric.unit };
            let kind = series.metric.kind.word();
            vec![
                series.to_string(),
                kind.into(),
                unit.into(),
                format!("unavailable: {reason}"),
                String::new(),
            ]
        }))
        .collect();
    if !rows.is_empty() {
        text += &columns(&["SERIES", "KIND", "UNIT", "VALUE", "RATE"], &rows);
    }
    if shown.refused > 0 {
        let _ = writeln!(
            text,
            "refused: {} samples (an unknown or ended series, a value that is not finite, a series put twice)",
            shown.refused
        );
    }
    if let Some(error) = shown.error {
        let _ = writeln!(text, "error ({}): {error}", kind_word(error.kind()));
    }
    text.push('\n');
    text
}

/// An object a line: samples, absences, the error.
pub(super) fn json_lines(shown: &Shown<'_>) -> String {
    let time = shown.collector.time().to_string();
    let mut lines: Vec<serde_json::Value> = Vec::new();
    for Reading { series, value, reset, rate } in &shown.readings {
        let labels: serde_json::Map<_, _> =
            series.labels.iter().map(|(key, value)| (key.to_string(), value.into())).collect();
        lines.push(json!({
            "time": time, "series": series.to_string(), "metric": series.metric.name, "labels": labels,
            "kind": series.metric.kind.word(), "unit": series.metric.unit, "value": value, "rate": rate, "reset": reset,
        }));
    }
    let absent = shown.collector.absent();
    lines.extend(absent.map(|(series, reason)| {
        json!({ "time": time, "series": series.to_string(), "metric": series.metric.name, "unavailable": reason })
    }));
    if shown.refused > 0 {
        lines.push(json!({ "time": time, "refused": shown.refused }));
    }
    if let Some(error) = shown.error {
        let told = json!({ "kind": kind_word(error.kind()), "message": error.message(), "location": error.location() });
        lines.push(json!({ "time": time, "error": told }));
    }
    lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\n")
}

/// The text format of Prometheus, a blank line after each collection. What it can't say is in comments.
pub(super) fn prometheus(shown: &Shown<'_>) -> String {
    let mut text = String::new();
    let mut family = "";
    for Reading { series, value, .. } in &shown.readings {
        let metric = &series.metric;
        if family != &*metric.name {
            family = &metric.name;
            let help = metric.help.replace('\\', r"\\").replace('\n', r"\n");
            // the format has no other kinds
            let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
            let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        }
        let _ = writeln!(text, "{series} {value}");
    }
    for (series, reason) in shown.collector.absent() {
        let _ = writeln!(text, "# unavailable {series}: {reason}");
    }
    if let Some(error) = shown.error {
        let _ =
            writeln!(text, "# error ({}): {}", kind_word(error.kind()), error.to_string().replace('\n', " "));
    }
    text.push('\n');
    text
}
