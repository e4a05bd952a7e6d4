//! One file's text, and the tree of its keys and values, each with its place.

use super::{
    Environment,
    check::{Check, Problems},
    files, syntax,
};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A file that was read.
#[derive(Debug)]
pub(super) struct Source {
    /// Its absolute path.
    pub(super) path: PathBuf,
    /// The path as messages name it.
    pub(super) shown: PathBuf,
    /// What stands in it, without the byte order mark; empty where it can't be read.
    pub(super) text: String,
    /// It can't be read, which was reported.
    pub(super) unreadable: bool,
    line_starts: Vec<usize>,
}

impl Source {
    /// Reads a file; reports why it can't.
    pub(super) fn read(
        index: usize,
        path: &Path,
        environment: &Environment,
        problems: &mut Problems,
    ) -> Self {
        let shown = environment.shown(path);
        match files::read(path) {
            Ok((bytes, everybody_writes)) => {
                if everybody_writes {
                    let hint = "take that right away: whoever writes it chooses what the agent loads";
                    problems.warn_file(index, &shown, "everybody may write to this file", hint);
                }
                match text(bytes) {
                    Ok(text) => Self::new(path.into(), shown, text),
                    Err((line, message)) => {
                        let mut source = Self::new(path.into(), shown, String::new());
                        problems.line(index, &source.shown, line, message, "save the file as UTF-8");
                        source.unreadable = true;
                        source
                    }
                }
            }
            Err(failure) => {
                problems.file(index, &shown, &failure.message, failure.hint);
                Self { unreadable: true, ..Self::new(path.into(), shown, String::new()) }
            }
        }
    }

    /// A file with this text.
    pub(super) fn new(path: PathBuf, shown: PathBuf, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, shown, text, unreadable: false, line_starts }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The byte at which a line begins; the end of the text after the last.
    pub(super) fn start_of(&self, line: usize) -> usize {
        self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// The text of a line without its end.
    pub(super) fn line_text(&self, line: usize) -> &str {
        let text = self.text.get(self.start_of(line)..self.start_of(line + 1)).unwrap_or("");
        text.trim_end_matches(['\n', '\r'])
    }

    /// Line and column of a byte, both from 1; the column in characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let before = self.text.get(self.start_of(line)..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}

/// The text of a file, or the line at which it isn't UTF-8 and what it is.
fn text(bytes: Vec<u8>) -> Result<String, (usize, &'static str)> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((1, "this is UTF-16 text"));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        (valid.iter().filter(|byte| **byte == b'\n').count() + 1, "this line is not UTF-8 text")
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// A byte of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    /// The file's number.
    pub(super) file: usize,
    /// The byte.
    pub(super) offset: usize,
}

/// A value and its places.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where its key stands; for an element of a list, where the element stands.
    pub(super) key: Spot,
    /// Where the value stands; for a table, its header or its first key.
    pub(super) at: Spot,
    pub(super) value: Value,
}

/// Keys and values.
pub(super) type Entries = BTreeMap<String, Node>;

/// A value of TOML.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// The number, if 64 bits hold it, and its text.
    Integer(Option<i64>, String),
    Float(f64, String),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Entries),
}

/// The tree of a file; nothing where the file can't be understood at all. Syntax errors are reported.
pub(super) fn parse(file: usize, check: &mut Check<'_>) -> Option<Entries> {
    let sources = check.sources;
    let source = &sources[file];
    if source.unreadable {
        return None;
    }
    let text = syntax::understood(file, check);
    let (table, _) = DeTable::parse_recoverable(text);
    Some(entries(file, table.into_inner()))
}

fn entries(file: usize, table: DeTable<'_>) -> Entries {
    let entry = |(key, value): (Spanned<Cow<'_, str>>, Spanned<DeValue<'_>>)| {
        let spot = Spot { file, offset: key.span().start };
        (key.into_inner().into_owned(), node(file, Some(spot), value))
    };
    table.into_iter().map(entry).collect()
}

fn node(file: usize, key: Option<Spot>, value: Spanned<DeValue<'_>>) -> Node {
    let at = Spot { file, offset: value.span().start };
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok(), number.to_string())
        }
        DeValue::Float(number) => {
            Value::Float(number.as_str().parse().unwrap_or(f64::NAN), number.as_str().to_owned())
        }
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(list) => Value::List(list.into_iter().map(|item| node(file, None, item)).collect()),
        DeValue::Table(table) => Value::Table(entries(file, table)),
    };
    Node { key: key.unwrap_or(at), at, value }
}
