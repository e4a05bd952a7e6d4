//! Metric families: name, kind, unit, help and label keys, checked when they are declared.

use crate::{
    abi::{RawKind, RawMetric},
    error::{Error, Result},
};
use abi_stable::std_types::RStr;

/// The instrument kinds, as OpenMetrics defines them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A value that goes up and down: a temperature, bytes in use.
    Gauge,
    /// A value that only rises until its source starts anew: bytes received. Its name ends in `_total`,
    /// except where node_exporter's does not.
    Counter,
    /// Facts as labels, the value always 1: `vm_info{vm,name,provider}`. Its name ends in `_info`.
    Info,
    /// One of several states: a series a state, the label named like `state`, the value 1 for the current one, else 0.
    StateSet,
}

/// Units by their UCUM code. A metric's unit must agree with the suffix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit(&'static str);

impl Unit {
    /// No unit: a count of things, an index, a flag, a state.
    pub const NONE: Unit = Unit("");
    /// `By`, suffix `_bytes`.
    pub const BYTES: Unit = Unit("By");
    /// `s`, suffix `_seconds`.
    pub const SECONDS: Unit = Unit("s");
    /// `1`, a part of a whole from 0 to 1, suffix `_ratio`.
    pub const RATIO: Unit = Unit("1");
    /// `Hz`, suffix `_hertz`.
    pub const HERTZ: Unit = Unit("Hz");
    /// `Cel`, suffix `_celsius`.
    pub const CELSIUS: Unit = Unit("Cel");
    /// `J`, suffix `_joules`.
    pub const JOULES: Unit = Unit("J");
    /// `W`, suffix `_watts`.
    pub const WATTS: Unit = Unit("W");
    /// `V`, suffix `_volts`.
    pub const VOLTS: Unit = Unit("V");
    /// `A`, suffix `_amperes`.
    pub const AMPERES: Unit = Unit("A");

    /// The UCUM code, as the host stores and shows it.
    pub const fn code(self) -> &'static str {
        self.0
    }
}

/// The suffixes that stand for a unit.
pub(crate) const SUFFIXES: &[(&str, Unit)] = &[
    ("_bytes", Unit::BYTES),
    ("_seconds", Unit::SECONDS),
    ("_ratio", Unit::RATIO),
    ("_hertz", Unit::HERTZ),
    ("_celsius", Unit::CELSIUS),
    ("_joules", Unit::JOULES),
    ("_watts", Unit::WATTS),
    ("_volts", Unit::VOLTS),
    ("_amperes", Unit::AMPERES),
];

/// A metric family: what all series of one name have in common.
///
/// Made by `const` constructors that refuse a wrong declaration when the plugin is compiled:
///
/// ```
/// use twarga_plugin_api::{Metric, Unit};
/// const READ: Metric = Metric::counter("app_read_bytes_total", Unit::BYTES, "Bytes read.").labels("device");
/// ```
/// ```compile_fail
/// use twarga_plugin_api::{Metric, Unit};
/// const READ: Metric = Metric::counter("app_read_bytes_total", Unit::SECONDS, "Bytes read.");
/// ```
/// The names of families that are known only at run time go through [`Metric::try_new`] and
/// [`Host::declare`](crate::Host::declare).
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Metric<'a>(pub(crate) RawMetric<'a>);

impl<'a> Metric<'a> {
    /// A gauge without labels.
    ///
    /// # Panics
    /// At compile time, where the name is no Prometheus metric name, the unit disagrees with the name's
    /// suffix, or a text has a control character.
    pub const fn gauge(name: &'a str, unit: Unit, help: &'a str) -> Self {
        Self::checked(RawKind::GAUGE, name, unit, help)
    }

    /// A counter without labels. The same panics as [`Metric::gauge`].
    pub const fn counter(name: &'a str, unit: Unit, help: &'a str) -> Self {
        Self::checked(RawKind::COUNTER, name, unit, help)
    }

    /// Facts carried by labels: give them with [`Metric::labels`]. The same panics as [`Metric::gauge`].
    pub const fn info(name: &'a str, help: &'a str) -> Self {
        Self::checked(RawKind::INFO, name, Unit::NONE, help)
    }

    /// One of several states; the *last* label key is the one that names the state. The same panics as [`Metric::gauge`].
    pub const fn state_set(name: &'a str, help: &'a str) -> Self {
        Self::checked(RawKind::STATE_SET, name, Unit::NONE, help)
    }

    /// The same with label keys, separated by commas: `"device,fstype"`.
    ///
    /// # Panics
    /// At compile time, where a key is no Prometheus label name or stands twice.
    #[must_use]
    pub const fn labels(mut self, keys: &'a str) -> Self {
        if let Some(problem) = label_keys_problem(keys) {
            panic!("{}", problem);
        }
        self.0.label_keys = RStr::from_str(keys);
        self
    }

