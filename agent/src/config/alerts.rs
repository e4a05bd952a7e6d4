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
use std::time::Duration;

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
const HOLDS: Durations =
    Durations { least: Duration::ZERO, most: hours(30 * 24), words: "0s to 30d", example: "5m" };

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
    /// Of the four: what the rule is without a file.
    default: Option<AlertRule>,
    rule: Option<AlertRule>,
    /// Where a file last set it.
    set_at: Option<Spot>,
}

/// Reads all rules: the four defaults first, then the files' in their order.
pub(super) fn read(field: Option<Field<'_>>, check: &mut Check<'_>) -> Vec<AlertRule> {
    let slot = |rule: AlertRule| Slot {
        name: rule.name.clone(),
        default: Some(rule.clone()),
        rule: Some(rule),
        set_at: None,
    };
    let mut slots: Vec<Slot> = defaults().into_iter().map(slot).collect();
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
    slots.into_iter().filter_map(|slot| slot.rule).collect()
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
    let default = index.and_then(|index| slots[index].default.clone());
    // a rule that is removed may be incomplete, and one without a name may stand for a default
    let rule = rule(&mut table, default.as_ref(), enabled && name.is_some(), check);
    let path = table.path().to_owned();
    table.refuse_others(check, |_| None);
    let Some((name, at)) = name else { return };
    let rule = rule.filter(|_| enabled).map(|rule| AlertRule { name: name.clone(), ..rule });
    let Some(index) = index else {
        // its rule may stand in a part of a file that could not be read
        if !enabled && given_keys == 2 && !check.incomplete {
            let known = slots.iter().map(|slot| slot.name.as_str());
            let hint = did_you_mean(&name, known).unwrap_or_else(|| "remove these lines".to_owned());
            check.error(at, &path, "there is no rule of this name to remove", hint);
        }
        slots.push(Slot { name, default: None, rule, set_at: Some(at) });
        return;
    };
    let slot = &mut slots[index];
    if let Some(before) = slot.set_at.filter(|before| before.file == at.file) {
        let message = format!("a second rule of this name; the first stands at {}", check.name(before));
        check.error(at, &path, message, "rename one of the two, or remove it");
    }
    slot.rule = rule;
    slot.set_at = Some(at);
}

/// The rule without its name: what the table gives, else what the default says. What is missing is reported where
/// `must_be_whole`.
fn rule(
    table: &mut Table<'_>,
    default: Option<&AlertRule>,
    must_be_whole: bool,
    check: &mut Check<'_>,
) -> Option<AlertRule> {
    let metric = table.get("metric").map(|field| metric(&field, check));
    let labels = table.get("labels").and_then(|field| field.labels(&[], check));
    let op = table.get("op").map(|field| field.word(&OPS, check));
    let threshold = table.get("threshold").map(|field| field.number(check));
    let hold = table.get("for").and_then(|field| field.duration(&HOLDS, check));
    let severity = table.get("severity").and_then(|field| field.word(&SEVERITIES, check));
    let message = table.get("message").and_then(|field| message(&field, check));
    if must_be_whole && default.is_none() {
        let given = [metric.is_some(), op.is_some(), threshold.is_some()];
        let lines = ["metric = \"host_cpu_percent\"", "op = \">=\"", "threshold = 90.0"];
        for (line, _) in lines.into_iter().zip(given).filter(|(_, given)| !given) {
            let key = key_below(table.path(), line.split(' ').next().unwrap_or_default());
            check.error(table.at(), &key, "missing", format!("write a line such as {line}"));
        }
    }
    let metric = metric.flatten().or_else(|| Some(default?.metric.clone()))?;
    let message = message.or_else(|| Some(default?.message.clone()));
    Some(AlertRule {
        name: String::new(),
        labels: labels.or_else(|| Some(default?.labels.clone())).unwrap_or_default(),
        op: op.flatten().or_else(|| Some(default?.op))?,
        threshold: threshold.flatten().or_else(|| Some(default?.threshold))?,
        hold: hold.or_else(|| Some(default?.hold)).unwrap_or_default(),
        severity: severity.or_else(|| Some(default?.severity)).unwrap_or(Severity::Warning),
        message: message.unwrap_or_else(|| format!("{metric} is {{value}}")),
        metric,
    })
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

/// A message whose only placeholder is `{value}`.
fn message(field: &Field<'_>, check: &mut Check<'_>) -> Option<String> {
    let text = field.text("a message", "CPU usage at {value}%", check)?;
    let word = |part: &str| {
        let (name, _) = part.split_once('}')?;
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_word && name != "value").then(|| name.to_owned())
    };
    for name in text.split('{').skip(1).filter_map(word) {
        field.error(format!("the placeholder {} is not known", quoted(&name)), "write {value}", check);
    }
    Some(text.to_owned())
}
