//! The table of faults, and what each must come to.

use super::{
    PATIENCE, alone, beside_healthy_ones,
    healthy::{Watch, millis},
    plugin, post,
};
use serde_json::Value;
use std::fs;
use twarga_tests::Agent;

/// The culprit's interval. It is enough for its deadline of 300 ms, and for a busy machine to say so.
const INTERVAL: i64 = 1000;
/// Collections after which the agent's memory is as it stays: tables, buffers and threads are there.
const FIRST_CYCLES: u64 = 6;
/// And so many more.
const CYCLES: u64 = 12;
/// What the agent's memory may grow by in those, whatever the culprit does: what the history of the healthy plugins takes,
/// and pages that the allocator keeps. Mostly it is nothing; 0.2 MiB beside 1000 series more. So a leak of 50 KiB in each
/// collection would be seen, far less than what these faults hold.
const GROWTH_KIB: u64 = 512;

const BOTH: &[&str] = &["in_process", "isolated"];
const ISOLATED: &[&str] = &["isolated"];

/// How `/api/plugins` names what went wrong.
enum Told<'a> {
    /// In the last error.
    Error(&'a str),
    /// So many samples are refused in each collection.
    RefusedSamples(u64),
    /// Registrations of series are refused.
    RefusedSeries,
    /// Nothing went wrong by any rule.
    Nothing,
}

struct Fault<'a> {
    plugin: &'a str,
    config: &'a str,
    /// More keys of its table.
    keys: &'a str,
    told: Told<'a>,
    /// What each of its collections leaks for good, KiB, where that can't be taken back.
    leaks_kib: u64,
    /// Whether its collections come back.
    comes_back: bool,
}

impl<'a> Fault<'a> {
    fn faulty(mode: &'a str, told: Told<'a>) -> Self {
        Self { plugin: "faulty", config: mode, keys: "", told, leaks_kib: 0, comes_back: true }
    }

    fn fatal(mode: &'a str, words: &'a str) -> Self {
        Self { plugin: "fatal", ..Self::faulty(mode, Told::Error(words)) }
    }

    /// Runs it in these modes, one after the other, and looks at it with `check` before the agent stops.
    fn run(&self, modes: &[&str], check: impl Fn(&mut Agent, &str)) {
        let _alone = alone();
        for mode in modes {
            let mut agent = self.start(mode);
            let watch = Watch::start(&mut agent);
            assert_eq!(post(&agent, "culprit", "enable"), 200, "{}", agent.home().log());
            self.assert_told(&mut agent);
            if self.comes_back {
                self.assert_flat(&mut agent, mode);
            }
            check(&mut agent, mode);
            watch.assert_no_tick_lost(&mut agent);
            agent.stop();
        }
    }

    fn start(&self, mode: &str) -> Agent {
        let Self { plugin, config, keys, .. } = self;
        let times = if keys.contains("interval") { "" } else { "interval = \"1s\"\ndeadline = \"300ms\"\n" };
        let table = format!(
            "[plugins.culprit]\nplugin = \"{plugin}\"\nenabled = false\nmode = \"{mode}\"\n{times}{keys}\n\
             config = {{ {config} }}"
        );
        beside_healthy_ones(plugin, &table).start()
    }

    /// By the agent's own clock, no later than an interval after the collection with the fault began.
    fn assert_told(&self, agent: &mut Agent) {
        let Told::Error(words) = self.told else { return self.assert_refused(agent) };
        let told = agent.until(PATIENCE, words, |agent| {
            let status = plugin(agent, "culprit");
            let says = status["last_error"].as_str().is_some_and(|error| error.contains(words));
            // the next collection may have begun meanwhile
            (says && status["last_error_at"].as_str() >= status["last_run"].as_str()).then_some(status)
        });
        let after = millis(&told["last_error_at"]) - millis(&told["last_run"]);
        assert!(after <= INTERVAL, "told after {after} ms: {told}");
    }

    /// Refusals are told with the collection that they are of.
    fn assert_refused(&self, agent: &mut Agent) {
        cycle(agent, 3);
        let status = plugin(agent, "culprit");
        let count = |key: &str| status[key].as_u64().unwrap();
        match self.told {
            Told::RefusedSamples(each) => {
                assert_eq!(count("refused_samples"), each * count("collections"), "{status}");
            }
            Told::RefusedSeries => assert!(count("refused_series") > 0, "{status}"),
            Told::Nothing | Told::Error(_) => {
                assert_eq!((count("refused_samples"), count("refused_series")), (0, 0), "{status}");
            }
        }
        assert_eq!(count("failures"), 0, "{status}");
    }

