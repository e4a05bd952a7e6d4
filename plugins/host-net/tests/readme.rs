//! The README has every metric and no other, with its kind; and every option with its default.
#![allow(clippy::unwrap_used, reason = "the functions that tests share")]

use std::collections::BTreeMap;
use twarga_plugin_api::{
    Collector, Kind,
    serde_json::{self, Value},
};

const README: &str = include_str!("../README.md");

/// The metrics of the README's tables, each with the rest of its line.
fn described() -> BTreeMap<&'static str, &'static str> {
    README.lines().filter_map(|line| line.strip_prefix("| `host_")?.split_once('`')).collect()
}

#[test]
fn every_metric_stands_in_the_readme_and_the_reverse() {
    let described = described();
    let declared: BTreeMap<_, _> = host_net::HostNet::METRICS
        .iter()
        .map(|metric| (metric.name().strip_prefix("host_").unwrap(), metric))
        .collect();
    assert_eq!(declared.len(), host_net::HostNet::METRICS.len());
    let names = |keys: Vec<&&'static str>| keys.into_iter().copied().collect::<Vec<_>>();
    assert_eq!(names(described.keys().collect()), names(declared.keys().collect()));
    for (name, metric) in declared {
        let cells: Vec<_> = described[name].split('|').map(str::trim).collect();
        assert_eq!(cells[1], metric.kind().word(), "{name}");
        if metric.kind() == Kind::Gauge || metric.unit() == "By" {
            assert_eq!(
                described[name].contains("| bytes"),
                metric.unit() == "By" || name.ends_with("_memory"),
                "{name}"
            );
        }
    }
}

/// Also those that the text mentions outside of the tables.
#[test]
fn no_metric_is_mentioned_that_is_not_there() {
    let known = |name: &str| host_net::HostNet::METRICS.iter().any(|metric| metric.name() == name);
    for name in README.split('`').filter(|text| text.starts_with("host_") && *text != "host_") {
        assert!(known(name), "{name}");
    }
}

#[test]
fn every_option_stands_in_the_readme_with_its_default() {
    let schema: Value = serde_json::from_str(host_net::HostNet::CONFIG_SCHEMA).unwrap();
    for (key, property) in schema["properties"].as_object().unwrap() {
        let row = README.lines().find(|line| line.starts_with(&format!("| `{key}` |"))).unwrap_or_default();
        let default = property["default"].to_string().replace("\",\"", "\", \"");
        assert!(row.contains(&format!("`{default}`")), "{key}: {default} not in {row:?}");
    }
}
