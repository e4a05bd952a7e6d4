//! JSON lines: the format that loses nothing. First a line that says what this is, then one a metric, then one a sample.

use super::{
    definitions::{Definitions, IMPORT, check_labels, check_name, guessed},
    export::Row,
    import::{FileSample, Parsed, Parser},
    number::{Rfc3339, shortened, write_value},
};
use crate::model::{Kind, Labels, Metric};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

const FORMAT: &str = "twarga-agent history";
const VERSION: u32 = 1;

/// Writes lines.
#[derive(Debug, Default)]
pub(super) struct JsonWriter {
    times: Rfc3339,
    /// The run in the store of the sample before, and the number that it is written with.
    run: Option<u32>,
    number: u32,
}

/// Everything of a metric.
#[derive(Serialize)]
struct MetricLine<'a> {
    metric: &'a str,
    kind: &'a str,
    unit: &'a str,
    help: &'a str,
    label_keys: &'a [Box<str>],
    plugin: &'a str,
}

impl JsonWriter {
    pub(super) fn begin<'a>(out: &mut String, metrics: impl Iterator<Item = &'a Metric>) {
        let _ = writeln!(out, "{{\"format\":{},\"version\":{VERSION}}}", json(&FORMAT));
        for metric in metrics {
            let Metric { name, kind, unit, help, label_keys, plugin } = metric;
            out.push_str(&json(&MetricLine {
                metric: name,
                kind: kind.word(),
                unit,
                help,
                label_keys,
                plugin,
            }));
            out.push('\n');
        }
    }

    /// Runs are numbered by where they change, from 1: a number tells samples apart that must not be paired into rates,
    /// and an import that begins a run at each change numbers them the same.
    pub(super) fn row(&mut self, out: &mut String, row: &Row<'_>) {
        if self.run != Some(row.point.run) {
            self.run = Some(row.point.run);
            self.number += 1;
        }
        let metric = &*row.def.metric;
        let _ = write!(out, "{{\"name\":{},\"labels\":{{", json(&metric.name));
        for (at, (key, value)) in row.def.labels.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{}:{}", json(&key), json(&value));
        }
        let _ = write!(out, "}},\"time\":\"{}\",\"value\":", self.times.text(row.point.time));
        write_value(out, row.point.value);
        let (kind, unit, run) = (metric.kind.word(), json(&metric.unit), self.number);
        let _ = write!(out, ",\"kind\":\"{kind}\",\"unit\":{unit},\"run\":{run}");
        out.push_str(if row.point.reset { ",\"reset\":true}\n" } else { "}\n" });
    }
}

/// Texts, and what is made of texts, as JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a text has no map with keys that are no texts")
}

/// Any of the lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    format: Option<String>,
    version: Option<u32>,
    metric: Option<String>,
    help: Option<String>,
    label_keys: Option<Vec<Box<str>>>,
    plugin: Option<String>,
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    time: Option<String>,
    value: Option<f64>,
    kind: Option<String>,
    unit: Option<String>,
    run: Option<u32>,
    #[serde(default)]
    reset: bool,
}

/// Reads lines.
#[derive(Debug, Default)]
pub(super) struct JsonParser {
    times: Rfc3339,
    metrics: HashMap<Box<str>, Metric>,
    definitions: Definitions,
    key: String,
}

impl Parser for JsonParser {
    fn line(&mut self, line: &str) -> Result<Parsed, String> {
        if line.is_empty() {
            return Ok(Parsed::Nothing);
        }
        let line: Line = serde_json::from_str(line).map_err(|error| match error.is_eof() {
            true => "the line is cut off".into(),
            false => format!("is not a line of an export: {error}"),
        })?;
        match &line {
            Line { format: Some(format), .. } if format != FORMAT => {
                Err(format!("is of `{}`, not of `{FORMAT}`", shortened(format)))
            }
            Line { version: Some(version), .. } if *version > VERSION => {
                Err(format!("version {version} of the format is newer than this agent: upgrade it"))
            }
            Line { format: Some(_), .. } => Ok(Parsed::Nothing),
            Line { metric: Some(_), .. } => self.metric(line).map(|()| Parsed::Nothing),
            _ => self.sample(&line).map(Parsed::Sample),
        }
    }

    fn skip(&mut self, line: &str) -> Result<(), String> {
        if line.contains("\"metric\":") && !line.contains("\"value\":") {
            self.line(line)?;
        }
        Ok(())
    }

    fn definitions(&self) -> &Definitions {
        &self.definitions
    }
}

impl JsonParser {
    fn metric(&mut self, line: Line) -> Result<(), String> {
        let name = line.metric.unwrap_or_default();
        check_name(&name)?;
        let mut metric = guessed(&name);
        metric.kind = kind(line.kind.as_deref(), metric.kind)?;
        metric.unit = line.unit.map_or(metric.unit, Into::into);
        metric.help = line.help.unwrap_or_default().into();
        metric.label_keys = line.label_keys.unwrap_or_default();
        metric.plugin = line.plugin.as_deref().unwrap_or(IMPORT).into();
        self.metrics.insert(name.into(), metric);
        Ok(())
    }

    fn sample(&mut self, line: &Line) -> Result<FileSample, String> {
        let missing = |field: &str| format!("`{field}` is missing");
        let name = line.name.as_deref().ok_or_else(|| missing("name"))?;
        let time = line.time.as_deref().ok_or_else(|| missing("time"))?;
        let value = line.value.ok_or_else(|| missing("value"))?;
        self.key.clear();
        self.key.push_str(name);
        for (key, value) in line.labels.iter().flatten() {
            let _ = write!(self.key, "\0{key}\0{value}"); // a String takes everything
        }
        let series = match self.definitions.place(&self.key) {
            Some(known) => known,
            None => self.add(name, line)?,
        };
        let time = self.times.parse(time)?;
        Ok(FileSample { series, time, value, reset: line.reset, run: line.run })
    }

    fn add(&mut self, name: &str, line: &Line) -> Result<usize, String> {
        check_name(name)?;
        let labels = Labels::new(line.labels.iter().flatten());
        check_labels(&labels)?;
        let mut metric = self.metrics.get(name).cloned().unwrap_or_else(|| guessed(name));
        metric.kind = kind(line.kind.as_deref(), metric.kind)?;
        if let Some(unit) = &line.unit {
            metric.unit = unit.as_str().into();
        }
        Ok(self.definitions.add(&self.key, metric, labels))
    }
}

fn kind(word: Option<&str>, otherwise: Kind) -> Result<Kind, String> {
    let Some(word) = word else { return Ok(otherwise) };
    Kind::from_word(word)
        .ok_or_else(|| format!("`{}` is no kind: gauge, counter, info or stateset", shortened(word)))
}
