//! What the plugin vagrant-vm costs: processor time of all its threads a poll, memory and threads of the agent with it,
//! without machines, with two and with 200 of a stand-in for libvirt, and with those that this host has.
//!
//! `cargo bench -p twarga-tests --bench vagrant_cost`; `BENCH_POLLS` sets how many polls are measured (120),
//! `BENCH_INTERVALS` how far apart (`1 5`, in seconds), `BENCH_CASES` what (`none 2 200`; `host` is this host's own
//! libvirt, which the agent must be allowed to ask), `BENCH_LIBRARY` another build of the plugin, to compare with. Nothing is
//! asserted: a time is true for one machine only.

mod lab;

use lab::Lab;
use std::{
    thread::sleep,
    time::{Duration, Instant},
};
use twarga_tests::{
    Agent, Home,
    process::{Meter, Usage, memory, threads},
};

/// Until everything that is made at first use is there, and an address is asked for no more.
const WARM_UP: Duration = Duration::from_secs(8);

fn main() {
    let polls = words("BENCH_POLLS", "120").first().and_then(|polls| polls.parse().ok()).unwrap_or(120);
    for case in words("BENCH_CASES", "none 2 200") {
        let machines = case.parse().unwrap_or(0);
        let lab = (case != "host").then(|| Lab::with(machines));
        for interval in words("BENCH_INTERVALS", "1 5") {
            let interval = Duration::from_secs_f64(interval.parse().unwrap_or(1.0));
            measure(&case, lab.as_ref(), interval, polls);
        }
    }
}

fn words(variable: &str, usual: &str) -> Vec<String> {
    let text = std::env::var(variable).unwrap_or_else(|_| usual.into());
    text.split_whitespace().map(String::from).collect()
}

/// One agent with nothing but this plugin.
fn measure(case: &str, lab: Option<&Lab>, interval: Duration, polls: u32) {
    let config = lab.map_or_else(String::new, |lab| {
        format!("[plugins.vagrant-vm.config]\nusers = [\"*\"]\nroot = \"{}\"\n", lab.root().display())
    });
    let config = format!(
        "[agent]\ninterval = \"{}ms\"\n[plugins.vagrant-vm]\nmode = \"in_process\"\n{config}",
        interval.as_millis()
    );
    let home = Home::new(&config).plugin("vagrant-vm");
    if let Some(library) = std::env::var_os("BENCH_LIBRARY") {
        std::fs::copy(library, home.plugins().join("libvagrant_vm.so")).expect("another build");
    }
    let mut agent = home.start();
    agent.until_ready();
    sleep(WARM_UP.max(interval * 2));
    let before = Ledger::of(&agent);
    let mut meter = Meter::start(agent.pid()).expect("the agent runs");
    let end = Instant::now() + interval * polls;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        sleep(left.min(Duration::from_secs(1)));
        meter.look().expect("the agent runs");
    }
    let usage = meter.finish().expect("the agent runs");
    let after = Ledger::of(&agent);
    report(case, interval, &usage, &before, &after);
    let memory = memory(agent.pid()).expect("the agent runs");
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "  memory: PSS {:.2} MiB, RSS {:.2} MiB; {} threads\n",
        mebibytes(memory.proportional),
        mebibytes(memory.resident),
        threads(agent.pid())
    );
    agent.stop();
}

/// The plugin's share is what the lane used in its calls and what its own threads used. The agent's account has both, but for
/// threads that ended between two of its looks; the threads are counted here too, by their names.
fn report(case: &str, interval: Duration, usage: &Usage, before: &Ledger, after: &Ledger) {
    let polls = after.collections.saturating_sub(before.collections).max(1) as f64;
    let account = (after.cpu - before.cpu) * 1e3 / polls;
    let mut own = 0.0;
    let mut lines = String::new();
    for (thread, cpu) in &usage.by_thread {
        let cpu = cpu.as_secs_f64() * 1e3 / polls;
        if thread.starts_with("vm-") {
            own += cpu;
        }
        lines += &format!("  thread {thread:<14} {cpu:.4} ms a poll\n");
    }
    println!(
        "{case} at {interval:?}: {account:.4} ms a poll by the account, {own:.4} in its own threads; {:.3} ms wall, \
         {:.1} samples; {:.1} context switches of the agent a poll ({polls} polls)\n{lines}  agent {:.4} ms a poll",
        (after.wall - before.wall) * 1e3 / polls,
        (after.samples - before.samples) / polls,
        usage.voluntary_switches as f64 / polls,
        usage.cpu.as_secs_f64() * 1e3 / polls,
    );
}

/// What the agent's own account says of the plugin.
struct Ledger {
    cpu: f64,
    wall: f64,
    samples: f64,
    collections: u64,
}

impl Ledger {
    fn of(agent: &Agent) -> Self {
        let answer = agent.get("/api/plugins").json();
        let plugin = &answer["plugins"][0];
        assert_eq!(plugin["name"], "vagrant-vm", "{answer}");
        let cost = |key: &str| plugin["cost"][key].as_f64().unwrap_or(f64::NAN);
        let collections = plugin["cost"]["collections"].as_u64().or(plugin["collections"].as_u64());
        Self {
            cpu: cost("cpu_seconds"),
            wall: cost("wall_seconds"),
            samples: cost("samples"),
            collections: collections.unwrap_or_else(|| panic!("no collections in {plugin}")),
        }
    }
}
