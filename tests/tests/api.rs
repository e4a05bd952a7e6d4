//! The HTTP contract against the real agent: every route, every error, and what the old system did wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_agent::{
    model::{Kind, Labels, Metric, SeriesDef, Timestamp},
    store::{Commit, Options, Retention, Store, StoredBatch, StoredSample},
};
use twarga_tests::{
    Agent, HOST_PLUGINS, Home, USER_TOKEN, config,
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

/// Every route: method, a path, and whether it is for admins; nothing where it is for all.
const ROUTES: [(&str, &str, Option<bool>); 14] = [
    ("GET", "/api/metrics", Some(false)),
    ("GET", "/api/metrics/host", Some(false)),
    ("GET", "/api/metrics/host/history?metric_name=host_load1", Some(false)),
    ("GET", "/api/metrics/vm/1", Some(false)),
    ("GET", "/api/metrics/vm/1/history?metric_name=vm_cpu_percent", Some(false)),
    ("GET", "/api/metrics/alerts", Some(false)),
    ("POST", "/api/metrics/collect", Some(true)),
    ("DELETE", "/api/metrics/cleanup", Some(true)),
    ("GET", "/api/vms", Some(false)),
    ("GET", "/api/events", Some(false)),
    ("GET", "/api/plugins", Some(false)),
    ("POST", "/api/plugins/host-cpu/collect", Some(true)),
    ("GET", "/-/healthy", None),
    ("GET", "/-/ready", None),
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

fn two_decimals(value: &Value) -> bool {
    let text = value.to_string();
    text.split_once('.').is_some_and(|(_, decimals)| decimals.len() <= 2)
}

#[test]
fn the_host_has_the_keys_of_the_old_system_in_its_order() {
    let mut agent = host_agent("");
    // until a rate of the network and the processor's usage are there
    let answer = agent.until(Duration::from_secs(10), "all 23 values", |agent| {
        let answer = agent.get("/api/metrics/host");
        answer.json().get("unavailable").is_none().then_some(answer)
    });
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(keys_in_order(answer.text()), HOST_KEYS);
    let host = answer.json();
    assert_stamp(&host["timestamp"]);
    for (key, value) in host.as_object().unwrap() {
        match key.as_str() {
            "cpu_count" | "uptime_seconds" => assert!(value.is_u64(), "{key}: {value}"),
            "timestamp" => {}
            _ => assert!(value.is_f64() && two_decimals(value), "{key}: {value}"),
        }
    }
    for key in ["cpu_percent", "memory_percent", "swap_percent", "disk_percent"] {
        assert!((0.0..=100.0).contains(&host[key].as_f64().unwrap()), "{key} of {host}");
    }
}

#[test]
fn history_is_newest_first_and_bounded() {
    let mut agent = host_agent("");
    for (name, unit) in HISTORY_NAMES {
        let path = format!("/api/metrics/host/history?metric_name={name}");
        let answer = agent.until(Duration::from_secs(10), name, |agent| {
            let answer = agent.get(&path);
            (answer.json()["count"].as_u64() >= Some(3)).then_some(answer)
        });
        assert_eq!(keys_in_order(answer.text())[..3], ["metric_name", "count", "data"]);
        let answer = answer.json();
        assert_eq!(answer["metric_name"], *name);
        let data = answer["data"].as_array().unwrap();
        assert_eq!(answer["count"], data.len());
        for point in data {
            assert_eq!(keys(point), ["timestamp", "unit", "value"]);
            assert_stamp(&point["timestamp"]);
            assert_eq!(point["unit"], *unit);
            assert!(two_decimals(&point["value"]), "{point}");
        }
        let times: Vec<&str> = data.iter().map(|point| point["timestamp"].as_str().unwrap()).collect();
        assert!(times.windows(2).all(|two| two[0] > two[1]), "{times:?}");
        // a limit keeps the newest
        let two = agent.get(&format!("{path}&limit=2&to={}", times[0])).json();
        assert_eq!(two["data"].as_array().unwrap().as_slice(), &data[..2]);
        let oldest = times[times.len() - 1];
        let one = agent.get(&format!("{path}&from={oldest}&to={oldest}")).json();
        assert_eq!(one["data"], json!([data[times.len() - 1]]));
    }
    let unknown = agent.get("/api/metrics/host/history?metric_name=no_such_metric");
    assert_eq!(unknown.status, 200);
    assert_eq!(unknown.json(), json!({"metric_name": "no_such_metric", "count": 0, "data": [], "gaps": []}));
}

#[test]
fn history_has_a_hundred_points_by_default() {
    let home = Home::new(&config("1h", &[], ""));
    let began = Timestamp::now().minus(Duration::from_secs(3600));
    let times: Vec<Timestamp> = (0..150).map(|n| began.plus(Duration::from_secs(n))).collect();
    old_samples(&home, &times);
    let agent = home.start();
    let path = "/api/metrics/host/history?metric_name=old_value";
    for (query, count) in [("", 100), ("&limit=1", 1), ("&limit=149", 149), ("&limit=200000", 150)] {
        let answer = agent.get(&format!("{path}{query}")).json();
        assert_eq!(answer["count"], count, "{query}");
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), count);
        let newest = times.iter().rev().take(count).map(ToString::to_string);
        assert!(data.iter().zip(newest).all(|(point, time)| point["timestamp"] == time), "{answer}");
    }
}

