//! Ends and errors of a process that the matrix of faults (`tests/faults`) does not have.

use super::{PATIENCE, assert_healthy, beside_a_healthy_one, child, plugin, until_failed};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use twarga_tests::Agent;

/// Runs the fault and gives the agent, once it has told of it with these words and the healthy plugin is well.
fn told(name: &str, table: &str, words: &str) -> Agent {
    let mut agent = beside_a_healthy_one(name, table).start();
    let status = until_failed(&mut agent, name, words);
    assert_eq!(status["mode"], "isolated");
    assert_healthy(&mut agent);
    agent
}

fn fatal(mode: &str, words: &str) -> Agent {
    told("fatal", &format!("config = {{ mode = \"{mode}\", after = 1 }}"), words)
}

#[test]
fn ends_before_it_is_made_are_told() {
    fatal("exit_new", "ended by itself with exit code 0");
    fatal("segv_new", "ended by SIGSEGV");
    let words = "killed: took longer than its deadline of 80ms";
    told("fatal", "deadline = \"80ms\"\nconfig = { mode = \"hang_new\" }", words);
}

#[test]
fn errors_are_told_as_in_process() {
    for (mode, words) in [("error_collect", "planned in collect"), ("fatal_collect", "planned in collect")] {
        told("faulty", &format!("config = {{ mode = \"{mode}\", after = 1 }}"), words);
    }
}

#[test]
fn a_process_that_somebody_kills_is_started_again_also_after_an_upgrade() {
    let mut agent = beside_a_healthy_one("faulty", "").start();
    let first = child(&mut agent, "faulty");
    // what was checked is what runs: neither the new plugin's file nor the agent's own is looked at
    let new = agent.home().write("new", "no library at all");
    std::fs::rename(new, agent.home().plugins().join("libfaulty.so")).unwrap();
    std::fs::remove_file(agent.home().agent()).unwrap();
    kill_process(Pid::from_raw(first.cast_signed()).unwrap(), Signal::KILL).unwrap();
    until_failed(&mut agent, "faulty", "ended by SIGKILL, sent by somebody else");
    let second = child(&mut agent, "faulty");
    assert_ne!(first, second);
    agent.until(PATIENCE, "the restart", |agent| {
        let status = plugin(agent, "faulty");
        (status["restarts"].as_u64() >= Some(1) && status["state"] == "running").then_some(())
    });
    assert_healthy(&mut agent);
}

#[test]
fn processes_end_with_the_agent() {
    for gentle in [true, false] {
        let mut agent = beside_a_healthy_one("fatal", "config = { mode = \"hang_drop\" }").start();
        let pids = [child(&mut agent, "fatal"), child(&mut agent, "synthetic")];
        agent.until_ready();
        if gentle {
            agent.stop();
        } else {
            agent.kill();
        }
        let began = std::time::Instant::now();
        let alive = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
        while pids.iter().any(alive) {
            assert!(began.elapsed() < PATIENCE, "still there: {pids:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
