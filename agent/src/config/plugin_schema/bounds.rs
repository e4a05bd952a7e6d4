//! Bounds of numbers, texts and lists.

use super::{
    At, Fault, Violation,
    words::{self, found},
};
use crate::config::problem::quoted;
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value as Json};
use std::cmp::Ordering;

/// The most memory that a plugin's pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// Equal as JSON Schema means it: 1 is 1.0.
pub(super) fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => compare(one, other) == Some(Ordering::Equal),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let is_in =
                |(key, value): (&String, &Json)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(is_in)
        }
        _ => one == other,
    }
}

/// Exact where both are whole numbers of 64 bits.
fn compare(one: &Number, other: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

/// The bounds of a number: key word, on which side a number beyond it is, whether the bound itself is beyond.
const BOUNDS: [(&str, Ordering, bool); 4] = [
    ("minimum", Ordering::Less, false),
    ("exclusiveMinimum", Ordering::Less, true),
    ("maximum", Ordering::Greater, false),
    ("exclusiveMaximum", Ordering::Greater, true),
];

pub(super) fn number(keywords: &Map<String, Json>, at: &At, number: &Number) -> Option<Violation> {
    let beyond = |&&(word, side, exclusive): &&(&str, Ordering, bool)| {
        // the older drafts' exclusiveMinimum = true is no number: passed over
        let Some(Json::Number(bound)) = keywords.get(word) else { return false };
        compare(number, bound).is_some_and(|order| order == side || (exclusive && order == Ordering::Equal))
    };
    let (_, side, _) = BOUNDS.iter().find(beyond)?;
    let side = if *side == Ordering::Less { "small" } else { "large" };
    let message = format!("{} is too {side}", found(&Json::Number(number.clone())));
    let what = match words::types(keywords) {
        Some(types) if types.contains(&words::Type::Integer) => words::Type::Integer,
        _ => words::Type::Number,
    };
    let hint = format!("write {}{}", what.words(), range(keywords));
    Some(at.violation(Fault::Value, message, hint))
}

/// ` of 0 to 86400`, ` over 0`; empty without bounds.
pub(super) fn range(keywords: &Map<String, Json>) -> String {
    let bound = |word: &str| match keywords.get(word) {
        Some(Json::Number(number)) => Some(number),
        _ => None,
    };
    if let [Some(least), None, Some(most), None] = BOUNDS.map(|(word, ..)| bound(word)) {
        return format!(" of {least} to {most}");
    }
    let words = ["at least", "over", "at most", "under"];
    let parts =
        BOUNDS.iter().zip(words).filter_map(|((word, ..), words)| Some(format!("{words} {}", bound(word)?)));
    match parts.collect::<Vec<_>>() {
        parts if parts.is_empty() => String::new(),
        parts => format!(", {}", parts.join(" and ")),
    }
}

pub(super) fn text(keywords: &Map<String, Json>, at: &At, text: &str) -> Option<Violation> {
    let length = || text.chars().count() as u64;
    let bound = |word: &str| keywords.get(word).and_then(Json::as_u64);
    if let Some(least) = bound("minLength").filter(|least| length() < *least) {
        let message =
            if text.is_empty() { "an empty text".into() } else { format!("{} is too short", quoted(text)) };
        return Some(at.violation(
            Fault::Value,
            message,
            format!("write at least {least} {}", characters(least)),
        ));
    }
    if let Some(most) = bound("maxLength").filter(|most| length() > *most) {
        let message = format!("{} is too long", quoted(text));
        return Some(at.violation(
            Fault::Value,
            message,
            format!("write at most {most} {}", characters(most)),
        ));
    }
    pattern(keywords, at, text)
}

fn pattern(keywords: &Map<String, Json>, at: &At, text: &str) -> Option<Violation> {
    let pattern = keywords.get("pattern")?.as_str()?;
    if compiled(pattern)?.is_match(text) {
        return None;
    }
    let (message, hint) = match beginning(pattern).map(quoted) {
        Some(beginning) => {
            let message = format!("{} does not begin with {beginning}", quoted(text));
            (message, format!("write a text that begins with {beginning}"))
        }
        None => {
            let hint = match example(keywords) {
                Some(example) => format!("write it as in {}", quoted(example)),
                None => "write a text that matches it".into(),
            };
            (format!("{} does not match the pattern {}", quoted(text), quoted(pattern)), hint)
        }
    };
    Some(at.violation(Fault::Value, message, hint))
}

/// A pattern, searched for anywhere in a text. Those of JSON Schema are ECMAScript's: `\d` and `\w` are ASCII's. Nothing
/// where it is none, takes too much room, or has what takes no linear time.
pub(crate) fn compiled(pattern: &str) -> Option<Regex> {
    let build = |unicode| RegexBuilder::new(pattern).unicode(unicode).size_limit(PATTERN_BYTES).build().ok();
    build(true).or_else(|| build(false))
}

/// A text that the schema itself gives.
fn example(keywords: &Map<String, Json>) -> Option<&str> {
    let examples = keywords.get("examples").and_then(Json::as_array);
    examples.and_then(|examples| examples.first()).or_else(|| keywords.get("default"))?.as_str()
}

fn characters(number: u64) -> &'static str {
    if number == 1 { "character" } else { "characters" }
}

/// What is easily told: `^` and plain characters.
fn beginning(pattern: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | ':' | ' ');
    pattern.strip_prefix('^').filter(|rest| rest.chars().all(plain))
}

pub(super) fn length(keywords: &Map<String, Json>, at: &At, length: usize) -> Option<Violation> {
    let bound = |word: &str| keywords.get(word).and_then(Json::as_u64);
    let elements = |number: u64| if number == 1 { "element" } else { "elements" };
    let length = length as u64;
    if let Some(least) = bound("minItems").filter(|least| length < *least) {
        let message =
            if length == 0 { "an empty list".into() } else { format!("only {length} {}", elements(length)) };
        return Some(at.violation(
            Fault::Value,
            message,
            format!("write at least {least} {}", elements(least)),
        ));
    }
    let most = bound("maxItems").filter(|most| length > *most)?;
    let hint = format!("write at most {most}");
    Some(at.violation(Fault::Value, format!("{length} {} are too many", elements(length)), hint))
}
