//! Values by their type: durations, sizes, words, paths, lists, labels. Each reports what is wrong and returns nothing.

use super::{
    check::Check,
    document::Value,
    problem::{key_part, quoted},
    suggest::nearest,
    table::Field,
};
use crate::model::Labels;
use bytesize::ByteSize;
use std::{
    path::{Path, PathBuf, absolute},
    time::Duration,
};
use twarga_plugin_api::duration::{self, ParseError};

/// The durations that a key allows.
pub(super) struct Durations {
    pub(super) least: Duration,
    pub(super) most: Duration,
    /// One of them.
    pub(super) example: &'static str,
}

/// A length of time in hours.
pub(super) const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

impl Durations {
    /// The bounds as they are written: `100ms to 1d`.
    pub(super) fn words(&self) -> String {
        format!("{} to {}", duration::words(self.least), duration::words(self.most))
    }
}

/// Of `interval`, also on the command line.
pub(super) const INTERVALS: Durations =
    Durations { least: Duration::from_millis(100), most: hours(24), example: "5s" };

impl<'a> Field<'a> {
    /// Reports that something else was wanted.
    pub(super) fn wrong_type(&self, what: &str, example: &str, check: &mut Check<'_>) {
        let message = format!("{} is not {what}", found(&self.node.value));
        check.error(self.node.at, &self.path, message, format!("write {example}"));
    }

    /// Reports a value of the right type.
    pub(super) fn error(&self, message: impl Into<String>, hint: impl AsRef<str>, check: &mut Check<'_>) {
        check.error(self.node.at, &self.path, message, hint);
    }

    /// A text of the kind `what`, such as `example`.
    pub(super) fn text(&self, what: &str, example: &str, check: &mut Check<'_>) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => {
                self.wrong_type(what, &format!("{what} such as {example:?}"), check);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, check: &mut Check<'_>) -> Option<bool> {
        match self.node.value {
            Value::Flag(flag) => Some(flag),
            _ => {
                self.wrong_type("true or false", "true or false, without quotes", check);
                None
            }
        }
    }

    /// A number that is finite.
    pub(super) fn number(&self, check: &mut Check<'_>) -> Option<f64> {
        let number = match &self.node.value {
            // beyond 2^53 the nearest one is meant
            Value::Integer(Some(number), _) => *number as f64,
            Value::Float(number, _) if number.is_finite() => *number,
            Value::Float(_, text) => {
                self.error(
                    format!("{} is not a finite number", short(text)),
                    "write a number such as 90.0",
                    check,
                );
                return None;
            }
            Value::Text(text) if text.parse::<f64>().is_ok_and(f64::is_finite) => {
                self.wrong_type("a number", &format!("{text} without quotes"), check);
                return None;
            }
            _ => {
                self.wrong_type("a number", "a number such as 90.0", check);
                return None;
            }
        };
        Some(number)
    }

    /// A whole number within bounds (both belong to them).
    pub(super) fn count(&self, least: usize, most: usize, check: &mut Check<'_>) -> Option<usize> {
        let hint = format!("write a whole number of {least} to {most}");
        match &self.node.value {
            Value::Integer(Some(number), _) => {
                let count = usize::try_from(*number).ok().filter(|count| (least..=most).contains(count));
                if count.is_none() {
                    let side = if *number < 0 || (*number as u64) < least as u64 { "small" } else { "large" };
                    self.error(format!("{number} is too {side}"), hint, check);
                }
                count
            }
            Value::Integer(None, _) => {
                self.error("the number is too large", hint, check);
                None
            }
            _ => {
                self.wrong_type("a whole number", &format!("a whole number of {least} to {most}"), check);
                None
            }
        }
    }

    /// A length of time within bounds.
    pub(super) fn duration(&self, allowed: &Durations, check: &mut Check<'_>) -> Option<Duration> {
        let text = self.text("a duration", allowed.example, check)?;
        let duration = match duration::parse(text) {
            Ok(duration) => duration,
            Err(error) => {
                let (message, hint) = no_duration(&error);
                let hint = hint.unwrap_or_else(|| format!("write a duration such as {:?}", allowed.example));
                self.error(format!("{} {message}", quoted(text)), hint, check);
                return None;
            }
        };
        if let Some(side) = out_of(duration, allowed) {
            let message = format!("{} is too {side}", quoted(text));
            self.error(message, format!("write a duration of {}", allowed.words()), check);
            return None;
        }
        Some(duration)
    }

