//! From the names that others give to names that keep the rules: mended where the rules themselves say how.

use super::TextSample;
use crate::{
    Kind, MAX_HELP, MAX_NAME, Unit,
    metric::{SUFFIXES, is_metric_name},
};

/// A sample's metric, as it is declared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    /// Something that was passed over and does no harm.
    pub(super) note: Option<String>,
}

/// The name and the unit of a sample's metric.
///
/// # Errors
/// What contradicts itself, so that nobody but the author knows what is meant.
pub(super) fn named(sample: &TextSample, prefix: &str) -> Result<Named, String> {
    let mut name = plain(&sample.name);
    let by_name = if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
    let kind = sample.kind.unwrap_or(by_name);
    let mut note = None;
    if !sample.unit.is_empty() {
        match unit_of_word(&sample.unit) {
            Some(unit) => name = with_unit(name, unit)?,
            None => {
                note = Some(format!(
                    "`{}` is not a base unit (bytes, seconds, ratio …): the metric has none",
                    sample.unit
                ));
            }
        }
    }
    match kind {
        Kind::Counter if !sample.part && !name.ends_with("_total") => name.push_str("_total"),
        Kind::Info if !name.ends_with("_info") => name.push_str("_info"),
        Kind::Gauge if name.ends_with("_total") => {
            return Err(format!("`{name}` is declared a gauge, and its name is a counter's: rename it"));
        }
        _ => {}
    }
    if !name.starts_with(prefix) {
        name.insert_str(0, prefix);
    }
    if !is_metric_name(&name) {
        return Err(format!("`{name}` is not a metric name of up to {MAX_NAME} bytes"));
    }
    let unit = unit_of_name(&name);
    Ok(Named { name, kind, unit, note })
}

/// The prefix for the metrics of something with this name: `check-raid.sh` is `check_raid_`.
pub fn prefix_of(name: &str) -> String {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.split_once('.').map_or(stem, |(stem, _)| stem);
    match stem {
        "" => String::new(),
        stem => format!("{}_", plain(stem)),
    }
}

/// With `_` for everything that a name can't have.
fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut plain: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    plain
}

/// The same for a label's key, which may not have a colon.
pub(super) fn plain_label(key: &str) -> String {
    plain(key).replace(':', "_")
}

fn unit_of_word(word: &str) -> Option<Unit> {
    let known = |(suffix, unit): &&(&str, Unit)| word == &suffix[1..] || word == unit.code();
    SUFFIXES.iter().find(known).map(|(_, unit)| *unit)
}

fn unit_of_name(name: &str) -> Unit {
    let name = name.strip_suffix("_total").unwrap_or(name);
    SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix)).map_or(Unit::NONE, |(_, unit)| *unit)
}

/// The name with the ending of its unit, before `_total`.
fn with_unit(name: String, unit: Unit) -> Result<String, String> {
    match unit_of_name(&name) {
        known if known == unit => Ok(name),
        Unit::NONE => {
            let (base, total) = match name.strip_suffix("_total") {
                Some(base) => (base, "_total"),
                None => (&*name, ""),
            };
            let suffix = SUFFIXES.iter().find(|(_, known)| *known == unit).map_or("", |(suffix, _)| suffix);
            Ok(format!("{base}{suffix}{total}"))
        }
        other => {
            Err(format!("the name `{name}` says the unit {}, and {} is told", other.code(), unit.code()))
        }
    }
}

/// A help text that may be declared.
pub(super) fn help(text: &str, name: &str) -> String {
    let text = text.trim();
    let text = if text.is_empty() { format!("{name}, without a help text.") } else { text.to_owned() };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text[..text.floor_char_boundary(MAX_HELP)].to_owned()
}
