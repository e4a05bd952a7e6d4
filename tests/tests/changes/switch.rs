//! Plugins that are switched by hand.

use super::*;
use serde_json::json;

#[test]
fn disabled_enabled_and_restarted() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    collects_on(&mut agent, "synthetic", 3);
    let (status, answer) = post(&agent, "/api/plugins/synthetic/disable");
    assert_eq!((status, &answer["state"]), (200, &json!("disabled")), "{answer}");
    let at_rest = plugin(&agent, "synthetic");
    assert_eq!((&at_rest["state"], &at_rest["series"]), (&json!("disabled"), &json!(0)));
    assert_eq!(post(&agent, "/api/plugins/synthetic/collect").0, 409);
    assert_eq!(post(&agent, "/api/plugins/synthetic/restart").0, 409);
    assert_eq!(post(&agent, "/api/plugins/synthetic/disable").0, 200);
    collects_on(&mut agent, "host-mem", 5);
    assert_eq!(plugin(&agent, "synthetic")["collections"], at_rest["collections"]);

    // it lasts over a reload that does not touch its table
    home.write_config(&CONFIG.replace("[plugins.host-mem]", "[plugins.host-mem]\ninterval = \"300ms\""));
    assert_eq!(reload(&agent)["plugins"]["started"], json!([]));
    assert_eq!(plugin(&agent, "synthetic")["state"], "disabled");

    assert_eq!(post(&agent, "/api/plugins/synthetic/enable").1["state"], "running");
    collects_on(&mut agent, "synthetic", 3);
    assert!(collections(&agent, "synthetic") > at_rest["collections"].as_u64().unwrap(), "it counts on");
    assert_eq!(history(&agent, "synthetic_value&label.n=0").1, ["disabled"]);

    let (status, answer) = post(&agent, "/api/plugins/synthetic/restart");
    assert_eq!((status, &answer["state"]), (200, &json!("running")), "{answer}");
    agent.until(LIMIT, "a fresh collector", |agent| {
        (history(agent, "synthetic_value&label.n=0&limit=1").0.first()? < &4.0).then_some(())
    });
    agent.stop();
}

/// The agent's threads of this name.
fn threads(agent: &Agent, name: &str) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().flatten();
    tasks
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
        .count()
}

#[test]
fn a_restart_does_not_lose_a_version_that_was_to_take_over() {
    let config = CONFIG.replace("[plugins.synthetic]", "[plugins.synthetic]\ninterval = \"1h\"");
    let home = Home::new(&config).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    replace_synthetic(&home, b"synthetic-mark-2", "0.2.0");
    assert_eq!(reload(&agent)["plugins"]["upgrading"], json!(["synthetic"]));
    // it is tried out, and waits for a tick that is far away
    agent.until(LIMIT, "the end of its trial", |agent| (threads(agent, "canary") == 0).then_some(()));
    assert_eq!(plugin(&agent, "synthetic")["version"], "0.1.0");
    assert_eq!(post(&agent, "/api/plugins/synthetic/restart").0, 200);
    agent.until(LIMIT, "the new version", |agent| {
        post(agent, "/api/plugins/synthetic/collect");
        (plugin(agent, "synthetic")["version"] == "0.2.0").then_some(())
    });
    agent.stop();
}

#[test]
fn a_change_of_its_table_ends_what_was_switched() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    post(&agent, "/api/plugins/host-mem/disable");
    home.write_config(&CONFIG.replace("[plugins.host-mem]", "[plugins.host-mem]\ninterval = \"300ms\""));
    assert_eq!(reload(&agent)["plugins"]["started"], json!(["host-mem"]));
    collects_on(&mut agent, "host-mem", 2);
    agent.stop();
}

#[test]
fn what_can_not_be_switched() {
    let text = format!("{CONFIG}[plugins.dynamic]\nenabled = false\n");
    let home = Home::new(&text).plugin("synthetic").plugin("host-mem").plugin("faulty");
    let agent = home.start();
    for switch in ["enable", "disable", "restart"] {
        let (status, answer) = post(&agent, &format!("/api/plugins/nobody/{switch}"));
        assert_eq!((status, &answer["detail"]), (404, &json!("Plugin not found")));
    }
    let (status, answer) = post(&agent, "/api/plugins/dynamic/enable");
    let detail = answer["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains("no plugin `dynamic` in "), "{status} {answer}");
    assert_eq!(plugin(&agent, "dynamic")["state"], "disabled");
    let (status, answer) = post(&agent, "/api/plugins/faulty/enable");
    let detail = answer["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains("add [plugins.faulty] to agent.toml"), "{status} {answer}");
}

#[test]
fn a_refused_plugin_starts_once_it_can() {
    let home = Home::new(&format!("{CONFIG}[plugins.faulty]\n")).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    assert_eq!(plugin(&agent, "faulty")["state"], "refused");
    assert_eq!(post(&agent, "/api/plugins/faulty/restart").0, 409);
    let home = home.plugin("faulty");
    assert_eq!(post(&agent, "/api/plugins/faulty/restart").0, 200);
    collects_on(&mut agent, "faulty", 2);
    drop(home);
    agent.stop();
}

#[test]
fn a_stuck_plugin_is_restarted_once() {
    let home = Home::new(&format!(
        "{CONFIG}[plugins.faulty]\nmode = \"in_process\"\nconfig = {{ mode = \"hang\", after = 2 }}\n"
    ));
    let home = home.plugin("synthetic").plugin("host-mem").plugin("faulty");
    let mut agent = home.start();
    let stuck = |agent: &mut Agent| {
        agent.until(LIMIT, "faulty to hang", |agent| {
            (plugin(agent, "faulty")["state"] == "stuck").then_some(())
        });
    };
    stuck(&mut agent);
    assert_eq!(post(&agent, "/api/plugins/faulty/restart").0, 200);
    stuck(&mut agent);
    let (status, answer) = post(&agent, "/api/plugins/faulty/restart");
    let detail = answer["detail"].as_str().unwrap();
    assert!(status == 409 && detail.contains("have not come back"), "{status} {answer}");
    assert_eq!(plugin(&agent, "faulty")["state"], "refused");
    collects_on(&mut agent, "synthetic", 5);
    agent.stop();
}