#[test]
fn nothing_collected_yet_is_503() {
    // collectors that never come back, one after the other: 25 ms each until somebody else takes the lead
    let tables: String = (0..60)
        .map(|n| format!("[plugins.hangs-{n}]\nplugin = \"faulty\"\nmode = \"in_process\"\nconfig = {{ mode = \"hang\" }}\n"))
        .collect();
    let mut agent = Home::new(&config("1h", &[], &tables)).plugin("faulty").start();
    for path in ["/api/metrics/host", "/api/metrics/alerts", "/api/metrics/vm/1"] {
        let answer = agent.get(path);
        assert_detail(&answer, 503, "No metrics collected yet");
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    let ready = agent.get_as(None, "/-/ready");
    assert_eq!((ready.status, ready.header("retry-after").is_some()), (503, true));
    assert_eq!(ready.json()["detail"], "Not ready yet");
    assert!(!ready.json()["waiting_for"].as_array().unwrap().is_empty());
    assert_eq!(agent.get_as(None, "/-/healthy").json(), json!({"status": "ok"}));
    agent.signal(Signal::TERM);
    assert!(agent.wait(Duration::from_secs(5)).success(), "{}", agent.home().log());
}

#[test]
fn authentication_comes_before_everything_else() {
    let agent = quiet_agent();
    for (method, path, need) in ROUTES {
        let send = |token| agent.send(&Request::new(method, path).token(token));
        let Some(admin) = need else {
            assert_eq!(send(None).status, 200, "{method} {path}");
            assert_eq!(send(Some("nonsense")).status, 200, "{method} {path}");
            continue;
        };
        for (token, detail) in
            [(None, "Not authenticated"), (Some("a-wrong-token-of-length"), "Could not validate credentials")]
        {
            let answer = send(token);
            assert_detail(&answer, 401, detail);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
        }
        if admin {
            assert_detail(&send(Some(USER_TOKEN)), 403, "Not enough permissions");
        } else {
            // an admin may read too
            let answer = send(Some(&agent.admin_token()));
            assert!(matches!(answer.status, 200 | 404), "{method} {path}: {}", answer.text());
        }
    }
    // neither bad parameters nor missing machines are told to who has no token
    for path in [
        "/api/metrics/host/history",
        "/api/metrics/host/history?limit=x",
        "/api/metrics/vm/x",
        "/api/metrics/vm/99",
        "/api/metrics/vm/99/history",
    ] {
        assert_eq!(agent.get_as(None, path).status, 401, "{path}");
    }
    assert_eq!(agent.delete(None, "/api/metrics/cleanup?days=0").status, 401);
    assert_eq!(agent.delete(Some(USER_TOKEN), "/api/metrics/cleanup?days=0").status, 403);
    assert_eq!(agent.delete(Some(&agent.admin_token()), "/api/metrics/cleanup?days=0").status, 422);
    assert_eq!(agent.post(Some(USER_TOKEN), "/api/plugins/none/collect", "").status, 403);
    let basic = agent.send(&Request::new("GET", "/api/plugins").header("Authorization", "Basic YTpi"));
    assert_detail(&basic, 401, "Not authenticated");
}

#[test]
fn methods() {
    let agent = quiet_agent();
    let admin = agent.admin_token();
    for (method, path, _) in ROUTES {
        let allowed = if method == "GET" { "GET, HEAD" } else { method };
        for other in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if other == method {
                continue;
            }
            let answer = agent.send(&Request::new(other, path).token(Some(&admin)));
            assert_detail(&answer, 405, "Method Not Allowed");
            assert_eq!(answer.header("allow"), Some(allowed), "{other} {path}");
        }
        let head = agent.send(&Request::new("HEAD", path).token(Some(&admin)));
        if method == "GET" {
            let get = agent.get(path);
            assert_eq!(head.status, get.status, "{path}");
            assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
            assert!(head.header("content-length").is_some(), "{path}");
        } else {
            assert_eq!((head.status, head.header("allow")), (405, Some(allowed)), "{path}");
        }
    }
    for path in
        ["/", "/api", "/api/", "/api/metrics/host/", "/api/metrics/nothing", "//api/vms", "/api/vms/1"]
    {
        assert_detail(&agent.get(path), 404, "Not Found");
    }
}

