//! Every folder of `testcases` is a root: `proc` and `sys` as they were at the first collection, `proc2`,
//! `sys2`, `proc3` … the files that had changed at the next ones. What the plugin makes of them is in `expected.txt`,
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
        for part in ["proc", "sys"] {
            if case.join(part).exists() {
                overlay(&case.join(part), &root.path().join(part));
            }
        }
        let given = fs::read_to_string(case.join("config.json")).unwrap_or_else(|_| "{}".into());
        let mut config: serde_json::Value = serde_json::from_str(&given).unwrap();
        config["root"] = root.path().to_str().unwrap().into();
        config["source"] = "procfs".into();
        let harness = Harness::new(host_mem::plugin(), &config.to_string()).unwrap();
        Self { case, root, harness }
    }

    fn next(&mut self, reading: u32) -> Collected {
        if reading > 1 {
            for part in ["proc", "sys"] {
                let changed = self.case.join(format!("{part}{reading}"));
                if changed.exists() {
                    overlay(&changed, &self.root.path().join(part));
                }
            }
        }
        self.harness.collect().unwrap()
    }

    fn readings(&self) -> u32 {
        1 + (2..)
            .take_while(|reading| {
                self.case.join(format!("proc{reading}")).exists()
                    || self.case.join(format!("sys{reading}")).exists()
            })
            .count() as u32
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
fn a_limit_that_is_lifted_is_retired() {
    let mut running = Running::start("container");
    running.next(1);
    let limited = running.harness.series_count();
    let lifted = running.next(2);
    assert_eq!(running.harness.series_count(), limited - 2);
    assert!(lifted.readings.iter().all(|reading| !reading.series.contains("cgroup")));
    let again = running.next(3);
    assert_eq!(again.value("host_memory_cgroup_limit_bytes"), Some(f64::from(512 << 20)));
    assert_eq!(running.harness.series_count(), limited);
}

#[test]
fn the_limit_is_told_only_where_asked() {
    let root = cases().join("container");
    let config = serde_json::json!({"source": "procfs", "root": root, "cgroup": false});
    let collected = Harness::new(host_mem::plugin(), &config.to_string()).unwrap().collect().unwrap();
    assert!(collected.readings.iter().all(|reading| !reading.series.contains("cgroup")));
    assert!(!collected.readings.is_empty());
}

#[test]
fn a_cgroup_that_went_is_an_error_and_found_anew() {
    let mut running = Running::start("container");
    let hierarchy = running.root.path().join("sys/fs/cgroup");
    fs::remove_file(hierarchy.join("memory.current")).unwrap();
    let error = running.harness.collect().unwrap_err();
    assert!(error.message().contains("memory.current"), "{error}");
    // the rest of the collection is kept
    let partial = running.harness.partial();
    assert!(partial.value("host_memory_MemTotal_bytes").is_some());
    assert!(partial.value("host_pressure_memory_stalled_seconds_total").is_some());
    // the agent is in another cgroup now
    fs::write(running.root.path().join("proc/self/cgroup"), "0::/elsewhere\n").unwrap();
    fs::create_dir(hierarchy.join("elsewhere")).unwrap();
    for (file, content) in [("max", "4096\n"), ("current", "1024\n"), ("stat", "inactive_file 24\n")] {
        fs::write(hierarchy.join("elsewhere").join(format!("memory.{file}")), content).unwrap();
    }
    let found = running.harness.collect().unwrap();
    assert_eq!(found.value("host_memory_cgroup_limit_bytes"), Some(4096.0));
    assert_eq!(found.value("host_memory_cgroup_used_bytes"), Some(1000.0));
}

#[test]
fn unknown_lines_are_declared_and_impossible_ones_said_once() {
    let mut running = Running::start("unknown-lines");
    let declared = running.next(1);
    assert_eq!(declared.value("host_memory_FutureThing_pages_bytes"), Some(7.0 * 1024.0));
    assert_eq!(declared.value("host_memory_FutureCount"), Some(9.0));
    running.harness.collect().unwrap();
    let left_out = running.harness.logs().iter().filter(|(_, line)| line.contains("is left out")).count();
    assert_eq!(left_out, 2, "{:?}", running.harness.logs());
}

#[test]
fn a_broken_line_is_not_estimated() {
    let mut running = Running::start("old-kernel");
    assert!(running.next(1).value("host_memory_used_bytes").is_some());
    let path = running.root.path().join("proc/meminfo");
    let lines = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{lines}MemAvailable: 1000 kB\n")).unwrap();
    assert_eq!(
        running.harness.collect().unwrap().value("host_memory_used_bytes"),
        Some(7_999_000.0 * 1024.0)
    );
    fs::write(&path, format!("{lines}MemAvailable: broken\n")).unwrap();
    let broken = running.harness.collect().unwrap();
    assert_eq!(broken.unavailable["host_memory_used_bytes"], "no_mem_available");
    assert_eq!(broken.unavailable["host_memory_MemAvailable_bytes"], "missing_value");
}

#[test]
fn a_flood_of_lines_is_bounded() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("proc")).unwrap();
    let lines: String = (0..5000).map(|number| format!("Line{number}: 1 kB\n")).collect();
    fs::write(root.path().join("proc/meminfo"), lines).unwrap();
    let config = serde_json::json!({"source": "procfs", "root": root.path()});
    let mut harness = Harness::new(host_mem::plugin(), &config.to_string()).unwrap();
    let first = harness.collect().unwrap();
    assert_eq!(first.readings.len(), 256);
    assert_eq!(first, harness.collect().unwrap());
}

#[test]
fn a_wrong_root_is_the_operators() {
    let config = r#"{"source": "procfs", "root": "/nonexistent"}"#;
    let Err(error) = Harness::new(host_mem::plugin(), config) else { panic!("it started") };
    assert_eq!(error.location(), "root");
    assert!(error.message().contains("/nonexistent/proc/meminfo"), "{error}");
}
