//! Alerts of the old system's rules: its exact words, one event for each transition, also over restarts.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use std::time::Duration;
use twarga_tests::{Agent, HOST_PLUGINS, Home, config};

const PATIENCE: Duration = Duration::from_secs(10);

/// Rules that any machine breaks: only their thresholds are other than the defaults.
const LOW: &str = r#"
[[alert]]
name = "system_high_memory"
threshold = 0.0001
[[alert]]
name = "system_high_swap"
threshold = 0.0
[[alert]]
name = "system_high_disk"
enabled = false
[[alert]]
name = "system_high_cpu"
enabled = false
[[alert]]
name = "load"
metric = "host_load15"
op = ">="
threshold = 0.0
message = "Load is {value}"
"#;
const HIGH: &str = r#"
[[alert]]
name = "system_high_memory"
threshold = 1000.0
[[alert]]
name = "system_high_swap"
enabled = false
[[alert]]
name = "system_high_disk"
enabled = false
[[alert]]
name = "system_high_cpu"
enabled = false
"#;

fn home(rules: &str) -> Home {
    Home::new(&config("1s", &HOST_PLUGINS, rules)).host_plugins()
}

fn start(home: &Home) -> Agent {
    let mut agent = home.start();
    agent.until_ready();
    agent
}

fn events(agent: &Agent, kind: &str) -> Vec<Value> {
    agent.get(&format!("/api/events?type={kind}")).json()["events"].as_array().unwrap().clone()
}

/// The percent of a text; it has one decimal.
#[track_caller]
fn percent(text: &str, before: &str) -> f64 {
    let number = text.strip_prefix(before).and_then(|rest| rest.strip_suffix('%'));
    let number = number.unwrap_or_else(|| panic!("`{text}` is not `{before}…%`"));
    assert_eq!(number.split_once('.').map(|(_, decimals)| decimals.len()), Some(1), "{text}");
    number.parse().unwrap()
}

