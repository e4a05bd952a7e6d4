//! A new version that misses its deadline is tried again by itself, a few times: the machine may have been busy.

use super::*;
use serde_json::json;

/// A plugin whose version with the mark `synthetic-slow-1` is late as long as there is a file `slow`.
fn started(mode: &str, interval: u32) -> (Home, Agent) {
    let home = Home::new("").plugin("synthetic").plugin("host-mem");
    let slow = home.write("slow", "");
    let config = format!(
        "[plugins.synthetic]\ninterval = \"{interval}ms\"\ndeadline = \"{interval}ms\"\nmode = \"{mode}\"\n\
         config = {{ gauges = 1, counters = 1, slow = \"{}\", slow_ms = {} }}\n",
        slow.display(),
        2 * interval
    );
    let table = "[plugins.synthetic]\nconfig = { gauges = 1, counters = 1 }\n";
    assert!(CONFIG.contains(table));
    home.write_config(&CONFIG.replace(table, &config));
    let mut agent = home.start();
    agent.until_ready();
    (home, agent)
}

fn put(agent: &Agent, mark: &[u8; 16], version: &str) {
    replace_synthetic(agent.home(), mark, version);
    assert_eq!(reload(agent)["plugins"]["upgrading"], json!(["synthetic"]));
}

/// The details of all refusals, oldest first.
fn refusals(agent: &Agent) -> Vec<Value> {
    let events = agent.get("/api/events?type=plugin_upgrade_refused&limit=1000").json();
    events["events"].as_array().unwrap().iter().rev().map(|event| event["details"].clone()).collect()
}

/// When, after each of them, the file is tried again.
fn pauses(refusals: &[Value]) -> Vec<Option<f64>> {
    refusals.iter().map(|details| details["retry_seconds"].as_f64()).collect()
}

fn until_refused(agent: &mut Agent, times: usize) -> Vec<Value> {
    agent.until(LIMIT, &format!("refusal {times}"), |agent| {
        Some(refusals(agent)).filter(|refusals| refusals.len() >= times)
    })
}

#[test]
fn it_takes_over_as_soon_as_it_is_in_time() {
    // how long it took depends on the machine, too
    for (mode, begin, limit) in [
        ("isolated", "collection 1 failed: killed: took ", "longer than its deadline of 500ms; "),
        ("in_process", "collection 1 took ", " s, its deadline is 0.5 s; "),
    ] {
        let (home, mut agent) = started(mode, 500);
        put(&agent, b"synthetic-slow-1", "0.2.0");
        let refused = until_refused(&mut agent, 2);
        let is_late = |one: &Value| {
            let reason = one["reason"].as_str().unwrap();
            reason.starts_with(begin) && reason.contains(limit)
        };
        assert!(refused.iter().all(is_late), "{refused:?}");
        let reason = refused[0]["reason"].as_str().unwrap();
        assert!(reason.ends_with("it is tried again in 500ms"), "{reason}");
        assert_eq!(plugin(&agent, "synthetic")["version"], "0.1.0", "the old one goes on meanwhile");
        fs::remove_file(home.path("slow")).unwrap();
        assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "0.2.0");
        // the machine of the test may be busy too
        let pauses = pauses(&refusals(&agent));
        assert!([Some(0.5), Some(2.5), Some(15.0)].starts_with(&pauses), "{pauses:?}");
        assert_eq!(history(&agent, "synthetic_value&label.n=0").1, [""; 0]);
        agent.stop();
    }
}

#[test]
fn it_is_given_up_after_a_few_times_and_tried_anew_by_hand() {
    let (home, mut agent) = started("isolated", 200);
    put(&agent, b"synthetic-slow-1", "0.2.0");
    let refused = until_refused(&mut agent, 4);
    assert_eq!(pauses(&refused), [Some(0.2), Some(1.0), Some(6.0), None]);
    let reason = refused[3]["reason"].as_str().unwrap();
    assert!(reason.ends_with("it was tried 4 times, and is not again until it changes"), "{reason}");
    assert_eq!(reload(&agent)["plugins"]["upgrading"], json!([]));
    collects_on(&mut agent, "synthetic", 3);
    assert_eq!((refusals(&agent).len(), plugin(&agent, "synthetic")["version"].as_str()), (4, Some("0.1.0")));

    fs::remove_file(home.path("slow")).unwrap();
    assert_eq!(post(&agent, "/api/plugins/synthetic/restart").0, 200);
    assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "0.2.0");
    agent.stop();
}

#[test]
fn it_is_not_tried_again_once_there_is_another_file() {
    let (_home, mut agent) = started("isolated", 200);
    put(&agent, b"synthetic-slow-1", "0.2.0");
    until_refused(&mut agent, 2);
    put(&agent, b"synthetic-mark-3", "0.3.0");
    assert_eq!(event(&mut agent, "plugin_upgraded")["details"]["to"], "0.3.0");
    let late = |agent: &Agent| {
        let slow = |one: &&Value| one["reason"].as_str().unwrap().contains("deadline");
        refusals(agent).iter().filter(slow).count()
    };
    let before = late(&agent);
    // for longer than the pause that had begun
    collects_on(&mut agent, "synthetic", 8);
    assert_eq!((late(&agent), plugin(&agent, "synthetic")["version"].as_str()), (before, Some("0.3.0")));
    assert_eq!(
        agent.get("/api/events?type=plugin_upgraded").json()["count"],
        1,
        "nor is that one tried twice"
    );
    agent.stop();
}
