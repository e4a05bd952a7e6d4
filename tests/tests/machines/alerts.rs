//! Alert rules on machines: one alert a machine, which names it and ends with it.

use super::*;

/// A rule on all machines, on one by its name, on one by its UUID, and on one that is not there.
fn rules() -> String {
    let rule = |name: &str, metric: &str, threshold: f64, more: &str| {
        format!(
            "[[alert]]\nname = \"{name}\"\nmetric = \"{metric}\"\nop = \">=\"\nthreshold = {threshold:?}\n{more}\n"
        )
    };
    let seed = ["cpu", "memory", "disk", "swap"];
    seed.map(|what| format!("[[alert]]\nname = \"system_high_{what}\"\nenabled = false\n")).concat()
        + &rule("busy", "vm_cpu_percent", 20.0, "message = \"{vm_name} uses {value}% of its processors\"")
        + &rule("disk_of_web", "vm_disk_percent", 10.0, "labels = { vm = \"web\" }")
        + &rule("memory_of_db", "vm_memory_percent", 10.0, &format!("labels = {{ vm = \"{DB}\" }}"))
        + &rule("nobody", "vm_disk_percent", 10.0, "labels = { vm = \"www\" }")
}

fn alerts(agent: &Agent) -> Vec<String> {
    let answer = agent.get("/api/metrics/alerts").json();
    answer["alerts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The events of a rule, oldest first: number of the machine, message, reason.
fn events(agent: &Agent, kind: &str) -> Vec<(Option<i64>, String, Option<String>)> {
    let events = agent.get(&format!("/api/events?type={kind}")).json()["events"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().map(String::from);
    let shown = |event: &Value| {
        (event["vm_id"].as_i64(), text(&event["message"]).unwrap(), text(&event["details"]["reason"]))
    };
    events.iter().rev().map(shown).collect()
}

#[test]
fn each_machine_has_its_alert() {
    let home = home_with("1h", &rules());
    let agent = start(&home);
    assert_eq!(
        alerts(&agent),
        [
            "\u{26a0}\u{fe0f} web uses 25.0% of its processors",
            "\u{26a0}\u{fe0f} db uses 25.0% of its processors",
            "\u{26a0}\u{fe0f} vm_disk_percent is 20.0 (web)",
            "\u{26a0}\u{fe0f} vm_memory_percent is 50.0 (db)",
        ]
    );
    let detail = &agent.get("/api/metrics/alerts").json()["alerts_detail"][0];
    assert_eq!((&detail["vm_id"], &detail["vm_name"]), (&json!(1), &json!("web")));
    assert_eq!(detail["labels"], json!({ "vm": WEB }));
    let fired = events(&agent, "busy");
    assert_eq!(fired[0], (Some(1), "web uses 25.0% of its processors".into(), None));
    assert_eq!(fired[1], (Some(2), "db uses 25.0% of its processors".into(), None));
    assert_eq!(fired.len(), 2);
    assert_eq!(events(&agent, "disk_of_web"), [(Some(1), "vm_disk_percent is 20.0 (web)".into(), None)]);
    assert_eq!(events(&agent, "nobody"), []);
}

#[test]
fn an_alert_ends_with_its_machine() {
    let home = home_with("1h", &rules());
    let agent = start(&home);
    home.write("states", "web=shutoff\n");
    collect(&agent);
    let stopped = |rule: &str| {
        (Some(1), format!("{rule}: the machine was stopped (web)"), Some("machine_stopped".into()))
    };
    assert_eq!(events(&agent, "busy_resolved"), [stopped("busy")]);
    assert_eq!(events(&agent, "disk_of_web_resolved"), [stopped("disk_of_web")]);
    assert_eq!(alerts(&agent).len(), 2, "those of db go on");

    home.write("states", "web=shutoff\ndb=gone\n");
    collect(&agent);
    collect(&agent);
    assert_eq!(alerts(&agent), NONE);
    let gone = (Some(2), "busy: the machine was destroyed (db)".into(), Some("machine_destroyed".into()));
    assert_eq!(events(&agent, "busy_resolved")[1..], [gone]);

    // started again: it fires anew
    home.write("states", "db=gone\n");
    collect(&agent);
    assert_eq!(events(&agent, "busy").len(), 3);
    agent.stop();

    // stopped while the agent is down
    home.write("states", "db=gone\nweb=crashed\n");
    let agent = start(&home);
    let crashed = (Some(1), "busy: the machine crashed (web)".into(), Some("machine_crashed".into()));
    assert_eq!(events(&agent, "busy_resolved")[2..], [crashed]);
    assert_eq!((alerts(&agent).len(), events(&agent, "busy").len()), (0, 3));
}

#[test]
fn a_restart_tells_no_alert_of_a_machine_twice() {
    let home = home_with("1h", &rules());
    for crash in [false, true, false] {
        let agent = start(&home);
        assert_eq!((alerts(&agent).len(), events(&agent, "busy").len()), (4, 2));
        if crash { agent.kill() } else { agent.stop() }
    }
}
