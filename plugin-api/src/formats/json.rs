//! JSON lines: an object a line, a sample an object.

use super::{Parsed, TextSample, prometheus::millis};
use crate::Kind;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    name: String,
    /// `null` is no value, as NaN, which JSON doesn't have.
    value: Value,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    kind: Option<String>,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    help: String,
    time: Option<f64>,
}

pub(super) fn line(line: &str, number: usize, parsed: &mut Parsed) -> Result<(), String> {
    let object: Object = serde_json::from_str(line).map_err(|error| {
        let message = error.to_string();
        // serde_json names a line of its own, which is always the first
        message.split(" at line ").next().unwrap_or(&message).to_owned()
    })?;
    let value = match &object.value {
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Null => f64::NAN,
        _ => return Err("`value` is not a number".into()),
    };
    let kind = match object.kind.as_deref() {
        None => None,
        Some("gauge") => Some(Kind::Gauge),
        Some("counter") => Some(Kind::Counter),
        Some(other) => return Err(format!("`kind` is \"gauge\" or \"counter\", not `{other}`")),
    };
    let mut labels = Vec::new();
    for (key, value) in object.labels {
        match value {
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => labels.push((key, text)),
            Value::Number(_) | Value::Bool(_) => labels.push((key, value.to_string())),
            _ => return Err(format!("the label `{key}` is neither a text nor a number")),
        }
    }
    let time = match object.time {
        Some(seconds) => Some(millis(seconds).ok_or("`time` is not in seconds since 1970")?),
        None => None,
    };
    parsed.samples.push(TextSample {
        line: number,
        name: object.name,
        kind,
        part: false,
        unit: object.unit.into(),
        help: object.help.into(),
        labels,
        value,
        time,
    });
    Ok(())
}
