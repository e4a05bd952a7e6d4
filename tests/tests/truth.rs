//! What the agent says of this machine, against what the kernel, the usual tools and sysinfo say of it.
//!
//! Each reading is taken before and after a collection that is asked for: what only grows must lie between the two, what
//! goes up and down between them with a little room on both sides. A tool that this machine lacks is passed over aloud.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use twarga_tests::{Agent, HOST_PLUGINS, Home, config};

const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;
/// Two decimals are shown.
const ROUNDING: f64 = 0.005_001;

fn start(interval: &str) -> Agent {
    let mut agent = Home::new(&config(interval, &HOST_PLUGINS, "")).host_plugins().start();
    agent.until_ready();
    agent
}

/// The flat host right now.
fn collected(agent: &Agent) -> Value {
    let answer = agent.post(Some(&agent.admin_token()), "/api/metrics/collect", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["success"], true, "{answer}");
    // a tick may have come less than 100 ms before
    if let Some(reasons) = answer["metrics"].get("unavailable") {
        assert_eq!(reasons, &serde_json::json!({"cpu_percent": "interval_too_short"}), "{answer}");
    }
    answer["metrics"].clone()
}

/// A reading, the flat host, and the same reading again.
fn between<T>(agent: &Agent, read: impl Fn() -> T) -> (T, Value, T) {
    let before = read();
    let host = collected(agent);
    (before, host, read())
}

#[track_caller]
fn number(host: &Value, key: &str) -> f64 {
    host[key].as_f64().unwrap_or_else(|| panic!("`{key}` is no number in {host}"))
}

#[track_caller]
fn assert_between(value: f64, (one, other): (f64, f64), room: f64, what: &str) {
    let (least, most) = (one.min(other) - room, one.max(other) + room);
    assert!((least..=most).contains(&value), "{what}: {value} is not within {least} to {most}");
}

/// The newest point of a metric.
fn latest(agent: &Agent, query: &str) -> f64 {
    let answer = agent.get(&format!("/api/metrics/host/history?limit=1&metric_name={query}")).json();
    answer["data"][0]["value"].as_f64().unwrap_or_else(|| panic!("{query}: {answer}"))
}

/// What a program prints; nothing, and a line that says so, where it is not there.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).env("LC_ALL", "C").output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).ok(),
        Ok(output) => {
            println!("skipped: `{program}` ended with {}", output.status);
            None
        }
        Err(error) => {
            println!("skipped: `{program}` can't be run: {error}");
            None
        }
    }
}

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().filter_map(|word| word.trim_end_matches('%').parse().ok()).collect()
}

/// A line of /proc/meminfo in bytes.
fn meminfo(key: &str) -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    1024.0 * numbers(line)[0]
}

#[test]
fn memory_is_what_proc_meminfo_and_free_say() {
    let agent = start("1s");
    let read = || ["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"].map(meminfo);
    let (before, host, after) = between(&agent, read);
    let [total, _, swap, _] = before;
    // others on this machine take and give memory while it is looked at
    let room = 0.02 * total;
    assert_between(number(&host, "memory_total_gb") * GIB, (total, total), ROUNDING * GIB, "total");
    let available = (before[1], after[1]);
    assert_between(number(&host, "memory_available_gb") * GIB, available, room, "available");
    let used = (total - before[1], total - after[1]);
    assert_between(number(&host, "memory_used_gb") * GIB, used, room, "used");
    let percent = (100.0 * used.0 / total, 100.0 * used.1 / total);
    assert_between(number(&host, "memory_percent"), percent, 2.0, "percent");
    let (used, size) = (number(&host, "memory_used_gb"), number(&host, "memory_total_gb"));
    assert_between(used + number(&host, "memory_available_gb"), (size, size), 0.02, "used + available");

    assert_between(number(&host, "swap_total_gb") * GIB, (swap, swap), ROUNDING * GIB, "swap");
    let used = (swap - before[3], swap - after[3]);
    assert_between(number(&host, "swap_used_gb") * GIB, used, 0.02 * swap + ROUNDING * GIB, "swap used");
    let percent = |used: f64| if swap > 0.0 { 100.0 * used / swap } else { 0.0 };
    assert_between(number(&host, "swap_percent"), (percent(used.0), percent(used.1)), 2.0, "swap percent");

    let line = |text: &str| text.lines().find_map(|line| Some(numbers(line.strip_prefix("Mem:")?)));
    let free = || output("free", &["-b"]).and_then(|text| line(&text));
    let (before, host, after) = between(&agent, free);
    if let (Some(before), Some(after)) = (before, after) {
        assert_between(
            number(&host, "memory_total_gb") * GIB,
            (before[0], before[0]),
            ROUNDING * GIB,
            "free",
        );
        let available = (before[5], after[5]);
        assert_between(number(&host, "memory_available_gb") * GIB, available, room, "available of free");
    }
}