#[test]
fn bad_parameters() {
    let agent = quiet_agent();
    let history = "/api/metrics/host/history";
    let one = |kind: &str, place: &str| vec![(kind.to_string(), place.to_string())];
    for (query, expected) in [
        ("", one("missing", "query.metric_name")),
        ("?metric_name=x&limit=ten", one("int_parsing", "query.limit")),
        ("?metric_name=x&limit=", one("int_parsing", "query.limit")),
        ("?metric_name=x&limit=1.5", one("int_parsing", "query.limit")),
        ("?metric_name=x&limit=0", one("greater_than_equal", "query.limit")),
        ("?metric_name=x&limit=-1", one("greater_than_equal", "query.limit")),
        ("?metric_name=x&limit=200001", one("less_than_equal", "query.limit")),
        ("?metric_name=x&limit=99999999999999999999", one("less_than_equal", "query.limit")),
        ("?metric_name=x&from=yesterday", one("datetime_parsing", "query.from")),
        ("?metric_name=x&from=20&to=10", one("value_error", "query.from")),
        ("?metric_name=x&step=1x", one("time_delta_parsing", "query.step")),
        ("?metric_name=x&label.=1", one("value_error", "query.label.")),
        ("?metric_name=%ff", one("url_parsing", "query.metric_name")),
        (
            "?limit=0&from=x",
            [
                one("missing", "query.metric_name"),
                one("greater_than_equal", "query.limit"),
                one("datetime_parsing", "query.from"),
            ]
            .concat(),
        ),
    ] {
        let answer = agent.get(&format!("{history}{query}"));
        if query.contains("%ff") {
            assert!(invalid(&answer).iter().any(|(kind, _)| kind == "url_parsing"), "{}", answer.text());
        } else {
            assert_eq!(invalid(&answer), expected, "{query}");
        }
    }
    assert_eq!(agent.get(&format!("{history}?metric_name=x&limit=200000")).status, 200);
    let answer = agent.get(&format!("{history}?metric_name=x&limit=0")).json();
    let detail = &answer["detail"][0];
    assert_eq!(detail["loc"], json!(["query", "limit"]));
    assert_eq!(detail["input"], "0");
    assert_eq!(detail["ctx"], json!({"ge": 1}));

    assert_eq!(invalid(&agent.get("/api/metrics/vm/one")), one("int_parsing", "path.vm_id"));
    let both = invalid(&agent.get("/api/metrics/vm/one/history"));
    assert_eq!(both, [one("int_parsing", "path.vm_id"), one("missing", "query.metric_name")].concat());
    assert_eq!(invalid(&agent.get("/api/events?severity=bad")), one("literal_error", "query.severity"));
    assert_eq!(invalid(&agent.get("/api/events?limit=1001")), one("less_than_equal", "query.limit"));
    let cleanup =
        |query: &str| agent.delete(Some(&agent.admin_token()), &format!("/api/metrics/cleanup{query}"));
    assert_eq!(invalid(&cleanup("?days=0")), one("greater_than_equal", "query.days"));
    assert_eq!(invalid(&cleanup("?days=-1")), one("greater_than_equal", "query.days"));
    assert_eq!(invalid(&cleanup("?days=week")), one("int_parsing", "query.days"));
    assert_eq!(invalid(&cleanup("?days=36501")), one("less_than_equal", "query.days"));
}

