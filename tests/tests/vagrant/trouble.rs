//! A libvirt that hangs, and one machine that does: nothing else waits for them, and why a value is missing is said.

use super::{
    PATIENCE, QUIET, collects_on, flat, noise::Witness, plugin, stage::Stage, stalled, vm_events, vms,
};
use serde_json::Value;
use twarga_fake_libvirt::Behaviour;
use twarga_tests::Agent;

/// In order of their names in the answer's `unavailable`.
fn reason(vm: &Value, key: &str) -> String {
    assert!(vm[key].is_null(), "{key} of {vm}");
    vm["unavailable"][key].as_str().unwrap_or_else(|| panic!("no reason for {key} in {vm}")).to_owned()
}

fn lost(agent: &Agent) -> Vec<(&'static str, [u64; 4])> {
    ["host-cpu", "host-mem"]
        .map(|name| {
            let status = plugin(agent, name);
            let count = |key: &str| status[key].as_u64().unwrap();
            (name, [count("skipped"), count("missed_deadlines"), count("failures"), count("restarts")])
        })
        .to_vec()
}

fn of_host(agent: &Agent) -> u64 {
    plugin(agent, "host-cpu")["collections"].as_u64().unwrap()
}

#[test]
fn who_hangs_holds_up_nobody_and_is_named() {
    let _quiet = QUIET.read();
    let more = "[plugins.host-cpu]\nmode = \"in_process\"\n[plugins.host-mem]\nmode = \"in_process\"\n";
    let mut stage = Stage::with(3, "500ms", more);
    stage.home = stage.home.plugin("host-cpu").plugin("host-mem");
    let mut agent = stage.start();
    collects_on(&mut agent, 1);
    let witness = Witness::start();
    let (before, host) = (lost(&agent), (of_host(&agent), super::collections(&agent)));

    // the service hangs: what the processes tell goes on
    stage.fake.behave(Behaviour::Silent);
    collects_on(&mut agent, 4);
    for vm_id in 1..=3 {
        let vm = flat(&agent, vm_id);
        assert_eq!((&vm["state"], &vm["uptime_seconds"]), (&"running".into(), &500.into()), "{vm}");
        // how many processors it has stays known in the same run
        assert_eq!(vm["cpu_percent"], 0.0, "{vm}");
        for key in ["memory_percent", "network_rx_mb"] {
            assert_eq!(reason(&vm, key), "libvirt does not answer", "{vm}");
        }
    }
    let path = "/api/metrics/vm/1/history?metric_name=vm_cpu_seconds_total&limit=4";
    let used = agent.get(path).json();
    assert!(used["data"].as_array().unwrap().iter().all(|point| point["value"] == 3.0), "{used}");
    assert_eq!((&used["count"], used["gaps"].as_array().map(Vec::len)), (&4.into(), Some(0)), "{used}");
    stage.fake.behave(Behaviour::Honest);
    agent.until(PATIENCE, "all values", |agent| {
        (1..=3).all(|vm_id| flat(agent, vm_id).get("unavailable").is_none()).then_some(())
    });

    // one QEMU hangs: the others don't care
    stage.change(1, |domain| domain.hangs = true);
    collects_on(&mut agent, 4);
    let vm = flat(&agent, 2);
    assert_eq!((&vm["state"], &vm["cpu_percent"]), (&"running".into(), &0.0.into()), "{vm}");
    assert!(reason(&vm, "memory_percent").starts_with("qemu "), "{vm}");
    for vm_id in [1, 3] {
        let vm = flat(&agent, vm_id);
        assert!(vm.get("unavailable").is_none(), "{vm}");
    }
    stage.change(1, |domain| domain.hangs = false);
    agent.until(PATIENCE, "all values again", |agent| {
        flat(agent, 2).get("unavailable").is_none().then_some(())
    });

    // the service is gone, and comes back
    stage.fake.stop();
    collects_on(&mut agent, 2);
    let vm = flat(&agent, 1);
    assert_eq!(vm["state"], "running", "its process is there: {vm}");
    assert!(reason(&vm, "memory_percent").starts_with("libvirt "), "{vm}");
    stage.fake.resume().unwrap();
    agent.until(PATIENCE, "all values at last", |agent| {
        (1..=3).all(|vm_id| flat(agent, vm_id).get("unavailable").is_none()).then_some(())
    });

    let after = lost(&agent);
    let ticks = (of_host(&agent) - host.0, super::collections(&agent) - host.1);
    if !stalled(witness) {
        assert_eq!(after, before, "no tick is lost: {}", agent.home().log());
        assert!(ticks.0.abs_diff(ticks.1) <= 1, "as many of the host as of the machines: {ticks:?}");
    }
    assert!(vms(&agent).iter().all(|vm| vm["state"] == "running" && vm["reason"].is_null()));
    assert_eq!(vm_events(&agent), Vec::<String>::new());
    agent.stop();
}
