//! Machines over HTTP, told by a plugin of the tests whose values are known: `/api/vms`, the flat answer, its history.
#![allow(clippy::unwrap_used, reason = "tests")]

mod alerts;
mod lifecycle;

use serde_json::{Value, json};
use std::time::Duration;
use twarga_tests::{Agent, Home, VM_KEYS};

const WEB: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
const DB: &str = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
/// An id of Vagrant's index.
const INDEX: &str = "0123456789abcdef0123456789abcdef";
const NONE: [&str; 0] = [];
const PATIENCE: Duration = Duration::from_secs(10);

fn home(interval: &str) -> Home {
    home_with(interval, "")
}

/// With more lines in the configuration.
fn home_with(interval: &str, more: &str) -> Home {
    let home = Home::new("").plugin("fake-vm");
    home.write("states", "");
    home.write_config(&format!(
        "[agent]\ninterval = \"{interval}\"\n[plugins.fake-vm]\nmode = \"in_process\"\n[plugins.fake-vm.config]\n\
         states = \"{}\"\nmachines = [\n  {{ vm = \"{WEB}\", name = \"web\", provider = \"libvirt\", project = \"/home/me/project\", owner = \"me\", \
         ip_address = \"192.0.2.10\" }},\n  {{ vm = \"{DB}\", name = \"db\" }},\n]\n{more}",
        home.path("states").display()
    ));
    home
}

fn start(home: &Home) -> Agent {
    let mut agent = home.start();
    agent.until_ready();
    agent
}

