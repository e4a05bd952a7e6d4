//! What is written of an alert: strings of the API, and events.

use super::step::Ending;
use crate::{
    config::AlertRule,
    inventory::{Machine, Machines},
    model::{Event, Labels, Severity, Timestamp},
};
use serde_json::{Value, json};

/// The old system's four rules in its order: name, metric, and what its strings call it.
const SEED: [(&str, &str, &str); 4] = [
    ("system_high_cpu", "host_cpu_percent", "CPU"),
    ("system_high_memory", "host_memory_percent", "memory"),
    ("system_high_disk", "host_disk_percent", "disk"),
    ("system_high_swap", "host_swap_percent", "swap"),
];

/// Stands in a message for the name of the machine.
const VM_NAME: &str = "{vm_name}";

/// The place of a rule in the order of the API: the old system's four, then all others.
pub(super) fn rank(rule: &str) -> usize {
    SEED.iter().position(|(name, ..)| *name == rule).unwrap_or(SEED.len())
}

/// One decimal always (`90.0`), and no negative zero.
fn shown(value: f64) -> String {
    let text = format!("{value:.1}");
    if text == "-0.0" { "0.0".into() } else { text }
}

/// The machine that labels tell of.
pub(super) fn machine<'a>(machines: &'a Machines, labels: &Labels) -> Option<&'a Machine> {
    machines.by_uuid(labels.get("vm"))
}

/// What a machine is called; of one that the inventory does not know, its label.
fn title(machines: &Machines, labels: &Labels) -> Option<String> {
    match machine(machines, labels) {
        Some(machine) => Some(machines.title(machine)),
        None => Some(labels.get("vm")).filter(|vm| !vm.is_empty()).map(String::from),
    }
}

/// The rule's message. It always names the machine: an alert of some machine helps nobody.
fn filled(rule: &AlertRule, labels: &Labels, value: f64, machines: &Machines) -> String {
    let text = rule.message.replace("{value}", &shown(value));
    match title(machines, labels) {
        Some(name) if text.contains(VM_NAME) => text.replace(VM_NAME, &name),
        Some(name) => format!("{text} ({name})"),
        None => text.replace(VM_NAME, "the host"),
    }
}

/// As `/api/metrics/alerts` shows it. The old system's wording belongs to its own metrics: a rule that has only the name
/// of one of the four says what its message says.
pub(super) fn text(rule: &AlertRule, labels: &Labels, value: f64, machines: &Machines) -> String {
    let seed = SEED.iter().find(|(name, metric, _)| *name == rule.name && *metric == rule.metric);
    match seed {
        Some((.., what)) => format!("\u{26a0}\u{fe0f} High {what} usage: {}%", shown(value)),
        None => format!("\u{26a0}\u{fe0f} {}", filled(rule, labels, value, machines)),
    }
}

/// The event of a transition into firing.
pub(super) fn fired(
    rule: &AlertRule,
    labels: &Labels,
    value: f64,
    time: Timestamp,
    machines: &Machines,
) -> Event {
    let machine = machine(machines, labels);
    Event {
        kind: rule.name.clone(),
        severity: rule.severity,
        message: filled(rule, labels, value, machines),
        details: naming(
            machine,
            json!({
                "source": "system_monitor",
                "rule": rule.name,
                "metric": rule.metric,
                "value": value,
                "threshold": rule.threshold,
                "op": rule.op.symbol(),
                "labels": map(labels),
            }),
        ),
        time,
        vm_id: machine.map(|machine| machine.vm_id),
    }
}

/// What an event of a resolution tells.
pub(super) struct Resolution<'a> {
    /// The rule's name.
    pub(super) rule: &'a str,
    /// What it watched.
    pub(super) metric: &'a str,
    /// The labels of the series.
    pub(super) labels: &'a Labels,
    /// Since when the comparison held.
    pub(super) since: Timestamp,
    /// Why it ended.
    pub(super) ending: Ending,
    /// The last value.
    pub(super) value: f64,
    /// The rule, if it is still there.
    pub(super) definition: Option<&'a AlertRule>,
}

/// The event of a resolution.
pub(super) fn resolved(of: &Resolution<'_>, time: Timestamp, machines: &Machines) -> Event {
    let machine = machine(machines, of.labels);
    let named = || title(machines, of.labels).map_or_else(String::new, |name| format!(" ({name})"));
    let message = match (of.ending, of.definition) {
        (Ending::Recovered, Some(rule)) => filled(rule, of.labels, of.value, machines),
        (Ending::NoData, _) => {
            format!("{}: no value of {}{} any more{}", of.rule, of.metric, of.labels, named())
        }
        (Ending::MachineStopped, _) => format!("{}: the machine was stopped{}", of.rule, named()),
        (Ending::MachineCrashed, _) => format!("{}: the machine crashed{}", of.rule, named()),
        (Ending::MachineDestroyed, _) => format!("{}: the machine was destroyed{}", of.rule, named()),
        _ => format!("{}: the rule is no longer configured{}", of.rule, named()),
    };
    Event {
        kind: format!("{}_resolved", of.rule),
        severity: Severity::Info,
        message,
        details: naming(
            machine,
            json!({
                "source": "system_monitor",
                "rule": of.rule,
                "metric": of.metric,
                "value": of.value,
                "threshold": of.definition.map(|rule| rule.threshold),
                "op": of.definition.map(|rule| rule.op.symbol()),
                "labels": map(of.labels),
                "reason": of.ending.word(),
                "since": of.since.to_string(),
            }),
        ),
        time,
        vm_id: machine.map(|machine| machine.vm_id),
    }
}

/// Adds the name of the machine, where it is about one.
fn naming(machine: Option<&Machine>, mut details: Value) -> Value {
    if let Some(machine) = machine {
        details["vm_name"] = json!(machine.info.name);
    }
    details
}

fn map(labels: &Labels) -> serde_json::Map<String, Value> {
    labels.iter().map(|(key, value)| (key.into(), value.into())).collect()
}
