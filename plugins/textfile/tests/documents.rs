//! The README and the schema say what the plugin does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use twarga_plugin_api::{
    Kind,
    serde_json::{self, Value},
    testing::Harness,
};

const README: &str = include_str!("../README.md");
const SCHEMA: &str = include_str!("../config.schema.json");

fn properties() -> serde_json::Map<String, Value> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    schema["properties"].as_object().unwrap().clone()
}

#[test]
fn the_readme_has_every_metric_and_no_other() {
    let plugin = textfile::plugin();
    let rows: BTreeSet<&str> =
        README.lines().filter_map(|line| line.strip_prefix("| `textfile_")?.split('`').next()).collect();
    let declared: BTreeSet<&str> = plugin
        .metrics()
        .iter()
        .map(|metric| metric.name.as_str().strip_prefix("textfile_").unwrap())
        .collect();
    assert_eq!(rows, declared);
    for metric in plugin.metrics().iter() {
        let name = metric.name.as_str();
        let row = README.lines().find(|line| line.starts_with(&format!("| `{name}` "))).unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let kind = Kind::from_raw(metric.kind).word();
        assert_eq!((cells[2], cells[3]), (kind, metric.unit.as_str()), "{name}");
        assert_eq!(cells[4].replace(['`', ' '], ""), metric.label_keys.as_str(), "{name}");
    }
}

#[test]
fn the_schema_has_the_fields_of_the_configuration() {
    let Err(error) = Harness::new(textfile::plugin(), r#"{"no_such_key": 1}"#) else { panic!("it started") };
    // the refusal of an unknown field lists those that are known
    let (_, expected) = error.message().split_once("expected one of ").unwrap();
    let fields: BTreeSet<&str> = expected.split(", ").map(|field| field.trim_matches('`')).collect();
    assert_eq!(fields, properties().keys().map(String::as_str).collect());
}

#[test]
fn the_readme_has_every_key_and_its_default() {
    for (name, property) in properties() {
        let row = match property.get("default") {
            Some(default) if default != "" && default.as_array().is_none_or(|all| !all.is_empty()) => {
                format!("| `{name}` | `{default}` |")
            }
            _ => format!("| `{name}` | "),
        };
        assert!(README.contains(&row), "{row}");
    }
}
