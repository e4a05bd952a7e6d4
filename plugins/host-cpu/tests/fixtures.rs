//! Every folder of `testcases` is a root: `proc`, `sys` and `etc` as they were at the first collection, `proc2`,
//! `proc3` … the files that had changed at the next ones. What the plugin makes of them is in `expected.txt`,
//! `expected2.txt` …; `UPDATE_EXPECTED=1 cargo test` writes these anew, to be read before they are committed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};
use twarga_plugin_api::{
    serde_json,
    testing::{Collected, Harness},
};

/// Copies a folder's files over those of another. The files stay the same inodes, as in `/proc`: the plugin has
/// them open.
fn overlay(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            overlay(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testcases")
}

/// A copy of a case, the collector on it, and what `new` was given.
struct Running {
    case: PathBuf,
    root: tempfile::TempDir,
    harness: Harness,
}

impl Running {
    fn start(case: &str) -> Self {
        let case = cases().join(case);
        let root = tempfile::tempdir().unwrap();
        for part in ["proc", "sys", "etc", "usr"] {
            if case.join(part).exists() {
                overlay(&case.join(part), &root.path().join(part));
            }
        }
        let given = fs::read_to_string(case.join("config.json")).unwrap_or_else(|_| "{}".into());
        let mut config: serde_json::Value = serde_json::from_str(&given).unwrap();
        config["root"] = root.path().to_str().unwrap().into();
        config["source"] = "procfs".into();
        let harness = Harness::new(host_cpu::plugin(), &config.to_string()).unwrap();
        Self { case, root, harness }
    }

    fn next(&mut self, reading: u32) -> Collected {
        if reading > 1 {
            overlay(&self.case.join(format!("proc{reading}")), &self.root.path().join("proc"));
        }
        self.harness.collect().unwrap()
    }

    fn readings(&self) -> u32 {
        1 + (2..).take_while(|reading| self.case.join(format!("proc{reading}")).exists()).count() as u32
    }
}

#[test]
fn every_case_gives_what_it_should() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut seen = 0;
    for entry in fs::read_dir(cases()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let mut running = Running::start(&name);
        for reading in 1..=running.readings() {
            let text = running.next(reading).to_text();
            let number = if reading == 1 { String::new() } else { reading.to_string() };
            let path = entry.path().join(format!("expected{number}.txt"));
            if update {
                fs::write(&path, &text).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap();
            assert!(text == expected, "{name}, reading {reading}: {}", difference(&text, &expected));
        }
        seen += 1;
    }
    assert!(seen >= 8, "{seen} cases");
}

fn difference(got: &str, want: &str) -> String {
    let missing =
        want.lines().filter(|line| got.lines().all(|other| other != *line)).map(|line| format!("- {line}"));
    let added =
        got.lines().filter(|line| want.lines().all(|other| other != *line)).map(|line| format!("+ {line}"));
    missing.chain(added).take(20).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_cpu_that_goes_is_retired_and_comes_back() {
    let mut running = Running::start("hot-plug");
    let first = running.next(1);
    let all = running.harness.series_count();
    assert_eq!(first.value("host_cpu_logical_count"), Some(4.0));
    let without = running.next(2);
    // ten columns, usage, frequency and info of one CPU; the info's file is as before in this case
    assert_eq!(running.harness.series_count(), all - 12);
    assert!(without.value(r#"host_cpu_usage_ratio{cpu="2"}"#).is_none());
    assert_eq!(without.value(r#"host_cpu_usage_ratio{cpu="all"}"#), Some(0.5));
    let back = running.next(3);
    assert_eq!(running.harness.series_count(), all);
    let reset: Vec<_> =
        back.readings.iter().filter(|reading| reading.reset).map(|reading| reading.series.as_str()).collect();
    let want = ["idle", "iowait"].map(|mode| format!(r#"host_cpu_seconds_total{{cpu="2",mode="{mode}"}}"#));
    assert_eq!(reset, want);
    assert_eq!(back.unavailable[r#"host_cpu_usage_ratio{cpu="2"}"#], "first_reading");
    assert_eq!(running.next(4).value(r#"host_cpu_usage_ratio{cpu="2"}"#), Some(0.75));
}

#[test]
fn missing_files_are_said_once() {
    let mut running = Running::start("old-kernel");
    for reading in 1..=running.readings() {
        running.next(reading);
    }
    let pressure =
        running.harness.logs().iter().filter(|(_, line)| line.contains("host_pressure_cpu")).count();
    let frequency = running.harness.logs().iter().filter(|(_, line)| line.contains("frequencies")).count();
    assert_eq!((pressure, frequency), (1, 1), "{:?}", running.harness.logs());
}

#[test]
fn collections_in_quick_succession_give_no_ratio() {
    let mut running = Running::start("guests");
    running.next(1);
    let at_once = running.harness.collect().unwrap();
    assert_eq!(at_once.unavailable[r#"host_cpu_usage_ratio{cpu="all"}"#], "interval_too_short");
    // and what came in the meantime is not lost: 90 of 200 ticks of two CPUs
    assert_eq!(running.next(2).value(r#"host_cpu_usage_ratio{cpu="all"}"#), Some(90.0 / 200.0));
}

#[test]
fn a_wrong_root_is_the_operators() {
    let config = r#"{"source": "procfs", "root": "/nonexistent"}"#;
    let Err(error) = Harness::new(host_cpu::plugin(), config) else { panic!("it started") };
    assert_eq!(error.location(), "root");
    assert!(error.message().contains("/nonexistent/proc/stat"), "{error}");
}
