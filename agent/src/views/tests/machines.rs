//! Flat answers of machines of which not all is known.

use super::*;
use serde_json::{Value, json};

const LABELS: &[(&str, &str)] = &[("vm", "u-2")];
/// Every metric of a machine, with a value.
const METRICS: [(&str, f64); 9] = [
    ("vm_vcpus", 2.0),
    ("vm_cpu_usage_ratio", 0.5),
    ("vm_memory_total_bytes", GIB),
    ("vm_memory_used_bytes", GIB / 2.0),
    ("vm_disk_capacity_bytes", 10.0 * GIB),
    ("vm_disk_used_bytes", GIB),
    ("vm_network_receive_bytes_total", MIB),
    ("vm_network_transmit_bytes_total", MIB),
    ("vm_uptime_seconds", 3600.0),
];

fn known(state: State) -> Machine {
    let info = Info {
        vm: "u-2".into(),
        name: Some("web".into()),
        ip_address: Some("192.0.2.1".into()),
        ..Info::default()
    };
    Machine { vm_id: 1, info: Arc::new(info), state, last_seen: Some(at(NOW)) }
}

fn flat(machine: &Machine, values: Vec<Given<'_>>) -> Value {
    serde_json::to_value(vm_flat(machine, &snapshot(values), &context()).unwrap()).unwrap()
}

/// The keys that are null, which must be those that have a reason.
#[track_caller]
fn nulls(flat: &Value) -> Vec<&str> {
    let nulls: Vec<&str> = flat
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| value.is_null())
        .map(|(key, _)| key.as_str())
        .collect();
    let told = flat.get("unavailable").and_then(Value::as_object);
    let mut told: Vec<&str> = told.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    told.sort_unstable();
    assert_eq!(nulls, told, "{flat}");
    nulls
}

#[test]
fn a_key_that_is_null_has_the_reason_of_the_metric_behind_it() {
    for (missing, keys) in [
        ("vm_vcpus", &["cpu_allocated_cores"][..]),
        ("vm_cpu_usage_ratio", &["cpu_percent"]),
        ("vm_memory_total_bytes", &["memory_available_mb", "memory_percent", "ram_allocated_mb"]),
        ("vm_memory_used_bytes", &["memory_available_mb", "memory_percent", "memory_used_mb"]),
        ("vm_disk_capacity_bytes", &["disk_allocated_gb", "disk_available_gb", "disk_percent"]),
        ("vm_disk_used_bytes", &["disk_available_gb", "disk_percent", "disk_used_gb"]),
        ("vm_network_receive_bytes_total", &["network_rx_mb"]),
        ("vm_network_transmit_bytes_total", &["network_tx_mb"]),
        ("vm_uptime_seconds", &["uptime_hours", "uptime_seconds"]),
    ] {
        let value = |(name, value): (&'static str, f64)| {
            let value =
                if name == missing { Err(Missing::Unavailable("stale balloon".into())) } else { Ok(value) };
            (name, LABELS, value)
        };
        let flat = flat(&known(State::Running), METRICS.into_iter().map(value).collect());
        assert_eq!(nulls(&flat), keys, "without {missing}");
        for key in keys {
            assert_eq!(flat["unavailable"][key], "stale balloon", "{key} without {missing}");
        }
    }
    let flat = flat(&known(State::Running), METRICS.map(|(name, value)| (name, LABELS, Ok(value))).into());
    assert_eq!(nulls(&flat), [""; 0]);
}

#[test]
fn a_destroyed_machine_has_no_value_of_before() {
    // its series are still there
    let flat = flat(&known(State::Destroyed), METRICS.map(|(name, value)| (name, LABELS, Ok(value))).into());
    assert_eq!(
        (&flat["vm_status"], &flat["state"], &flat["vm_name"]),
        (&json!("destroyed"), &json!("destroyed"), &json!("web"))
    );
    assert_eq!(nulls(&flat).len(), 15);
    assert!(flat["unavailable"].as_object().unwrap().values().all(|why| why == "destroyed"), "{flat}");
}

#[test]
fn what_was_never_told_of_a_machine_is_nothing() {
    let unseen = Machine { last_seen: None, ..known(State::Unknown) };
    assert_eq!(vm_flat(&unseen, &Snapshot::default(), &context()), None);
    // others were collected
    let others = snapshot(vec![("host_load1", &[], Ok(1.0)), ("vm_state", &[("vm", "u-1")], Ok(1.0))]);
    assert_eq!(vm_flat(&unseen, &others, &context()), None);
    // told of, though nothing can be had
    let away = Err(Missing::Unavailable("libvirt is away".into()));
    let told = snapshot(vec![("vm_state", LABELS, away.clone()), ("vm_uptime_seconds", LABELS, away)]);
    let flat = serde_json::to_value(vm_flat(&unseen, &told, &context()).unwrap()).unwrap();
    assert_eq!(
        (&flat["state"], &flat["unavailable"]["uptime_hours"]),
        (&json!("unknown"), &json!("libvirt is away"))
    );
}
