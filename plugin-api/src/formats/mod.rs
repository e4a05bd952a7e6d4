//! Metrics as other programs print them: the Prometheus and OpenMetrics text formats, Influx line protocol, JSON lines.
//!
//! [`Parser`] is pure: bytes in, [`Parsed`] out, one bad line costs only itself. [`Publisher`] makes samples of what was
//! parsed: it mends names, declares families, registers and retires series. The plugins `exec` and `textfile` are these
//! two with something that brings the bytes; a collector that asks a socket or a web server can be the same.
//!
//! Needs the feature `formats`.

mod influx;
mod json;
mod naming;
mod prometheus;
mod publish;
#[cfg(test)]
mod tests;

pub use naming::prefix_of;
pub use publish::{Absent, Again, Publisher};

use crate::Kind;
use serde::Deserialize;
use std::sync::Arc;

/// Problems of one text that are kept; of more, only the number is.
const MAX_PROBLEMS: usize = 100;
/// The longest message of a problem, in bytes.
const MAX_MESSAGE: usize = 300;
/// The most samples of one text: as many as the agent can have series.
const MAX_SAMPLES: usize = 500_000;

/// The formats that can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// [Prometheus text](https://prometheus.io/docs/instrumenting/exposition_formats/) 0.0.4, and OpenMetrics 1.0.
    #[default]
    Prometheus,
    /// [Influx line protocol](https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/), times in
    /// nanoseconds.
    Influx,
    /// One JSON object a line: `{"name": "backup_age_seconds", "value": 5, "labels": {"disk": "a"}}`, and if wanted
    /// `kind` (`"gauge"` or `"counter"`), `unit`, `help`, `time` (seconds since 1970).
    Json,
}

/// One sample, as it was printed.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSample {
    /// The number of its line, from 1.
    pub line: usize,
    /// Its metric, as printed.
    pub name: String,
    /// The kind, where it was told.
    pub kind: Option<Kind>,
    /// A part of a histogram or summary: its name has an ending of its own.
    pub part: bool,
    /// The unit that was told beside the name; empty for none.
    pub unit: Arc<str>,
    /// The help text; empty for none.
    pub help: Arc<str>,
    /// Label keys and values as printed, those without a value left out.
    pub labels: Vec<(String, String)>,
    /// The value, which may be infinite or not a number.
    pub value: f64,
    /// Its own time, in milliseconds since 1970 UTC.
    pub time: Option<i64>,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// What a text said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// In the order of the text.
    pub samples: Vec<TextSample>,
    /// The first lines that were left out.
    pub problems: Vec<Problem>,
    /// How many lines were left out.
    pub refused: u64,
    /// Fields that are texts, which are no samples (Influx only).
    pub strings: u64,
}

impl Parsed {
    /// The time that all samples share, in milliseconds since 1970; nothing where one has none or they differ.
    pub fn common_time(&self) -> Option<i64> {
        let first = self.samples.first()?.time?;
        self.samples.iter().all(|sample| sample.time == Some(first)).then_some(first)
    }

    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.refused += 1;
        if self.problems.len() < MAX_PROBLEMS {
            let mut message = message.into();
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            self.problems.push(Problem { line, message });
        }
    }
}

/// Reads a text, or one piece after another of a text that never ends: what `# TYPE` and `# HELP` said of a metric holds
/// on, and lines are counted on.
#[derive(Debug)]
pub struct Parser {
    format: Format,
    lines: usize,
    families: prometheus::Families,
}

impl Parser {
    /// For texts of this format.
    pub fn new(format: Format) -> Self {
        Self { format, lines: 0, families: prometheus::Families::default() }
    }

    /// Reads whole lines; the last one may lack its end.
    pub fn parse(&mut self, text: &[u8]) -> Parsed {
        let mut parsed = Parsed::default();
        if self.format == Format::Prometheus {
            self.families.look_for_end(text);
        }
        for bytes in text.split(|byte| *byte == b'\n') {
            self.lines += 1;
            let Ok(line) = std::str::from_utf8(bytes) else {
                parsed.problem(self.lines, "the line is not UTF-8");
                continue;
            };
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            if parsed.samples.len() >= MAX_SAMPLES {
                parsed.problem(self.lines, format!("more than {MAX_SAMPLES} samples"));
                continue;
            }
            let read = match self.format {
                Format::Prometheus => self.families.line(line, self.lines, &mut parsed),
                Format::Influx => influx::line(line, self.lines, &mut parsed),
                Format::Json => json::line(line, self.lines, &mut parsed),
            };
            if let Err(message) = read {
                parsed.problem(self.lines, message);
            }
        }
        if text.ends_with(b"\n") {
            self.lines -= 1; // nothing after the last line's end is no line
        }
        parsed
    }
}

/// Reads a whole text.
pub fn parse(format: Format, text: &[u8]) -> Parsed {
    Parser::new(format).parse(text)
}
