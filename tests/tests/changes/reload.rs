//! The configuration is read again.

use super::*;
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_changed_interval_touches_its_plugin_alone() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    collects_on(&mut agent, "synthetic", 3);
    assert_eq!(reload(&agent)["changed"], false);

    home.write_config(&CONFIG.replace("[plugins.host-mem]", "[plugins.host-mem]\ninterval = \"400ms\""));
    let answer = reload(&agent);
    assert_eq!(answer["plugins"]["changed"], json!({"host-mem": ["interval"]}), "{answer}");
    assert_eq!((&answer["plugins"]["started"], &answer["plugins"]["stopped"]), (&json!([]), &json!([])));
    assert_eq!(agent.get("/-/ready").status, 200);
    collects_on(&mut agent, "synthetic", 5);
    collects_on(&mut agent, "host-mem", 3);
    assert_eq!(plugin(&agent, "host-mem")["interval_seconds"], 0.4);
    assert_eq!(plugin(&agent, "host-mem")["restarts"], 0);

    // the other one was neither made anew nor primed, and left nothing out: its count goes up by one a sample
    let (values, gaps) = history(&agent, "synthetic_value&label.n=0&limit=1000");
    assert!(values.windows(2).all(|pair| pair[0] == pair[1] + 1.0), "{values:?}");
    assert_eq!(gaps, [""; 0]);
    assert_eq!(history(&agent, "host_memory_total_bytes").1, [""; 0]);
    assert_eq!(event(&mut agent, "config_reloaded")["details"]["changed"]["host-mem"][0], "interval");
    agent.stop();
}

#[test]
fn another_configuration_of_a_plugin_makes_it_anew() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    home.write_config(&CONFIG.replace("gauges = 1", "gauges = 2"));
    assert_eq!(reload(&agent)["plugins"]["changed"], json!({"synthetic": ["config"]}));
    agent.until(LIMIT, "the second gauge", |agent| {
        history(agent, "synthetic_value&label.n=1").0.first().copied()
    });
    assert_eq!(history(&agent, "synthetic_value&label.n=0").1, [""; 0]);
    assert_eq!(plugin(&agent, "synthetic")["restarts"], 1);
    agent.stop();
}

#[test]
fn a_bad_file_changes_nothing_and_says_where() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    let bad = CONFIG.replace("[plugins.host-mem]", "[plugins.host-mem]\nenabled = false\nintervall = \"1s\"");
    home.write_config(&format!("{bad}[plugins.nobody]\n"));
    let (status, answer) = post(&agent, "/-/reload");
    assert_eq!(status, 422, "{answer}");
    let all = answer["detail"].as_array().unwrap();
    let place = |index: usize| all[index]["loc"][0].as_str().unwrap().to_owned();
    assert_eq!((all.len(), all[0]["loc"][1].as_str()), (2, Some("plugins.host-mem.intervall")), "{answer}");
    assert!(place(0).ends_with("agent.toml:10") && place(1).ends_with("agent.toml:11"), "{answer}");
    assert!(all[1]["msg"].as_str().unwrap().contains("no plugin `nobody`"), "{answer}");
    // as `check` prints them
    let check = home.command("check").output().unwrap();
    let printed = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(all.iter().all(|one| printed.contains(one["msg"].as_str().unwrap())), "{printed}\n{answer}");
    collects_on(&mut agent, "host-mem", 3);
    assert_eq!(plugin(&agent, "host-mem")["state"], "running");
    // nor does a file that is gone
    fs::remove_file(home.path("agent.toml")).unwrap();
    assert_eq!(post(&agent, "/-/reload").0, 422);
    collects_on(&mut agent, "host-mem", 2);
    agent.stop();
}

