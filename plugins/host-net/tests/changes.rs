//! What happens at run time: interfaces that come, go and change, files that break.
#![allow(clippy::unwrap_used, reason = "the functions that tests share")]

use std::fs;
use tempfile::TempDir;
use twarga_plugin_api::{
    serde_json::{Value, json},
    testing::Harness,
};

struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Interfaces with received bytes; the other counters are 1.
    fn interfaces(&self, lines: &[(&str, u64)]) {
        let rest = "1 ".repeat(15);
        let lines: String = lines.iter().map(|(name, bytes)| format!("{name}: {bytes} {rest}\n")).collect();
        self.write("proc/net/dev", &format!("Inter-|\n face |\n{lines}"));
    }

    fn link(&self, name: &str, file: &str, content: &str) {
        self.write(&format!("sys/class/net/{name}/{file}"), &format!("{content}\n"));
    }

    fn physical(&self, name: &str, index: u64) {
        self.link(name, "device/uevent", "");
        self.link(name, "ifindex", &index.to_string());
        self.link(name, "iflink", &index.to_string());
    }

    fn harness(&self, mut config: Value) -> Harness {
        config["root"] = json!(self.root.path());
        config["source"] = json!("procfs");
        Harness::new(host_net::plugin(), &config.to_string()).unwrap()
    }
}

fn received(name: &str) -> String {
    format!("host_network_receive_bytes_total{{device=\"{name}\"}}")
}

const TOTAL: &str = "host_network_all_receive_bytes_total";

#[test]
fn interfaces_come_go_and_come_again() {
    let machine = Machine::new();
    machine.interfaces(&[("a", 10), ("b", 20)]);
    let mut harness = machine.harness(json!({}));
    harness.collect().unwrap();
    let two = harness.series_count();
    let counters_of_one = (two - 2) / 2;

    machine.interfaces(&[("b", 21)]);
    let collected = harness.collect().unwrap();
    assert_eq!((collected.value(&received("a")), collected.value(&received("b"))), (None, Some(21.0)));
    assert_eq!(harness.series_count(), two - counters_of_one);

    machine.interfaces(&[("c", 5), ("b", 22), ("a", 3)]);
    let collected = harness.collect().unwrap();
    assert_eq!(collected.value(&received("a")), Some(3.0));
    assert_eq!(collected.value(&received("c")), Some(5.0));
    assert_eq!(harness.series_count(), two + counters_of_one);
    // 10 + 20 at the start, then only what b rose
    assert_eq!(collected.value(TOTAL), Some(32.0));

    machine.interfaces(&[]);
    let collected = harness.collect().unwrap();
    assert_eq!((harness.series_count(), collected.value(TOTAL)), (2, Some(32.0)));
}

#[test]
fn lines_may_change_places() {
    let machine = Machine::new();
    machine.interfaces(&[("a", 10), ("b", 20), ("a", 99), ("veth0", 1)]);
    let mut harness = machine.harness(json!({}));
    harness.collect().unwrap();
    let count = harness.series_count();
    machine.interfaces(&[("veth0", 1), ("b", 21), ("a", 11), ("b", 98)]);
    let collected = harness.collect().unwrap();
    assert_eq!((collected.value(&received("a")), collected.value(&received("b"))), (Some(11.0), Some(21.0)));
    assert_eq!((harness.series_count(), collected.value(TOTAL)), (count, Some(33.0)));
}

#[test]
fn a_late_interface_does_not_bring_its_past_into_the_total() {
    let machine = Machine::new();
    machine.physical("eth0", 2);
    machine.interfaces(&[("eth0", 100)]);
    let mut harness = machine.harness(json!({}));
    harness.collect().unwrap();
    machine.physical("eth1", 3);
    machine.interfaces(&[("eth0", 101), ("eth1", 5000)]);
    assert_eq!(harness.collect().unwrap().value(TOTAL), Some(101.0));
    machine.interfaces(&[("eth0", 102), ("eth1", 5010)]);
    assert_eq!(harness.collect().unwrap().value(TOTAL), Some(112.0));
}

#[test]
fn a_total_of_interfaces_that_never_were_says_why() {
    let machine = Machine::new();
    machine.interfaces(&[("eth0", 100)]);
    let mut harness = machine.harness(json!({"total": ["wan*"]}));
    let collected = harness.collect().unwrap();
    assert_eq!(collected.unavailable.get(TOTAL).map(String::as_str), Some("no interface to sum"));
    machine.interfaces(&[("eth0", 100), ("wan0", 70)]);
    assert_eq!(harness.collect().unwrap().value(TOTAL), Some(0.0));
    machine.interfaces(&[("eth0", 100), ("wan0", 75)]);
    assert_eq!(harness.collect().unwrap().value(TOTAL), Some(5.0));
}

#[test]
fn hidden_interfaces_count_for_the_total() {
    let machine = Machine::new();
    machine.physical("eth0", 2);
    machine.interfaces(&[("eth0", 100)]);
    let mut harness = machine.harness(json!({"exclude": ["*"]}));
    let collected = harness.collect().unwrap();
    assert_eq!((collected.value(TOTAL), collected.value(&received("eth0"))), (Some(100.0), None));
    assert_eq!(harness.series_count(), 2);
}

