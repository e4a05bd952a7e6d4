//! Each fault beside a healthy plugin.

use super::{PATIENCE, assert_healthy, beside_a_healthy_one, child, children, plugin, rows, until_failed};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use twarga_tests::{Agent, process::memory};

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
fn ends_of_the_process_are_told_precisely() {
    fatal("segv", "ended by SIGSEGV");
    fatal("abort", "ended by SIGABRT");
    fatal("exit", "ended by itself with exit code 0");
    fatal("stack_overflow", "ended by SIGABRT: ");
}

#[test]
fn ends_before_it_is_made_are_told() {
    fatal("exit_new", "ended by itself with exit code 0");
    fatal("segv_new", "ended by SIGSEGV");
    let words = "killed: took longer than its deadline of 80ms";
    told("fatal", "deadline = \"80ms\"\nconfig = { mode = \"hang_new\" }", words);
}

#[test]
fn what_does_not_come_back_is_killed() {
    for mode in ["busy", "sleep"] {
        let table = format!("deadline = \"80ms\"\nconfig = {{ mode = \"{mode}\", after = 2 }}");
        let agent = told("fatal", &table, "killed: took longer than its deadline of 80ms");
        let status = plugin(&agent, "fatal");
        assert_ne!(status["state"], "stuck", "{status}");
        assert!(status["missed_deadlines"].as_u64().unwrap() > 0, "{status}");
        assert!(status["restarts"].as_u64().unwrap() > 0 || status["state"] != "running", "{status}");
        agent.stop();
    }
}

#[test]
fn memory_has_a_limit() {
    let table = "max_memory = \"64MiB\"\ninterval = \"2s\"\nconfig = { mode = \"leak\", after = 1 }";
    told("fatal", table, "ran out of memory, max_memory is 64 MiB");
}

#[test]
fn children_of_a_plugin_end_with_it() {
    let mut agent = told("fatal", "interval = \"5s\"\nconfig = { mode = \"fork\" }", "exit code 3");
    agent.until(PATIENCE, "the end of its children", |_| {
        let sleeping = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            line.replace('\0', " ") == "sleep 123.4 "
        });
        (!sleeping).then_some(())
    });
    let dead = children(agent.pid()).into_iter().filter(|(_, state, _)| *state == 'Z').count();
    assert_eq!(dead, 0, "all are waited for");
    agent.stop();
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
fn noise_is_logged_in_part() {
    let table = "interval = \"10s\"\nconfig = { mode = \"noise\" }";
    let mut agent = beside_a_healthy_one("fatal", table).start();
    agent.until(PATIENCE, "the flood", |agent| {
        (plugin(agent, "fatal")["collections"].as_u64() >= Some(2)).then_some(())
    });
    assert_healthy(&mut agent);
    agent.until(PATIENCE, "the count of what is left out", |agent| {
        agent.home().log().contains("more lines are left out").then_some(())
    });
    let log = agent.home().log();
    assert!(log.contains("the last words before the flood"), "{log}");
    let lines = log.lines().filter(|line| line.contains("of a flood")).count();
    assert!((1..=60).contains(&lines), "{lines} lines");
    assert_eq!(plugin(&agent, "fatal")["failures"], 0);
}

#[test]
fn panics_are_errors_as_in_process() {
    for (mode, words) in [
        ("panic_new", "panicked: planned in new at "),
        ("panic_collect", "panicked: planned in collect at "),
        ("error_collect", "planned in collect"),
        ("fatal_collect", "planned in collect"),
    ] {
        told("faulty", &format!("config = {{ mode = \"{mode}\", after = 1 }}"), words);
    }
}

#[test]
fn lies_are_refused_and_counted_as_in_process() {
    let lies = [("nan", 3.0), ("bad_series", 11.0), ("duplicate", 1.0)];
    let tables = lies
        .map(|(mode, _)| format!("[plugins.{mode}]\nplugin = \"faulty\"\nconfig = {{ mode = \"{mode}\" }}"));
    let mut agent = beside_a_healthy_one("faulty", &tables.join("\n")).start();
    for (mode, refused) in lies {
        let metric = "twarga_agent_plugin_refused_samples_total";
        let statement = format!(
            "SELECT max(value) AS n FROM metrics WHERE name = '{metric}' AND labels LIKE '%\"{mode}\"%'"
        );
        let count = agent.until(PATIENCE, mode, |agent| {
            rows(agent, &statement)[0]["n"].as_f64().filter(|count| *count > 0.0)
        });
        assert_eq!(count % refused, 0.0, "{mode}: {count}");
        assert_eq!(plugin(&agent, mode)["restarts"], 0);
    }
    // the library's own series are there, those that it made up are not
    let made_up =
        rows(&agent, "SELECT count(*) AS n FROM metrics WHERE name IN ('faulty_item', 'faulty_steps_total')");
    assert_eq!(made_up[0]["n"], 0);
    assert_healthy(&mut agent);
}

#[test]
fn a_counter_that_falls_was_reset() {
    let mut agent = beside_a_healthy_one("faulty", "config = { mode = \"backwards\" }").start();
    agent.until(PATIENCE, "values that fall", |agent| {
        let values = rows(agent, "SELECT value FROM metrics WHERE name = 'faulty_steps_total' ORDER BY ts");
        let values: Vec<f64> = values.iter().filter_map(|row| row["value"].as_f64()).collect();
        (values.len() > 5).then(|| assert!(values.windows(2).all(|two| two[1] == two[0] - 1.0), "{values:?}"))
    });
    assert_healthy(&mut agent);
}

#[test]
fn a_million_series_stay_in_the_plugins_process() {
    let table = "interval = \"10s\"\nmax_series = 1000\nconfig = { mode = \"too_many\", n = 1000000 }";
    let mut agent = beside_a_healthy_one("faulty", table).start();
    agent.until(PATIENCE, "the refusal", |agent| {
        let refused = agent
            .home()
            .log()
            .contains("has 1000 series, as many as it may; raise plugins.faulty.max_series");
        (refused && plugin(agent, "faulty")["series"] == 1000).then_some(())
    });
    assert_healthy(&mut agent);
}

#[test]
fn the_agents_memory_stays_flat_while_a_plugin_dies_again_and_again() {
    let mut agent = fatal("segv", "ended by SIGSEGV");
    let own = |agent: &Agent| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_string();
        line.trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = own(&agent);
    let failures = plugin(&agent, "fatal")["failures"].as_u64().unwrap();
    agent.until(PATIENCE, "more deaths", |agent| {
        (plugin(agent, "fatal")["failures"].as_u64() >= Some(failures + 2)).then_some(())
    });
    assert!(own(&agent) < before + 4096, "{before} kB, then {} kB", own(&agent));
    assert!(memory(agent.pid()).unwrap().proportional > 0);
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
