//! The Prometheus text format 0.0.4 and OpenMetrics 1.0. They differ in two things that matter here: OpenMetrics ends with
//! `# EOF`, and its times are seconds, where Prometheus' are milliseconds.

use super::{Parsed, TextSample};
use crate::{Kind, is_metric_name, label_keys_problem};
use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// Metrics with `# TYPE`, `# HELP` or `# UNIT` beyond this many are read without: a stream must not fill the memory.
const MAX_FAMILIES: usize = 10_000;

/// What the comments said of the metrics.
#[derive(Debug, Default)]
pub(super) struct Families {
    known: HashMap<String, Family>,
    openmetrics: bool,
}

#[derive(Debug, Default)]
struct Family {
    kind: Type,
    unit: Arc<str>,
    help: Arc<str>,
}

/// The types of both formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Type {
    #[default]
    Unknown,
    Gauge,
    Counter,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

impl Type {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "unknown" | "untyped" => Self::Unknown,
            "gauge" => Self::Gauge,
            "counter" => Self::Counter,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            _ => return None,
        })
    }

    /// The kind of the sample that has the family's own name.
    fn bare(self) -> Option<Kind> {
        match self {
            Self::Gauge | Self::Summary => Some(Kind::Gauge),
            Self::Counter => Some(Kind::Counter),
            Self::Info => Some(Kind::Info),
            Self::StateSet => Some(Kind::StateSet),
            Self::Unknown | Self::Histogram | Self::GaugeHistogram => None,
        }
    }

    /// The kind of the sample whose name is the family's with this ending.
    fn with(self, ending: &str) -> Option<Kind> {
        match (self, ending) {
            (Self::Counter, "_total") => Some(Kind::Counter),
            (Self::Histogram, "_bucket" | "_count" | "_sum") | (Self::Summary, "_count" | "_sum") => {
                Some(Kind::Counter)
            }
            (Self::GaugeHistogram, "_bucket" | "_gcount" | "_gsum")
            | (Self::Counter | Self::Histogram | Self::Summary, "_created") => Some(Kind::Gauge),
            (Self::Info, "_info") => Some(Kind::Info),
            _ => None,
        }
    }
}

/// What is known of a sample beside its line.
struct About {
    kind: Option<Kind>,
    part: bool,
    unit: Arc<str>,
    help: Arc<str>,
}

