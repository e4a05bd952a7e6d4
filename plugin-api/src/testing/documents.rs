//! Whether the README and the schema of a plugin say what its code does.

use super::Harness;
use crate::{
    abi::{PluginMod_Ref, RawMetric},
    error::ErrorKind,
    metric::Kind,
};
use abi_stable::std_types::RStr;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What the README and the configuration's schema of a plugin say otherwise than its code: a line each, none where all
/// is well.
///
/// Of the README the tables count whose first column is `Metric` or `Key`, with names in backticks:
///
/// - Each declared metric has one row, and no other has one. Where a table has the columns `Kind`, `Unit` and `Labels`,
///   they are compared; `–` is nothing, like an empty cell. In the text no word looks like a metric of the plugin and is none.
/// - Each key of the schema has one row, and no other has one; a key within a table of keys is written `table.key`. A
///   default of the schema begins the cell of the column `Default`, as JSON in backticks; for one that is empty, the
///   cell may have any text.
///
/// The schema refuses further keys and names those that the plugin takes; the plugin takes its defaults, unless the
/// schema requires a key. That is asked of the plugin itself, by the refusal of a key that it can't know: its
/// configuration needs `#[serde(deny_unknown_fields)]`.
///
/// ```no_run
/// # fn plugin() -> twarga_plugin_api::abi::PluginMod_Ref { unimplemented!() }
/// # const README: &str = "";
/// // const README: &str = include_str!("../README.md");
/// #[test]
/// fn the_documents_say_what_the_code_does() {
///     let wrong = twarga_plugin_api::testing::wrong_in_documents(plugin(), README);
///     assert!(wrong.is_empty(), "{wrong:#?}");
/// }
/// ```
pub fn wrong_in_documents(plugin: PluginMod_Ref, readme: &str) -> Vec<String> {
    let rows = rows(readme);
    let mut wrong = Vec::new();
    let keys = schema(plugin, &mut wrong);
    of_metrics(plugin, readme, &rows, &keys, &mut wrong);
    of_keys(&rows, &keys, &mut wrong);
    wrong
}

/// A row of a table, its cells by the heads of their columns.
struct Row<'r> {
    of: &'r str,
    name: &'r str,
    cells: BTreeMap<&'r str, &'r str>,
}

/// The rows of all tables of metrics and keys.
fn rows(readme: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut heads: Vec<&str> = Vec::new();
    for line in readme.lines() {
        let Some(cells) = cells(line) else {
            heads.clear();
            continue;
        };
        if heads.is_empty() {
            heads = cells;
            continue;
        }
        let (of, name) = (heads[0], cells[0].trim_matches('`'));
        if ["Metric", "Key"].contains(&of) && name.len() < cells[0].len() {
            rows.push(Row { of, name, cells: heads.iter().copied().zip(cells).collect() });
        }
    }
    rows
}

/// The cells of a line of a table. `\|` is no end of a cell.
fn cells(line: &str) -> Option<Vec<&str>> {
    let mut cells = Vec::new();
    let mut rest = line.trim().strip_prefix('|')?;
    let mut from = 0;
    while let Some(at) = rest[from..].find('|') {
        from += at;
        if rest[..from].ends_with('\\') {
            from += 1;
            continue;
        }
        cells.push(rest[..from].trim());
        (rest, from) = (&rest[from + 1..], 0);
    }
    (!cells.is_empty()).then_some(cells)
}

/// A cell without backticks and blanks; nothing for a dash.
fn bare(cell: &str) -> String {
    let bare = cell.replace(['`', ' '], "");
    if ["-", "–", "—"].contains(&bare.as_str()) { String::new() } else { bare }
}

/// Reports names that are missing, have several rows, or stand in a row by mistake.
fn compare_names<'a>(
    what: &str,
    rows: impl Iterator<Item = &'a str>,
    expected: &BTreeSet<&str>,
    wrong: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    for name in rows {
        if !expected.contains(name) {
            wrong.push(format!("README: `{name}` has a row, and is no {what}"));
        } else if !seen.insert(name) {
            wrong.push(format!("README: the {what} `{name}` has two rows"));
        }
    }
    wrong.extend(expected.difference(&seen).map(|name| format!("README: the {what} `{name}` has no row")));
}

