//! `[[alert]]`: the four rules that are always there, and the file's.

use super::{
    AlertRule, Comparison,
    check::Check,
    document::{Spot, Value},
    problem::{key_below, quoted},
    suggest::did_you_mean,
    table::{Field, Table},
    values::{Durations, hours},
};
use crate::model::{Labels, Severity};
use std::{collections::BTreeMap, time::Duration};

const OPS: [(&str, Comparison); 6] = [
    (">", Comparison::Above),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    ("<=", Comparison::AtMost),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
];
const SEVERITIES: [(&str, Severity); 3] =
    [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];
const HOLDS: Durations = Durations { least: Duration::ZERO, most: hours(30 * 24), example: "5m" };

/// The rules of the old system.
fn defaults() -> Vec<AlertRule> {
    let rule = |name: &str, metric: &str, threshold, what: &str| AlertRule {
        name: name.to_owned(),
        metric: metric.to_owned(),
        labels: Labels::default(),
        op: Comparison::AtLeast,
        threshold,
        hold: Duration::ZERO,
        severity: Severity::Warning,
        message: format!("{what} usage at {{value}}%"),
    };
    vec![
        rule("system_high_cpu", "host_cpu_percent", 90.0, "CPU"),
        rule("system_high_memory", "host_memory_percent", 85.0, "Memory"),
        rule("system_high_disk", "host_disk_percent", 90.0, "Disk"),
        rule("system_high_swap", "host_swap_percent", 50.0, "Swap"),
    ]
}

/// A rule of one name. A removed one keeps its place in the order, in case a later file brings it back.
struct Slot {
    name: String,
    enabled: bool,
    given: Given,
    /// Where a file last set it.
    set_at: Option<Spot>,
}

/// What was said of a rule so far, key by key.
#[derive(Default)]
struct Given {
    /// Of these three, nothing within something is a key whose value was no good.
    metric: Option<Option<String>>,
    op: Option<Option<Comparison>>,
    threshold: Option<Option<f64>>,
    labels: Option<Labels>,
    hold: Option<Duration>,
    severity: Option<Severity>,
    message: Option<String>,
    places: Places,
}

/// Where a rule's keys stand, for what only the whole agent can check.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) metric: Option<Spot>,
    pub(super) labels: Option<Spot>,
}

/// The rules, and where their keys stand, by name.
pub(super) struct Alerts {
    pub(super) rules: Vec<AlertRule>,
    pub(super) places: BTreeMap<String, Places>,
}

impl Slot {
    fn of_default(rule: AlertRule) -> Self {
        let given = Given {
            metric: Some(Some(rule.metric)),
            op: Some(Some(rule.op)),
            threshold: Some(Some(rule.threshold)),
            labels: Some(rule.labels),
            hold: Some(rule.hold),
            severity: Some(rule.severity),
            message: Some(rule.message),
            places: Places::default(),
        };
        Self { name: rule.name, enabled: true, given, set_at: None }
    }
}

impl Given {
    /// With the keys of a later table in place of its own.
    fn changed(self, by: Self) -> Self {
        Self {
            metric: by.metric.or(self.metric),
            op: by.op.or(self.op),
            threshold: by.threshold.or(self.threshold),
            labels: by.labels.or(self.labels),
            hold: by.hold.or(self.hold),
            severity: by.severity.or(self.severity),
            message: by.message.or(self.message),
            places: Places {
                metric: by.places.metric.or(self.places.metric),
                labels: by.places.labels.or(self.places.labels),
            },
        }
    }

    /// The rule, where it is whole.
    fn rule(self, name: String) -> Option<AlertRule> {
        let metric = self.metric.flatten()?;
        Some(AlertRule {
            name,
            labels: self.labels.unwrap_or_default(),
            op: self.op.flatten()?,
            threshold: self.threshold.flatten()?,
            hold: self.hold.unwrap_or_default(),
            severity: self.severity.unwrap_or(Severity::Warning),
            message: self.message.unwrap_or_else(|| format!("{metric} is {{value}}")),
            metric,
        })
    }
}

/// Reads all rules: the four defaults first, then the files' in their order.
pub(super) fn read(field: Option<Field<'_>>, check: &mut Check<'_>) -> Alerts {
    let mut slots: Vec<Slot> = defaults().into_iter().map(Slot::of_default).collect();
    let items = match field {
        Some(field) if matches!(field.node.value, Value::List(_)) => field.items("", check),
        Some(field) => {
            field.wrong_type("a list of rules", "each rule under [[alert]], in double brackets", check);
            None
        }
        None => None,
    };
    for item in items.unwrap_or_default() {
        let table = Table::of(Some(named(&item)), "each rule as a table: [[alert]]", check);
        if table.is_given() {
            read_one(table, &mut slots, check);
        }
    }
    slots.retain(|slot| slot.enabled);
    let places = slots.iter().map(|slot| (slot.name.clone(), slot.given.places)).collect();
    let rules = slots.into_iter().filter_map(|slot| slot.given.rule(slot.name)).collect();
    Alerts { rules, places }
}

/// The table of a rule under its name, because people don't count rules: `alert.system_high_cpu`.
fn named<'a>(item: &Field<'a>) -> Field<'a> {
    let name = match &item.node.value {
        Value::Table(entries) => entries.get("name").map(|node| &node.value),
        _ => None,
    };
    let path = match name {
        Some(Value::Text(name)) => key_below("alert", name),
        _ => "alert".to_owned(),
    };
    Field { path, node: item.node }
}