impl Families {
    /// Whether this is OpenMetrics; once it is, it stays so.
    pub(super) fn look_for_end(&mut self, text: &[u8]) {
        self.openmetrics |= text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"# EOF");
    }

    pub(super) fn line(&mut self, line: &str, number: usize, parsed: &mut Parsed) -> Result<(), String> {
        if let Some(comment) = line.strip_prefix('#') {
            return self.comment(comment);
        }
        let (name, rest) = name_of(line)?;
        let (labels, rest) = match rest.trim_start().strip_prefix('{') {
            Some(rest) => labels_of(rest)?,
            None => (Vec::new(), rest),
        };
        let (value, time) = self.value_and_time(rest)?;
        let About { kind, part, unit, help } = self.about(name);
        let name = name.to_owned();
        parsed.samples.push(TextSample { line: number, name, kind, part, unit, help, labels, value, time });
        Ok(())
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let mut words = comment.trim_start().splitn(3, [' ', '\t']);
        let (Some(word @ ("TYPE" | "HELP" | "UNIT")), Some(name)) = (words.next(), words.next()) else {
            return Ok(()); // any other comment
        };
        let text = words.next().unwrap_or_default().trim();
        if self.known.len() >= MAX_FAMILIES && !self.known.contains_key(name) {
            return Ok(());
        }
        let family = self.known.entry(name.to_owned()).or_default();
        match word {
            "TYPE" => family.kind = Type::of(text).ok_or_else(|| format!("no metric type: `{text}`"))?,
            "HELP" => family.help = unescaped(text).into(),
            _ => family.unit = text.into(),
        }
        Ok(())
    }

    fn about(&self, name: &str) -> About {
        if let Some(family) = self.known.get(name) {
            let (unit, help) = (Arc::clone(&family.unit), Arc::clone(&family.help));
            return About { kind: family.kind.bare(), part: false, unit, help };
        }
        for ending in ["_total", "_bucket", "_count", "_sum", "_created", "_gcount", "_gsum", "_info"] {
            let family = name.strip_suffix(ending).and_then(|base| self.known.get(base));
            let Some((family, kind)) = family.and_then(|family| Some((family, family.kind.with(ending)?)))
            else {
                continue;
            };
            let part = !matches!(ending, "_total" | "_info");
            let unit = if part { Arc::default() } else { Arc::clone(&family.unit) };
            return About { kind: Some(kind), part, unit, help: Arc::clone(&family.help) };
        }
        About { kind: None, part: false, unit: Arc::default(), help: Arc::default() }
    }

    fn value_and_time(&self, rest: &str) -> Result<(f64, Option<i64>), String> {
        let rest = rest.split_once(" # ").map_or(rest, |(sample, _exemplar)| sample);
        let mut words = rest.split_ascii_whitespace();
        let value = words.next().ok_or("the value is missing")?;
        let value = value.parse().map_err(|_| format!("the value `{value}` is not a number"))?;
        let time = match words.next() {
            Some(time) => Some(self.time(time).ok_or_else(|| format!("the time `{time}` can't be read"))?),
            None => None,
        };
        match words.next() {
            Some(_) => Err("more follows after the time".into()),
            None => Ok((value, time)),
        }
    }

    fn time(&self, word: &str) -> Option<i64> {
        if !self.openmetrics {
            return word.parse().ok();
        }
        millis(word.parse().ok()?)
    }
}

/// Seconds since 1970 in milliseconds; nothing for a time that no clock shows.
#[allow(clippy::cast_possible_truncation, reason = "within the range that is checked")]
pub(super) fn millis(seconds: f64) -> Option<i64> {
    let millis = (seconds * 1000.0).round();
    (millis.abs() < 1e15).then_some(millis as i64)
}

fn name_of(line: &str) -> Result<(&str, &str), String> {
    if line.starts_with(['{', '"']) {
        return Err("names in quotes are not understood: rename the metric".into());
    }
    let end = line.find(['{', ' ', '\t']).ok_or("the value is missing")?;
    let (name, rest) = line.split_at(end);
    match is_metric_name(name) {
        true => Ok((name, rest)),
        false => Err(format!("`{name}` is not a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*, at most 200 bytes)")),
    }
}

type Labels = Vec<(String, String)>;

/// The labels up to the closing brace, and what follows it.
fn labels_of(text: &str) -> Result<(Labels, &str), String> {
    let mut labels: Labels = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.starts_with('}') {
        let (key, after) = rest.split_once('=').ok_or("the labels don't end with }")?;
        let key = key.trim();
        if key.is_empty() || key.contains(',') || label_keys_problem(key).is_some() {
            return Err(format!("`{key}` is not a label name, or one that is reserved"));
        }
        let quoted = after.trim_start().strip_prefix('"').ok_or("a label's value is not in quotes")?;
        let (value, after) = quoted_text(quoted).ok_or("the quote of a label's value is not closed")?;
        if seen.contains(&key) {
            return Err(format!("the label `{key}` stands twice"));
        }
        seen.push(key);
        if !value.is_empty() {
            labels.push((key.to_owned(), value.into_owned()));
        }
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.starts_with('}') => rest,
            None => return Err("after a label comes , or }".into()),
        };
    }
    Ok((labels, &rest[1..]))
}

/// The text up to the closing quote, unescaped, and what follows the quote.
fn quoted_text(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((unescaped(&text[..at]), &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// With `\\`, `\"` and `\n` replaced. A backslash before anything else stays.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(next @ ('\\' | '"'))) => plain.push(next),
            ('\\', Some('n')) => plain.push('\n'),
            _ => {
                plain.push(c);
                continue;
            }
        }
        chars.next();
    }
    plain.into()
}