#[test]
fn the_disk_is_what_statvfs_and_df_say() {
    let agent = start("1s");
    let read = || {
        let fs = rustix::fs::statvfs("/").unwrap();
        [fs.f_blocks, fs.f_bfree, fs.f_bavail].map(|blocks| blocks as f64 * fs.f_frsize as f64)
    };
    let (before, host, after) = between(&agent, read);
    let size = before[0];
    let room = 0.002 * size + ROUNDING * GIB;
    assert_between(number(&host, "disk_total_gb") * GIB, (size, size), ROUNDING * GIB, "size");
    assert_between(number(&host, "disk_free_gb") * GIB, (before[2], after[2]), room, "available");
    let used = (size - before[1], size - after[1]);
    assert_between(number(&host, "disk_used_gb") * GIB, used, room, "used");

    // `df` counts only what users may have, and rounds its percent up
    let df = || {
        let text = output("df", &["-B1", "--output=size,used,avail,pcent", "/"])?;
        Some(numbers(text.lines().nth(1)?))
    };
    let (before, host, after) = between(&agent, df);
    if let (Some(before), Some(after)) = (before, after) {
        assert_between(
            number(&host, "disk_total_gb") * GIB,
            (before[0], before[0]),
            ROUNDING * GIB,
            "size of df",
        );
        assert_between(number(&host, "disk_used_gb") * GIB, (before[1], after[1]), room, "used of df");
        assert_between(number(&host, "disk_free_gb") * GIB, (before[2], after[2]), room, "available of df");
        let percent = number(&host, "disk_percent");
        assert_between(percent.ceil(), (before[3], after[3]), 1.0, "percent of df");
        let exact = |values: &[f64]| 100.0 * values[1] / (values[1] + values[2]);
        assert_between(percent, (exact(&before), exact(&after)), 0.3, "percent");
    }
}

#[test]
fn load_uptime_and_cpus_are_what_the_kernel_says() {
    let agent = start("1s");
    let read = || {
        let load = numbers(&fs::read_to_string("/proc/loadavg").unwrap());
        (load, numbers(&fs::read_to_string("/proc/uptime").unwrap())[0])
    };
    let (before, host, after) = between(&agent, read);
    assert_between(number(&host, "uptime_seconds"), (before.1.floor(), after.1.floor()), 0.0, "uptime");
    let hours = (before.1 / 3600.0, after.1 / 3600.0);
    assert_between(number(&host, "uptime_hours"), hours, ROUNDING, "hours");
    assert!(host["uptime_seconds"].is_u64() && host["cpu_count"].is_u64(), "{host}");

    for (index, name) in ["host_load1", "host_load5", "host_load15"].into_iter().enumerate() {
        // a tick may have come after the collection that was asked for
        let value = latest(&agent, name);
        let now = numbers(&fs::read_to_string("/proc/loadavg").unwrap())[index];
        assert_between(value, (before.0[index].min(now), before.0[index].max(now)), 0.0, name);
    }

    let text = fs::read_to_string("/proc/cpuinfo").unwrap();
    let mut counts = vec![text.lines().filter(|line| line.starts_with("processor")).count()];
    let count = |text: String| text.trim().parse::<usize>().unwrap();
    counts.extend(output("getconf", &["_NPROCESSORS_ONLN"]).map(count));
    for count in counts {
        assert_eq!(number(&host, "cpu_count"), count as f64);
    }
    if let Ok(text) = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq") {
        println!("scaling_cur_freq {}", text.trim());
        assert!(number(&host, "cpu_freq_mhz") > 100.0, "{host}");
    } else if let Some(line) = text.lines().find(|line| line.starts_with("cpu MHz")) {
        let known = numbers(line)[0];
        assert_between(number(&host, "cpu_freq_mhz"), (0.2 * known, 5.0 * known), 0.0, "frequency");
    } else {
        assert_eq!(number(&host, "cpu_freq_mhz"), 0.0, "nobody knows it");
    }
}