    /// A family whose name is known only at run time.
    ///
    /// # Errors
    /// What the `const` constructors refuse by a compile error.
    pub fn try_new(
        kind: Kind,
        name: &'a str,
        unit: Unit,
        help: &'a str,
        label_keys: &'a str,
    ) -> Result<Self> {
        let raw = kind.to_raw();
        match declaration_problem(raw, name, unit.0, help).or(label_keys_problem(label_keys)) {
            Some(problem) => Err(Error::fatal(format_args!("metric `{name}`: {problem}"))),
            None => {
                let mut metric = Self::unchecked(raw, name, unit, help);
                metric.0.label_keys = RStr::from_str(label_keys);
                Ok(metric)
            }
        }
    }

    const fn checked(kind: RawKind, name: &'a str, unit: Unit, help: &'a str) -> Self {
        if let Some(problem) = declaration_problem(kind, name, unit.0, help) {
            panic!("{}", problem);
        }
        Self::unchecked(kind, name, unit, help)
    }

    const fn unchecked(kind: RawKind, name: &'a str, unit: Unit, help: &'a str) -> Self {
        let empty = RStr::from_str("");
        Metric(RawMetric {
            name: RStr::from_str(name),
            unit: RStr::from_str(unit.0),
            help: RStr::from_str(help),
            label_keys: empty,
            ext_json: empty,
            kind,
        })
    }

    /// The name, `_total` included.
    pub const fn name(&self) -> &'a str {
        self.0.name.as_str()
    }

    /// The UCUM code of the unit, empty for none.
    pub const fn unit(&self) -> &'a str {
        self.0.unit.as_str()
    }

    /// One sentence for people.
    pub const fn help(&self) -> &'a str {
        self.0.help.as_str()
    }

    /// The label keys, separated by commas.
    pub const fn label_keys(&self) -> &'a str {
        self.0.label_keys.as_str()
    }

    /// The instrument kind.
    pub const fn kind(&self) -> Kind {
        Kind::from_raw(self.0.kind)
    }
}

impl Kind {
    pub(crate) const fn to_raw(self) -> RawKind {
        match self {
            Self::Gauge => RawKind::GAUGE,
            Self::Counter => RawKind::COUNTER,
            Self::Info => RawKind::INFO,
            Self::StateSet => RawKind::STATE_SET,
        }
    }

    /// A kind that a newer plugin may know and this host does not is treated as a gauge.
    pub const fn from_raw(raw: RawKind) -> Self {
        match raw {
            RawKind::COUNTER => Self::Counter,
            RawKind::INFO => Self::Info,
            RawKind::STATE_SET => Self::StateSet,
            _ => Self::Gauge,
        }
    }

    /// The word of the Prometheus exposition: `gauge`, `counter`, `info`, `stateset`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// The kind of a [`word`](Kind::word).
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Gauge, Self::Counter, Self::Info, Self::StateSet].into_iter().find(|kind| kind.word() == word)
    }
}

/// The longest metric name, label key list and help text that a declaration may have, in bytes.
pub const MAX_NAME: usize = 200;
/// See [`MAX_NAME`].
pub const MAX_HELP: usize = 1000;
/// The most label keys of one metric.
pub const MAX_LABELS: usize = 16;

/// Why a family may not be declared so, or nothing. Also used by the host, which trusts no plugin's own check.
pub const fn declaration_problem(kind: RawKind, name: &str, unit: &str, help: &str) -> Option<&'static str> {
    if !is_metric_name(name) {
        return Some(
            "the name is not a Prometheus metric name ([a-zA-Z_:][a-zA-Z0-9_:]*, at most 200 bytes)",
        );
    }
    if has_control(help) || help.len() > MAX_HELP {
        return Some("the help text has a control character or more than 1000 bytes");
    }
    if help.is_empty() {
        return Some("the help text is empty");
    }
    if matches!(kind, RawKind::INFO) && !ends_with(name, "_info") {
        return Some("the name of an Info metric ends in `_info`");
    }
    if matches!(kind, RawKind::GAUGE) && ends_with(name, "_total") {
        return Some("a name that ends in `_total` is a counter's, and this is a gauge");
    }
    if !unit_agrees(name, unit) {
        return Some(
            "the unit disagrees with the suffix of the name (`_bytes` is By, `_seconds` is s, `_ratio` is 1 …)",
        );
    }
    None
}

/// Why these label keys (separated by commas) may not be declared, or nothing.
pub const fn label_keys_problem(keys: &str) -> Option<&'static str> {
    let bytes = keys.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    let (mut start, mut count, mut i) = (0, 0, 0);
    while i <= bytes.len() {
        if i == bytes.len() || bytes[i] == b',' {
            if !is_label_name(bytes, start, i) {
                return Some(
                    "a label key is not a Prometheus label name ([a-zA-Z_][a-zA-Z0-9_]*, not starting with `__`)",
                );
            }
            if stands_before(bytes, start, i) {
                return Some("a label key stands twice");
            }
            count += 1;
            start = i + 1;
        }
        i += 1;
    }
    if count > MAX_LABELS { Some("more than 16 label keys") } else { None }
}

