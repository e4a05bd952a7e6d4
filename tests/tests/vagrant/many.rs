//! Two hundred machines, a collection a second.

use super::{PATIENCE, QUIET, collections, noise::Witness, plugin, stage::Stage, stalled, vms};
use std::{io::Write, time::Duration};
use twarga_tests::process::Meter;

const MACHINES: u32 = 200;
const ROUNDS: u64 = 5;

/// What a collection of them may take of the processor, all threads of the plugin together. Built without optimisation,
/// the plugin takes many times what it takes in use (docs/benchmarks.md): this is to notice what grows with the square.
const MOST: Duration = Duration::from_millis(100);

#[test]
fn two_hundred_machines_keep_the_deadline() {
    let _quiet = QUIET.write();
    let stage = Stage::with(MACHINES, "1s", "");
    let mut agent = stage.start();
    agent.until(PATIENCE, "all machines", |agent| {
        let running = vms(agent).iter().filter(|vm| vm["state"] == "running").count();
        (running == MACHINES as usize).then_some(())
    });
    agent.until(PATIENCE, "its thread on its account", |agent| {
        (plugin(agent, "vagrant-vm")["cost"]["threads"].as_u64()? > 0).then_some(())
    });
    let witness = Witness::start();
    let before = plugin(&agent, "vagrant-vm");
    let meter = Meter::start(agent.pid()).unwrap();
    let last = collections(&agent) + ROUNDS;
    agent.until(PATIENCE, "its collections", |agent| (collections(agent) >= last).then_some(()));
    let after = plugin(&agent, "vagrant-vm");
    let usage = meter.finish().unwrap();

    let ticks: &[&str] = if stalled(witness) { &[] } else { &["missed_deadlines", "skipped"] };
    for key in ["failures", "refused_samples", "refused_series", "restarts"].iter().chain(ticks) {
        assert_eq!(after[key], before[key], "{key}: {after}\n{}", agent.home().log());
    }
    let rounds = after["collections"].as_f64().unwrap() - before["collections"].as_f64().unwrap();
    let cost = |key: &str| after["cost"][key].as_f64().unwrap() - before["cost"][key].as_f64().unwrap();
    let own = |name: &str| name.starts_with("vm-") || name.contains("vagrant");
    let threads: Vec<_> = usage.by_thread.iter().filter(|(name, _)| own(name)).collect();
    let cpu = threads.iter().map(|(_, cpu)| **cpu).sum::<Duration>().div_f64(rounds);
    let _ = writeln!(
        std::io::stderr(),
        "{MACHINES} machines, {rounds} collections: {cpu:?} a collection by thread, {:.2} ms by the ledger, {:.0} samples; {threads:?}",
        1e3 * cost("cpu_seconds") / rounds,
        cost("samples") / rounds
    );
    assert!(cpu < MOST && !cpu.is_zero(), "{cpu:?} a collection: {:?}", usage.by_thread);
    // what its threads use is most of what it costs; one that came and went between two looks may be missing
    let (told, used) = (cost("cpu_seconds"), cpu.as_secs_f64() * rounds);
    assert!(told > 0.8 * used, "{told} s are told, its threads used {used} s: {threads:?}");
    assert!(cost("samples") / rounds >= 20.0 * f64::from(MACHINES), "{after}");
    assert_eq!(vms(&agent).iter().filter(|vm| vm["state"] == "running").count(), MACHINES as usize);
    agent.stop();
}