#[test]
fn errors_as_problems() {
    let agent = quiet_agent();
    let problem = |method: &str, path: &str, token: Option<&str>| {
        let request = Request::new(method, path).token(token).header("Accept", "application/problem+json");
        let answer = agent.send(&request);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let body = answer.json();
        assert_eq!(body["status"], answer.status, "{body}");
        body
    };
    let body = problem("GET", "/api/plugins", None);
    assert_eq!((&body["title"], &body["detail"]), (&json!("Unauthorized"), &json!("Not authenticated")));
    assert_eq!(body["type"], "about:blank");
    let body = problem("GET", "/api/metrics/host/history", Some(USER_TOKEN));
    assert_eq!(body["detail"], "query.metric_name: Field required");
    assert_eq!(body["errors"][0]["type"], "missing");
    assert_eq!(problem("GET", "/nowhere", Some(USER_TOKEN))["title"], "Not Found");
    assert_eq!(problem("PUT", "/api/vms", Some(USER_TOKEN))["status"], 405);
}

#[test]
fn several_series_are_told_apart_by_their_labels() {
    let agent = quiet_agent();
    let path = "/api/metrics/host/history?metric_name=synthetic_value";
    let answer = agent.get(path);
    assert_eq!(invalid(&answer), [("ambiguous_series".to_string(), "query.metric_name".to_string())]);
    let detail = &answer.json()["detail"][0];
    assert_eq!(detail["ctx"]["labels"], json!({"n": ["0", "1"]}));
    assert_eq!(detail["input"], "synthetic_value");
    assert!(detail["msg"].as_str().unwrap().contains("label.n (0, 1)"), "{detail}");
    let chosen = agent.get(&format!("{path}&label.n=1")).json();
    assert!(chosen["data"][0]["value"].as_f64().unwrap() > 1000.0, "{chosen}");
    assert_eq!(agent.get(&format!("{path}&label.n=7")).json()["count"], 0);
    assert_eq!(agent.get(&format!("{path}&label.other=7")).json()["count"], 0);
}

#[test]
fn a_device_is_chosen_by_its_label() {
    let agent = host_agent("");
    let path = "/api/metrics/host/history?metric_name=host_network_receive_bytes_total";
    let answer = agent.get(path);
    if answer.status == 422 {
        let choices = answer.json()["detail"][0]["ctx"]["labels"]["device"].clone();
        assert!(choices.as_array().unwrap().contains(&json!("lo")), "{choices}");
    } else {
        println!("skipped: this machine has one interface only");
    }
    let answer = agent.get(&format!("{path}&label.device=lo")).json();
    assert_eq!(answer["data"][0]["unit"], "By", "{answer}");
}

