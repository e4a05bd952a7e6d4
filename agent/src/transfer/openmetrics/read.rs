//! Reading the text, also what others wrote: a sample must have a time.

use crate::{
    model::{Kind, Metric},
    transfer::{
        definitions::{Definitions, check_name, guessed, parse_labels},
        import::{FileSample, Parsed, Parser},
        number::{parse_seconds, parse_value, shortened},
    },
};

/// Reads lines.
#[derive(Debug, Default)]
pub(in crate::transfer) struct OpenMetricsParser {
    family: Family,
    ended: bool,
    definitions: Definitions,
}

/// What the lines beginning with `#` said last.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    help: String,
}

impl Parser for OpenMetricsParser {
    fn line(&mut self, line: &str) -> Result<Parsed, String> {
        if self.ended {
            return Err("follows `# EOF`: several files in one? import them one by one".into());
        }
        if line.starts_with('#') || line.is_empty() {
            return self.skip(line).map(|()| Parsed::Nothing);
        }
        let (series, rest) = split_series(line)?;
        let mut words = rest.split_ascii_whitespace();
        let value = words.next().ok_or("a value and a time must follow the series")?;
        let time = words.next().filter(|word| *word != "#");
        let time = time.ok_or("the sample has no time: write seconds since 1970 after the value")?;
        if let Some(more) = words.next().filter(|word| *word != "#") {
            return Err(format!("`{}` after the time is too much", shortened(more)));
        }
        let (value, time) = (parse_value(value)?, parse_seconds(time)?);
        let series = match self.definitions.place(series) {
            Some(known) => known,
            None => self.add(series)?,
        };
        Ok(Parsed::Sample(FileSample { series, time, value, reset: false, run: None }))
    }

    fn skip(&mut self, line: &str) -> Result<(), String> {
        if line == "# EOF" {
            self.ended = true;
            return Ok(());
        }
        let Some((what, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' ')) else {
            return Ok(()); // a sample that is skipped, or a remark
        };
        if !matches!(what, "TYPE" | "HELP" | "UNIT") {
            return Ok(());
        }
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        check_name(name)?;
        if self.family.name != name {
            self.family = Family { name: name.into(), ..Family::default() };
        }
        match what {
            "TYPE" if !KINDS.contains(&text) => {
                Err(format!("`{}` is no type of OpenMetrics ({})", shortened(text), KINDS.join(", ")))
            }
            "TYPE" => {
                self.family.kind = text.into();
                Ok(())
            }
            "HELP" => {
                self.family.help = unescaped(text);
                Ok(())
            }
            _ => Ok(()), // the unit is the suffix of the name
        }
    }

    fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    fn finish(&self) -> Result<(), String> {
        match self.ended {
            true => Ok(()),
            false => Err("the file ends without `# EOF`: it is cut off".into()),
        }
    }
}

const KINDS: [&str; 8] =
    ["counter", "gauge", "gaugehistogram", "histogram", "info", "stateset", "summary", "unknown"];

impl OpenMetricsParser {
    fn add(&mut self, series: &str) -> Result<usize, String> {
        let at = series.find('{').unwrap_or(series.len());
        let name = &series[..at];
        check_name(name)?;
        let labels = parse_labels(if at == series.len() { "{}" } else { &series[at..] })?;
        let mut metric = self.metric(name);
        metric.label_keys = labels.iter().map(|(key, _)| key.into()).collect();
        if metric.kind == Kind::StateSet {
            // the key that names the state is the last one
            metric.label_keys.sort_by_key(|key| **key == *name);
        }
        Ok(self.definitions.add(series, metric, labels))
    }

    /// The metric of a sample's name, by what was said of its family.
    fn metric(&self, name: &str) -> Metric {
        let Family { name: family, kind, help } = &self.family;
        let mut metric = guessed(name);
        let Some(suffix) = name.strip_prefix(family.as_str()).filter(|_| !family.is_empty()) else {
            return metric;
        };
        metric.kind = match (kind.as_str(), suffix) {
            ("counter", "_total") | ("histogram" | "summary", "_bucket" | "_count" | "_sum") => Kind::Counter,
            ("info", "_info") => Kind::Info,
            ("stateset", "") => Kind::StateSet,
            (_, "" | "_created" | "_bucket" | "_gcount" | "_gsum") => Kind::Gauge,
            _ => return metric, // of another family, which has no TYPE
        };
        metric.help = help.as_str().into();
        metric
    }
}

/// The series of a sample's line, and what follows.
fn split_series(line: &str) -> Result<(&str, &str), String> {
    let end = line.find(['{', ' ']).ok_or("is no sample: name{labels} value time")?;
    if line[end..].starts_with(' ') {
        return Ok(line.split_at(end));
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate().skip(end) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Ok(line.split_at(at + 1)),
            _ => {}
        }
    }
    Err("the labels are not closed with `}`".into())
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}
