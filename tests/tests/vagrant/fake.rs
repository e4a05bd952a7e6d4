//! The whole way of a machine's values, states and events, told by the stand-in.

use super::{
    QUIET, flat, named,
    stage::{Stage, WRITTEN, collect},
    vm_events, vms,
};
use serde_json::{Value, json};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};
use twarga_tests::Agent;

/// Two collections that are less apart give no ratio.
const TOO_SHORT: Duration = Duration::from_millis(120);
/// An index in which nothing is amiss is not looked at again within 1.5 s.
const RESTED: Duration = Duration::from_millis(1600);

/// The states of all machines, in the order of their numbers.
fn states(agent: &Agent) -> Vec<(i64, String, String)> {
    let told = |vm: &Value| {
        let text = |key: &str| vm[key].as_str().unwrap().to_owned();
        (vm["vm_id"].as_i64().unwrap(), text("vm_name"), text("state"))
    };
    let mut states: Vec<_> = vms(agent).iter().map(told).collect();
    states.sort();
    states
}

fn are(expected: &[(i64, &str, &str)]) -> Vec<(i64, String, String)> {
    expected.iter().map(|(id, name, state)| (*id, (*name).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn values_are_those_of_the_hypervisor_and_of_the_process() {
    let _quiet = QUIET.read();
    let stage = Stage::with(2, "1h", "");
    stage.change(1, |domain| domain.put("vcpu.current", twarga_fake_libvirt::Value::Uint(4)));
    let agent = stage.start();

    // how long a collection's interval was, the test knows but between two bounds
    sleep(TOO_SHORT);
    let begun = Instant::now();
    collect(&agent);
    let ended = Instant::now();
    stage.used(0, 310);
    stage.used(1, 380);
    sleep(Duration::from_millis(400));
    let (least, most) = (ended.elapsed(), {
        collect(&agent);
        begun.elapsed()
    });
    let vm = flat(&agent, 1);
    for (vm_id, used, processors) in [(1, 0.1, 1.0), (2, 0.8, 4.0)] {
        let percent = flat(&agent, vm_id)["cpu_percent"].as_f64().unwrap();
        let between =
            100.0 * used / processors / most.as_secs_f64()..100.0 * used / processors / least.as_secs_f64();
        assert!(
            between.start - 0.01 <= percent && percent <= between.end + 0.01,
            "{percent} not in {between:?}"
        );
    }

    for (key, value) in [
        ("vm_name", json!("m0")),
        ("vm_status", json!("running")),
        ("state", json!("running")),
        ("ram_allocated_mb", json!(256)),
        ("disk_allocated_gb", json!(1)),
        ("cpu_allocated_cores", json!(1)),
        ("uptime_seconds", json!(500)),
        ("ip_address", json!("192.168.121.2")),
        // available less usable, 158076 − 129332 KiB
        ("memory_used_mb", json!(28.07)),
        ("network_rx_mb", json!(0.01)),
        ("network_tx_mb", json!(0.01)),
    ] {
        assert_eq!(vm[key], value, "{key} of {vm}");
    }
    assert!(vm.get("unavailable").is_none(), "{vm}");
    let native = |name: &str| {
        let path = format!("/api/metrics/vm/1/history?metric_name={name}&limit=1");
        agent.get(&path).json()["data"][0]["value"].as_f64()
    };
    assert_eq!(native("vm_disk_used_bytes"), Some(WRITTEN as f64));
    assert_eq!(native("vm_disk_written_bytes_total"), Some(16_797_696.0));
    assert_eq!(native("vm_network_receive_bytes_total"), Some(14_562.0));
    assert_eq!(native("vm_cpu_seconds_total"), Some(3.1));
    assert_eq!(named(&agent, "m0").unwrap()["project"], "/project");
    agent.stop();
}

#[test]
fn what_happens_to_machines_is_told_once_and_they_keep_their_numbers() {
    let _quiet = QUIET.read();
    let mut stage = Stage::with(4, "1h", "");
    let mut agent = stage.start();
    let running = |id: i64, name: &'static str| (id, name, "running");
    let all = [running(1, "m0"), running(2, "m1"), running(3, "m2"), running(4, "m3")];
    assert_eq!(states(&agent), are(&all));
    assert!(vm_events(&agent).is_empty());

    // halted, crashed, paused
    for (number, reason) in [(0, 1), (1, 3)] {
        stage.change(number, |domain| domain.shut_off(reason));
        stage.end_process(number);
    }
    stage.change(2, |domain| domain.state(3, 1));
    collect(&agent);
    let now = [(1, "m0", "shutoff"), (2, "m1", "crashed"), (3, "m2", "paused"), running(4, "m3")];
    assert_eq!(states(&agent), are(&now));
    let mut events = ["m0 vm_stopped", "m1 vm_crashed", "m2 vm_paused"].map(String::from).to_vec();
    assert_eq!(vm_events(&agent), events);
    let crash = &agent.get("/api/events?type=vm_crashed").json()["events"][0];
    assert_eq!((&crash["severity"], &crash["vm_id"]), (&json!("warning"), &json!(2)), "{crash}");
    let vm = &named(&agent, "m1").unwrap()["vm"];
    let details = json!({"vm_id": 2, "vm": vm, "name": "m1", "from": "running", "to": "crashed"});
    assert_eq!(crash["details"], details);
    for (vm_id, reason) in [(1, "shut off"), (2, "crashed")] {
        let vm = flat(&agent, vm_id);
        for key in ["cpu_percent", "memory_percent", "uptime_seconds", "network_rx_mb"] {
            assert_eq!((&vm[key], &vm["unavailable"][key]), (&Value::Null, &json!(reason)), "{key}: {vm}");
        }
        assert_eq!((&vm["ram_allocated_mb"], &vm["cpu_allocated_cores"]), (&json!(256), &json!(1)));
    }

    // switched off and on again, and started anew: nothing is destroyed, nothing told twice
    let switch = |agent: &Agent, word: &str| {
        let answer = agent.post(Some(&agent.admin_token()), &format!("/api/plugins/vagrant-vm/{word}"), "");
        assert_eq!(answer.json()["success"], true, "{}", answer.text());
    };
    switch(&agent, "disable");
    assert_eq!(states(&agent), are(&now), "the last that was known");
    // that its series have ended is told with the next round
    agent.until(super::PATIENCE, "the end of its series", |agent| {
        vms(agent).iter().all(|vm| vm["fresh"] == false).then_some(())
    });
    switch(&agent, "enable");
    collect(&agent);
    assert_eq!(states(&agent), are(&now));
    agent.stop();
    let agent = stage.start();
    assert_eq!(states(&agent), are(&now));
    assert_eq!(vm_events(&agent), events);

    // one goes, one comes, while the agent runs and while it is down
    stage.destroy(3);
    stage.add(7);
    stage.write_index(&stage.index());
    collect(&agent);
    collect(&agent);
    let now = [now[0], now[1], now[2], (4, "m3", "destroyed"), running(5, "m7")];
    assert_eq!(states(&agent), are(&now));
    let mut told = vm_events(&agent).split_off(events.len());
    told.sort();
    assert_eq!(told, ["m3 vm_destroyed", "m7 vm_created", "m7 vm_started"]);
    events = vm_events(&agent);
    agent.kill();
    stage.destroy(7);
    let agent = stage.start();
    collect(&agent);
    events.push("m7 vm_destroyed".into());
    assert_eq!(vm_events(&agent), events);
    assert_eq!(states(&agent).len(), 5, "numbers are never given again");
    agent.stop();
}

#[test]
fn a_broken_index_takes_nobody_away() {
    let _quiet = QUIET.read();
    let stage = Stage::with(3, "1h", "");
    let agent = stage.start();
    let whole = stage.index();
    let all = states(&agent);
    let broken = [
        ("empty", Vec::new()),
        ("half", whole.as_bytes()[..whole.len() / 2].to_vec()),
        ("cut at the end", whole.as_bytes()[..whole.len() - 1].to_vec()),
        ("garbage", vec![0xff; 4096]),
        ("something else", b"[1, 2, 3]".to_vec()),
        ("of another version", whole.replace("\"version\":1", "\"version\":9").into_bytes()),
    ];
    // from then on it is looked at with each collection, since something is amiss
    sleep(RESTED);
    for (what, bytes) in broken {
        stage.write("index", bytes);
        for _ in 0..3 {
            collect(&agent);
            assert_eq!(states(&agent), all, "{what}");
        }
        sleep(TOO_SHORT);
        collect(&agent);
        assert!(
            flat(&agent, 2).get("unavailable").is_none(),
            "{what}: they are read on: {}",
            flat(&agent, 2)
        );
    }
    assert!(agent.home().log().contains("what it said before is used"), "{}", agent.home().log());
    stage.write_index(&whole);
    collect(&agent);
    assert_eq!(states(&agent), all);

    // nobody can read it from the start: what was known is not destroyed
    agent.stop();
    stage.write("index", "garbage");
    let mut agent = stage.home.start();
    agent.until(super::PATIENCE, "a failed collection", |agent| {
        let status = super::plugin(agent, "vagrant-vm");
        status["last_error"].is_string().then_some(())
    });
    assert!(vm_events(&agent).is_empty(), "{:?}", vm_events(&agent));
    assert!(vms(&agent).iter().all(|vm| vm["state"] == "running" && vm["fresh"] == false));
    stage.write_index(&whole);
    agent.stop();
    let agent = stage.start();
    assert_eq!((states(&agent), vm_events(&agent)), (all, Vec::new()));

    // gone altogether: so says Vagrant where nothing was ever made; libvirt has the last word
    stage.remove("index");
    sleep(RESTED);
    collect(&agent);
    assert_eq!(vm_events(&agent), Vec::<String>::new());
    agent.stop();
}