/// Received and sent bytes by interface.
fn interfaces() -> Vec<(String, f64, f64)> {
    let text = fs::read_to_string("/proc/net/dev").unwrap();
    let row = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let values = numbers(rest);
        Some((name.trim().to_string(), values[0], values[8]))
    };
    text.lines().skip(2).filter_map(row).collect()
}

/// The sum that the agent's documentation promises: physical interfaces, else all but loopback.
fn network() -> (f64, f64) {
    let all = interfaces();
    let is_physical = |name: &str| Path::new("/sys/class/net").join(name).join("device").exists();
    let physical: Vec<_> = all.iter().filter(|(name, ..)| is_physical(name)).collect();
    let taken: Vec<_> = match physical.is_empty() {
        true => all.iter().filter(|(name, ..)| name != "lo").collect(),
        false => physical,
    };
    (taken.iter().map(|row| row.1).sum(), taken.iter().map(|row| row.2).sum())
}

#[test]
fn the_network_is_what_proc_net_dev_and_ip_say() {
    let agent = start("1s");
    let (before, host, after) = between(&agent, network);
    assert_between(number(&host, "net_recv_mb"), (before.0 / MIB, after.0 / MIB), ROUNDING, "received");
    assert_between(number(&host, "net_sent_mb"), (before.1 / MIB, after.1 / MIB), ROUNDING, "sent");
    for key in ["net_send_speed_mbps", "net_recv_speed_mbps"] {
        assert!(number(&host, key) >= 0.0, "{host}");
    }

    for (name, ..) in interfaces() {
        let find = |all: Vec<(String, f64, f64)>| all.into_iter().find(|row| row.0 == name).unwrap();
        let before = find(interfaces());
        collected(&agent);
        let received = latest(&agent, &format!("host_network_receive_bytes_total&label.device={name}"));
        let sent = latest(&agent, &format!("host_network_transmit_bytes_total&label.device={name}"));
        let after = find(interfaces());
        assert_between(received, (before.1, after.1), 0.0, &format!("received by {name}"));
        assert_between(sent, (before.2, after.2), 0.0, &format!("sent by {name}"));
    }

    let ip = || serde_json::from_str::<Value>(&output("ip", &["-s", "-j", "link"])?).ok();
    let Some(before) = ip() else { return };
    collected(&agent);
    let received = latest(&agent, "host_network_receive_bytes_total&label.device=lo");
    let of_lo = |links: &Value| {
        let lo = links.as_array().unwrap().iter().find(|link| link["ifname"] == "lo").unwrap();
        lo["stats64"]["rx"]["bytes"].as_f64().unwrap()
    };
    assert_between(received, (of_lo(&before), of_lo(&ip().unwrap())), 0.0, "received by lo, as ip says");
}

