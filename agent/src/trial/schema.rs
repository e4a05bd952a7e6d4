//! A configuration's schema: whether it is one, what it says by default, and configurations that it doesn't allow.

use crate::config;
use serde_json::{Map, Value as Json};

/// A schema may refer to itself.
const MOST_DEPTH: usize = 16;
/// A key that no plugin has.
pub(super) const UNKNOWN: &str = "certify_unknown_key";

const TYPES: [&str; 7] = ["string", "boolean", "integer", "number", "array", "object", "null"];
const NUMBERS: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const COUNTS: [&str; 6] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];

/// What keeps a text from being a JSON Schema, as far as the keywords go that describe a table of settings.
pub(super) fn problem(text: &str) -> Option<String> {
    let schema: Json = match serde_json::from_str(text) {
        Ok(schema) => schema,
        Err(error) => return Some(format!("not JSON: {error}")),
    };
    if schema.get("type").is_some_and(|kind| kind != "object") {
        return Some("its type is not \"object\", and a configuration is a table".into());
    }
    if !schema.is_object() {
        return Some("not an object".into());
    }
    problem_at(&schema, &schema, "", MOST_DEPTH)
}

fn problem_at(root: &Json, schema: &Json, at: &str, depth: usize) -> Option<String> {
    let Some(keywords) = schema.as_object() else {
        return (!schema.is_boolean()).then(|| format!("{}: neither an object nor true or false", shown(at)));
    };
    let depth = depth.checked_sub(1)?;
    let wrong = |word: &str, wanted: &str| Some(format!("{}.{word}: {wanted}", shown(at)));
    for (word, value) in keywords {
        let found = match word.as_str() {
            "type" if !is_type(value) => wrong(word, "not a type of JSON Schema"),
            "required" if !is_list_of(value, Json::is_string) => wrong(word, "not a list of texts"),
            "enum" if !value.is_array() => wrong(word, "not a list"),
            "pattern" if !is_pattern(value) => wrong(word, "not a regular expression"),
            "$ref" if !resolves(root, value) => wrong(word, "leads nowhere"),
            word if NUMBERS.contains(&word) && !value.is_number() => wrong(word, "not a number"),
            word if COUNTS.contains(&word) && !value.is_u64() => wrong(word, "not a whole number from 0"),
            "properties" | "$defs" | "definitions" | "patternProperties" => match value.as_object() {
                None => wrong(word, "not an object"),
                Some(parts) => parts
                    .iter()
                    .find_map(|(key, part)| problem_at(root, part, &format!("{at}/{word}/{key}"), depth)),
            },
            "anyOf" | "oneOf" | "allOf" => match value.as_array() {
                None => wrong(word, "not a list"),
                Some(parts) => {
                    parts.iter().find_map(|part| problem_at(root, part, &format!("{at}/{word}"), depth))
                }
            },
            "additionalProperties" | "items" | "not" if !value.is_array() => {
                problem_at(root, value, &format!("{at}/{word}"), depth)
            }
            "default" => {
                config::validate(schema, value).first().and_then(|violation| wrong(word, &violation.message))
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn shown(at: &str) -> &str {
    if at.is_empty() { "the schema" } else { at }
}

fn is_type(value: &Json) -> bool {
    let known = |value: &Json| value.as_str().is_some_and(|word| TYPES.contains(&word));
    known(value) || is_list_of(value, known)
}

fn is_list_of(value: &Json, is: impl Fn(&Json) -> bool) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(is))
}

/// One that `check` can use.
fn is_pattern(value: &Json) -> bool {
    value.as_str().and_then(config::compiled_pattern).is_some()
}

fn resolves(root: &Json, value: &Json) -> bool {
    let Some(target) = value.as_str() else { return false };
    target.strip_prefix('#').is_none_or(|pointer| root.pointer(pointer).is_some())
}

/// The defaults that the schema names, as a table.
pub(super) fn defaults(schema: &Json) -> Map<String, Json> {
    let properties = schema.get("properties").and_then(Json::as_object);
    let named = properties.into_iter().flatten();
    named.filter_map(|(key, part)| Some((key.clone(), part.get("default")?.clone()))).collect()
}

/// The keys that must be there.
pub(super) fn required(schema: &Json) -> Vec<&str> {
    let keys = schema.get("required").and_then(Json::as_array);
    keys.into_iter().flatten().filter_map(Json::as_str).collect()
}

/// A configuration that is wrong at one key.
pub(super) struct Wrong {
    /// The key.
    pub(super) key: String,
    /// What is wrong there.
    pub(super) what: String,
    /// The whole table.
    pub(super) config: Map<String, Json>,
}

/// Wrong configurations: the sound one with an unknown key, and with each key of the schema in another type.
pub(super) fn wrong(schema: &Json, sound: &Map<String, Json>) -> Vec<Wrong> {
    let with = |key: &str, value: Json, what: String| {
        let mut config = sound.clone();
        config.insert(key.into(), value);
        Wrong { key: key.into(), what, config }
    };
    let mut all = vec![with(UNKNOWN, 1.into(), "an unknown key".into())];
    let properties = schema.get("properties").and_then(Json::as_object);
    for (key, part) in properties.into_iter().flatten() {
        let Some(kind) = part.get("type").and_then(Json::as_str) else { continue };
        let value: Json = if kind == "string" || kind == "array" { 17.into() } else { "certify".into() };
        // a schema that allows it all the same says more than its type
        if !config::validate(part, &value).is_empty() {
            all.push(with(key, value.clone(), format!("{value} where a value of type {kind} belongs")));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas() {
        let sound = json!({
            "type": "object", "additionalProperties": false, "$defs": { "x": { "enum": ["a"] } },
            "properties": {
                "a": { "type": ["string", "null"], "pattern": "^a*$", "default": "aa" },
                "b": { "type": "array", "items": { "$ref": "#/$defs/x" } },
                "c": { "anyOf": [{ "type": "integer", "minimum": 1 }, true] },
            },
        });
        assert_eq!(problem(&sound.to_string()), None);
        for (bad, part) in [
            ("{", "not JSON"),
            ("[]", "not an object"),
            (r#"{"type":"string"}"#, "a table"),
            (r#"{"type":"object","properties":{"a":{"type":"text"}}}"#, "/properties/a.type"),
            (r##"{"properties":{"a":{"$ref":"#/$defs/x"}}}"##, "leads nowhere"),
            (r#"{"properties":{"a":{"type":"integer","default":"x"}}}"#, "/properties/a.default"),
            (r#"{"properties":{"a":{"items":{"minimum":"1"}}}}"#, "minimum: not a number"),
            (r#"{"properties":{"a":{"pattern":"("}}}"#, "regular expression"),
            (r#"{"required":"a"}"#, "required"),
            (r#"{"properties":{"a":1}}"#, "/properties/a"),
        ] {
            assert!(problem(bad).is_some_and(|text| text.contains(part)), "{bad}: {:?}", problem(bad));
        }
        let circle = json!({ "properties": { "a": { "$ref": "#" } } });
        assert_eq!(problem(&circle.to_string()), None);
    }

    #[test]
    fn wrong_configurations_are_wrong_at_one_key() {
        let schema = json!({ "properties": {
            "a": { "type": "string" }, "b": { "type": "boolean", "default": true }, "c": { "type": ["array", "string"] },
        } });
        let sound = defaults(&schema);
        assert_eq!(Json::from(sound.clone()), json!({ "b": true }));
        let wrong = wrong(&schema, &sound);
        let keys: Vec<&str> = wrong.iter().map(|wrong| wrong.key.as_str()).collect();
        assert_eq!(keys, [UNKNOWN, "a", "b"]);
        assert_eq!(Json::from(wrong[1].config.clone()), json!({ "a": 17, "b": true }));
    }
}
