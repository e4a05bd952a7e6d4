//! The README and the schema say what the plugin does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use twarga_plugin_api::{
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
fn the_readme_names_every_metric() {
    let words = README.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let told: BTreeSet<&str> = words.filter(|word| word.starts_with("host_")).collect();
    let plugin = host_cpu::plugin();
    let declared: BTreeSet<&str> = plugin.metrics().iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(told, declared);
}

#[test]
fn the_readme_has_kind_unit_and_labels_of_every_metric() {
    for metric in host_cpu::plugin().metrics().iter() {
        let metric_name = metric.name.as_str();
        let row = README.lines().find(|line| line.starts_with(&format!("| `{metric_name}` "))).unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let kind = twarga_plugin_api::Kind::from_raw(metric.kind).word();
        assert_eq!((cells[2], cells[3]), (kind, metric.unit.as_str()), "{metric_name}");
        assert_eq!(cells[4].replace(['`', ' '], ""), metric.label_keys.as_str(), "{metric_name}");
    }
}

#[test]
fn the_schema_has_the_fields_of_the_configuration() {
    let properties = properties();
    let defaults: serde_json::Map<String, Value> =
        properties.iter().map(|(name, property)| (name.clone(), property["default"].clone())).collect();
    Harness::new(host_cpu::plugin(), &Value::from(defaults).to_string()).unwrap();
    // the refusal of an unknown field lists those that are known
    let Err(error) = Harness::new(host_cpu::plugin(), r#"{"no_such_key": 1}"#) else { panic!("it started") };
    let (_, expected) = error.message().split_once("expected one of ").unwrap();
    let fields: BTreeSet<&str> = expected.split(", ").map(|field| field.trim_matches('`')).collect();
    assert_eq!(fields, properties.keys().map(String::as_str).collect());
}

#[test]
fn the_readme_has_every_default() {
    for (name, property) in properties() {
        let row = format!("| `{name}` | `{}` |", property["default"]);
        assert!(README.contains(&row), "{row}");
    }
}