/// Bytes read and written by whole devices, in MiB.
fn diskstats() -> (f64, f64) {
    let whole: Vec<String> = fs::read_dir("/sys/block")
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            !["dm-", "md", "loop", "ram", "zram"].iter().any(|virtual_| name.starts_with(virtual_))
        })
        .collect();
    let text = fs::read_to_string("/proc/diskstats").unwrap();
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut sums = (0.0, 0.0);
    for row in rows.filter(|row| whole.iter().any(|name| *name == row[2])) {
        sums.0 += row[5].parse::<f64>().unwrap() * 512.0 / MIB;
        sums.1 += row[9].parse::<f64>().unwrap() * 512.0 / MIB;
    }
    sums
}

#[test]
fn disk_traffic_is_what_proc_diskstats_says() {
    let agent = start("1s");
    let (before, host, after) = between(&agent, diskstats);
    assert_between(number(&host, "disk_read_mb"), (before.0, after.0), ROUNDING, "read");
    assert_between(number(&host, "disk_write_mb"), (before.1, after.1), ROUNDING, "written");
}

/// Busy and all jiffies of all CPUs: everything but idle and iowait, guests not counted twice.
fn jiffies() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let columns = numbers(text.lines().next().unwrap());
    let all: f64 = columns[..8].iter().sum();
    (all - columns[3] - columns[4], all)
}

#[test]
fn cpu_usage_is_what_proc_stat_says() {
    // no tick in between: the usage is of the time between two collections that are asked for
    let agent = start("1h");
    collected(&agent);
    let began = jiffies();
    let end = Instant::now() + Duration::from_millis(800);
    let mut work = 0_u64;
    while Instant::now() < end {
        work = std::hint::black_box(work.wrapping_mul(3).wrapping_add(1));
    }
    let ended = jiffies();
    let host = collected(&agent);
    let known = 100.0 * (ended.0 - began.0) / (ended.1 - began.1);
    let cpus = number(&host, "cpu_count");
    assert!(known > 40.0 / cpus, "one of {cpus} was kept busy, and only {known} % were seen");
    assert_between(number(&host, "cpu_percent"), (known, known), 12.0, "cpu percent");
}

#[test]
fn sysinfo_says_the_same() {
    let agent = start("1s");
    let read = || {
        let mut system = sysinfo::System::new().unwrap();
        system.refresh_memory();
        (
            system.total_memory() as f64,
            system.available_memory() as f64,
            sysinfo::System::uptime().unwrap() as f64,
        )
    };
    let (before, host, after) = between(&agent, read);
    let total = before.0;
    assert_between(number(&host, "memory_total_gb") * GIB, (total, total), ROUNDING * GIB, "total");
    let available = (before.1, after.1);
    assert_between(number(&host, "memory_available_gb") * GIB, available, 0.02 * total, "available");
    assert_between(number(&host, "uptime_seconds"), (before.2, after.2), 1.0, "uptime");

    let mut system = sysinfo::System::new().unwrap();
    system.refresh_cpu_all();
    assert_eq!(number(&host, "cpu_count"), system.cpus().len() as f64);

    let disks = sysinfo::Disks::new_with_refreshed_list().unwrap();
    match disks.iter().find(|disk| disk.mount_point() == Path::new("/")) {
        Some(root) => {
            let (size, available) = (root.total_space() as f64, root.available_space() as f64);
            assert_between(number(&host, "disk_total_gb") * GIB, (size, size), ROUNDING * GIB, "size");
            let room = 0.002 * size + ROUNDING * GIB;
            assert_between(number(&host, "disk_free_gb") * GIB, (available, available), room, "available");
        }
        None => println!("skipped: sysinfo does not know the disk of /"),
    }

    let received = || {
        let networks = sysinfo::Networks::new_with_refreshed_list().unwrap();
        networks.iter().find(|(name, _)| *name == "lo").map(|(_, data)| data.total_received() as f64)
    };
    let before = received();
    collected(&agent);
    let value = latest(&agent, "host_network_receive_bytes_total&label.device=lo");
    match (before, received()) {
        (Some(before), Some(after)) => assert_between(value, (before, after), 0.0, "received by lo"),
        _ => println!("skipped: sysinfo does not know the interface lo"),
    }
}
