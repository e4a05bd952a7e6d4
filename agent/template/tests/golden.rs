//! The plugin against fixtures, through the entry points that the agent uses.

use std::path::Path;
use twarga_plugin_api::{ErrorKind, serde_json, testing::Harness};

use {{prefix}}::plugin;

/// A configuration whose root is the folder of fixtures, with more keys.
fn config(more: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    format!(r#"{{"root": {root:?}{more}}}"#)
}

#[test]
fn samples_are_those_of_the_golden_file() {
    let mut harness = Harness::new(plugin(), &config("")).unwrap();
    let collected = harness.collect().unwrap().to_text();
    assert_eq!(collected, include_str!("fixtures/golden.txt"));
}

#[test]
fn tasks_can_be_left_out() {
    let mut harness = Harness::new(plugin(), &config(r#", "tasks": false"#)).unwrap();
    assert_eq!(harness.collect().unwrap().readings.len(), 2);
}

#[test]
fn this_machine_is_read() {
    let mut harness = Harness::new(plugin(), "{}").unwrap();
    let collected = harness.collect().unwrap();
    assert!(collected.value("{{prefix}}_forks_total") > Some(0.0));
}

#[test]
fn the_schema_says_what_the_plugin_takes() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../config.schema.json")).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults: serde_json::Map<_, _> = properties
        .iter()
        .map(|(key, property)| (key.clone(), property["default"].clone()))
        .collect();
    let text = serde_json::Value::from(defaults).to_string();
    assert!(Harness::new(plugin(), &text).is_ok(), "{text}");

    let refused = Harness::new(plugin(), r#"{"taks": true}"#).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.message().contains("taks"), "{refused}");
}