    fn assert_flat(&self, agent: &mut Agent, mode: &str) {
        cycle(agent, FIRST_CYCLES);
        let before = resident_kib(agent);
        let cycles = cycle(agent, CYCLES);
        let after = resident_kib(agent);
        let leaked = if mode == "isolated" { 0 } else { self.leaks_kib * cycles };
        let grown = after.saturating_sub(before);
        assert!(grown <= leaked + GROWTH_KIB, "{before} KiB, after {cycles} collections {after} KiB");
    }
}

/// Lets the culprit collect so often at least, also while it is left alone because it fails; how often it did.
fn cycle(agent: &mut Agent, times: u64) -> u64 {
    let collections = |agent: &Agent| plugin(agent, "culprit")["collections"].as_u64().unwrap();
    let before = collections(agent);
    agent.until(PATIENCE, "more collections of the culprit", |agent| {
        let done = collections(agent) - before;
        if done < times {
            post(agent, "culprit", "collect"); // what it answers is the fault
        }
        (done >= times).then_some(done)
    })
}

/// What the agent's process alone holds in RAM.
fn resident_kib(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn nothing_more(_: &mut Agent, _: &str) {}

#[test]
fn a_panic_when_it_is_made() {
    Fault::faulty("mode = \"panic_new\"", Told::Error("panicked: planned in new at "))
        .run(BOTH, nothing_more);
}

#[test]
fn a_panic_in_a_collection() {
    let fault = Fault::faulty("mode = \"panic_collect\"", Told::Error("panicked: planned in collect at "));
    fault.run(BOTH, nothing_more);
}

/// Nobody is left to whom an error could be told: the collector has been replaced by then. It is in the log.
#[test]
fn a_panic_when_it_is_dropped() {
    Fault::faulty("mode = \"panic_drop\"", Told::Nothing).run(BOTH, |agent, _| {
        for restarts in 1..=5_u64 {
            assert_eq!(post(agent, "culprit", "restart"), 200);
            agent.until(PATIENCE, "the restart", |agent| {
                (plugin(agent, "culprit")["restarts"].as_u64() >= Some(restarts)).then_some(())
            });
        }
        agent.until(PATIENCE, "the log of the panic", |agent| {
            agent.home().log().contains("planned in drop").then_some(())
        });
        let status = plugin(agent, "culprit");
        assert_eq!((&status["state"], &status["failures"]), (&"running".into(), &0.into()), "{status}");
    });
}

#[test]
fn ends_of_the_process() {
    for (config, words) in [
        ("mode = \"segv\"", "ended by SIGSEGV"),
        ("mode = \"abort\"", "ended by SIGABRT"),
        ("mode = \"exit\"", "ended by itself with exit code 0"),
        ("mode = \"stack_overflow\"", "ended by SIGABRT: "),
    ] {
        Fault::fatal(config, words).run(ISOLATED, nothing_more);
    }
}

#[test]
fn an_endless_loop_isolated() {
    let words = "killed: took longer than its deadline of 300ms";
    Fault::fatal("mode = \"busy\", after = 1", words).run(ISOLATED, |agent, _| {
        let status = plugin(agent, "culprit");
        assert_ne!(status["state"], "stuck", "{status}");
        assert!(status["missed_deadlines"].as_u64().unwrap() > 0, "{status}");
        assert!(status["restarts"].as_u64().unwrap() > 0, "{status}");
    });
}

/// It has a processor for itself until the agent ends: nothing takes it back in process.
#[test]
fn an_endless_loop_in_process() {
    let words = "has not come back within its deadline of 0.3 s";
    let fault = Fault { comes_back: false, ..Fault::fatal("mode = \"busy\", after = 1", words) };
    fault.run(&["in_process"], |agent, _| {
        let status = plugin(agent, "culprit");
        assert_eq!((&status["state"], &status["missed_deadlines"]), (&"stuck".into(), &1.into()), "{status}");
        let before = resident_kib(agent);
        Watch::start(agent).assert_no_tick_lost(agent);
        let after = resident_kib(agent);
        assert!(after <= before + GROWTH_KIB, "{before} KiB, then {after} KiB");
        assert_eq!(plugin(agent, "culprit")["collections"], 1);
    });
}

#[test]
fn a_sleep_beyond_the_deadline() {
    let words = "killed: took longer than its deadline of 300ms";
    Fault::fatal("mode = \"sleep\", after = 1", words).run(ISOLATED, nothing_more);
    let words = "its deadline is 0.3 s";
    Fault::faulty("mode = \"slow\", ms = 450", Told::Error(words)).run(&["in_process"], nothing_more);
}

#[test]
fn a_leak_isolated() {
    let words = "ran out of memory, max_memory is 64 MiB";
    let fault = Fault::fatal("mode = \"leak\", after = 1", words);
    let keys = "interval = \"1s\"\nmax_memory = \"64MiB\"";
    Fault { keys, ..fault }.run(ISOLATED, nothing_more);
}

/// Its memory is the agent's: nothing takes it back, and nothing names it. What is shown: the agent grows by that alone.
#[test]
fn a_leak_in_process() {
    let fault = Fault::faulty("mode = \"leak\", n = 1048576", Told::Nothing);
    Fault { leaks_kib: 1024 + 4, ..fault }.run(BOTH, nothing_more);
}

#[test]
fn a_million_series() {
    let fault = Fault::faulty("mode = \"too_many\", n = 1000000", Told::RefusedSeries);
    // to ask for them all takes seconds in a debug build
    Fault { keys: "interval = \"5m\"\nmax_series = 1000", ..fault }.run(BOTH, |agent, _| {
        let status = plugin(agent, "culprit");
        assert_eq!(
            (&status["series"], &status["refused_series"]),
            (&1000.into(), &999_002.into()),
            "{status}"
        );
        let words = "has 1000 series, as many as it may; raise plugins.culprit.max_series";
        let events = agent.get("/api/events?type=series_limit").json();
        assert!(events["events"][0]["message"].as_str().unwrap().contains(words), "{events}");
    });
}

#[test]
fn a_flood_of_values_that_are_no_numbers() {
    Fault::faulty("mode = \"nan\", n = 5000", Told::RefusedSamples(5000)).run(BOTH, nothing_more);
}

#[test]
fn ids_that_it_was_never_given() {
    Fault::faulty("mode = \"bad_series\"", Told::RefusedSamples(11)).run(BOTH, |agent, _| {
        let items = agent.get("/api/metrics/host/history?metric_name=faulty_item").json();
        assert_eq!(items["count"], 0, "{items}");
    });
}

#[test]
fn two_samples_of_one_series() {
    Fault::faulty("mode = \"duplicate\"", Told::RefusedSamples(1)).run(BOTH, nothing_more);
}

/// By the rules of counters that is a reset.
#[test]
fn a_counter_that_falls() {
    Fault::faulty("mode = \"backwards\"", Told::Nothing).run(BOTH, |agent, _| {
        let path = "/api/metrics/host/history?metric_name=faulty_steps_total&limit=1000";
        let values: Vec<f64> = agent.until(PATIENCE, "values that fall", |agent| {
            let history = agent.get(path).json();
            let data = history["data"].as_array()?;
            (data.len() > 10).then(|| data.iter().filter_map(|point| point["value"].as_f64()).collect())
        });
        // the newest first
        assert!(values.windows(2).all(|two| two[0] == two[1] - 1.0), "{values:?}");
        let increase = agent.get(&format!("{path}&step=1h&agg=increase")).json();
        let all = increase["data"].as_array().unwrap().iter();
        assert!(all.filter_map(|point| point["value"].as_f64()).all(|value| value >= 0.0), "{increase}");
    });
}

/// It writes to where the agent itself does.
#[test]
fn noise_on_standard_output_in_process() {
    let fault = Fault::faulty("mode = \"stdout\", n = 2000", Told::Nothing);
    fault.run(&["in_process"], |agent, _| assert!(agent.output().len() >= 2000));
}

/// Its lines are the agent's log, cut.
#[test]
fn noise_on_standard_output_isolated() {
    let fault = Fault { told: Told::Nothing, ..Fault::fatal("mode = \"noise\"", "") };
    // 100 000 lines take seconds in a debug build
    Fault { keys: "interval = \"1m\"", ..fault }.run(ISOLATED, |agent, _| {
        agent.until(PATIENCE, "the count of what is left out", |agent| {
            agent.home().log().contains("more lines are left out").then_some(())
        });
        let log = agent.home().log();
        assert!(log.contains("the last words before the flood"), "{log}");
        let lines = log.lines().filter(|line| line.contains("of a flood")).count();
        assert!((1..=200).contains(&lines), "{lines} lines");
    });
}

#[test]
fn a_fork_bomb() {
    let fault = Fault::fatal("mode = \"fork\"", "ended by itself with exit code 3");
    // fifty processes take their time on a busy machine
    Fault { keys: "interval = \"1s\"", ..fault }.run(ISOLATED, |agent, _| {
        agent.until(PATIENCE, "the end of its children", |_| {
            let sleeping = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
                line.replace('\0', " ") == "sleep 123.4 "
            });
            (!sleeping).then_some(())
        });
        let of_the_agent = format!("PPid:\t{}\n", agent.pid());
        agent.until(PATIENCE, "the last one to be waited for", |_| {
            let dead = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
                status.contains(&of_the_agent) && status.contains("State:\tZ")
            });
            (!dead).then_some(())
        });
    });
}

/// A value of the API that the tests compare as text is one: times of one form sort as they are.
#[test]
fn times_of_the_api_are_read() {
    let text = |text: &str| millis(&Value::from(text));
    assert_eq!(text("1970-01-01T00:00:00.000000Z"), 0);
    assert_eq!(text("2024-02-29T12:34:56.789000Z"), 1_709_210_096_789);
}
