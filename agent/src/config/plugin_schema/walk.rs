//! The walk through value and schema.

use super::{
    At, Fault, Violation, bounds,
    pattern::Patterns,
    words::{self, found},
};
use crate::config::{
    problem::{key_part, quoted},
    suggest::nearest,
};
use serde_json::{Map, Value as Json};
use std::cell::Cell;

/// A schema may refer to itself: so deep and so many steps, then the rest counts as right.
const MOST_DEPTH: usize = 64;
const MOST_STEPS: usize = 200_000;

/// The most keys that a hint lists.
const MOST_KEYS: usize = 30;

pub(super) fn violations(schema: &Json, value: &Json) -> Vec<Violation> {
    let walk = Walk { root: schema, steps: Cell::new(MOST_STEPS), patterns: Patterns::default() };
    let mut out = Vec::new();
    walk.check(schema, &At::default(), value, MOST_DEPTH, &mut out);
    out
}

struct Walk<'a> {
    root: &'a Json,
    steps: Cell<usize>,
    patterns: Patterns<'a>,
}

impl<'a> Walk<'a> {
    fn step(&self) -> bool {
        let left = self.steps.get().checked_sub(1);
        self.steps.set(left.unwrap_or(0));
        left.is_some()
    }

    fn check(&self, schema: &'a Json, at: &At, value: &Json, depth: usize, out: &mut Vec<Violation>) {
        if depth == 0 || !self.step() {
            return;
        }
        let keywords = match schema {
            Json::Bool(false) => {
                return out.push(at.violation(Fault::Type, "nothing is allowed here", "remove it"));
            }
            // references below a second `$id` have another base
            Json::Object(keywords) if depth == MOST_DEPTH || !keywords.contains_key("$id") => keywords,
            _ => return,
        };
        if let Some(target) = keywords.get("$ref").and_then(|target| resolve(self.root, target)) {
            self.check(target, at, value, depth - 1, out);
        }
        if let Some(violation) =
            of_wrong_type(self.root, schema, keywords, at, value).or_else(|| of_no_word(keywords, at, value))
        {
            return out.push(violation); // no other keyword could say more
        }
        match value {
            Json::String(text) => out.extend(bounds::text(keywords, &self.patterns, at, text)),
            Json::Number(number) => out.extend(bounds::number(keywords, at, number)),
            Json::Array(items) => self.list(keywords, at, items, depth, out),
            Json::Object(entries) => self.table(keywords, at, entries, depth, out),
            Json::Null | Json::Bool(_) => {}
        }
        for all in list_of(keywords, "allOf") {
            self.check(all, at, value, depth - 1, out);
        }
        for word in ["anyOf", "oneOf"] {
            self.one_of(list_of(keywords, word), at, value, depth, out);
        }
    }

    fn list(
        &self,
        keywords: &'a Map<String, Json>,
        at: &At,
        items: &[Json],
        depth: usize,
        out: &mut Vec<Violation>,
    ) {
        out.extend(bounds::length(keywords, at, items.len()));
        // the older drafts write the first elements' schemas as a list under `items`
        let (first, rest) = match keywords.get("items") {
            Some(Json::Array(first)) => (first.as_slice(), None),
            rest => (list_of(keywords, "prefixItems"), rest),
        };
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                self.check(schema, &at.item(index), item, depth - 1, out);
            }
        }
    }

    fn table(
        &self,
        keywords: &'a Map<String, Json>,
        at: &At,
        entries: &Map<String, Json>,
        depth: usize,
        out: &mut Vec<Violation>,
    ) {
        let properties = keywords.get("properties").and_then(Json::as_object);
        let others = match keywords.get("additionalProperties") {
            // any of them may be one of the patterns'
            _ if keywords.contains_key("patternProperties") => None,
            others => others,
        };
        let known = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
        for (name, value) in entries {
            let at = at.below(name);
            match properties.and_then(|properties| properties.get(name)).or(others) {
                Some(schema) if known(name) || *schema != Json::Bool(false) => {
                    self.check(schema, &at, value, depth - 1, out);
                }
                Some(_) => out.push(unknown(properties, &at, name, value)),
                None => {}
            }
        }
        let missing = list_of(keywords, "required").iter().filter_map(Json::as_str);
        for name in missing.filter(|name| !entries.contains_key(*name)) {
            let schema = properties.and_then(|properties| properties.get(name));
            let want = schema.map_or_else(|| "a value".into(), |schema| words::wanted(self.root, schema));
            let hint = format!("write a line {} = … with {want}", key_part(name));
            // at the table: the key has no line
            let violation = at.below(name).violation(Fault::Missing, "missing", hint);
            out.push(Violation { path: at.path.clone(), ..violation });
        }
    }

    /// `anyOf`, and `oneOf`: whether a second branch fits too can't be told where keywords are passed over.
    fn one_of(&self, branches: &'a [Json], at: &At, value: &Json, depth: usize, out: &mut Vec<Violation>) {
        let mut meant = Vec::new();
        for branch in branches {
            let mut violations = Vec::new();
            self.check(branch, at, value, depth - 1, &mut violations);
            if violations.is_empty() {
                return;
            }
            let other_type = |one: &Violation| one.fault == Fault::Type && one.path == at.path;
            if !violations.iter().any(other_type) {
                meant.push(violations);
            }
        }
        match <[_; 1]>::try_from(meant) {
            // the only branch for a value of this type is the one that was meant
            Ok([violations]) => out.extend(violations),
            Err(meant) if !branches.is_empty() => {
                let fault = if meant.is_empty() { Fault::Type } else { Fault::Value };
                let message = format!("{} is none of what this key takes", found(value));
                out.push(at.violation(
                    fault,
                    message,
                    format!("write {}", words::alternatives(self.root, branches)),
                ));
            }
            Err(_) => {}
        }
    }
}

