//! The readings of `/proc` on the machine that runs the tests, held against sysinfo's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use twarga_plugin_api::testing::{Collected, Harness};

fn harness(config: &str) -> Harness {
    Harness::new(host_mem::plugin(), config).unwrap()
}

fn value(collected: &Collected, series: &str) -> f64 {
    collected.value(series).unwrap_or_else(|| panic!("no {series}"))
}

#[test]
fn procfs_and_sysinfo_agree() {
    let (mut procfs, mut sysinfo) = (harness(r#"{"source":"procfs"}"#), harness(r#"{"source":"sysinfo"}"#));
    let (ours, theirs) = (procfs.collect().unwrap(), sysinfo.collect().unwrap());
    for exact in ["host_memory_MemTotal_bytes", "host_memory_SwapTotal_bytes"] {
        assert_eq!(value(&ours, exact), value(&theirs, exact), "{exact}");
    }
    // other programs take and give memory between the two readings: one agreement in a few attempts is proof
    for (series, tolerance) in [
        ("host_memory_MemFree_bytes", 1e8),
        ("host_memory_MemAvailable_bytes", 1e8),
        ("host_memory_used_bytes", 1e8),
        ("host_memory_usage_ratio", 0.02),
        ("host_swap_used_bytes", 1e8),
        ("host_swap_usage_ratio", 0.02),
    ] {
        let pairs: Vec<(f64, f64)> = (0..20)
            .map(|_| (value(&procfs.collect().unwrap(), series), value(&sysinfo.collect().unwrap(), series)))
            .collect();
        let agree = pairs.iter().any(|(ours, theirs)| (ours - theirs).abs() <= tolerance);
        assert!(agree, "{series}: {pairs:?}");
    }
}

#[test]
fn both_sources_use_the_same_names() {
    let ours = harness("{}").collect().unwrap();
    let theirs = harness(r#"{"source":"sysinfo"}"#).collect().unwrap();
    assert!(theirs.readings.len() >= 9);
    for reading in &theirs.readings {
        value(&ours, &reading.series);
    }
}

#[test]
fn every_line_of_this_kernel_is_known() {
    let mut harness = harness("{}");
    let collected = harness.collect().unwrap();
    let lines = std::fs::read_to_string("/proc/meminfo").unwrap().lines().count();
    let declared = host_mem::plugin().metrics().len();
    let from_lines = collected.readings.iter().filter(|reading| {
        reading.series.starts_with("host_memory_")
            && !["used_bytes", "usage_ratio"].iter().any(|end| reading.series.ends_with(end))
    });
    assert_eq!(from_lines.count(), lines, "of {declared} declared");
}

#[test]
fn counters_rise_over_many_collections() {
    let mut harness = harness("{}"); // which itself panics on a counter that falls
    for _ in 0..200 {
        harness.collect().unwrap();
    }
}
