//! The link section that says what a plugin is without running it.
//!
//! Text: [`MAGIC`] on the first line, then `key=value` lines, then a NUL. Keys: `name`, `version`, `description`,
//! `authors`, `entry` (the entry symbol), `api`, `abi` (`c`; left out by Rust plugins), `rustc` or `compiler`, `target`,
//! `panic` (of Rust plugins), `profile`, `schema` (JSON on one line), and any number of `namespace` and `metric`
//! (`kind TAB name TAB unit TAB label keys TAB help`). A reader ignores the keys that it doesn't know.
//! [`SECTION`] of a plugin in C is made by `include/twarga_plugin.h`.

use crate::metric::{Metric, has_control};

/// First line of the section. Another number is another format.
pub const MAGIC: &str = "twarga-plugin-metadata 1";
/// The section's name.
pub const SECTION: &str = ".twarga_plugin";

/// The texts of a plugin that only its own crate knows.
#[derive(Clone, Copy)]
pub struct Facts {
    /// The plugin's name.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The crate's description.
    pub description: &'static str,
    /// The crate's authors.
    pub authors: &'static str,
    /// The entry symbol.
    pub entry: &'static str,
    /// `unwind` or `abort`.
    pub panic: &'static str,
    /// `debug` or `release`.
    pub profile: &'static str,
    /// See [`Collector::CONFIG_SCHEMA`](crate::Collector::CONFIG_SCHEMA).
    pub schema: &'static str,
    /// See [`Collector::NAMESPACES`](crate::Collector::NAMESPACES).
    pub namespaces: &'static [&'static str],
    /// See [`Collector::METRICS`](crate::Collector::METRICS).
    pub metrics: &'static [Metric<'static>],
}

/// A cursor that measures when it has no room, and writes when it has.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    const fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            // line breaks of a schema: between JSON tokens only, a blank does as well
            let byte = if bytes[i] < 0x20 { b' ' } else { bytes[i] };
            self.byte(byte);
            i += 1;
        }
    }

    const fn byte(&mut self, byte: u8) {
        if self.at < self.out.len() {
            self.out[self.at] = byte;
        }
        self.at += 1;
    }

    const fn line(&mut self, key: &str, value: &str) {
        self.text(key);
        self.byte(b'=');
        self.text(value);
        self.byte(b'\n');
    }
}

const fn write(facts: &Facts, out: &mut [u8]) -> usize {
    let mut w = Writer { out, at: 0 };
    w.text(MAGIC);
    w.byte(b'\n');
    w.line("name", facts.name);
    w.line("version", facts.version);
    w.line("description", facts.description);
    w.line("authors", facts.authors);
    w.line("entry", facts.entry);
    w.line("api", super::API_VERSION);
    w.line("rustc", super::RUSTC);
    w.line("target", super::TARGET);
    w.line("panic", facts.panic);
    w.line("profile", facts.profile);
    let mut i = 0;
    while i < facts.namespaces.len() {
        w.line("namespace", facts.namespaces[i]);
        i += 1;
    }
    i = 0;
    while i < facts.metrics.len() {
        let metric = &facts.metrics[i];
        w.text("metric=");
        w.text(metric.kind().word());
        w.byte(b'\t');
        w.text(metric.name());
        w.byte(b'\t');
        w.text(metric.unit());
        w.byte(b'\t');
        w.text(metric.label_keys());
        w.byte(b'\t');
        w.text(metric.help());
        w.byte(b'\n');
        i += 1;
    }
    w.line("schema", facts.schema);
    w.byte(0);
    w.at
}

/// How long the section of these facts is.
pub const fn length(facts: &Facts) -> usize {
    write(facts, &mut [])
}

/// The section itself; `N` is its [`length`].
pub const fn bytes<const N: usize>(facts: &Facts) -> [u8; N] {
    let mut out = [0; N];
    write(facts, &mut out);
    out
}

/// Refuses at compile time what the host would refuse at load.
///
/// # Panics
/// Where a declaration is wrong; evaluated in a constant, so the compiler shows the message.
pub const fn check(facts: &Facts) {
    assert!(!facts.name.is_empty(), "the plugin's name is empty");
    assert!(!has_control(facts.name), "the plugin's name has a control character");
    let mut i = 0;
    while i < facts.metrics.len() {
        let name = facts.metrics[i].name();
        assert!(in_a_namespace(name, facts.namespaces), "a metric of METRICS starts with none of NAMESPACES");
        let mut earlier = 0;
        while earlier < i {
            assert!(!same(facts.metrics[earlier].name(), name), "a metric stands twice in METRICS");
            earlier += 1;
        }
        i += 1;
    }
}

/// The namespace of a plugin that learns its names from others, as one that starts programs: any name that is no other
/// plugin's.
pub const ANY_NAMESPACE: &str = "*";

/// Whether a metric's name starts with one of these prefixes, or any name may be used.
pub const fn in_a_namespace(name: &str, namespaces: &[&str]) -> bool {
    let mut i = 0;
    while i < namespaces.len() {
        let any = same(namespaces[i], ANY_NAMESPACE);
        if any || (starts_with(name, namespaces[i]) && !namespaces[i].is_empty()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn starts_with(text: &str, start: &str) -> bool {
    let (text, start) = (text.as_bytes(), start.as_bytes());
    if text.len() < start.len() {
        return false;
    }
    let mut i = 0;
    while i < start.len() {
        if text[i] != start[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && starts_with(a, b)
}
