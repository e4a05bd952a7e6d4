//! What an admin has done: collecting now, deleting what is old.

use super::*;

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
