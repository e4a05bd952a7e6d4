//! Vagrant's machines, end to end: the real agent, the real plugin, over HTTP. [`fake`] against a stand-in for libvirt's
//! service, [`real`] against two machines of this host.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fake;
mod lab;
mod many;
#[path = "../faults/noise.rs"]
mod noise;
mod real;
mod scenes;
mod stage;
mod trouble;
mod watcher;

use serde_json::Value;
use std::{io::Write, sync::RwLock, time::Duration};
use twarga_tests::Agent;

const PATIENCE: Duration = Duration::from_secs(20);

/// Who measures, writes; the others read, and so don't disturb.
static QUIET: RwLock<()> = RwLock::new(());

/// Whether the machine kept everybody from the processor for so long that a tick may be lost for it.
fn stalled(witness: noise::Witness) -> bool {
    let longest = witness.stop().iter().map(|(from, to)| to - from).max().unwrap_or(0);
    let excuse = longest > 8 * noise::STALL;
    if excuse {
        let _ =
            writeln!(std::io::stderr(), "the machine stalled for {longest} ms: lost ticks are not counted");
    }
    excuse
}

/// What `/api/plugins` tells of one.
fn plugin(agent: &Agent, name: &str) -> Value {
    let all = agent.get("/api/plugins").json();
    let found = all["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
    found.unwrap_or_else(|| panic!("no plugin {name} in {all}")).clone()
}

/// How often the machines were collected.
fn collections(agent: &Agent) -> u64 {
    plugin(agent, "vagrant-vm")["collections"].as_u64().unwrap()
}

/// Waits until so many whole collections have begun and ended from now on.
fn collects_on(agent: &mut Agent, more: u64) {
    // one may be under way
    let last = collections(agent) + more + 1;
    agent.until(PATIENCE, &format!("{more} collections"), |agent| (collections(agent) >= last).then_some(()));
}

/// All machines.
fn vms(agent: &Agent) -> Vec<Value> {
    agent.get("/api/vms").json()["vms"].as_array().unwrap().clone()
}

/// The machine of this name that is not destroyed.
fn named(agent: &Agent, name: &str) -> Option<Value> {
    vms(agent).into_iter().find(|vm| vm["vm_name"] == name && vm["state"] != "destroyed")
}

/// The flat answer of a machine.
fn flat(agent: &Agent, vm_id: i64) -> Value {
    let answer = agent.get(&format!("/api/metrics/vm/{vm_id}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The events of machines, oldest first: name of the machine, type.
fn vm_events(agent: &Agent) -> Vec<String> {
    let events = agent.get("/api/events?limit=1000").json()["events"].as_array().unwrap().clone();
    let vms = vms(agent);
    let shown = |event: &Value| {
        let kind = event["type"].as_str().filter(|kind| kind.starts_with("vm_"))?;
        let vm = vms.iter().find(|vm| vm["vm_id"] == event["vm_id"]).unwrap();
        Some(format!("{} {kind}", vm["vm_name"].as_str().unwrap()))
    };
    events.iter().rev().filter_map(shown).collect()
}