fn read_one(mut table: Table<'_>, slots: &mut Vec<Slot>, check: &mut Check<'_>) {
    let given_keys = table.all().count();
    let name = match table.get("name") {
        Some(field) => name(&field, check).map(|name| (name, field.node.at)),
        None => {
            check.error(table.at(), table.path(), "a rule without a name", "write name = \"…\" in it");
            None
        }
    };
    let enabled = table.get("enabled").and_then(|field| field.flag(check)).unwrap_or(true);
    let index = name.as_ref().and_then(|(name, _)| slots.iter().position(|slot| slot.name == *name));
    let given = given(&mut table, check);
    // a later file changes the keys that it gives, whoever gave them before
    let given = match index {
        Some(index) => std::mem::take(&mut slots[index].given).changed(given),
        None => given,
    };
    // a rule that is removed may be incomplete, and one without a name may stand for a default
    if enabled && name.is_some() {
        refuse_incomplete(&given, &table, check);
    }
    let path = table.path().to_owned();
    table.refuse_others(check, |_| None);
    let Some((name, at)) = name else { return };
    let Some(index) = index else {
        // its rule may stand in a part of a file that could not be read
        if !enabled && given_keys == 2 && !check.incomplete {
            let known = slots.iter().map(|slot| slot.name.as_str());
            let hint = did_you_mean(&name, known).unwrap_or_else(|| "remove these lines".to_owned());
            check.error(at, &path, "there is no rule of this name to remove", hint);
        }
        slots.push(Slot { name, enabled, given, set_at: Some(at) });
        return;
    };
    let slot = &mut slots[index];
    if let Some(before) = slot.set_at.filter(|before| before.file == at.file) {
        let message = format!("a second rule of this name; the first stands at {}", check.name(before));
        check.error(at, &path, message, "rename one of the two, or remove it");
    }
    *slot = Slot { name, enabled, given, set_at: Some(at) };
}

/// What a table says of its rule.
fn given(table: &mut Table<'_>, check: &mut Check<'_>) -> Given {
    let (metric_field, labels_field) = (table.get("metric"), table.get("labels"));
    let places = Places {
        metric: metric_field.as_ref().map(|field| field.node.at),
        labels: labels_field.as_ref().map(|field| field.node.key),
    };
    Given {
        metric: metric_field.map(|field| metric(&field, check)),
        labels: labels_field.and_then(|field| field.labels(&[], check)),
        op: table.get("op").map(|field| field.word(&OPS, check)),
        threshold: table.get("threshold").map(|field| field.number(check)),
        hold: table.get("for").and_then(|field| field.duration(&HOLDS, check)),
        severity: table.get("severity").and_then(|field| field.word(&SEVERITIES, check)),
        message: table.get("message").and_then(|field| message(&field, check)),
        places,
    }
}

/// Reports the keys that a rule needs and nobody gave.
fn refuse_incomplete(given: &Given, table: &Table<'_>, check: &mut Check<'_>) {
    let given = [given.metric.is_some(), given.op.is_some(), given.threshold.is_some()];
    let lines = ["metric = \"host_cpu_percent\"", "op = \">=\"", "threshold = 90.0"];
    for (line, _) in lines.into_iter().zip(given).filter(|(_, given)| !given) {
        let key = key_below(table.path(), line.split(' ').next().unwrap_or_default());
        check.error(table.at(), &key, "missing", format!("write a line such as {line}"));
    }
}

/// A rule's name is the type of its event, so it is one word.
fn name(field: &Field<'_>, check: &mut Check<'_>) -> Option<String> {
    const LONGEST: usize = 100;
    let text = field.text("a name", "system_high_cpu", check)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(allowed) {
        let hint = "write letters, digits, _, - and ., up to 100";
        field.error(format!("{} is not the name of a rule", quoted(text)), hint, check);
        return None;
    }
    Some(text.to_owned())
}

/// A metric's or a view's name.
fn metric(field: &Field<'_>, check: &mut Check<'_>) -> Option<String> {
    let text = field.text("a metric's name", "host_cpu_percent", check)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if !text.is_empty() && text.chars().all(allowed) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(text.to_owned());
    }
    let hint = match text.split_once('{') {
        Some((name, _)) => format!("write {}, and the labels as labels = {{ … }}", quoted(name)),
        None => "write one such as \"host_cpu_percent\"".to_owned(),
    };
    field.error(format!("{} is not the name of a metric", quoted(text)), hint, check);
    None
}

/// A message whose only placeholders are `{value}` and `{vm_name}`.
fn message(field: &Field<'_>, check: &mut Check<'_>) -> Option<String> {
    let text = field.text("a message", "CPU usage at {value}%", check)?;
    let word = |part: &str| {
        let (name, _) = part.split_once('}')?;
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_word && !matches!(name, "value" | "vm_name")).then(|| name.to_owned())
    };
    for name in text.split('{').skip(1).filter_map(word) {
        field.error(
            format!("the placeholder {} is not known", quoted(&name)),
            "write {value} or {vm_name}",
            check,
        );
    }
    Some(text.to_owned())
}
