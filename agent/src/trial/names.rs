//! Names, units, labels and help by the rules of OpenMetrics and of `promtool check metrics`, beyond those that a
//! declaration must keep to be loaded at all.

use super::report::Answer;
use crate::{host::DeclaredMetric, model::Kind};

/// Words of units that are not base units, and what to write instead.
const UNITS: &[(&[&str], &str)] = &[
    (
        &[
            "milliseconds",
            "microseconds",
            "nanoseconds",
            "minutes",
            "hours",
            "days",
            "weeks",
            "ms",
            "msec",
            "us",
            "usec",
            "ns",
            "nsec",
            "sec",
            "secs",
            "mins",
            "jiffies",
        ],
        "seconds",
    ),
    (
        &[
            "kilobytes",
            "megabytes",
            "gigabytes",
            "terabytes",
            "kibibytes",
            "mebibytes",
            "gibibytes",
            "tebibytes",
            "kb",
            "mb",
            "gb",
            "tb",
            "kib",
            "mib",
            "gib",
            "tib",
            "bits",
            "kilobits",
            "megabits",
            "mbit",
            "kbit",
        ],
        "bytes",
    ),
    (&["percent", "percentage", "pct"], "ratio"),
    (&["fahrenheit", "kelvin", "degrees", "millidegrees", "millicelsius"], "celsius"),
    (&["kilohertz", "megahertz", "gigahertz", "hz", "khz", "mhz", "ghz"], "hertz"),
    (&["milliwatts", "kilowatts", "microwatts"], "watts"),
    (&["millivolts", "microvolts", "kilovolts", "mv"], "volts"),
    (&["milliamperes", "microamperes", "amps", "ma"], "amperes"),
    (&["kwh", "wh", "microjoules", "millijoules"], "joules"),
];

/// Endings that belong to the series of other instruments.
const ENDINGS: &[&str] = &["_bucket", "_count", "_sum", "_created", "_gcount", "_gsum"];

/// Labels that the exposition or the scraper sets.
const LABELS: &[&str] = &["le", "quantile", "job", "instance"];

/// Names below these are node_exporter's or the HTTP contract's, and kept as they are.
const GIVEN: &[&str] = &["host_", "vm_"];

/// The check of all these metrics.
pub(super) fn answer(metrics: &[DeclaredMetric]) -> Answer {
    const CHECK: &str = "names";
    let found: Vec<_> = metrics.iter().flat_map(problems).collect();
    if found.is_empty() {
        return match metrics.len() {
            0 => Answer::skip(CHECK, "no metric is declared"),
            count => Answer::pass(CHECK, format!("{count} metrics follow OpenMetrics")),
        };
    }
    let (told, mend): (Vec<String>, Vec<String>) = found.into_iter().unzip();
    Answer::fail(CHECK, told.join("; "), mend.join("; "))
}

/// What is wrong with a metric, and what to write instead.
fn problems(metric: &DeclaredMetric) -> Vec<(String, String)> {
    let name = metric.name.as_str();
    let mut found = Vec::new();
    let mut add = |what: String, mend: String| found.push((format!("{name}: {what}"), mend));
    if name.contains(':') {
        add("a colon belongs to recording rules".into(), "write `_` for `:`".into());
    }
    if !GIVEN.iter().any(|given| name.starts_with(given)) {
        if metric.kind == Kind::Counter && !name.ends_with("_total") {
            add("a counter's name ends in `_total`".into(), format!("call it `{name}_total`"));
        }
        if let Some(ending) = ENDINGS.iter().find(|ending| name.ends_with(*ending)) {
            add(
                format!("`{ending}` is the ending of a histogram's or summary's series"),
                "take another word".into(),
            );
        }
        if name.chars().any(|c| c.is_ascii_uppercase()) {
            add("capital letters".into(), "write it in snake_case".into());
        }
        if let Some((word, base)) = foreign_unit(name) {
            add(format!("`{word}` is no base unit"), format!("give it in {base}: `…_{base}`"));
        }
    }
    if name.ends_with("_info") && metric.kind != Kind::Info {
        add(
            "`_info` is the ending of an Info metric".into(),
            "declare it by Metric::info, or take another word".into(),
        );
    }
    if let Some(word) = name.split('_').find(|word| ["gauge", "counter", "stateset"].contains(word)) {
        add(
            format!("the kind `{word}` in the name"),
            "leave it out: the kind is told beside the name".into(),
        );
    }
    for key in metric.label_keys.split(',') {
        if LABELS.contains(&key) || key.starts_with("exported_") {
            add(format!("the label `{key}` is set by others"), "take another word for it".into());
        }
    }
    if metric.help.trim().trim_end_matches('.') == name {
        add("the help text only repeats the name".into(), "say what it is, in a sentence".into());
    }
    found
}

/// A word at the place of the unit that is none of the base units.
fn foreign_unit(name: &str) -> Option<(&str, &'static str)> {
    let word = name.trim_end_matches("_total").rsplit('_').next()?;
    let known = |(words, base): &(&[&str], &'static str)| words.contains(&word).then_some((word, *base));
    UNITS.iter().find_map(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Kind, name: &str, labels: &str) -> Vec<String> {
        let metric = DeclaredMetric {
            kind,
            name: name.into(),
            unit: String::new(),
            label_keys: labels.into(),
            help: "What it is.".into(),
        };
        problems(&metric).into_iter().map(|(what, _)| what).collect()
    }

    #[test]
    fn good_names_pass() {
        for (kind, name) in [
            (Kind::Gauge, "disk_temperature_celsius"),
            (Kind::Counter, "app_sent_bytes_total"),
            (Kind::Info, "app_info"),
            (Kind::Gauge, "app_status"),
            (Kind::Counter, "host_vmstat_pgmajfault"),
        ] {
            assert!(told(kind, name, "device,state").is_empty(), "{name}: {:?}", told(kind, name, ""));
        }
    }

    #[test]
    fn each_rule_is_told() {
        for (kind, name, labels, part) in [
            (Kind::Gauge, "app:x", "", "colon"),
            (Kind::Counter, "app_x", "", "`_total`"),
            (Kind::Gauge, "app_x_count", "", "histogram"),
            (Kind::Gauge, "app_latency_milliseconds", "", "`milliseconds` is no base unit"),
            (Kind::Counter, "app_used_ms_total", "", "`ms` is no base unit"),
            (Kind::Gauge, "app_x_percent", "", "base unit"),
            (Kind::Gauge, "app_x_info", "", "Info"),
            (Kind::Gauge, "app_gauge", "", "the kind `gauge`"),
            (Kind::Gauge, "appX", "", "capital"),
            (Kind::Gauge, "app_x", "a,le", "`le`"),
            (Kind::Gauge, "host_x", "instance", "`instance`"),
        ] {
            let told = told(kind, name, labels);
            assert!(matches!(&told[..], [one] if one.contains(part)), "{name}: {told:?}");
        }
    }
}