/// Without waiting for the turn of its slow facts: a counter that fell is asked for its interface's number.
#[test]
fn an_interface_of_the_same_name_is_known_by_its_number() {
    let machine = Machine::new();
    machine.physical("eth0", 2);
    machine.interfaces(&[("eth0", 4_000_000_000)]);
    let mut harness = machine.harness(json!({}));
    harness.collect().unwrap();
    machine.physical("eth0", 9);
    machine.interfaces(&[("eth0", 30)]);
    let collected = harness.collect().unwrap();
    // were it the same interface, this would look like a counter of 32 bits that wrapped
    assert_eq!(collected.value(TOTAL), Some(4_000_000_000.0));
    let resets = collected.readings.iter().filter(|reading| reading.reset).count();
    assert_eq!(resets, 16, "{}", collected.to_text());
}

#[test]
fn a_new_operational_state_is_seen_at_once_and_the_rest_with_it() {
    let machine = Machine::new();
    machine.physical("eth0", 2);
    machine.link("eth0", "operstate", "up");
    machine.link("eth0", "carrier", "1");
    machine.link("eth0", "flags", "0x1003");
    machine.interfaces(&[("eth0", 100)]);
    let mut harness = machine.harness(json!({"link_refresh_seconds": 86_400}));
    let value = |harness: &mut Harness, name: &str| {
        harness.collect().unwrap().value(&format!("host_network_{name}{{device=\"eth0\"}}"))
    };
    assert_eq!(value(&mut harness, "up"), Some(1.0));
    let count = harness.series_count();

    machine.link("eth0", "carrier", "0");
    assert_eq!(value(&mut harness, "carrier"), Some(1.0));
    machine.link("eth0", "operstate", "down");
    assert_eq!(value(&mut harness, "carrier"), Some(0.0));
    assert_eq!(value(&mut harness, "up"), Some(0.0));

    let text = harness.collect().unwrap().to_text();
    let infos: Vec<_> = text.lines().filter(|line| line.starts_with("host_network_info")).collect();
    assert!(infos.len() == 1 && infos[0].contains(r#"operstate="down""#), "{infos:?}");
    assert_eq!(harness.series_count(), count);
    machine.link("eth0", "operstate", "up");
    assert_eq!(value(&mut harness, "up"), Some(1.0));
    assert_eq!(harness.series_count(), count);
}

#[test]
fn a_file_that_appears_or_loses_a_number() {
    let machine = Machine::new();
    machine.interfaces(&[("lo", 1)]);
    machine.write("proc/net/snmp", "Tcp: CurrEstab ActiveOpens\nTcp: 4 9\n");
    let mut harness = machine.harness(json!({}));
    let collected = harness.collect().unwrap();
    assert_eq!(collected.value("host_netstat_Tcp_CurrEstab"), Some(4.0));
    assert!(harness.logs().iter().any(|(_, line)| line.contains("proc/net/snmp6")), "{:?}", harness.logs());
    let said = harness.logs().len();

    machine.write("proc/net/snmp", "Tcp: ActiveOpens InSegs\nTcp: 3 5\n");
    let collected = harness.collect().unwrap();
    assert!(collected.unavailable.contains_key("host_netstat_Tcp_CurrEstab"));
    assert_eq!(collected.value("host_netstat_Tcp_InSegs"), Some(5.0));
    assert!(collected.to_text().contains("host_netstat_Tcp_ActiveOpens 3 # reset"));
    assert_eq!(harness.logs().len(), said);
}

#[test]
fn protocols_and_sockets_can_be_left_out() {
    let machine = Machine::new();
    machine.interfaces(&[("lo", 1)]);
    machine.write("proc/net/snmp", "Tcp: CurrEstab\nTcp: 4\n");
    machine.write("proc/net/sockstat", "sockets: used 4\n");
    let mut harness = machine.harness(json!({"netstat": false, "sockstat": false}));
    let text = harness.collect().unwrap().to_text();
    assert!(!text.contains("netstat") && !text.contains("sockstat"), "{text}");
}

#[test]
fn a_table_that_breaks_takes_its_series_and_nothing_else() {
    let machine = Machine::new();
    machine.interfaces(&[("lo", 1)]);
    machine.write("proc/net/sockstat", "sockets: used 4\n");
    let mut harness = machine.harness(json!({}));
    harness.collect().unwrap();
    machine.write("proc/net/dev", "");
    let error = harness.collect().unwrap_err();
    assert!(error.message().ends_with("proc/net/dev: no table"), "{error}");
    let collected = harness.partial();
    assert_eq!(collected.value("host_sockstat_sockets_used"), Some(4.0));
    assert!(collected.unavailable.contains_key(&received("lo")) && collected.unavailable.contains_key(TOTAL));
    machine.interfaces(&[("lo", 2)]);
    assert_eq!(harness.collect().unwrap().value(&received("lo")), Some(2.0));
}

#[test]
fn a_machine_without_a_table_is_not_supported() {
    let root = tempfile::tempdir().unwrap();
    let config = json!({"root": root.path(), "source": "procfs"}).to_string();
    let Err(error) = Harness::new(host_net::plugin(), &config) else { panic!("it was made") };
    assert_eq!(error.kind(), twarga_plugin_api::ErrorKind::Unsupported);
    assert!(error.message().contains("proc/net/dev"), "{error}");
}

#[test]
fn wrong_configurations_are_refused() {
    for (config, path) in [(r#"{"include": [""]}"#, "include[0]"), (r#"{"total": "eth0"}"#, "total")] {
        let Err(error) = Harness::new(host_net::plugin(), config) else { panic!("{config} was taken") };
        assert_eq!((error.kind(), error.location()), (twarga_plugin_api::ErrorKind::Config, path), "{error}");
    }
}