    /// A number of bytes within bounds (both belong to them), which `words` names.
    pub(super) fn size(&self, bounds: (u64, u64), words: &str, check: &mut Check<'_>) -> Option<u64> {
        let text = self.text("a size", "1GiB", check)?;
        let Ok(size) = text.parse::<ByteSize>() else {
            self.error(format!("{} is not a size", quoted(text)), "write a size such as \"1GiB\"", check);
            return None;
        };
        let side = match size.as_u64() {
            bytes if bytes < bounds.0 => "small",
            bytes if bytes > bounds.1 => "large",
            bytes => return Some(bytes),
        };
        self.error(format!("{} is too {side}", quoted(text)), format!("write a size of {words}"), check);
        None
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)], check: &mut Check<'_>) -> Option<T> {
        let one_of = alternatives(words.iter().map(|(word, _)| *word));
        let Value::Text(text) = &self.node.value else {
            self.wrong_type("one of the words of this key", &one_of, check);
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
            return Some(*value);
        }
        let hint = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("write {one_of}"),
        };
        self.error(format!("unknown word {}", quoted(text)), hint, check);
        None
    }

    /// A path, made absolute: `~/` is the home, and a relative one counts from the file's folder.
    pub(super) fn path(&self, example: &str, check: &mut Check<'_>) -> Option<PathBuf> {
        let text = self.text("a path", example, check)?;
        if text.is_empty() {
            self.error("the path is empty", format!("write a path such as {example:?}"), check);
            return None;
        }
        if text.contains('\0') {
            self.error("the path has a NUL character in it", "remove it", check);
            return None;
        }
        let joined = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let Some(home) = &check.environment.home else {
                    self.error(
                        "there is no home directory: HOME is not set",
                        "write the path in full",
                        check,
                    );
                    return None;
                };
                home.join(rest.trim_start_matches('/'))
            }
            Some(_) => {
                self.error("only one's own ~/ is understood", "write the path in full", check);
                return None;
            }
            None => {
                let file = &check.sources[self.node.at.file].path;
                file.parent().unwrap_or(Path::new("/")).join(text)
            }
        };
        Some(absolute(&joined).unwrap_or(joined))
    }

    /// The elements of a list.
    pub(super) fn items(&self, example: &str, check: &mut Check<'_>) -> Option<Vec<Field<'a>>> {
        let Value::List(nodes) = &self.node.value else {
            self.wrong_type("a list", &format!("a list such as {example}"), check);
            return None;
        };
        let item = |(index, node)| Field { path: format!("{}[{index}]", self.path), node };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// Label names and values; `reserved` names are refused, with the reason.
    pub(super) fn labels(&self, reserved: &[(&str, &str)], check: &mut Check<'_>) -> Option<Labels> {
        let Value::Table(entries) = &self.node.value else {
            self.wrong_type("a table of labels", "labels such as { site = \"lab\" }", check);
            return None;
        };
        let mut pairs = Vec::new();
        for (name, node) in entries {
            let field = Field { path: format!("{}.{}", self.path, key_part(name)), node };
            if !is_label_name(name) {
                let hint = "write a name of letters, digits and _ that begins with a letter";
                check.error(node.key, &field.path, "not the name of a label", hint);
            }
            if let Some((_, why)) = reserved.iter().find(|(reserved, _)| reserved == name) {
                check.error(node.key, &field.path, *why, "write another name");
            }
            match field.text("a label's value", "lab", check) {
                Some("") => field.error("an empty value is the same as no label", "leave it out", check),
                Some(value) => pairs.push((name, value)),
                None => {}
            }
        }
        Some(Labels::new(pairs))
    }
}

/// What stands there, for a message.
fn found(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("the text {}", quoted(text)),
        Value::Integer(_, text) | Value::Float(_, text) => format!("the number {}", short(text)),
        Value::Flag(flag) => flag.to_string(),
        Value::Date(date) => format!("the date {date}"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn short(text: &str) -> String {
    quoted(text).trim_matches('"').to_owned()
}

/// `"none" or "host"`.
fn alternatives<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// On which side a duration is out of bounds.
pub(super) fn out_of(duration: Duration, allowed: &Durations) -> Option<&'static str> {
    if duration < allowed.least {
        Some("short")
    } else if duration > allowed.most {
        Some("long")
    } else {
        None
    }
}

/// What is wrong with a text that should be a duration, and maybe what to write.
pub(super) fn no_duration(error: &ParseError) -> (String, Option<String>) {
    const MOST_DIGITS: usize = 10;
    match error {
        ParseError::NoUnit(number) => {
            // a number of very many digits was no slip of the unit
            let meant = (number.len() <= MOST_DIGITS).then_some(number);
            let hint = meant.map(|number| format!("write \"{number}s\", or another of ms, s, m, h, d"));
            ("has no unit".to_owned(), hint)
        }
        ParseError::UnknownUnit(unit) => {
            (format!("has the unknown unit {}", quoted(unit)), Some("units are ms, s, m, h, d".to_owned()))
        }
        ParseError::TooLong => ("is too long".to_owned(), None),
        ParseError::TooFine => ("is too fine".to_owned(), None),
        _ => ("is not a duration".to_owned(), None),
    }
}

/// Whether Prometheus allows this name for a label that isn't its own.
fn is_label_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !name.starts_with("__")
}
