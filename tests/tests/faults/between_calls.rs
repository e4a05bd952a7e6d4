//! A process that ends between two collections.

use super::{PATIENCE, alone, beside_healthy_ones, healthy::Watch, plugin};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// The process of an isolated plugin.
fn process(agent: u32, name: &str) -> Option<u32> {
    let wanted = format!("twarga-agent isolated-plugin {name}");
    let is_it = |number: &u32| {
        let line = fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        line.replace('\0', " ").trim() == wanted && status.contains(&format!("PPid:\t{agent}\n"))
    };
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it)
}

#[test]
fn it_is_told_before_the_next_tick() {
    let _alone = alone();
    // its next tick is an hour away
    let table = "[plugins.faulty]\nmode = \"isolated\"\ninterval = \"1h\"\ndeadline = \"10s\"";
    let mut agent = beside_healthy_ones("faulty", table).start();
    agent.until(PATIENCE, "both collections at the start", |agent| {
        (plugin(agent, "faulty")["collections"] == 2).then_some(())
    });
    let watch = Watch::start(&mut agent);
    let child = process(agent.pid(), "faulty").unwrap();
    kill_process(Pid::from_raw(child.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let told = agent.until(PATIENCE, "its end", |agent| {
        let status = plugin(agent, "faulty");
        status["last_error"].is_string().then_some(status)
    });
    assert!(
        told["last_error"].as_str().unwrap().contains("ended by SIGKILL, sent by somebody else"),
        "{told}"
    );
    assert_eq!(
        (&told["failures"], &told["state"]),
        (&1.into(), &"running".into()),
        "one failure is no back-off"
    );
    watch.assert_no_tick_lost(&mut agent);
    agent.stop();
}
