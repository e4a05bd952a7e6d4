//! One agent, and a directory full of files that are no sound plugins: each costs itself alone, and says why.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, time::Duration};
use twarga_tests::{HOST_PLUGINS, Home, build, config, elf};

/// The bytes of a sound plugin's library.
fn sound(plugin: &str) -> Vec<u8> {
    fs::read(build().library(plugin)).unwrap()
}

/// A copy of `faulty` with another name, of the same length, and more changes to its metadata.
fn renamed(name: &str, edit: impl FnOnce(String) -> String) -> Vec<u8> {
    let mut bytes = sound("faulty");
    elf::edit_metadata(&mut bytes, |text| edit(text.replacen("name=faulty", &format!("name={name}"), 1)));
    bytes
}

/// Writes the bad files. The names of the tables with what their reasons must say.
fn bad_files(home: &Home) -> BTreeMap<&'static str, &'static str> {
    let half = sound("faulty").len() / 2;
    home.plugin_file("libtruncated.so", &sound("faulty")[..half]);
    home.plugin_file("libempty.so", b"");
    home.plugin_file("libtext.so", b"#!/bin/sh\nexit 0\n");
    home.plugin_file("libplain.so", &sound("not_a_plugin"));
    home.plugin_file("libtwonew.so", &renamed("twonew", |text| text.replacen("api=1.", "api=2.", 1)));
    home.plugin_file(
        "libaborts.so",
        &renamed("aborts", |text| text.replacen("panic=unwind", "panic=abort", 1)),
    );
    home.plugin_file("libwrong_layout.so", &sound("wrong_layout"));
    home.plugin_file("libclaims_host_load.so", &sound("claims_host_load"));
    home.plugin_file("libtwice.so", &renamed("double", |text| text));
    home.plugin_file("libthrice.so", &renamed("double", |text| text));
    let open = home.plugin_file("libanyone.so", &renamed("anyone", |text| text));
    fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    let mut foreign = sound("faulty");
    foreign[elf::E_MACHINE..][..2].copy_from_slice(&22_u16.to_le_bytes());
    home.plugin_file("libforeign.so", &foreign);
    let mut needs = renamed("needsf", |text| text);
    elf::undefine_a_symbol(&mut needs);
    home.plugin_file("libneedsf.so", &needs);
    fs::create_dir(home.plugins().join("libfolder.so")).unwrap();
    std::os::unix::fs::symlink("nowhere", home.plugins().join("libdangling.so")).unwrap();
    BTreeMap::from([
        ("truncated", "truncated"),
        ("empty", "not an ELF shared library"),
        ("text", "not an ELF shared library"),
        ("plain", "not a plugin of this agent"),
        ("twonew", "built with plugin API 2."),
        ("aborts", "panic=abort"),
        ("wrong-layout", "its plugin API differs from the agent's"),
        ("claims-host-load", "`host_load1` is already claimed by the plugin `host-cpu`"),
        ("double", "several files carry this plugin's name"),
        ("anyone", "writable for everyone"),
        ("foreign", "built for"),
        ("needsf", "undefined symbol"),
        ("folder", "not a regular file"),
        ("dangling", "No such file"),
        ("missing", "no plugin `missing` in "),
    ])
}

/// An agent's home with four sound plugins, the bad files, and a table for each.
fn home() -> (Home, BTreeMap<&'static str, &'static str>) {
    let home = Home::new("").host_plugins();
    let bad = bad_files(&home);
    // the sound ones in between: claims are first come, first served, by the names of the tables
    let names: Vec<&str> =
        bad.keys().copied().filter(|name| *name != "claims-host-load").chain(HOST_PLUGINS).collect();
    let late = "[plugins.z-claims]\nplugin = \"claims-host-load\"\nmode = \"in_process\"\n";
    home.write_config(&config("1s", &names, late));
    (home, bad)
}

#[track_caller]
fn assert_reason(plugin: &Value, expected: &str) {
    assert_eq!(plugin["state"], "refused", "{plugin}");
    let reason = plugin["reason"].as_str().unwrap_or_else(|| panic!("{plugin}"));
    assert!(reason.contains(expected), "`{expected}` is not in: {reason}");
    assert!(reason.lines().count() <= 2 && reason.len() <= 700, "{} bytes: {reason}", reason.len());
    assert!(reason.contains("; "), "no advice: {reason}");
    assert_eq!(plugin["series"], 0);
    assert_eq!(plugin["collections"], 0);
}

