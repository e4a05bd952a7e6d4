//! The README against the code.

use super::*;
use crate::selection::{PSEUDO, TMPFS_OF_THE_SYSTEM};
use std::collections::BTreeSet;
use twarga_plugin_api::{Kind, serde_json::Value};

const README: &str = include_str!("../../README.md");

/// Rows of tables whose first cell is a name in backticks, as their cells.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = README.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn every_metric_stands_in_the_readme_with_kind_unit_and_labels() {
    let described: BTreeSet<Vec<String>> = rows()
        .iter()
        .filter(|row| row[0].starts_with("`host_"))
        .map(|row| row[..4].iter().map(|cell| cell.replace('`', "")).collect())
        .collect();
    let declared: BTreeSet<Vec<String>> = metrics::METRICS
        .iter()
        .map(|metric| {
            let kind = match metric.kind() {
                Kind::Counter => "counter",
                Kind::Info => "info",
                _ => "gauge",
            };
            let unit = if metric.unit().is_empty() { "–" } else { metric.unit() };
            let labels = if metric.label_keys().is_empty() { "–" } else { metric.label_keys() };
            [metric.name(), kind, unit, labels].map(|cell| cell.replace(',', ", ")).to_vec()
        })
        .collect();
    let missing: Vec<_> = declared.difference(&described).collect();
    let surplus: Vec<_> = described.difference(&declared).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
}

#[test]
fn every_key_stands_in_the_readme() {
    let schema: Value =
        twarga_plugin_api::serde_json::from_str(<crate::HostDisk as Collector>::CONFIG_SCHEMA).unwrap();
    let lists = ["mounts", "sources", "fstypes", "devices"];
    let expected: BTreeSet<String> = schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .flat_map(|key| match lists.contains(&&**key) {
            true => vec![format!("`{key}.include`"), format!("`{key}.exclude`")],
            false => vec![format!("`{key}`")],
        })
        .collect();
    let keys: BTreeSet<String> =
        rows().iter().filter(|row| !row[0].starts_with("`host_")).map(|row| row[0].to_owned()).collect();
    assert_eq!(keys, expected);
}

#[test]
fn what_is_left_out_by_default_stands_in_the_readme() {
    let words: BTreeSet<&str> = README
        .split(|letter: char| letter.is_whitespace() || letter == ',')
        .map(|word| word.trim_end_matches([':', ';', '.']))
        .collect();
    let folders = TMPFS_OF_THE_SYSTEM.iter().map(|folder| folder.trim_end_matches('/'));
    let missing: Vec<&str> =
        PSEUDO.iter().copied().chain(folders).filter(|name| !words.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