#[test]
fn the_words_of_the_old_system_and_one_event() {
    let home = home(LOW);
    let mut agent = start(&home);
    let answer = agent.until(PATIENCE, "three alerts", |agent| {
        let answer = agent.get("/api/metrics/alerts").json();
        (answer["count"] == 3).then_some(answer)
    });
    let texts: Vec<&str> =
        answer["alerts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let shown = percent(texts[0], "\u{26a0}\u{fe0f} High memory usage: ");
    percent(texts[1], "\u{26a0}\u{fe0f} High swap usage: ");
    assert!(texts[2].starts_with("\u{26a0}\u{fe0f} Load is "), "{texts:?}");
    let detail = &answer["alerts_detail"][0];
    assert_eq!((&detail["rule"], &detail["state"]), (&json!("system_high_memory"), &json!("firing")));
    assert_eq!(detail["threshold"], json!(0.0001));
    assert!((detail["value"].as_f64().unwrap() - shown).abs() <= 0.0501, "{detail}");
    assert_eq!(detail["text"], texts[0]);
    assert!(detail["since"].as_str().unwrap().ends_with('Z'), "{detail}");

    // asking writes nothing
    for _ in 0..20 {
        assert_eq!(agent.get("/api/metrics/alerts").json()["count"], 3);
    }
    let collected = agent.post(Some(&agent.admin_token()), "/api/metrics/collect", "").json();
    assert_eq!(collected["alerts"].as_array().unwrap().len(), 3, "{collected}");
    let found = events(&agent, "system_high_memory");
    assert_eq!(found.len(), 1, "{found:?}");
    let event = &found[0];
    assert_eq!((&event["severity"], &event["vm_id"]), (&json!("warning"), &Value::Null));
    percent(event["message"].as_str().unwrap(), "Memory usage at ");
    let details = &event["details"];
    assert_eq!(
        (&details["source"], &details["metric"]),
        (&json!("system_monitor"), &json!("host_memory_percent"))
    );
    assert_eq!(events(&agent, "system_high_swap").len(), 1);
    percent(events(&agent, "system_high_swap")[0]["message"].as_str().unwrap(), "Swap usage at ");
    assert_eq!(events(&agent, "load").len(), 1);
    assert_eq!(agent.get("/api/events").json()["count"], 3, "nothing else");
    agent.stop();

    // it goes on after a restart, and after a crash: the same alert, since the same time
    for crash in [false, true] {
        let mut agent = start(&home);
        let again = agent.until(PATIENCE, "the alerts again", |agent| {
            let answer = agent.get("/api/metrics/alerts").json();
            (answer["count"] == 3).then_some(answer)
        });
        assert_eq!(again["alerts_detail"][0]["since"], detail["since"]);
        assert_eq!(events(&agent, "system_high_memory").len(), 1);
        if crash { agent.kill() } else { agent.stop() }
    }

    // raised: it has recovered; removed: the rule is gone
    home.write_config(&config("1s", &HOST_PLUGINS, HIGH));
    let mut agent = start(&home);
    agent.until(PATIENCE, "resolutions", |agent| {
        (agent.get("/api/events").json()["count"] == 6).then_some(())
    });
    let answer = agent.get("/api/metrics/alerts").json();
    assert_eq!((&answer["alerts"], &answer["alerts_detail"]), (&json!([]), &json!([])));
    for (kind, reason) in [
        ("system_high_memory_resolved", "recovered"),
        ("system_high_swap_resolved", "rule_removed"),
        ("load_resolved", "rule_removed"),
    ] {
        let found = events(&agent, kind);
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!((&found[0]["severity"], &found[0]["details"]["reason"]), (&json!("info"), &json!(reason)));
    }
    agent.stop();

    // and fires anew when the rules are back
    home.write_config(&config("1s", &HOST_PLUGINS, LOW));
    let mut agent = start(&home);
    agent.until(PATIENCE, "a second firing", |agent| {
        (events(agent, "system_high_memory").len() == 2).then_some(())
    });
}

#[test]
fn an_alert_that_must_hold_is_pending_first() {
    let rules = "[[alert]]\nname = \"system_high_memory\"\nthreshold = 0.0001\nfor = \"2s\"\n";
    let mut agent = start(&home(rules));
    let of_memory = |answer: &Value| {
        answer["alerts_detail"].as_array()?.iter().find(|one| one["rule"] == "system_high_memory").cloned()
    };
    let answer = agent.until(PATIENCE, "the pending alert", |agent| {
        let answer = agent.get("/api/metrics/alerts").json();
        of_memory(&answer).is_some().then_some(answer)
    });
    assert_eq!(of_memory(&answer).unwrap()["state"], "pending");
    assert!(!answer["alerts"].to_string().contains("memory"), "{answer}");
    assert_eq!(events(&agent, "system_high_memory").len(), 0);
    agent.until(PATIENCE, "the firing alert", |agent| {
        let answer = agent.get("/api/metrics/alerts").json();
        (of_memory(&answer)?["state"] == "firing").then_some(())
    });
    assert_eq!(events(&agent, "system_high_memory").len(), 1);
}

#[test]
fn the_rules_of_the_old_system_are_always_there() {
    let agent = start(&home(
        "[[alert]]\nname = \"system_high_disk\"\nthreshold = 0.0\n[[alert]]\nname = \"system_high_cpu\"\nthreshold = 0.0\n[[alert]]\nname = \"system_high_memory\"\nthreshold = 0.0\n[[alert]]\nname = \"system_high_swap\"\nthreshold = 0.0",
    ));
    let answer = agent.post(Some(&agent.admin_token()), "/api/metrics/collect", "").json();
    let texts: Vec<&str> =
        answer["alerts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let words: Vec<&str> = texts.iter().map(|text| text.split(' ').nth(2).unwrap()).collect();
    assert_eq!(words, ["CPU", "memory", "disk", "swap"], "in this order");
    for text in texts {
        let before = text.split_once(": ").unwrap().0;
        percent(text, &format!("{before}: "));
    }
    for (kind, what) in [("cpu", "CPU"), ("memory", "Memory"), ("disk", "Disk"), ("swap", "Swap")] {
        let found = events(&agent, &format!("system_high_{kind}"));
        assert_eq!(found.len(), 1);
        percent(found[0]["message"].as_str().unwrap(), &format!("{what} usage at "));
    }
}