#[test]
fn each_bad_file_costs_itself_alone() {
    let (home, bad) = home();
    let mut agent = home.start();
    agent.until_ready();
    let list = agent.get("/api/plugins").json();
    let plugins: BTreeMap<&str, &Value> = list["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| (plugin["name"].as_str().unwrap(), plugin))
        .collect();
    assert_eq!(plugins.len(), bad.len() + HOST_PLUGINS.len(), "{:?}", plugins.keys());
    for (name, expected) in &bad {
        let name = if *name == "claims-host-load" { "z-claims" } else { name };
        assert_reason(plugins[name], expected);
        let log = home.log();
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains(&format!("plugin {name} is not loaded"))).collect();
        assert_eq!(lines.len(), 1, "{name}: {log}");
    }
    for name in HOST_PLUGINS {
        assert_eq!(plugins[name]["state"], "running", "{}", plugins[name]);
    }
    let host = agent.until(Duration::from_secs(10), "all of the host", |agent| {
        let host = agent.get("/api/metrics/host").json();
        host.get("unavailable").is_none().then_some(host)
    });
    assert!(host["memory_percent"].as_f64().unwrap() > 0.0, "{host}");
    let refused = agent.post(Some(&agent.admin_token()), "/api/plugins/truncated/collect", "");
    assert_eq!(refused.status, 409, "{}", refused.text());
    agent.stop();
}

#[test]
fn the_list_says_the_same_and_fails() {
    let (home, bad) = home();
    let ended = home.end(home.command("plugins").args(["list", "--json"]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let list: Value = serde_json::from_str(&ended.out).unwrap();
    let find = |name: &str| {
        let name = if name == "claims-host-load" { "z-claims" } else { name };
        list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap()
    };
    for (name, expected) in &bad {
        assert_reason(find(name), expected);
    }

    let ended = home.end(home.command("plugins").arg("list"));
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    let (table, reasons) = ended.out.split_once("\n\n").unwrap();
    assert_eq!(table.lines().count(), 1 + bad.len() + HOST_PLUGINS.len(), "{table}");
    assert_eq!(table.lines().filter(|line| line.contains(" loadable ")).count(), HOST_PLUGINS.len());
    for (name, expected) in &bad {
        let name = if *name == "claims-host-load" { "z-claims" } else { name };
        let line = reasons.lines().find(|line| line.starts_with(&format!("{name}: ")));
        assert!(line.is_some_and(|line| line.contains(expected)), "{name}: {reasons}");
    }
}

#[test]
fn bad_files_that_nobody_asked_for_harm_nobody() {
    let home = Home::new("").host_plugins();
    bad_files(&home);
    home.write_config(&config("1s", &HOST_PLUGINS, ""));
    let ended = home.end(home.command("plugins").arg("list"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut agent = home.start();
    agent.until_ready();
    let list = agent.get("/api/plugins").json();
    let running = list["plugins"].as_array().unwrap().iter().filter(|plugin| plugin["state"] == "running");
    assert_eq!(running.count(), 4, "{list}");
}

#[test]
fn inspecting_says_what_is_wrong_and_runs_nothing() {
    let home = Home::new("");
    bad_files(&home);
    for (file, expected) in [
        ("libtruncated.so", "truncated"),
        ("libtext.so", "not an ELF shared library"),
        ("libplain.so", "not a plugin of this agent"),
        ("libfolder.so", "not a file, but a directory"),
        ("libdangling.so", "No such file"),
        ("libforeign.so", "built for"),
    ] {
        let ended = home.end(home.command("plugins").arg("inspect").arg(home.plugins().join(file)));
        // a plugin of another machine is described all the same
        assert_eq!((ended.code, ended.out.is_empty()), (Some(1), file != "libforeign.so"), "{ended:?}");
        assert!(ended.err.contains(expected) && ended.err.contains(file), "{}", ended.err);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    }
}