#[test]
fn collecting_on_demand_stores_before_it_answers() {
    let agent = quiet_agent();
    let admin = agent.admin_token();
    let newest = || {
        let path = "/api/metrics/host/history?metric_name=synthetic_value&label.n=0&limit=1";
        agent.get(path).json()["data"][0]["value"].as_f64().unwrap()
    };
    let before = newest();
    let answer = agent.post(Some(&admin), "/api/metrics/collect", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(newest(), before + 1.0, "one collection more, in the store already");
    let text = answer.text().to_string();
    let answer = answer.json();
    assert_eq!(keys(&answer), ["alerts", "metrics", "success", "timestamp"]);
    assert_eq!((&answer["success"], &answer["alerts"]), (&json!(true), &json!([])));
    assert_stamp(&answer["timestamp"]);
    let metrics = text.split_once("\"metrics\":").unwrap().1;
    assert_eq!(keys_in_order(metrics)[..23], HOST_KEYS);

    let one = agent.post(Some(&admin), "/api/plugins/synthetic/collect", "{}").json();
    assert_eq!((&one["success"], &one["plugin"]), (&json!(true), &json!("synthetic")));
    assert_eq!(newest(), before + 2.0);
    assert_detail(&agent.post(Some(&admin), "/api/plugins/none/collect", ""), 404, "Plugin not found");
    assert_eq!(agent.get("/api/metrics/collect").status, 405, "reading collects nothing");
    assert_eq!(newest(), before + 2.0);
}

#[test]
fn collecting_on_demand_says_who_failed() {
    let more = "[plugins.faulty]\nmode = \"in_process\"\nconfig = { mode = \"hang\" }\ndeadline = \"100ms\"\n[plugins.off]\nplugin = \"synthetic\"\nenabled = false";
    let mut agent =
        Home::new(&config("1h", &["synthetic"], more)).plugin("synthetic").plugin("faulty").start();
    agent.until_ready();
    let admin = agent.admin_token();
    let answer = agent.post(Some(&admin), "/api/metrics/collect", "").json();
    assert_eq!(answer["success"], false, "{answer}");
    assert_eq!(keys(&answer["failures"]), ["faulty"]);
    let one = agent.post(Some(&admin), "/api/plugins/faulty/collect", "");
    assert_eq!(one.status, 409, "{}", one.text());
    assert!(one.json()["detail"].as_str().unwrap().starts_with("The plugin is not running: "));
    assert_detail(
        &agent.post(Some(&admin), "/api/plugins/off/collect", ""),
        409,
        "The plugin is not running: disabled",
    );
}

#[test]
fn cleanup_deletes_what_is_older() {
    let agent = quiet_agent();
    let admin = agent.admin_token();
    for (query, days) in [("", 7), ("?days=1", 1), ("?days=30", 30)] {
        let answer = agent.delete(Some(&admin), &format!("/api/metrics/cleanup{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(keys_in_order(answer.text()), ["success", "deleted_count", "days_kept"]);
        assert_eq!(answer.json(), json!({"success": true, "deleted_count": 0, "days_kept": days}));
    }
    let left = agent.get("/api/metrics/host/history?metric_name=synthetic_value&label.n=0").json();
    assert!(left["count"].as_u64().unwrap() >= 2, "{left}");
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

#[test]
fn cleanup_counts_the_samples() {
    // a history that begins thirty days ago
    let home = Home::new(&config("1h", &["synthetic"], "[storage]\nretention = \"1y\"")).plugin("synthetic");
    let hour = Duration::from_secs(3600);
    let then = Timestamp::now().minus(30 * 24 * hour);
    old_samples(&home, &[then, then.plus(hour), then.plus(2 * hour)]);
    let mut agent = home.start();
    agent.until_ready();
    let admin = agent.admin_token();
    let path = "/api/metrics/host/history?metric_name=old_value";
    let count = agent.get(path).json()["count"].as_u64().unwrap();
    assert_eq!(count, 3, "{}\n{}", agent.get(path).text(), agent.home().log());
    let answer = agent.delete(Some(&admin), "/api/metrics/cleanup?days=31").json();
    assert_eq!(answer["deleted_count"], 0);
    let answer = agent.delete(Some(&admin), "/api/metrics/cleanup?days=29").json();
    assert_eq!(answer["deleted_count"], 3);
    assert_eq!(agent.get(path).json()["count"], 0);
    let young = agent.get("/api/metrics/host/history?metric_name=synthetic_value&label.n=0").json();
    assert_eq!(young["count"], 2, "{young}");
}

#[test]
fn alerts_are_none_where_all_is_well() {
    let agent = quiet_agent();
    let answer = agent.get("/api/metrics/alerts");
    assert_eq!(keys_in_order(answer.text()), ["alerts", "count", "timestamp", "alerts_detail"]);
    let answer = answer.json();
    assert_eq!((&answer["alerts"], &answer["count"]), (&json!([]), &json!(0)));
    assert_stamp(&answer["timestamp"]);
}

#[test]
fn plugins_are_described() {
    let mut agent = quiet_agent();
    let admin = agent.admin_token();
    agent.post(Some(&admin), "/api/metrics/collect", "");
    let list = agent.until(Duration::from_secs(5), "bytes stored", |agent| {
        let list = agent.get("/api/plugins").json();
        (list["plugins"][0]["cost"]["bytes_stored"].as_u64() > Some(0)).then_some(list)
    });
    assert_eq!(list["count"], 1);
    assert_stamp(&list["timestamp"]);
    let plugin = &list["plugins"][0];
    assert_eq!(
        keys(plugin),
        [
            "api",
            "collections",
            "configured_interval_seconds",
            "cost",
            "deadline_seconds",
            "failures",
            "file",
            "interval_seconds",
            "last_error",
            "last_error_at",
            "last_run",
            "last_success",
            "missed_deadlines",
            "mode",
            "name",
            "plugin",
            "reason",
            "refused_samples",
            "refused_series",
            "restarts",
            "series",
            "sha256",
            "skipped",
            "state",
            "version"
        ]
    );
    for (key, value) in [
        ("name", json!("synthetic")),
        ("plugin", json!("synthetic")),
        ("mode", json!("in_process")),
        ("state", json!("running")),
        ("reason", Value::Null),
        ("last_error", Value::Null),
        ("last_error_at", Value::Null),
        ("interval_seconds", json!(3600.0)),
        ("configured_interval_seconds", json!(3600.0)),
        ("deadline_seconds", json!(3600.0)),
        ("series", json!(6)),
        ("collections", json!(3)),
        ("failures", json!(0)),
        ("missed_deadlines", json!(0)),
        ("skipped", json!(0)),
        ("refused_samples", json!(0)),
        ("refused_series", json!(0)),
        ("restarts", json!(0)),
    ] {
        assert_eq!(plugin[key], value, "{key} of {plugin}");
    }
    assert_eq!(plugin["api"], "1.0");
    assert!(plugin["file"].as_str().unwrap().ends_with("/plugins/libsynthetic.so"), "{plugin}");
    assert_stamp(&plugin["last_run"]);
    assert_stamp(&plugin["last_success"]);
    let cost = &plugin["cost"];
    assert_eq!(keys(cost), ["bytes_stored", "cpu_seconds", "rss_bytes", "samples", "wall_seconds"]);
    assert_eq!(cost["samples"], 18, "three collections of six");
    assert!(cost["cpu_seconds"].as_f64().unwrap() > 0.0 && cost["wall_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn metrics_and_views_are_listed() {
    let agent = host_agent("");
    let list = agent.get("/api/metrics").json();
    let metrics = list["metrics"].as_array().unwrap();
    assert_eq!(list["count"], metrics.len());
    let names: Vec<&str> = metrics.iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
    let find = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    let load = find("host_load1");
    assert_eq!(keys(load), ["help", "kind", "labels", "name", "plugin", "series", "unit", "view"]);
    assert_eq!(
        (&load["kind"], &load["unit"], &load["plugin"]),
        (&json!("gauge"), &json!(""), &json!("host-cpu"))
    );
    assert_eq!((&load["labels"], &load["series"], &load["view"]), (&json!([]), &json!(1), &json!(false)));
    let received = find("host_network_receive_bytes_total");
    assert_eq!(
        (&received["kind"], &received["unit"], &received["labels"]),
        (&json!("counter"), &json!("By"), &json!(["device"]))
    );
    assert_eq!(find("host_uname_info")["kind"], "info");
    for (name, unit) in HISTORY_NAMES {
        let view = find(name);
        assert_eq!(
            (&view["view"], &view["unit"], &view["plugin"]),
            (&json!(true), &json!(unit), &Value::Null)
        );
    }
    // each has a history under its own name
    for metric in metrics.iter().filter(|metric| metric["plugin"].is_string() && metric["series"] == 1) {
        let name = metric["name"].as_str().unwrap();
        let answer = agent.get(&format!("/api/metrics/host/history?metric_name={name}"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
}

#[test]
fn times_as_the_old_system_wrote_them() {
    let agent = host_agent("[http]\ntimestamps = \"legacy\"");
    let shape = |value: &Value| -> String {
        value.as_str().unwrap().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    };
    let legacy = |value: &Value| {
        let shape = shape(value);
        assert!(shape == "0000-00-00T00:00:00.000000" || shape == "0000-00-00T00:00:00", "{value}");
    };
    legacy(&agent.get("/api/metrics/host").json()["timestamp"]);
    legacy(&agent.get("/api/metrics/alerts").json()["timestamp"]);
    legacy(&agent.get("/api/metrics/host/history?metric_name=host_load1").json()["data"][0]["timestamp"]);
    assert_stamp(&agent.get("/api/plugins").json()["timestamp"]);
}

/// Sends bytes as they are, and reads what comes.
fn raw(agent: &Agent, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(agent.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(bytes); // it may answer and close before all is sent
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn limits() {
    let agent = quiet_agent();
    let long = format!("/api/metrics/host/history?metric_name={}", "x".repeat(9000));
    assert_detail(&agent.get(&long), 414, "URI Too Long");
    assert_eq!(agent.get(&long[..8000]).status, 200);
    let admin = agent.admin_token();
    let body = |size: usize| agent.post(Some(&admin), "/api/plugins/synthetic/collect", &"x".repeat(size));
    assert_detail(&body(65_537), 413, "Payload Too Large");
    assert_eq!(body(65_536).status, 200);
    // without a token a large body is not even read
    assert_eq!(agent.post(None, "/api/metrics/collect", &"x".repeat(65_537)).status, 401);

    let head = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let huge = format!("{head}X: {}\r\n\r\n", "y".repeat(100_000));
    assert!(raw(&agent, huge.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert!(raw(&agent, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(raw(&agent, format!("{head}\r\n").as_bytes()).starts_with("HTTP/1.1 200 "));
    assert_eq!(agent.get("/-/healthy").status, 200, "it is well after all that");
}

#[test]
fn connections_are_bounded_in_number_and_time() {
    let agent = quiet_agent();
    let began = Instant::now();
    let mut slow = TcpStream::connect(agent.address()).unwrap();
    slow.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: local").unwrap();
    let idle: Vec<TcpStream> = (0..255).map(|_| TcpStream::connect(agent.address()).unwrap()).collect();
    let answer = agent.get("/-/healthy");
    assert_detail(&answer, 503, "Too many connections");
    assert!(answer.header("retry-after").is_some());
    drop(idle);
    let end = Instant::now() + Duration::from_secs(5);
    while agent.get("/-/healthy").status != 200 {
        assert!(Instant::now() < end, "closed connections still count");
    }
    // a head that never ends
    slow.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut rest = Vec::new();
    let closed = slow.read_to_end(&mut rest);
    assert!(closed.is_ok() && began.elapsed() > Duration::from_secs(5), "{closed:?} {rest:?}");
}

#[test]
fn hosts_and_origins() {
    let agent = quiet_agent();
    let port = agent.address().port();
    let with_host = |host: &str| agent.send(&Request::new("GET", "/-/healthy").header("Host", host)).status;
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "[::1]:99"] {
        assert_eq!(with_host(host), 200, "{host}");
    }
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "192.0.2.1"] {
        assert_eq!(with_host(host), 421, "{host}");
    }
    assert!(
        raw(&agent, b"GET /-/healthy HTTP/1.1\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 400 ")
    );
    let admin = agent.admin_token();
    let from = |origin: &str| {
        let request =
            Request::new("POST", "/api/metrics/collect").token(Some(&admin)).header("Origin", origin);
        agent.send(&request).status
    };
    assert_eq!(from(&format!("http://{}", agent.address())), 200);
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        assert_eq!(from(origin), 403, "{origin}");
    }
    assert!(agent.get("/api/plugins").header("access-control-allow-origin").is_none());

    let home = Home::new(&config("1h", &[], "[http]\nhosts = [\"monitor.example\"]"));
    let agent = home.start();
    let request = Request::new("GET", "/-/healthy").header("Host", "monitor.example");
    assert_eq!(agent.send(&request).status, 200);
    let mode = std::fs::metadata(agent.home().data()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
}

#[test]
fn reading_is_open_on_loopback_where_no_user_token_is_set() {
    let home = Home::new(&config("1h", &["synthetic"], "")).plugin("synthetic").without_user_token();
    let agent = home.start();
    assert_eq!(agent.get_as(None, "/api/plugins").status, 200);
    assert_eq!(agent.get("/api/plugins").status, 401, "a wrong token is refused there too");
    assert_eq!(agent.post(None, "/api/metrics/collect", "").status, 401);
    assert_eq!(agent.post(Some(&agent.admin_token()), "/api/metrics/collect", "").status, 200);
}

#[test]
fn events_are_listed_in_pages() {
    // two rules that fire at once
    let rules = "[[alert]]\nname = \"one\"\nmetric = \"synthetic_value\"\nlabels = { n = \"0\" }\nop = \">\"\nthreshold = 0.0\nseverity = \"info\"\nmessage = \"one {value}\"\n[[alert]]\nname = \"two\"\nmetric = \"synthetic_value\"\nlabels = { n = \"1\" }\nop = \">\"\nthreshold = 0.0\nseverity = \"critical\"\nmessage = \"two {value}\"";
    let mut agent = Home::new(&config("1h", &["synthetic"], rules)).plugin("synthetic").start();
    agent.until_ready();
    let all = agent.get("/api/events").json();
    assert_eq!(all["count"], 2, "{all}");
    assert_eq!(all["next"], Value::Null);
    let event = &all["events"][0];
    assert_eq!(keys(event), ["created_at", "details", "id", "message", "severity", "type", "vm_id"]);
    assert_stamp(&event["created_at"]);
    let first = agent.get("/api/events?limit=1").json();
    assert_eq!(first["events"][0], all["events"][0], "newest first");
    let cursor = first["next"].as_str().unwrap();
    let second = agent.get(&format!("/api/events?limit=1&cursor={cursor}")).json();
    assert_eq!((&second["events"][0], &second["next"]), (&all["events"][1], &Value::Null));
    let critical = agent.get("/api/events?severity=critical").json();
    assert_eq!((&critical["count"], &critical["events"][0]["type"]), (&json!(1), &json!("two")));
    assert_eq!(critical["events"][0]["message"], "two 1001.0");
    assert_eq!(agent.get("/api/events?type=one").json()["count"], 1);
    assert_eq!(agent.get("/api/events?type=three").json()["count"], 0);
    assert_eq!(agent.get("/api/events?since=2099-01-01T00:00:00Z").json()["count"], 0);
}
