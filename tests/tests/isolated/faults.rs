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

/// Processes with this command line, its words ended by blanks.
fn running(command: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.replace('\0', " ") == command
    };
    pids.filter(is_it).collect()
}

fn end(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_program_with_a_group_of_its_own_ends_with_its_plugin_and_with_the_agent() {
    let table = "config = { command = [\"sleep\", \"1234.6\"], run = \"stream\" }";
    let mut agent = beside_a_healthy_one("exec", table).start();
    let process = child(&mut agent, "exec");
    let program = |agent: &mut Agent, other_than: &[u32]| {
        agent.until(PATIENCE, "the program", |_| {
            let all = running("sleep 1234.6 ");
            all.iter().find(|pid| !other_than.contains(pid)).copied()
        })
    };
    let first = program(&mut agent, &[]);
    let group = rustix::process::getpgid(Pid::from_raw(first.cast_signed())).unwrap();
    assert_eq!(group.as_raw_nonzero().get().cast_unsigned(), first, "it has a group of its own");
    end(process);
    let second = program(&mut agent, &[first]);
    agent.until(PATIENCE, "the end of the first one", |_| {
        (!running("sleep 1234.6 ").contains(&first)).then_some(())
    });
    agent.until(PATIENCE, "the second one alone", |_| (running("sleep 1234.6 ") == [second]).then_some(()));
    agent.kill();
    let began = std::time::Instant::now();
    while !running("sleep 1234.6 ").is_empty() {
        assert!(began.elapsed() < PATIENCE, "it outlives the agent");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_agent_holds_nothing_for_a_process_that_left() {
    let mut agent = beside_a_healthy_one("fatal", "config = { mode = \"daemon\" }").start();
    let left = agent.until(PATIENCE, "the process", |_| running("sleep 123.7 ").first().copied());
    let pipe = std::fs::read_link(format!("/proc/{left}/fd/1")).unwrap();
    assert!(pipe.starts_with("pipe:") || pipe.to_string_lossy().starts_with("pipe:["), "{pipe:?}");
    let held = |agent: &Agent| {
        let all = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().flatten();
        all.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to == pipe)).count()
    };
    assert_eq!(held(&agent), 1);
    assert_eq!(agent.post(Some(&agent.admin_token()), "/api/plugins/fatal/disable", "").status, 200);
    agent.until(PATIENCE, "the pipe to be closed", |agent| (held(agent) == 0).then_some(()));
    assert_eq!(running("sleep 123.7 "), [left], "it lives on");
    end(left);
    assert_healthy(&mut agent);
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
    // one that is killed while it starts was never there, and nothing is made anew
    agent.until(PATIENCE, "a collection", |agent| {
        plugin(agent, "faulty")["last_success"].is_string().then_some(())
    });
    // what was checked is what runs: neither the new plugin's file nor the agent's own is looked at
    let new = agent.home().write("new", "no library at all");
    std::fs::rename(new, agent.home().plugins().join("libfaulty.so")).unwrap();
    std::fs::remove_file(agent.home().agent()).unwrap();
    kill_process(Pid::from_raw(first.cast_signed()).unwrap(), Signal::KILL).unwrap();
    until_failed(&mut agent, "faulty", "ended by SIGKILL, sent by somebody else");
    let second = child(&mut agent, "faulty");
    assert_ne!(first, second);
    let status = agent.until(PATIENCE, "the restart", |agent| {
        let status = plugin(agent, "faulty");
        (status["state"] == "running" && status["last_success"].as_str() > status["last_error_at"].as_str())
            .then_some(status)
    });
    assert_eq!(status["restarts"], 1, "{status}");
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
