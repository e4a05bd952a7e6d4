//! The README, the schema and the shipped configuration say what the plugin does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use twarga_plugin_api::{
    Kind,
    serde_json::{self, Value},
    testing::Harness,
};

const README: &str = include_str!("../README.md");
const GUIDE: &str = include_str!("../../../docs/vagrant.md");
const SHIPPED: &str = include_str!("../../../agent.toml");
const SCHEMA: &str = include_str!("../config.schema.json");

/// Every key with its default, those of tables as `libvirt.enabled`.
fn keys() -> Vec<(String, Value)> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut keys = Vec::new();
    for (name, property) in schema["properties"].as_object().unwrap() {
        match property["properties"].as_object() {
            Some(table) => keys.extend(
                table.iter().map(|(key, property)| (format!("{name}.{key}"), property["default"].clone())),
            ),
            None => keys.push((name.clone(), property["default"].clone())),
        }
    }
    keys
}

/// The cells of the row whose first one is this in backticks.
fn row(text: &str, name: &str) -> Vec<String> {
    let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    let row = row.unwrap_or_else(|| panic!("no row of {name}"));
    row.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
}

#[test]
fn the_documents_name_every_metric_and_no_other() {
    let plugin = vagrant_vm::plugin();
    let declared: BTreeSet<&str> = plugin.metrics().iter().map(|metric| metric.name.as_str()).collect();
    let words = |text: &'static str| -> BTreeSet<&str> {
        let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        words.filter(|word| word.starts_with("vm_")).collect()
    };
    assert_eq!(words(README), declared);
    // events and keys of the API, whose names begin in the same way
    let others = [
        "vm_id",
        "vm_status",
        "vm_cpu_percent",
        "vm_created",
        "vm_started",
        "vm_stopped",
        "vm_paused",
        "vm_resumed",
        "vm_crashed",
        "vm_destroyed",
    ];
    let told = words(GUIDE);
    let unknown: Vec<_> =
        told.iter().filter(|word| !declared.contains(*word) && !others.contains(*word)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let missing: Vec<_> = declared.difference(&told).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_readme_has_kind_unit_and_labels_of_every_metric() {
    for metric in vagrant_vm::plugin().metrics().iter() {
        let row = row(README, metric.name.as_str());
        let or_none = |text: &str| if text.is_empty() { "–".to_owned() } else { text.replace(',', ", ") };
        let kind = Kind::from_raw(metric.kind).word();
        let expected = [kind.to_owned(), or_none(metric.unit.as_str()), or_none(metric.label_keys.as_str())];
        assert_eq!(row[1..4], expected, "{}", metric.name);
    }
}

#[test]
fn the_readme_has_every_key_and_default() {
    let rows: BTreeSet<String> = README
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .filter(|name| !name.starts_with("vm_"))
        .collect();
    assert_eq!(rows, keys().into_iter().map(|(name, _)| name).collect());
    for (name, default) in keys() {
        let told = &row(README, &name)[1];
        match default.is_null() {
            true => assert_eq!(name, "users", "only it depends on who asks"),
            false => assert_eq!(*told, default.to_string(), "{name}"),
        }
    }
}

/// Lines of the shipped file that begin with `#key` show the defaults, and the plugin takes them.
#[test]
fn the_shipped_file_shows_every_key_with_its_default() {
    let (_, section) = SHIPPED.split_once("[plugins.vagrant-vm.config]\n").unwrap();
    let (section, _) = section.split_once("\n[").unwrap();
    let is_key =
        |line: &&str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    let text: String = section.lines().filter(is_key).map(|line| format!("{}\n", &line[1..])).collect();
    let shown: toml::Table = text.parse().unwrap();
    let config = serde_json::to_value(&shown).unwrap();
    for (name, default) in keys() {
        let value = config.pointer(&format!("/{}", name.replace('.', "/")));
        let value = value.unwrap_or_else(|| panic!("{name} is not in agent.toml"));
        assert!(*value == default || name == "users", "{name}: {value}");
    }
    Harness::new(vagrant_vm::plugin(), &config.to_string()).unwrap();
}

/// Every reason that the sources of machines can give stands in the guide, with what to do.
#[test]
fn the_guide_explains_every_reason() {
    let sources = [
        include_str!("../src/virtualbox/mod.rs"),
        include_str!("../src/virtualbox/output.rs"),
        include_str!("../src/virtualbox/command.rs"),
        include_str!("../src/qemu/mod.rs"),
        include_str!("../src/qemu/arguments.rs"),
        include_str!("../src/libvirt/mod.rs"),
        include_str!("../src/libvirt/client.rs"),
        include_str!("../src/libvirt/stats.rs"),
        include_str!("../src/libvirt/subject.rs"),
        include_str!("../src/libvirt/disks.rs"),
    ];
    let mut reasons = BTreeSet::new();
    for source in sources {
        let code = source.split("#[cfg(test)]").next().unwrap();
        // a literal that is made a reason, up to its first gap
        for (begin, _) in [
            "Err(\"",
            "Err(format!(\"",
            "unknown(\"",
            "unknown(format!(\"",
            "none(\"",
            "Borrowed(\"",
            "ok_or(\"",
            "Some(\"its ",
            "told(format!(\"",
            "write_str(\"",
            "write!(f, \"",
            "SILENT: &str = \"",
            "NO_TIME: &str = \"",
            "ENDED: &str = \"",
            "UNREAD: &str = \"",
            "ok_or_else(|| \"",
            "Subject::flawed(\"",
        ]
        .iter()
        .flat_map(|mark| code.match_indices(mark))
        {
            let literal = code[begin..].split('"').nth(1).unwrap();
            reasons.insert(literal.split('{').next().unwrap().trim_end_matches([' ', '`', ':']).to_owned());
        }
    }
    assert!(reasons.len() > 20, "{reasons:?}");
    let missing: Vec<_> = reasons.iter().filter(|reason| !GUIDE.contains(reason.as_str())).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
