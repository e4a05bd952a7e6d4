//! The HTTP contract against the real agent: every route, every error, and what the old system did wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

mod changes;
mod connections;
mod histories;
mod listings;
mod refusals;

use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use twarga_agent::{
    model::{Kind, Labels, Metric, SeriesDef, Timestamp},
    store::{Commit, Options, Retention, Store, StoredBatch, StoredSample},
};
use twarga_tests::{
    Agent, HOST_PLUGINS, Home, config,
    http::{Request, Response},
};

/// The keys of the old system's host answer, in its order.
const HOST_KEYS: [&str; 23] = [
    "cpu_percent",
    "cpu_count",
    "cpu_freq_mhz",
    "memory_percent",
    "memory_used_gb",
    "memory_total_gb",
    "memory_available_gb",
    "swap_percent",
    "swap_used_gb",
    "swap_total_gb",
    "disk_percent",
    "disk_used_gb",
    "disk_total_gb",
    "disk_free_gb",
    "net_sent_mb",
    "net_recv_mb",
    "net_send_speed_mbps",
    "net_recv_speed_mbps",
    "disk_read_mb",
    "disk_write_mb",
    "uptime_seconds",
    "uptime_hours",
    "timestamp",
];

/// The names that the old system's history knows, with their units.
const HISTORY_NAMES: [(&str, &str); 7] = [
    ("host_cpu_percent", "%"),
    ("host_memory_percent", "%"),
    ("host_disk_percent", "%"),
    ("host_memory_used_gb", "GB"),
    ("host_disk_used_gb", "GB"),
    ("host_net_send_speed", "MB/s"),
    ("host_net_recv_speed", "MB/s"),
];

fn host_agent(more: &str) -> Agent {
    let mut agent = Home::new(&config("1s", &HOST_PLUGINS, more)).host_plugins().start();
    agent.until_ready();
    agent
}

/// An agent whose collectors do nothing by themselves.
fn quiet_agent() -> Agent {
    let mut agent = Home::new(&config("1h", &["synthetic"], "")).plugin("synthetic").start();
    agent.until_ready();
    agent
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_stamp(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no time"));
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
}

#[track_caller]
fn assert_detail(answer: &Response, status: u16, detail: &str) {
    assert_eq!((answer.status, answer.json()), (status, json!({ "detail": detail })));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

/// The keys of the outermost object in the order of the text; `serde_json` would sort them.
fn keys_in_order(text: &str) -> Vec<String> {
    let (mut keys, mut depth, mut rest) = (Vec::new(), 0, text);
    while let Some(at) = rest.find(['{', '}', '[', ']', '"']) {
        let (sign, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = behind;
        match sign {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {
                let end = behind.find('"').unwrap();
                rest = &behind[end + 1..];
                if depth == 1 && rest.starts_with(':') {
                    keys.push(behind[..end].to_string());
                }
            }
        }
    }
    keys
}

/// The types of a 422 with where they are.
#[track_caller]
fn invalid(answer: &Response) -> Vec<(String, String)> {
    assert_eq!(answer.status, 422, "{}", answer.text());
    let answer = answer.json();
    let list = answer["detail"].as_array().unwrap_or_else(|| panic!("no list: {answer}"));
    for one in list {
        assert!(one["msg"].is_string() && one.get("input").is_some(), "{one}");
    }
    let place = |loc: &Value| {
        loc.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join(".")
    };
    list.iter().map(|one| (one["type"].as_str().unwrap().to_string(), place(&one["loc"]))).collect()
}

/// Writes a history of `old_value` before the agent's first start: one sample at each of these times.
fn old_samples(home: &Home, times: &[Timestamp]) {
    let mut store = Store::open(Options {
        file: home.data().join("history.db"),
        retention: Retention { raw: Duration::from_secs(365 * 86_400), ..Retention::default() },
        max_loss: Duration::ZERO,
        max_size: 1 << 30,
    })
    .unwrap();
    let metric = Metric {
        name: "old_value".into(),
        kind: Kind::Gauge,
        unit: "".into(),
        help: "A value.".into(),
        label_keys: Vec::new(),
        plugin: "old".into(),
    };
    let def = SeriesDef { metric: Arc::new(metric), labels: Labels::default() };
    let series = store.series(&def, "old").unwrap();
    for &time in times {
        let samples = vec![StoredSample { series, reset: false, value: 1.0 }];
        store.commit(&Commit { batches: vec![StoredBatch { time, samples }], ..Commit::default() }).unwrap();
    }
    store.close().unwrap();
}
