//! Alerts, plugins, metrics, events.

use super::*;

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
    assert_eq!(keys(cost).join(" "), "bytes_stored cpu_seconds rss_bytes samples threads wall_seconds");
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
