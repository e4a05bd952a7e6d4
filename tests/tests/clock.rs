//! The wall clock is stepped under the real agent, by libfaketime: no sample is lost, no false value appears, the gap
//! says why. Skipped with a reason where the library is not installed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use twarga_tests::{Agent, Home};

const CONFIG: &str = r#"
[agent]
interval = "400ms"
align_offset = "none"
[plugins.synthetic]
mode = "in_process"
config = { gauges = 1, counters = 1 }
"#;
const LIMIT: Duration = Duration::from_secs(10);
const HISTORY: &str = "/api/metrics/host/history?metric_name=synthetic_value&limit=10000";

/// Debian's `faketime` puts it below the architecture's folder.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// Time and value of every sample, in the order in which they were collected: the value counts collections.
fn samples(agent: &Agent) -> Vec<(String, u64)> {
    let history = agent.get(HISTORY).json();
    let point = |point: &serde_json::Value| {
        (point["timestamp"].as_str().unwrap().to_string(), point["value"].as_f64().unwrap() as u64)
    };
    let mut samples: Vec<_> = history["data"].as_array().unwrap().iter().map(point).collect();
    samples.sort_by_key(|(_, value)| *value);
    samples
}

/// Waits until so many samples were collected under a clock that reads so.
fn wait_for(agent: &mut Agent, day_and_hour: &str, count: usize) {
    agent.until(LIMIT, day_and_hour, |agent| {
        let seen = samples(agent).iter().filter(|(time, _)| time.starts_with(day_and_hour)).count();
        (seen >= count).then_some(())
    });
}

/// A home whose agent reads its wall clock from a file.
fn faked(library: &Path, begins: &str) -> (Home, PathBuf) {
    let home = Home::new(CONFIG).plugin("synthetic");
    let clock = home.write("clock", begins);
    let home = home
        .variable("LD_PRELOAD", library.to_str().unwrap())
        .variable("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("DONT_FAKE_MONOTONIC", "1")
        .variable("TZ", "UTC");
    (home, clock)
}

#[allow(clippy::explicit_write, reason = "println and eprintln are captured where the test passes")]
fn skipped() {
    writeln!(std::io::stderr(), "skipped: libfaketime is not installed (Debian's package faketime)").unwrap();
}

#[test]
fn steps_of_the_clock_lose_nothing() {
    let Some(library) = library() else { return skipped() };
    let (home, clock) = faked(&library, "@2026-11-20 12:30:00\n");
    let mut agent = home.start();
    let steps = [
        ("@2026-11-20 12:30:00", "2026-11-20T12"),
        ("@2026-11-20 13:31:00", "2026-11-20T13"), // an hour forward
        ("@2026-11-20 11:29:00", "2026-11-20T11"), // two hours back
        ("@1970-01-01 00:00:10", "1970-01-01T00"), // a clock that was never set
        ("@2038-01-19 03:14:06", "2038-01-19T03:14:09"), // over the end of 32 bits
    ];
    for (clock_reads, samples_say) in steps {
        std::fs::write(&clock, format!("{clock_reads}\n")).unwrap();
        wait_for(&mut agent, samples_say, 2);
    }

    let all = samples(&agent);
    let values: Vec<u64> = all.iter().map(|(_, value)| *value).collect();
    let expected: Vec<u64> = (values[0]..values[0] + values.len() as u64).collect();
    assert_eq!(values, expected, "every collection is there, once");
    let history = agent.get(HISTORY).json();
    let reasons: Vec<&str> =
        history["gaps"].as_array().unwrap().iter().map(|gap| gap["reason"].as_str().unwrap()).collect();
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| *reason == "clock_step"), "{reasons:?}");
    let plugin = &agent.get("/api/plugins").json()["plugins"][0];
    assert_eq!((&plugin["failures"], &plugin["skipped"]), (&0.into(), &0.into()), "{plugin}");
    let events = agent.get("/api/events?type=clock_step").json();
    assert_eq!(events["count"], 4, "{events}");
    agent.stop();
}

#[test]
fn a_boot_in_1970_the_true_time_a_restart_and_1970_again() {
    let Some(library) = library() else { return skipped() };
    let (home, clock) = faked(&library, "@1970-01-01 00:00:05\n");
    let mut agent = home.start();
    wait_for(&mut agent, "1970-01-01T00", 4);
    std::fs::write(&clock, "@2026-11-20 12:30:00\n").unwrap();
    wait_for(&mut agent, "2026-11-20T12", 4);
    let before = samples(&agent);
    let values: Vec<u64> = before.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, (values[0]..values[0] + values.len() as u64).collect::<Vec<_>>());
    agent.stop();
    // the machine boots without a network: the clock is before the last commit
    std::fs::write(&clock, "@1970-01-01 00:10:00\n").unwrap();
    let mut agent = home.start();
    wait_for(&mut agent, "1970-01-01T00:1", 4);
    std::fs::write(&clock, "@2026-11-20 12:40:00\n").unwrap();
    wait_for(&mut agent, "2026-11-20T12:4", 4);
    let all = samples(&agent);
    for known in before {
        assert!(all.contains(&known), "{known:?} is gone");
    }
    let newer: Vec<u64> = all
        .iter()
        .filter(|(time, _)| time.starts_with("1970-01-01T00:1") || time.starts_with("2026-11-20T12:4"))
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(newer, (1..=newer.len() as u64).collect::<Vec<_>>(), "every collection of the second start");
    agent.stop();
}