/// What a reference within the schema means; nothing where it leads elsewhere.
pub(super) fn resolve<'a>(root: &'a Json, target: &Json) -> Option<&'a Json> {
    let pointer = target.as_str()?.strip_prefix('#')?;
    root.pointer(pointer)
}

pub(super) fn list_of<'a>(keywords: &'a Map<String, Json>, word: &str) -> &'a [Json] {
    keywords.get(word).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn of_wrong_type(
    root: &Json,
    schema: &Json,
    keywords: &Map<String, Json>,
    at: &At,
    value: &Json,
) -> Option<Violation> {
    let types = words::types(keywords)?;
    if types.iter().any(|kind| kind.holds(value)) {
        return None;
    }
    let what: Vec<&str> = types.iter().map(|kind| kind.words()).collect();
    let message = format!("{} is not {}", found(value), what.join(" or "));
    let hint = words::rewritten(keywords, &types, value).unwrap_or_else(|| words::wanted(root, schema));
    Some(at.violation(Fault::Type, message, format!("write {hint}")))
}

/// A value that `enum` or `const` doesn't name.
fn of_no_word(keywords: &Map<String, Json>, at: &At, value: &Json) -> Option<Violation> {
    let allowed = words::named(keywords)?;
    if allowed.iter().any(|one| bounds::same(one, value)) {
        return None;
    }
    let texts = || allowed.iter().filter_map(|one| one.as_str());
    let hint = format!("write {}", words::one_of(&allowed));
    Some(match value {
        Json::String(text) if texts().next().is_some() => {
            let near = nearest(text, texts()).map(|word| format!("did you mean {}?", quoted(word)));
            at.violation(Fault::Value, format!("unknown word {}", quoted(text)), near.unwrap_or(hint))
        }
        _ => {
            let known = |one: &&Json| std::mem::discriminant(*one) == std::mem::discriminant(value);
            let fault = if allowed.iter().any(known) { Fault::Value } else { Fault::Type };
            at.violation(fault, format!("{} is not one of the values of this key", found(value)), hint)
        }
    })
}

fn unknown(properties: Option<&Map<String, Json>>, at: &At, name: &str, value: &Json) -> Violation {
    let message = if value.is_object() { "unknown table" } else { "unknown key" };
    let names: Vec<&String> = properties.into_iter().flat_map(Map::keys).collect();
    let bare = names.iter().map(|name| name.as_str()).filter(|name| key_part(name) == *name);
    let hint = crate::config::suggest::did_you_mean(name, bare).unwrap_or_else(|| {
        let shown: Vec<String> = names.iter().take(MOST_KEYS).map(|name| key_part(name)).collect();
        match (shown.is_empty(), names.len() > MOST_KEYS) {
            (true, _) => "remove it: there are no keys here".into(),
            (false, more) => {
                format!("the keys here are {}{}", shown.join(", "), if more { ", …" } else { "" })
            }
        }
    });
    at.violation(Fault::Value, message, hint)
}