fn collect(agent: &Agent) {
    let answer = agent.post(Some(&agent.admin_token()), "/api/plugins/fake-vm/collect", "");
    assert_eq!(answer.json()["success"], true, "{}", answer.text());
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The events of machines, oldest first: number, type, from, to.
fn vm_events(agent: &Agent) -> Vec<String> {
    let events = agent.get("/api/events").json()["events"].as_array().unwrap().clone();
    let shown = |event: &Value| {
        let kind = event["type"].as_str().unwrap().strip_prefix("vm_")?;
        let details = &event["details"];
        assert_eq!(event["vm_id"], details["vm_id"], "{event}");
        let word = |key: &str| details[key].as_str().unwrap();
        Some(format!("{} vm_{kind} {} {}", event["vm_id"], word("from"), word("to")))
    };
    events.iter().rev().filter_map(shown).collect()
}

/// The machine of `/api/vms` of this number.
fn listed(agent: &Agent, vm_id: i64) -> Value {
    let vms = agent.get("/api/vms").json()["vms"].as_array().unwrap().clone();
    vms.into_iter().find(|vm| vm["vm_id"] == vm_id).unwrap()
}

#[test]
fn a_running_machine() {
    let agent = start(&home("1h"));
    let list = agent.get("/api/vms").json();
    assert_eq!(keys(&list), ["count", "timestamp", "vms"]);
    assert_eq!(list["count"], 2);
    let web = &list["vms"][0];
    for (key, value) in [
        ("vm_id", json!(1)),
        ("vm", json!(WEB)),
        ("vm_name", json!("web")),
        ("vm_status", json!("running")),
        ("state", json!("running")),
        ("provider", json!("libvirt")),
        ("project", json!("/home/me/project")),
        ("owner", json!("me")),
        ("ip_address", json!("192.0.2.10")),
        ("uptime_seconds", json!(3602)),
    ] {
        assert_eq!(web[key], value, "{key} of {web}");
    }
    assert!(web["last_seen"].as_str().unwrap().ends_with('Z'), "{web}");
    let db = &list["vms"][1];
    assert_eq!((&db["vm_id"], &db["vm"], &db["ip_address"]), (&json!(2), &json!(DB), &Value::Null));
    assert_eq!((&web["fresh"], &web["reason"]), (&json!(true), &Value::Null));
    assert_eq!(agent.get("/api/metrics/vm/2").json()["unavailable"], json!({"ip_address": "no_address"}));
    assert_eq!(vm_events(&agent), NONE, "they were there before the agent");

    let answer = agent.get("/api/metrics/vm/1");
    assert_eq!(answer.status, 200);
    let vm = answer.json();
    assert_eq!(keys(&vm), VM_KEYS, "nothing is unavailable");
    for (key, value) in [
        ("vm_id", json!(1)),
        ("vm_name", json!("web")),
        ("vm_status", json!("running")),
        ("state", json!("running")),
        ("ram_allocated_mb", json!(1024)),
        ("disk_allocated_gb", json!(10)),
        ("cpu_allocated_cores", json!(2)),
        ("cpu_percent", json!(25.0)),
        ("memory_percent", json!(50.0)),
        ("disk_percent", json!(20.0)),
        ("uptime_seconds", json!(3602)),
        ("uptime_hours", json!(1.0)),
        ("ip_address", json!("192.0.2.10")),
        ("memory_used_mb", json!(512.0)),
        ("memory_available_mb", json!(512.0)),
        ("disk_used_gb", json!(2.0)),
        ("disk_available_gb", json!(8.0)),
        ("network_rx_mb", json!(0.0)),
        ("network_tx_mb", json!(0.0)),
    ] {
        assert_eq!(vm[key], value, "{key} of {vm}");
    }
    // the old system's eleven come first, in its order
    let first = "{\"vm_id\":1,\"vm_name\":\"web\",\"vm_status\":\"running\",\"ram_allocated_mb\":1024,\"disk_allocated_gb\":10,\
        \"cpu_allocated_cores\":2,\"cpu_percent\":25.0,\"memory_percent\":50.0,\"disk_percent\":20.0,\"uptime_seconds\":3602,\"timestamp\":\"";
    assert!(answer.text().starts_with(first), "{}", answer.text());
}

#[test]
fn the_history_of_a_machine() {
    let agent = start(&home("1h"));
    for (name, unit, value) in [
        ("vm_cpu_percent", "%", 25.0),
        ("vm_memory_percent", "%", 50.0),
        ("vm_disk_percent", "%", 20.0),
        ("vm_memory_used_mb", "MB", 512.0),
        ("vm_disk_used_gb", "GB", 2.0),
        ("vm_network_rx_mb", "MB", 0.0),
        ("vm_network_tx_mb", "MB", 0.0),
        ("vm_uptime", "seconds", 3602.0),
    ] {
        let answer = agent.get(&format!("/api/metrics/vm/1/history?metric_name={name}"));
        assert!(
            answer.text().starts_with(&format!("{{\"vm_id\":1,\"metric_name\":\"{name}\",\"count\":2,")),
            "{}",
            answer.text()
        );
        let answer = answer.json();
        assert_eq!(
            (&answer["data"][0]["value"], &answer["data"][0]["unit"]),
            (&json!(value), &json!(unit)),
            "{name}"
        );
    }
    // a native metric by its own name: the path gives the label
    let native =
        agent.get("/api/metrics/vm/2/history?metric_name=vm_network_receive_bytes_total&limit=1").json();
    assert_eq!((&native["vm_id"], &native["data"][0]["value"]), (&json!(2), &json!(4000.0)));
    let by_host = agent.get("/api/metrics/host/history?metric_name=vm_network_receive_bytes_total");
    assert_eq!(by_host.json()["detail"][0]["ctx"]["labels"]["vm"], json!([WEB, DB]), "{}", by_host.text());
    let unknown = agent.get("/api/metrics/vm/1/history?metric_name=nothing").json();
    assert_eq!((&unknown["vm_id"], &unknown["count"]), (&json!(1), &json!(0)));

    for path in [
        "/api/metrics/vm/3",
        "/api/metrics/vm/0",
        "/api/metrics/vm/-1",
        "/api/metrics/vm/3/history?metric_name=vm_uptime",
    ] {
        let answer = agent.get(path);
        assert_eq!((answer.status, answer.json()), (404, json!({"detail": "VM not found"})), "{path}");
    }
    let wrong = agent.get("/api/metrics/vm/3/history?limit=0");
    assert_eq!(wrong.status, 422, "parameters before the machine");
}

#[test]
fn states_are_mapped_and_what_is_missing_has_a_reason() {
    let home = home("1h");
    let agent = start(&home);
    for (state, status) in [
        ("paused", "stopped"),
        ("saved", "stopped"),
        ("shutoff", "stopped"),
        ("crashed", "stopped"),
        ("not_created", "pending"),
        ("destroyed", "destroyed"),
        ("unknown", "unknown"),
        ("nonsense of a plugin", "unknown"),
        ("running", "running"),
    ] {
        home.write("states", &format!("web={state}\n"));
        collect(&agent);
        let vm = agent.get("/api/metrics/vm/1").json();
        let word = if status == "unknown" { "unknown" } else { state };
        assert_eq!((&vm["state"], &vm["vm_status"]), (&json!(word), &json!(status)), "{vm}");
        assert_eq!(agent.get("/api/vms").json()["vms"][0]["state"], word);
        let missing = ["cpu_percent", "memory_percent", "disk_percent", "uptime_seconds", "ram_allocated_mb"];
        if state == "running" {
            assert!(vm.get("unavailable").is_none(), "{vm}");
            continue;
        }
        let reason = if state == "destroyed" { "destroyed" } else { "not running" };
        for key in missing {
            assert_eq!((&vm[key], &vm["unavailable"][key]), (&Value::Null, &json!(reason)), "{key}");
        }
        if state == "destroyed" {
            assert_eq!(vm["disk_allocated_gb"], Value::Null, "nothing of before");
        } else {
            assert_eq!(vm["disk_allocated_gb"], 10, "what can be had is there");
            assert!(vm["unavailable"].get("disk_allocated_gb").is_none());
        }
        assert_eq!(agent.get("/api/metrics/vm/2").json()["vm_status"], "running", "the other one");
    }
    assert_eq!(
        vm_events(&agent),
        [
            "1 vm_paused running paused",
            "1 vm_stopped paused saved",
            "1 vm_crashed shutoff crashed",
            "1 vm_destroyed crashed not_created",
            "1 vm_created destroyed running",
            "1 vm_started destroyed running",
        ],
        "what is unknown is nothing"
    );
    let crash = &agent.get("/api/events?type=vm_crashed").json()["events"][0];
    assert_eq!(crash["severity"], "warning");
    assert_eq!(
        (&crash["message"], &crash["details"]["name"]),
        (&json!("web: crashed (was shutoff)"), &json!("web"))
    );
}

#[test]
fn a_gap_says_why_a_machine_has_no_values() {
    let home = home("1h");
    let agent = start(&home);
    home.write("states", "web=shutoff\n");
    collect(&agent);
    collect(&agent);
    home.write("states", "");
    collect(&agent);
    let history = agent.get("/api/metrics/vm/1/history?metric_name=vm_cpu_percent").json();
    assert_eq!(history["count"], 3, "{history}");
    let gaps = history["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["reason"] == "unavailable:not running"), "{history}");
}

#[test]
fn a_value_that_is_not_to_be_had_is_null_with_the_plugins_reason() {
    let home = home("1h");
    let agent = start(&home);
    home.write("states", "web:vm_memory_used_bytes=stale balloon\nweb:vm_cpu_usage_ratio=libvirt hangs\n");
    collect(&agent);
    let vm = agent.get("/api/metrics/vm/1").json();
    let expected = json!({
        "cpu_percent": "libvirt hangs",
        "memory_percent": "stale balloon",
        "memory_used_mb": "stale balloon",
        "memory_available_mb": "stale balloon",
    });
    assert_eq!(vm["unavailable"], expected);
    for key in expected.as_object().unwrap().keys() {
        assert_eq!(vm[key], Value::Null, "{key}");
    }
    assert_eq!(vm["ram_allocated_mb"], 1024);

    collect(&agent);
    home.write("states", "web:vm_state=libvirt is away\n");
    collect(&agent);
    let web = listed(&agent, 1);
    assert_eq!((&web["state"], &web["reason"]), (&json!("unknown"), &json!("libvirt is away")));
    assert_eq!(web["fresh"], true, "the machine is still told of");
    let gaps = |name: &str| {
        let history = agent.get(&format!("/api/metrics/vm/1/history?metric_name={name}")).json();
        history["gaps"].as_array().unwrap().iter().map(|gap| gap["reason"].to_string()).collect::<Vec<_>>()
    };
    assert!(gaps("vm_cpu_percent").contains(&"\"unavailable:libvirt hangs\"".into()));
    assert!(gaps("vm_memory_used_bytes").contains(&"\"unavailable:stale balloon\"".into()));
    home.write("states", "");
    collect(&agent);
    assert_eq!(listed(&agent, 1)["reason"], Value::Null);
    assert_eq!(vm_events(&agent), NONE);
}
