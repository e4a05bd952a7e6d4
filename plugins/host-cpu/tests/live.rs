//! The readings of `/proc` on the machine that runs the tests, held against sysinfo's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{thread::sleep, time::Duration};
use twarga_plugin_api::testing::{Collected, Harness};

fn harness(config: &str) -> Harness {
    Harness::new(host_cpu::plugin(), config).unwrap()
}

/// Both sources, twice, at the same times.
fn pair(procfs: &mut Harness, sysinfo: &mut Harness) -> (Collected, Collected) {
    procfs.collect().unwrap();
    sysinfo.collect().unwrap();
    sleep(Duration::from_millis(300)); // sysinfo measures usage over 200 ms at least
    (procfs.collect().unwrap(), sysinfo.collect().unwrap())
}

fn assert_near(series: &str, tolerance: f64, (ours, theirs): (&Collected, &Collected)) {
    let (Some(ours), Some(theirs)) = (ours.value(series), theirs.value(series)) else {
        panic!("{series}: {:?} and {:?}", ours.value(series), theirs.value(series));
    };
    assert!((ours - theirs).abs() <= tolerance, "{series}: {ours}, sysinfo says {theirs}");
}

#[test]
fn procfs_and_sysinfo_agree() {
    let (mut procfs, mut sysinfo) = (harness(r#"{"source":"procfs"}"#), harness(r#"{"source":"sysinfo"}"#));
    let (ours, theirs) = pair(&mut procfs, &mut sysinfo);
    for (series, tolerance) in [
        ("host_cpu_logical_count", 0.0),
        ("host_boot_time_seconds", 2.0),
        ("host_uptime_seconds", 2.0),
        ("host_load1", 1.0),
        ("host_load5", 0.5),
        ("host_load15", 0.5),
    ] {
        assert_near(series, tolerance, (&ours, &theirs));
    }
    // either may be unknown, in a container for one
    if ours.value("host_cpu_physical_count").and(theirs.value("host_cpu_physical_count")).is_some() {
        assert_near("host_cpu_physical_count", 0.0, (&ours, &theirs));
    }
    for reading in theirs.readings.iter().filter(|reading| reading.series.starts_with("host_uname_info")) {
        // all but the domain name, which sysinfo's side leaves empty
        let start = reading.series.split(",domainname").next().unwrap();
        assert!(ours.readings.iter().any(|reading| reading.series.starts_with(start)), "{start}");
    }
}

#[test]
fn usage_agrees_with_sysinfo() {
    // the two read one after the other, and the load may change between: one agreement in a few attempts is proof
    let difference = |(ours, theirs): (Collected, Collected)| {
        let usage = |collected: &Collected| collected.value(r#"host_cpu_usage_ratio{cpu="all"}"#).unwrap();
        (usage(&ours) - usage(&theirs)).abs()
    };
    let differences: Vec<f64> = (0..5)
        .map(|_| {
            let (mut procfs, mut sysinfo) =
                (harness(r#"{"source":"procfs"}"#), harness(r#"{"source":"sysinfo"}"#));
            difference(pair(&mut procfs, &mut sysinfo))
        })
        .collect();
    assert!(differences.iter().any(|difference| *difference < 0.1), "{differences:?}");
}

#[test]
fn both_sources_use_the_same_names_and_labels() {
    let (mut procfs, mut sysinfo) = (harness("{}"), harness(r#"{"source":"sysinfo"}"#));
    let (ours, theirs) = pair(&mut procfs, &mut sysinfo);
    let named = |collected: &Collected| -> Vec<String> {
        let put = collected.readings.iter().map(|reading| reading.series.clone());
        put.chain(collected.unavailable.keys().cloned()).filter(|series| !series.contains("_info{")).collect()
    };
    let ours = named(&ours);
    for series in named(&theirs) {
        // on a machine without any frequency, only sysinfo's side has the series (unavailable)
        assert!(ours.contains(&series) || series.starts_with("host_cpu_scaling"), "{series} in {ours:?}");
    }
}

#[test]
fn one_line_for_all() {
    for source in ["procfs", "sysinfo"] {
        let mut harness = harness(&format!(r#"{{"source":"{source}","per_core":false}}"#));
        let collected = harness.collect().unwrap();
        let cpus = collected.readings.iter().filter(|reading| {
            reading.series.contains("cpu=\"") && !reading.series.starts_with("host_cpu_info")
        });
        for reading in cpus {
            assert!(reading.series.contains(r#"cpu="all""#), "{}", reading.series);
        }
    }
}

#[test]
fn counters_rise_over_many_collections() {
    let mut harness = harness("{}"); // which itself panics on a counter that falls
    for _ in 0..200 {
        harness.collect().unwrap();
    }
}