fn of_metrics(
    plugin: PluginMod_Ref,
    readme: &str,
    rows: &[Row<'_>],
    keys: &BTreeMap<String, Value>,
    wrong: &mut Vec<String>,
) {
    let metrics = plugin.metrics();
    let declared: BTreeMap<&str, &RawMetric<'_>> =
        metrics.iter().map(|metric| (metric.name.as_str(), metric)).collect();
    let names: BTreeSet<&str> = declared.keys().copied().collect();
    let rows = || rows.iter().filter(|row| row.of == "Metric");
    compare_names("metric", rows().map(|row| row.name), &names, wrong);
    for row in rows() {
        let Some(metric) = declared.get(row.name) else { continue };
        for (column, expected) in [
            ("Kind", Kind::from_raw(metric.kind).word()),
            ("Unit", metric.unit.as_str()),
            ("Labels", metric.label_keys.as_str()),
        ] {
            if let Some(cell) = row.cells.get(column)
                && bare(cell) != expected
            {
                let name = row.name;
                wrong.push(format!("README: the {column} of `{name}` is `{expected}`, not `{}`", bare(cell)));
            }
        }
    }
    let namespaces = plugin.namespaces();
    let of_plugin = |word: &str| {
        // `host_cpu_…` and the like stand for several
        let whole = !word.ends_with('_') && !names.contains(word) && !keys.contains_key(word);
        let mut namespaces = namespaces.iter().map(RStr::as_str).filter(|name| name.ends_with('_'));
        whole && namespaces.any(|namespace| word.starts_with(namespace))
    };
    let in_rows: BTreeSet<&str> = rows().map(|row| row.name).collect();
    let words = readme.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let strange: BTreeSet<&str> = words.filter(|word| of_plugin(word) && !in_rows.contains(word)).collect();
    wrong.extend(strange.iter().map(|word| format!("README: there is no metric `{word}`")));
}

fn of_keys(rows: &[Row<'_>], keys: &BTreeMap<String, Value>, wrong: &mut Vec<String>) {
    let names: BTreeSet<&str> = keys.keys().map(String::as_str).collect();
    let rows = || rows.iter().filter(|row| row.of == "Key");
    compare_names("key", rows().map(|row| row.name), &names, wrong);
    for row in rows() {
        let Some(default) = keys.get(row.name).and_then(|property| property.get("default")) else { continue };
        let cell = row.cells.get("Default").copied().unwrap_or_default();
        let told = cell.split('`').nth(1).and_then(|span| serde_json::from_str::<Value>(span).ok());
        if !is_empty(default) && told.as_ref() != Some(default) {
            wrong.push(format!("README: the default of `{}` is `{default}`, not {cell}", row.name));
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The keys of the schema, those of tables by their paths. Compares it with the plugin.
fn schema(plugin: PluginMod_Ref, wrong: &mut Vec<String>) -> BTreeMap<String, Value> {
    let text = plugin.config_schema();
    if text.is_empty() {
        return BTreeMap::new(); // it has none
    }
    let schema: Value = match serde_json::from_str(text.as_str()) {
        Ok(schema) => schema,
        Err(error) => {
            wrong.push(format!("schema: no JSON: {error}"));
            return BTreeMap::new();
        }
    };
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        wrong.push("schema: allows unknown keys; add \"additionalProperties\": false".into());
    }
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let expected: BTreeSet<String> = properties.keys().cloned().collect();
    match taken(plugin) {
        Ok(taken) if taken != expected => wrong.extend(
            (taken.difference(&expected).map(|key| format!("schema: lacks the key `{key}`"))).chain(
                expected.difference(&taken).map(|key| format!("schema: the plugin takes no key `{key}`")),
            ),
        ),
        Ok(_) => {}
        Err(answer) => wrong.push(format!(
            "schema: not compared, as the plugin answers an unknown key with {answer}; its configuration needs \
             #[serde(deny_unknown_fields)]"
        )),
    }
    defaults(plugin, &schema, properties, wrong);
    let mut keys = BTreeMap::new();
    add_keys("", properties, &schema, &mut keys);
    keys
}

/// The keys that the plugin takes: the refusal of an unknown one lists them.
fn taken(plugin: PluginMod_Ref) -> Result<BTreeSet<String>, String> {
    let Err(error) = Harness::new(plugin, r#"{"a key of no plugin": 1}"#) else {
        return Err("a collector".into());
    };
    // of serde: "…, expected `a` or `b`", "…, expected one of `a`, `b`", or "…, there are no fields"
    match error.message().rsplit_once(", expected ") {
        Some((_, list)) => Ok(list.split('`').skip(1).step_by(2).map(Into::into).collect()),
        None if error.message().ends_with("there are no fields") => Ok(BTreeSet::new()),
        None => Err(format!("`{}`", error.message())),
    }
}

/// What the schema gives for keys that are left out must be what may be written too.
fn defaults(plugin: PluginMod_Ref, schema: &Value, properties: &Map<String, Value>, wrong: &mut Vec<String>) {
    let required = schema.get("required").and_then(Value::as_array);
    if required.is_some_and(|keys| !keys.is_empty()) {
        return; // only the author knows what would do
    }
    let defaults: Map<String, Value> = (properties.iter())
        .filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone())))
        .collect();
    match Harness::new(plugin, &Value::from(defaults).to_string()) {
        // on another machine it may start
        Err(error) if error.kind() == ErrorKind::Config => {
            wrong.push(format!("schema: the plugin refuses its defaults: {}", error.message()));
        }
        _ => {}
    }
}

fn add_keys(path: &str, properties: &Map<String, Value>, schema: &Value, keys: &mut BTreeMap<String, Value>) {
    for (key, property) in properties {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let referred = property.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        let shape = referred.and_then(|pointer| schema.pointer(pointer)).unwrap_or(property);
        match shape.get("properties").and_then(Value::as_object) {
            Some(inner) => add_keys(&path, inner, schema, keys),
            None => drop(keys.insert(path, property.clone())),
        }
    }
}