/// Whether `name` is a metric name of the Prometheus exposition.
pub const fn is_metric_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_NAME || bytes[0].is_ascii_digit() {
        return false;
    }
    let mut i = 0;
    while i < bytes.len() {
        if !(bytes[i].is_ascii_alphanumeric() || bytes[i] == b'_' || bytes[i] == b':') {
            return false;
        }
        i += 1;
    }
    true
}

const fn is_label_name(bytes: &[u8], start: usize, end: usize) -> bool {
    if start >= end || end - start > MAX_NAME || bytes[start].is_ascii_digit() {
        return false;
    }
    if end - start >= 2 && bytes[start] == b'_' && bytes[start + 1] == b'_' {
        return false;
    }
    let mut i = start;
    while i < end {
        if !(bytes[i].is_ascii_alphanumeric() || bytes[i] == b'_') {
            return false;
        }
        i += 1;
    }
    true
}

/// Whether the key `bytes[start..end]` is also one of the keys before it.
const fn stands_before(bytes: &[u8], start: usize, end: usize) -> bool {
    let mut at = 0;
    while at < start {
        let mut same = 0;
        while start + same < end && bytes[at + same] == bytes[start + same] {
            same += 1;
        }
        if same == end - start && bytes[at + same] == b',' {
            return true;
        }
        while bytes[at] != b',' {
            at += 1;
        }
        at += 1;
    }
    false
}

const fn unit_agrees(name: &str, unit: &str) -> bool {
    let mut i = 0;
    while i < SUFFIXES.len() {
        let (suffix, of_suffix) = SUFFIXES[i];
        let named = ends_with(name, suffix) || ends_with_total(name, suffix);
        if named {
            return same(unit, of_suffix.0);
        }
        if same(unit, of_suffix.0) {
            return false;
        }
        i += 1;
    }
    unit.is_empty()
}

const fn ends_with_total(name: &str, suffix: &str) -> bool {
    const TOTAL: usize = "_total".len();
    if !ends_with(name, "_total") {
        return false;
    }
    let (head, _) = name.as_bytes().split_at(name.len() - TOTAL);
    bytes_end_with(head, suffix.as_bytes())
}

const fn ends_with(text: &str, end: &str) -> bool {
    bytes_end_with(text.as_bytes(), end.as_bytes())
}

const fn bytes_end_with(text: &[u8], end: &[u8]) -> bool {
    if text.len() < end.len() {
        return false;
    }
    let offset = text.len() - end.len();
    let mut i = 0;
    while i < end.len() {
        if text[offset + i] != end[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && ends_with(a, b)
}

pub(crate) const fn has_control(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] < 0x20 || bytes[i] == 0x7f {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: Kind, name: &str, unit: Unit) -> Option<&'static str> {
        declaration_problem(kind.to_raw(), name, unit.code(), "help")
    }

    #[test]
    fn units_agree_with_suffixes() {
        assert_eq!(problem(Kind::Gauge, "a_bytes", Unit::BYTES), None);
        assert_eq!(problem(Kind::Counter, "a_bytes_total", Unit::BYTES), None);
        assert_eq!(problem(Kind::Gauge, "host_load1", Unit::NONE), None);
        assert_eq!(problem(Kind::Gauge, "host_memory_HugePages_Total", Unit::NONE), None);
        assert!(problem(Kind::Gauge, "a_bytes", Unit::NONE).is_some());
        assert!(problem(Kind::Gauge, "a_bytes", Unit::SECONDS).is_some());
        assert!(problem(Kind::Gauge, "a", Unit::BYTES).is_some());
    }

    #[test]
    fn names_follow_their_kind() {
        assert!(problem(Kind::Gauge, "a_total", Unit::NONE).is_some());
        assert!(problem(Kind::Info, "vm", Unit::NONE).is_some());
        assert_eq!(problem(Kind::Info, "vm_info", Unit::NONE), None);
        for bad in ["", "1a", "a-b", "a b", "ä"] {
            assert!(problem(Kind::Gauge, bad, Unit::NONE).is_some(), "{bad}");
        }
    }

    #[test]
    fn label_keys_are_checked() {
        assert_eq!(label_keys_problem(""), None);
        assert_eq!(label_keys_problem("a,ab,b"), None);
        for bad in [",", "a,", ",a", "a,,b", "a,b,a", "a b", "__name__", "1", "a,a"] {
            assert!(label_keys_problem(bad).is_some(), "{bad}");
        }
    }
}
