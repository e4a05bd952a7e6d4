//! What the routes answer when all is well.

use super::*;
use fake::{HOST, NOW};
use serde_json::{Value, json};
use std::{sync::atomic::Ordering, time::Duration};
use twarga_agent::{
    model::Timestamp,
    serve::{AlertState, StepQuery, Target},
    store::{Aggregate, Range},
};

const STAMP: &str = "2026-11-20T22:00:05.000000Z";

#[test]
fn host() {
    let server = Running::usual();
    let answer = server.get("/api/metrics/host");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let start = r#"{"cpu_percent":15.0,"cpu_count":null,"cpu_freq_mhz":15.0,"#;
    assert!(answer.text().starts_with(start), "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["uptime_seconds"], 345_600);
    assert_eq!(json["timestamp"], STAMP);
    assert_eq!(json["unavailable"], json!({"cpu_count": "no_series"}));
    assert_eq!(json.as_object().unwrap().len(), 23 + 1);
}

#[test]
fn legacy_times_on_the_seeds_routes_only() {
    let server = Running::start(Setup { timestamps: TimestampStyle::Legacy, ..Setup::default() });
    let plain = "2026-11-20T22:00:05";
    assert_eq!(server.get("/api/metrics/host").json()["timestamp"], plain);
    assert_eq!(server.get("/api/metrics/vm/1").json()["timestamp"], plain);
    assert_eq!(server.get("/api/metrics/alerts").json()["timestamp"], plain);
    let history = server.get("/api/metrics/host/history?metric_name=host_cpu_percent").json();
    assert_eq!(history["data"][0]["timestamp"], plain);
    assert_eq!(server.get("/api/plugins").json()["plugins"][0]["last_run"], STAMP);
    assert_eq!(server.get("/api/events").json()["events"][0]["created_at"], STAMP);
}

#[test]
fn histories() {
    let server = Running::usual();
    let answer = server.get("/api/metrics/host/history?metric_name=host_cpu_percent&limit=2");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"metric_name": "host_cpu_percent", "count": 2, "data": [
            {"value": 15.01, "unit": "%", "timestamp": STAMP},
            {"value": 15.01, "unit": "%", "timestamp": "2026-11-20T22:00:00.000000Z"}],
            "gaps": [{"from": "1970-01-01T00:00:00.000000Z", "to": STAMP, "reason": "agent_down"}]})
    );
    let query = server.fake.0.last_query();
    assert_eq!((query.target, query.limit, query.range), (HOST, 2, Range::ALL));

    let native = server.get("/api/metrics/host/history?metric_name=host_load1").json();
    assert_eq!(native["data"][0]["value"], 15.006_25);
    assert_eq!(server.fake.0.last_query().limit, 100);

    let unknown = server.get("/api/metrics/host/history?metric_name=%E2%9A%A0");
    assert_eq!(unknown.status, 200);
    assert_eq!(unknown.json(), json!({"metric_name": "⚠", "count": 0, "data": [], "gaps": []}));

    let vm = server.get("/api/metrics/vm/%31/history?metric_name=vm_cpu_percent&limit=1");
    assert!(
        vm.text().starts_with(r#"{"vm_id":1,"metric_name":"vm_cpu_percent","count":1,"#),
        "{}",
        vm.text()
    );
    assert_eq!(server.fake.0.last_query().target, Target::Vm(1));
}

