//! On this very machine: the portable source as the oracle of the Linux one.
#![allow(clippy::unwrap_used, reason = "the functions that tests share")]
#![cfg(target_os = "linux")]

use std::{fs, path::Path};
use twarga_plugin_api::{
    Kind,
    testing::{Collected, Harness},
};

fn harness(config: &str) -> Harness {
    Harness::new(host_net::plugin(), config).unwrap()
}

fn of_metric<'a>(collected: &'a Collected, name: &str) -> Vec<(&'a str, f64)> {
    let ours = |series: &str| series.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
    let readings = collected.readings.iter().filter(|reading| ours(&reading.series));
    readings.map(|reading| (reading.series.as_str(), reading.value)).collect()
}

/// Counters that both sources have lie between the readings before and after.
#[test]
fn sysinfo_lies_between_two_readings() {
    let mut procfs = harness(r#"{"exclude": []}"#);
    let mut sysinfo = harness(r#"{"source": "sysinfo", "exclude": []}"#);
    let earlier = procfs.collect().unwrap();
    let oracle = sysinfo.collect().unwrap();
    let later = procfs.collect().unwrap();
    let mut compared = 0;
    let of_interface = |series: &str| series.contains("{device=");
    let counters = oracle.readings.iter().filter(|reading| reading.kind == Kind::Counter);
    for reading in counters.filter(|reading| of_interface(&reading.series)) {
        // an interface may appear or vanish while the test runs
        let (Some(low), Some(high)) = (earlier.value(&reading.series), later.value(&reading.series)) else {
            continue;
        };
        assert!((low..=high).contains(&reading.value), "{reading:?} not in {low}..={high}");
        compared += 1;
    }
    if Path::new("/sys/class/net/lo").exists() {
        assert!(compared >= 6, "{compared}");
    }
}

#[test]
fn facts_of_links_agree_with_sysinfo() {
    let procfs = harness(r#"{"exclude": []}"#).collect().unwrap();
    let sysinfo = harness(r#"{"source": "sysinfo", "exclude": []}"#).collect().unwrap();
    for name in ["host_network_mtu_bytes", "host_network_speed_bytes", "host_network_up"] {
        for (series, value) in of_metric(&sysinfo, name) {
            // states change; an MTU or a speed that both know does not while a test runs
            if let Some(ours) = procfs.value(series).filter(|_| name != "host_network_up") {
                assert_eq!(ours, value, "{series}");
            }
        }
    }
    let known = |collected: &Collected| of_metric(collected, "host_network_up").len();
    if Path::new("/sys/class/net/lo").exists() {
        assert!(known(&procfs) >= 1 && known(&sysinfo) >= 1);
    }
}

/// Loopback's driver refuses to tell a speed, and has a carrier while it is up.
#[test]
fn loopback_has_no_speed_and_says_why() {
    let lo = Path::new("/sys/class/net/lo");
    if !lo.join("speed").exists() {
        return;
    }
    let collected = harness("{}").collect().unwrap();
    let series = r#"host_network_speed_bytes{device="lo"}"#;
    assert_eq!(collected.value(series), None);
    assert!(collected.unavailable.contains_key(series), "{:?}", collected.unavailable);
}

/// Totals begin with what the members counted, and counters never fall from one collection to the next (the
/// harness checks that).
#[test]
fn totals_are_sums_of_the_named_interfaces() {
    let mut procfs = harness(r#"{"total": ["*"], "exclude": []}"#);
    let collected = procfs.collect().unwrap();
    for (total, part) in [
        ("host_network_all_receive_bytes_total", "host_network_receive_bytes_total"),
        ("host_network_all_transmit_bytes_total", "host_network_transmit_bytes_total"),
    ] {
        let parts: f64 = of_metric(&collected, part).iter().map(|(_, value)| value).sum();
        assert_eq!(collected.value(total), Some(parts));
    }
    for _ in 0..3 {
        procfs.collect().unwrap();
    }
}

#[test]
fn series_are_registered_once() {
    let mut procfs = harness("{}");
    procfs.collect().unwrap();
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap();
    let count = procfs.series_count();
    procfs.collect().unwrap();
    if interfaces.lines().count() == fs::read_to_string("/proc/net/dev").unwrap().lines().count() {
        assert_eq!(procfs.series_count(), count);
    }
}