#[test]
fn drop_ins_rules_and_what_waits_for_a_restart() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem").plugin("faulty");
    let mut agent = home.start();
    agent.until_ready();
    fs::create_dir(home.path("agent.d")).unwrap();
    home.write("agent.d/faulty.toml", "[plugins.faulty]\n");
    let rule = "[[alert]]\nname = \"synthetic\"\nmetric = \"synthetic_value\"\nop = \">\"\nthreshold = 0\n";
    home.write(
        "agent.d/more.toml",
        &format!("{rule}[http]\ntimestamps = \"legacy\"\n[storage]\nretention = \"2d\"\n"),
    );
    let answer = reload(&agent);
    assert_eq!(answer["plugins"]["started"], json!(["faulty"]), "{answer}");
    assert_eq!(answer["alerts"]["added"], json!(["synthetic"]));
    assert_eq!(answer["needs_restart"], json!(["http.timestamps"]));
    assert_eq!(answer["keys"], json!(["storage.retention"]));
    collects_on(&mut agent, "faulty", 3);
    let fired = event(&mut agent, "synthetic");
    // a rule that stays as it is keeps its state: it neither fires again nor is resolved
    home.write("agent.d/faulty.toml", "[plugins.faulty]\nenabled = false\n");
    assert_eq!(reload(&agent)["plugins"]["stopped"], json!(["faulty"]));
    collects_on(&mut agent, "synthetic", 3);
    assert_eq!(agent.get("/api/events?type=synthetic").json()["events"], json!([fired]));
    assert_eq!(plugin(&agent, "faulty")["state"], "disabled");
    // its own metrics follow
    let own =
        agent.get("/api/metrics/host/history?metric_name=twarga_agent_plugin_series&label.plugin=faulty");
    assert_eq!(own.status, 200, "{}", own.text());
    agent.stop();
}

#[test]
fn a_refused_plugin_whose_file_has_come_is_shown_at_once() {
    let home = Home::new(&format!("{CONFIG}[plugins.faulty]\n")).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    assert_eq!(plugin(&agent, "faulty")["state"], "refused");
    let home = home.plugin("faulty");
    assert_eq!(reload(&agent)["plugins"]["failed"], json!({}));
    assert_eq!(plugin(&agent, "faulty")["state"], "running");
    collects_on(&mut agent, "faulty", 2);
    drop(home);
    agent.stop();
}

#[test]
fn sighup_reloads() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    home.write_config(&CONFIG.replace("[plugins.host-mem]", "[plugins.host-mem]\nenabled = false"));
    agent.signal(Signal::HUP);
    agent.until(LIMIT, "host-mem to be disabled", |agent| {
        (plugin(agent, "host-mem")["state"] == "disabled").then_some(())
    });
    home.write_config("[agent\n");
    agent.signal(Signal::HUP);
    agent.until(LIMIT, "a word about the error", |agent| {
        agent.home().log().contains("has errors, so nothing was changed").then_some(())
    });
    collects_on(&mut agent, "synthetic", 2);
    agent.stop();
}

#[test]
fn sighup_does_not_wait_for_what_it_starts_and_tells_it_all_the_same() {
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem").plugin("faulty");
    let mut agent = home.start();
    agent.until_ready();
    let until_told = |agent: &mut Agent, told: &str, times: usize| {
        let enough = |agent: &Agent| agent.home().log().matches(told).count() >= times;
        agent.until(LIMIT, told, |agent| enough(agent).then_some(()));
    };
    let faulty = "[plugins.faulty]\nmode = \"isolated\"\ninterval = \"6s\"\ndeadline = \"6s\"\nconfig = { mode = \"hang\" }\n";
    home.write_config(&format!("{CONFIG}{faulty}"));
    agent.signal(Signal::HUP);
    until_told(&mut agent, "SIGHUP: the configuration was read again: started: faulty", 1);
    // while its first collection lasts
    let without = CONFIG.replace("[plugins.host-mem]", "[plugins.host-mem]\nenabled = false");
    home.write_config(&format!("{without}{faulty}"));
    agent.signal(Signal::HUP);
    let failed = "SIGHUP: plugin faulty did not start: ";
    until_told(&mut agent, failed, 1);
    let log = home.log();
    let second = log.find("SIGHUP: the configuration was read again: stopped: host-mem");
    assert!(second.is_some_and(|second| second < log.find(failed).unwrap()), "{log}");
    // one that is refused is told of each time
    home.write_config(&format!("{without}{}", faulty.replace("hang", "config_error")));
    for times in 2..4 {
        agent.signal(Signal::HUP);
        until_told(&mut agent, failed, times);
    }
    assert_eq!(plugin(&agent, "faulty")["state"], "refused");
    agent.stop();
}

#[test]
fn who_may_reload() {
    let agent = Home::new(CONFIG).plugin("synthetic").plugin("host-mem").start();
    for path in ["/-/reload", "/api/plugins/synthetic/disable", "/api/plugins/nobody/restart"] {
        assert_eq!(agent.post(None, path, "").status, 401, "{path}");
        assert_eq!(agent.post(Some(twarga_tests::USER_TOKEN), path, "").status, 403, "{path}");
    }
    assert_eq!(plugin(&agent, "synthetic")["state"], "running");
}