#[test]
fn histories_pass_on_labels_and_range() {
    let server = Running::usual();
    let answer = server.get(
        "/api/metrics/host/history?metric_name=x&metric_name=host_load1&from=2026-11-20T21:00:00%2B00:00&to=1795212005&label.device=eth%20+0\
         &label.mode=a&label.mode=b&unheard=of",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let query = server.fake.0.last_query();
    assert_eq!(query.metric, "host_load1");
    assert_eq!(query.range, Range { from: Timestamp::from_millis(NOW.as_millis() - 3_605_000), to: NOW });
    let matchers: Vec<String> = query.matchers.iter().map(ToString::to_string).collect();
    assert_eq!(matchers, [r#"device="eth  0""#, r#"mode="b""#]);
    assert_eq!(query.steps, None);
}

#[test]
fn histories_pass_on_steps_and_matchers() {
    let server = Running::usual();
    let path = "/api/metrics/host/history?metric_name=host_load1";
    let answer = server.get(&format!(
        "{path}&step=5m&agg=p99.9&label.a!=x&label.a=~eth.*&label.a!~veth.*&label.b!=~v=1&label.c!~p=q=r&label.d!="
    ));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer
            .text()
            .ends_with(r#"],"step_seconds":300.0,"agg":"p99.9","tier":"1m","unavailable":"no samples"}"#),
        "{}",
        answer.text()
    );
    let query = server.fake.0.last_query();
    let matchers: Vec<String> = query.matchers.iter().map(ToString::to_string).collect();
    let wanted = [r#"a!="x""#, r#"a=~"eth.*""#, r#"a!~"veth.*""#, r#"b!~"v=1""#, r#"c!~"p=q=r""#, r#"d!="""#];
    assert_eq!(matchers, wanted);
    let steps = StepQuery { length: Duration::from_secs(300), aggregate: Some(Aggregate::Quantile(0.999)) };
    assert_eq!((query.steps, query.limit), (Some(steps), 11_000));
    server.get(&format!("{path}&step=0.25&limit=7"));
    let query = server.fake.0.last_query();
    let steps = StepQuery { length: Duration::from_millis(250), aggregate: None };
    assert_eq!((query.steps, query.limit), (Some(steps), 7));
}

#[test]
fn two_hundred_thousand_points() {
    let server = Running::usual();
    let answer = server.get("/api/metrics/host/history?metric_name=large&limit=200000");
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(json["count"], 200_000);
    assert_eq!(json["data"].as_array().unwrap().len(), 200_000);
    assert_eq!(json["data"][199_999]["timestamp"], "2026-11-09T08:13:30.000000Z");
}

#[test]
fn machines() {
    let server = Running::usual();
    let vm = server.get("/api/metrics/vm/1");
    assert_eq!(
        vm.text(),
        format!(r#"{{"vm_id":1,"vm_name":"web","cpu_percent":3.0,"timestamp":"{STAMP}"}}"#)
    );
    let vms = server.get("/api/vms").json();
    assert_eq!(vms["count"], 1);
    assert_eq!(
        vms["vms"][0],
        json!({"vm_id": 1, "vm": "uuid", "vm_name": null, "vm_status": "running", "state": "running",
            "provider": null, "project": null, "owner": null, "ip_address": null, "uptime_seconds": null,
            "last_seen": STAMP, "fresh": true, "reason": null})
    );
}

#[test]
fn alerts_in_the_old_systems_order() {
    let server = Running::usual();
    let expected = ["⚠️ High CPU usage: 92.5%", "⚠️ High memory usage: 87.3%"];
    let answer = server.get("/api/metrics/alerts").json();
    assert_eq!(answer["alerts"], json!(expected));
    assert_eq!(answer["count"], 2);
    assert_eq!(answer["timestamp"], STAMP);
    let detail = &answer["alerts_detail"][0];
    assert_eq!(detail["rule"], "system_high_cpu");
    assert_eq!(detail["state"], "firing");
    assert_eq!(detail["threshold"], 85.0);
    assert_eq!(detail["since"], "2026-11-20T22:00:04.000000Z");

    for alert in &mut *server.fake.0.alerts.lock().unwrap() {
        alert.state = AlertState::Pending;
    }
    let pending = server.get("/api/metrics/alerts").json();
    assert_eq!((&pending["alerts"], &pending["count"]), (&json!([]), &json!(0)));
    assert_eq!(pending["alerts_detail"][0]["state"], "pending");
}

#[test]
fn plugins() {
    let server = Running::usual();
    let answer = server.get("/api/plugins").json();
    assert_eq!(answer["count"], 1);
    assert_eq!(
        answer["plugins"][0],
        json!({"name": "host-cpu", "plugin": "host-cpu", "version": "1.0.0", "api": "1.0",
            "file": "/plugins/libhost_cpu.so", "sha256": "ab".repeat(32), "mode": "in_process", "state": "running", "reason": null,
            "interval_seconds": 10.0, "configured_interval_seconds": 5.0, "deadline_seconds": 2.5, "series": 42, "last_run": STAMP,
            "last_success": null, "last_error": null, "last_error_at": null, "collections": 120, "failures": 1,
            "missed_deadlines": 2, "skipped": 3, "refused_samples": 0, "refused_series": 0, "restarts": 4,
            "cost": {"cpu_seconds": 0.0, "wall_seconds": 0.014, "samples": 5040, "bytes_stored": 2600,
                "rss_bytes": null, "threads": 3}})
    );
}

#[test]
fn events_page_by_page() {
    let server = Running::usual();
    let first = server.get("/api/events?limit=3&type=system_high_cpu&severity=warning&since=0").json();
    let ids = |page: &Value| {
        page["events"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), [5, 4, 3]);
    assert_eq!((&first["count"], &first["next"]), (&json!(3), &json!("3")));
    assert_eq!(
        first["events"][0],
        json!({"id": 5, "type": "system_high_cpu", "severity": "warning", "message": "CPU usage at 92.5%",
            "details": {"source": "system_monitor"}, "created_at": STAMP, "vm_id": null})
    );
    let filter = server.fake.0.filters.lock().unwrap().last().cloned().unwrap();
    assert_eq!(filter.kind.as_deref(), Some("system_high_cpu"));
    assert_eq!(filter.severity.as_deref(), Some("warning"));
    assert_eq!(filter.since, Some(Timestamp::default()));
    let second = server.get("/api/events?limit=3&cursor=3").json();
    assert_eq!(ids(&second), [2, 1]);
    assert_eq!(second["next"], Value::Null);
    let exact = server.get("/api/events?limit=5").json();
    assert_eq!((&exact["count"], &exact["next"]), (&json!(5), &Value::Null));
}

#[test]
fn what_series_exist() {
    let server = Running::usual();
    assert_eq!(
        server.get("/api/metrics").json(),
        json!({"metrics": [{"name": "host_load1", "kind": "gauge", "unit": "", "help": "Load.",
            "plugin": "host-cpu", "labels": [], "series": 1, "view": false}], "count": 1})
    );
}

#[test]
fn collecting_on_demand() {
    let server = Running::usual();
    let answer = server.ask("POST", "/api/metrics/collect", &[AS_ADMIN]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["success"], true);
    assert_eq!(json["metrics"]["cpu_percent"], 15.0);
    assert_eq!(json["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(json["timestamp"], STAMP);
    assert_eq!(json["failures"], Value::Null);

    let one = server.ask("POST", "/api/plugins/host%2Dcpu/collect", &[AS_ADMIN]).json();
    assert_eq!((&one["success"], &one["plugin"]), (&json!(true), &json!("host-cpu")));
    let failed = server.ask("POST", "/api/plugins/fails/collect", &[AS_ADMIN]).json();
    assert_eq!((&failed["success"], &failed["failures"]), (&json!(false), &json!({"fails": "no such file"})));
    let seen = server.fake.0.collections.lock().unwrap().clone();
    assert_eq!(seen, [None, Some("host-cpu".to_owned()), Some("fails".to_owned())]);
}

#[test]
fn switching_plugins() {
    let server = Running::usual();
    let ask = |path: &str| server.ask("POST", &format!("/api/plugins/{path}"), &[AS_ADMIN]);
    let disabled = ask("host%2Dcpu/disable").json();
    assert_eq!((&disabled["success"], &disabled["state"]), (&json!(true), &json!("disabled")));
    assert_eq!(ask("host-cpu/enable").json()["state"], "running");
    assert_eq!(ask("host-cpu/restart").json()["plugin"], "host-cpu");
    for (name, status, detail) in [
        ("nobody", 404, "Plugin not found"),
        ("%ff", 404, "Plugin not found"),
        ("missing", 409, "The plugin can't be enabled: it is not there"),
        ("lost", 500, "Internal Server Error"),
    ] {
        let answer = ask(&format!("{name}/enable"));
        assert_eq!((answer.status, &answer.json()["detail"]), (status, &json!(detail)), "{name}");
    }
    assert_eq!(server.ask("POST", "/api/plugins/host-cpu/other", &[AS_ADMIN]).status, 404);
}

#[test]
fn reloading() {
    let server = Running::usual();
    let answer = server.ask("POST", "/-/reload", &[AS_ADMIN]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let plugins = json!({"started": ["host-disk"], "stopped": [], "changed": {"host-cpu": ["interval"]},
        "upgrading": [], "failed": {"exec": "no such program"}});
    assert_eq!((&json["changed"], &json["plugins"]), (&json!(true), &plugins));
    assert_eq!(json["needs_restart"], json!(["http.listen"]));
    server.fake.0.bad_config.store(true, Ordering::SeqCst);
    let answer = server.ask("POST", "/-/reload", &[AS_ADMIN]);
    assert_eq!(answer.status, 422);
    let error = json!({"type": "config_error", "loc": ["agent.toml:3", "agent.interval"],
        "msg": "agent.toml:3: agent.interval: too short", "input": null});
    assert_eq!(answer.json(), json!({ "detail": [error] }));
}

#[test]
fn cleaning() {
    let server = Running::usual();
    let answer = server.ask("DELETE", "/api/metrics/cleanup", &[AS_ADMIN]);
    assert_eq!(answer.text(), r#"{"success":true,"deleted_count":1234,"days_kept":7}"#);
    let answer = server.ask("DELETE", "/api/metrics/cleanup?days=30", &[AS_ADMIN]);
    assert_eq!(answer.json()["days_kept"], 30);
    assert_eq!(*server.fake.0.days.lock().unwrap(), [7, 30]);
}

#[test]
fn health_and_readiness() {
    let server = Running::start(Setup { user: Some(USER), ..Setup::default() });
    assert_eq!(server.get("/-/healthy").text(), r#"{"status":"ok"}"#);
    assert_eq!(server.get("/-/ready").text(), r#"{"status":"ready"}"#);
    *server.fake.0.waiting_for.lock().unwrap() = vec!["host-cpu: first collection".into()];
    let waiting = server.get("/-/ready");
    assert_eq!(waiting.status, 503);
    assert_eq!(waiting.header("retry-after"), Some("1"));
    assert_eq!(
        waiting.json(),
        json!({"detail": "Not ready yet", "waiting_for": ["host-cpu: first collection"]})
    );
}

#[test]
fn nothing_collected_yet_is_never_zero() {
    let server = Running::usual();
    server.fake.0.collected.store(false, Ordering::SeqCst);
    for target in ["/api/metrics/host", "/api/metrics/alerts", "/api/metrics/vm/1", "/api/metrics/vm/77"] {
        let answer = server.get(target);
        assert_eq!(answer.status, 503, "{target}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json(), json!({"detail": "No metrics collected yet"}));
    }
    assert_eq!(server.ask("POST", "/api/metrics/collect", &[AS_ADMIN]).status, 200);
    assert_eq!(server.get("/api/metrics/host").status, 200);
}

/// The routes that the documentation describes: `### GET /api/…`.
fn documented() -> Vec<(String, String)> {
    let text = include_str!("../../../docs/http-api.md");
    let headings = text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    headings
        .map(|route| route.split_once(' ').unwrap())
        .map(|(method, path)| {
            let path = path.replace("{vm_id}", "1").replace("{name}", "host-cpu");
            (method.to_owned(), path)
        })
        .collect()
}

#[test]
fn documented_routes_exist_and_answer_head_like_get() {
    let server = Running::usual();
    let routes = documented();
    assert_eq!(routes.len(), 18);
    for (method, path) in routes {
        let target =
            if path.ends_with("history") { format!("{path}?metric_name=host_cpu_percent") } else { path };
        let got = server.ask(&method, &target, &[AS_ADMIN]);
        assert_eq!(got.status, 200, "{method} {target}");
        let mut connection = server.connect();
        connection.send(head("HEAD", &target, &[AS_ADMIN]));
        let told = connection.answer_to_head();
        if method == "GET" {
            assert_eq!(told.status, 200, "{target}");
            let names =
                |answer: &Answer| answer.headers.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
            assert_eq!(names(&told), names(&got));
            assert_eq!(told.header("content-length").unwrap(), got.body.len().to_string(), "{target}");
            assert_eq!(told.header("content-type"), got.header("content-type"));
        } else {
            assert_eq!((told.status, told.header("allow")), (405, Some(&*method)));
        }
        // no body stands between the two answers
        connection.send(head("GET", "/-/healthy", &[]));
        assert_eq!(connection.answer().status, 200);
    }
}
