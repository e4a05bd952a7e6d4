//! What changes while the agent runs: its configuration, which plugins run, the files of plugins.
#![allow(clippy::unwrap_used, reason = "tests")]

mod commands;
mod files;
mod initialisers;
mod late;
mod reload;
mod swaps;
mod switch;
mod versions;

use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};
use twarga_tests::{Agent, Home, build, elf};

const LIMIT: Duration = Duration::from_secs(20);

/// Two plugins that collect five times a second, and no watching: a test that reloads wants to be the only one.
const CONFIG: &str = r#"
[agent]
interval = "200ms"
align_offset = "none"
watch = false
[plugins.synthetic]
config = { gauges = 1, counters = 1 }
[plugins.host-mem]
"#;

/// What `/api/plugins` tells of one.
fn plugin(agent: &Agent, name: &str) -> Value {
    let all = agent.get("/api/plugins").json();
    let found = all["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
    found.unwrap_or_else(|| panic!("no plugin {name} in {all}")).clone()
}

fn collections(agent: &Agent, name: &str) -> u64 {
    plugin(agent, name)["collections"].as_u64().unwrap()
}

/// Waits for so many collections more.
fn collects_on(agent: &mut Agent, name: &str, more: u64) {
    let before = collections(agent, name);
    agent.until(LIMIT, &format!("{more} collections of {name}"), |agent| {
        (collections(agent, name) >= before + more).then_some(())
    });
}

fn post(agent: &Agent, path: &str) -> (u16, Value) {
    let answer = agent.post(Some(&agent.admin_token()), path, "");
    (answer.status, answer.json())
}

fn reload(agent: &Agent) -> Value {
    let (status, answer) = post(agent, "/-/reload");
    assert_eq!(status, 200, "{answer}\n{}", agent.home().log());
    answer
}

/// The newest points of a metric, and the reasons of its gaps.
fn history(agent: &Agent, query: &str) -> (Vec<f64>, Vec<String>) {
    let answer = agent.get(&format!("/api/metrics/host/history?metric_name={query}")).json();
    let values = answer["data"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap());
    let gaps = answer["gaps"].as_array().unwrap().iter();
    (values.collect(), gaps.map(|gap| gap["reason"].as_str().unwrap().to_owned()).collect())
}

/// The first event of this kind, once there is one.
fn event(agent: &mut Agent, kind: &str) -> Value {
    agent.until(LIMIT, &format!("an event {kind}"), |agent| {
        let events = agent.get(&format!("/api/events?type={kind}")).json();
        events["events"].as_array().unwrap().last().cloned()
    })
}

/// `synthetic` with another mark and another version.
fn another_synthetic(mark: &[u8; 16], version: &str) -> Vec<u8> {
    let mut bytes = fs::read(build().library("synthetic")).unwrap();
    assert!(elf::replace(&mut bytes, b"synthetic-mark-1", mark) > 0);
    elf::edit_metadata(&mut bytes, |text| {
        text.replace("\nversion=0.1.0\n", &format!("\nversion={version}\n"))
    });
    bytes
}

/// Replaces `synthetic` by rename, as a package does.
fn replace_synthetic(home: &Home, mark: &[u8; 16], version: &str) {
    let new = home.write("synthetic.new", "");
    fs::write(&new, another_synthetic(mark, version)).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, home.plugins().join("libsynthetic.so")).unwrap();
}
