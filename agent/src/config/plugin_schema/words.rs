//! What stands there and what is wanted, in words.

use super::{
    bounds,
    walk::{list_of, resolve},
};
use crate::config::problem::{key_part, quoted};
use serde_json::{Map, Value as Json};

/// How far a hint follows a schema.
const MOST_DEPTH: usize = 4;
/// The most branches of `anyOf` that a hint lists.
const MOST_BRANCHES: usize = 6;
/// The most values that a hint lists.
const MOST_VALUES: usize = 20;
/// The `format` of a text that is a duration as the agent and the plugin API read it. (JSON Schema's own `duration` is ISO
/// 8601's.)
pub(crate) const DURATION: &str = "twarga-duration";
/// The most characters of a value in a hint.
const MOST_SHOWN: usize = 60;

/// A type of JSON Schema, without null, which TOML has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Flag,
    Integer,
    Number,
    List,
    Table,
}

impl Type {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::Text,
            "boolean" => Self::Flag,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "array" => Self::List,
            "object" => Self::Table,
            _ => return None,
        })
    }

    pub(super) fn holds(self, value: &Json) -> bool {
        match (self, value) {
            (Self::Text, Json::String(_))
            | (Self::Flag, Json::Bool(_))
            | (Self::Number, Json::Number(_))
            | (Self::List, Json::Array(_))
            | (Self::Table, Json::Object(_)) => true,
            (Self::Integer, Json::Number(number)) => {
                number.is_i64()
                    || number.is_u64()
                    || number.as_f64().is_some_and(|float| float.fract() == 0.0)
            }
            _ => false,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}

/// The types that a schema allows; nothing where it allows all, or names one that isn't known.
pub(super) fn types(keywords: &Map<String, Json>) -> Option<Vec<Type>> {
    let one = |word: &Json| Type::of(word.as_str()?);
    match keywords.get("type")? {
        Json::Array(words) if !words.is_empty() => words.iter().map(one).collect(),
        word => Some(vec![one(word)?]),
    }
}

/// The values of `enum` or `const`.
pub(super) fn named(keywords: &Map<String, Json>) -> Option<Vec<&Json>> {
    match (keywords.get("const"), keywords.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Json::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// `"a", "b" or 3`.
pub(super) fn one_of(values: &[&Json]) -> String {
    let mut shown: Vec<String> = values.iter().take(MOST_VALUES).map(|value| written(value)).collect();
    match shown.pop() {
        None => "nothing: no value is allowed".into(),
        Some(last) if shown.is_empty() => last,
        Some(last) => format!("{} or {last}", shown.join(", ")),
    }
}

/// What stands there.
pub(super) fn found(value: &Json) -> String {
    match value {
        Json::Null => "nothing".into(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => format!("the number {number}"),
        Json::String(text) => format!("the text {}", quoted(text)),
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "a table".into(),
    }
}

/// A value as TOML writes it, shortened.
fn written(value: &Json) -> String {
    let text = toml(value, MOST_DEPTH);
    if text.chars().count() <= MOST_SHOWN || value.is_string() {
        return text;
    }
    let short: String = text.chars().take(MOST_SHOWN).collect();
    format!("{short}…")
}

fn toml(value: &Json, depth: usize) -> String {
    let deeper = |value| toml(value, depth - 1);
    match value {
        Json::String(text) => quoted(text),
        Json::Array(_) | Json::Object(_) if depth == 0 => "…".into(),
        Json::Array(items) => format!("[{}]", items.iter().map(deeper).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) if entries.is_empty() => "{}".into(),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{} = {}", key_part(key), deeper(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
    }
}

/// A value of the wrong type as it was probably meant.
pub(super) fn rewritten(keywords: &Map<String, Json>, types: &[Type], value: &Json) -> Option<String> {
    let is_duration = is_duration(keywords); // in quotes, a number still has no unit
    let is_scalar = !value.is_object() && !value.is_array();
    let takes = |value: &Json| types.iter().any(|kind| kind.holds(value));
    match value {
        Json::String(text) => {
            if let Some(meant) = unquoted(text).filter(takes) {
                return Some(format!("{meant} without quotes"));
            }
        }
        Json::Number(number) if types == [Type::Text] && !is_duration => {
            return Some(format!("it in quotes: \"{number}\""));
        }
        _ => {}
    }
    (is_scalar && types == [Type::List]).then(|| format!("a list: [{}]", written(value)))
}

/// A number or a truth value that somebody put into quotes.
fn unquoted(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok().filter(|value: &Json| value.is_number() || value.is_boolean())
}

/// What a schema takes: `a whole number of 0 to 9`, `"a" or "b"`.
pub(super) fn wanted(root: &Json, schema: &Json) -> String {
    wanted_at(root, schema, MOST_DEPTH)
}

fn wanted_at(root: &Json, schema: &Json, depth: usize) -> String {
    let Some(keywords) = schema.as_object().filter(|_| depth > 0) else { return "another value".into() };
    if let Some(values) = named(keywords) {
        return one_of(&values);
    }
    if let Some(types) = types(keywords) {
        let each: Vec<String> = types.iter().map(|kind| of_type(*kind, keywords)).collect();
        let plain = each.join(" or ");
        return match example(keywords, &types) {
            Some(example) => format!("{plain} such as {example}"),
            None => plain,
        };
    }
    if let Some(target) = keywords.get("$ref").and_then(|target| resolve(root, target)) {
        return wanted_at(root, target, depth - 1);
    }
    let branches: Vec<&Json> = ["anyOf", "oneOf"].iter().flat_map(|word| list_of(keywords, word)).collect();
    alternatives_at(root, &branches, depth - 1)
}

/// What one of several schemas takes.
pub(super) fn alternatives(root: &Json, branches: &[Json]) -> String {
    alternatives_at(root, &branches.iter().collect::<Vec<_>>(), MOST_DEPTH)
}

fn alternatives_at(root: &Json, branches: &[&Json], depth: usize) -> String {
    let shown = branches.iter().take(MOST_BRANCHES);
    let mut each: Vec<String> = shown.map(|branch| wanted_at(root, branch, depth)).collect();
    each.dedup();
    if each.is_empty() { "another value".into() } else { each.join(", or ") }
}

/// Whether a text must be a duration.
pub(super) fn is_duration(keywords: &Map<String, Json>) -> bool {
    keywords.get("format").is_some_and(|format| format == DURATION)
}

/// A duration that the schema names, or any.
pub(super) fn duration(keywords: &Map<String, Json>) -> String {
    example(keywords, &[Type::Text]).unwrap_or_else(|| "\"1.5s\"".into())
}

fn of_type(kind: Type, keywords: &Map<String, Json>) -> String {
    if kind == Type::Text && is_duration(keywords) {
        return "a duration".into();
    }
    let range = match kind {
        Type::Integer | Type::Number => bounds::range(keywords),
        _ => String::new(),
    };
    format!("{}{range}", kind.words())
}

/// The default, or the first example, where it shows anything.
fn example(keywords: &Map<String, Json>, types: &[Type]) -> Option<String> {
    let shows = |value: &&Json| match value {
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(entries) => !entries.is_empty(),
        Json::Number(_) => true,
        Json::Null | Json::Bool(_) => false,
    };
    let of_type = |value: &&Json| types.iter().any(|kind| kind.holds(value));
    let given = keywords.get("default").into_iter().chain(list_of(keywords, "examples"));
    given.filter(shows).find(of_type).map(written)
}
