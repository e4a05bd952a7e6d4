//! On the machine that runs the tests: /proc and statvfs against sysinfo.

use super::*;

fn live(config: &twarga_plugin_api::serde_json::Value) -> (Harness, Collected) {
    let mut harness = Harness::new(crate::plugin(), &config.to_string()).unwrap();
    // the first collection may find the machine too busy for an answer in time
    let root_is_there = |collected: &Collected| {
        collected.readings.iter().any(|reading| is_root(&reading.series, "host_filesystem_size_bytes"))
    };
    for _ in 0..100 {
        let collected = harness.collect().unwrap();
        if root_is_there(&collected) {
            return (harness, collected);
        }
    }
    panic!("no size of / in 100 collections: {}", harness.partial().to_text());
}

fn is_root(series: &str, name: &str) -> bool {
    series.starts_with(name) && series.ends_with("mountpoint=\"/\"}")
}

fn of_root(collected: &Collected, name: &str) -> f64 {
    let found = collected.readings.iter().find(|reading| is_root(&reading.series, name));
    found.unwrap_or_else(|| panic!("no {name} of /")).value
}

#[test]
#[cfg(target_os = "linux")]
fn the_root_agrees_with_sysinfo() {
    let (_, ours) = live(&json!({"source": "procfs"}));
    let (_, theirs) = live(&json!({"source": "sysinfo"}));
    let (size, sysinfo_size) =
        (of_root(&ours, "host_filesystem_size_bytes"), of_root(&theirs, "host_filesystem_size_bytes"));
    assert_eq!(size, sysinfo_size);
    for name in ["host_filesystem_avail_bytes", "host_filesystem_free_bytes", "host_filesystem_used_bytes"] {
        let difference = (of_root(&ours, name) - of_root(&theirs, name)).abs();
        assert!(difference <= 0.02 * size, "{name}: {difference}"); // others write meanwhile
    }
    let ratio = of_root(&ours, "host_filesystem_usage_ratio");
    assert!((0.0..=1.0).contains(&ratio), "{ratio}");
    assert_eq!(of_root(&ours, "host_filesystem_stuck"), 0.0);
}

#[test]
#[cfg(target_os = "linux")]
fn bytes_read_lie_between_two_readings_of_sysinfo() {
    let config = json!({"source": "procfs", "devices": {"include": ["*"]}});
    let (mut sysinfo, before) = live(&json!({"source": "sysinfo"}));
    let (_, ours) = live(&config);
    let after = sysinfo.collect().unwrap();
    for reading in &before.readings {
        let name = &reading.series;
        let of_device = name.starts_with("host_disk_read_bytes_total")
            || name.starts_with("host_disk_written_bytes_total");
        // a device may be mounted under a name that /proc/diskstats doesn't know
        if let (true, Some(value), Some(after)) = (of_device, ours.value(name), after.value(name)) {
            assert!((reading.value..=after).contains(&value), "{name}: {} {value} {after}", reading.value);
        }
    }
}

#[test]
fn both_sources_keep_the_rules_over_many_collections() {
    for source in ["procfs", "sysinfo"] {
        if source == "procfs" && !cfg!(target_os = "linux") {
            continue;
        }
        let (mut harness, _) = live(&json!({"source": source}));
        let series = harness.series_count();
        for _ in 0..20 {
            harness.collect().unwrap();
        }
        assert!(harness.series_count().abs_diff(series) < 200, "series grow with the collections");
    }
}
