//! Influx line protocol: `measurement,tag=value field=1i,other=2.5 1700000000000000000`.
//!
//! A field is the metric `measurement_field`; integers, floats and booleans (1 and 0) are values, texts are counted and
//! left out. A line is read whole or not at all. Line breaks within a text are not understood.

use super::{Parsed, TextSample};
use std::sync::Arc;

pub(super) fn line(line: &str, number: usize, parsed: &mut Parsed) -> Result<(), String> {
    if line.starts_with('#') {
        return Ok(());
    }
    let (measurement, mut rest) = word(line, &[',', ' ']);
    if measurement.is_empty() {
        return Err("the measurement is missing".into());
    }
    let mut labels = Vec::new();
    while let Some(tag) = rest.strip_prefix(',') {
        let (key, after) = word(tag, &[',', ' ', '=']);
        let after = after.strip_prefix('=').ok_or_else(|| format!("the tag `{key}` has no value"))?;
        let (value, after) = word(after, &[',', ' ', '=']);
        if key.is_empty() || value.is_empty() {
            return Err("a tag without a name or a value".into());
        }
        labels.push((key, value));
        rest = after;
    }
    let (fields, rest) = fields(rest.trim_start())?;
    let time = match rest.trim() {
        "" => None,
        text => {
            let nanos: i64 = text.parse().map_err(|_| format!("the time `{text}` is not in nanoseconds"))?;
            Some(nanos.div_euclid(1_000_000))
        }
    };
    for (field, value) in fields {
        let Some(value) = value else {
            parsed.strings += 1;
            continue;
        };
        let (unit, help) = (Arc::default(), Arc::default());
        let (name, labels) = (format!("{measurement}_{field}"), labels.clone());
        let sample =
            TextSample { line: number, name, kind: None, part: false, unit, help, labels, value, time };
        parsed.samples.push(sample);
    }
    Ok(())
}

/// Names and values; nothing for a text.
type Fields = Vec<(String, Option<f64>)>;

fn fields(mut rest: &str) -> Result<(Fields, &str), String> {
    let mut fields = Vec::new();
    loop {
        let (key, after) = word(rest, &[',', ' ', '=']);
        let after = after.strip_prefix('=').ok_or("a field has no value")?;
        if key.is_empty() {
            return Err("a field has no name".into());
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(text) => (None, after_text(text).ok_or("the quote of a text is not closed")?),
            None => {
                let (value, after) = word(after, &[',', ' ']);
                (Some(number(&value).ok_or_else(|| format!("the value `{value}` is not a number"))?), after)
            }
        };
        fields.push((key, value));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() || after.starts_with(' ') => return Ok((fields, after)),
            None => return Err("after a field comes , or a blank".into()),
        }
    }
}

/// The text up to the first of `stops` that has no backslash before it, and the rest with that one.
fn word<'a>(text: &'a str, stops: &[char]) -> (String, &'a str) {
    let mut word = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if stops.contains(&c) {
            return (word, &text[at..]);
        }
        match chars.peek() {
            Some((_, next @ (',' | '=' | ' '))) if c == '\\' => {
                word.push(*next);
                chars.next();
            }
            _ => word.push(c),
        }
    }
    (word, "")
}

fn after_text(text: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(&text[at + 1..]),
            _ => {}
        }
    }
    None
}

#[allow(clippy::cast_precision_loss, reason = "every sample is a float")]
fn number(text: &str) -> Option<f64> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(0.0),
        _ => {}
    }
    if let Some(digits) = text.strip_suffix('i') {
        return digits.parse::<i64>().ok().map(|value| value as f64);
    }
    if let Some(digits) = text.strip_suffix('u') {
        return digits.parse::<u64>().ok().map(|value| value as f64);
    }
    text.parse().ok()
}
