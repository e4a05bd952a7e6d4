//! A table of the tree while it is read: it remembers which keys were asked for, so that the others can be refused.

use super::{
    check::Check,
    document::{Entries, Node, Spot, Value},
    problem::key_below,
    suggest::did_you_mean,
};

/// A value and the path of its key.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) node: &'a Node,
}

/// A table while it is read.
pub(super) struct Table<'a> {
    path: String,
    at: Spot,
    entries: Option<&'a Entries>,
    asked: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// The whole tree.
    pub(super) fn root(node: &'a Node) -> Self {
        let entries = match &node.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        };
        Self { path: String::new(), at: node.at, entries, asked: Vec::new() }
    }

    /// A table that may be missing; where something else stands, that is reported and it is as if missing.
    /// `example` says how it is written.
    pub(super) fn of(field: Option<Field<'a>>, example: &str, check: &mut Check<'_>) -> Self {
        let Some(field) = field else {
            return Self { path: String::new(), at: Spot::default(), entries: None, asked: Vec::new() };
        };
        let entries = match &field.node.value {
            Value::Table(entries) => Some(entries),
            _ => {
                field.wrong_type("a table", example, check);
                None
            }
        };
        Self { path: field.path, at: field.node.at, entries, asked: Vec::new() }
    }

    /// Whether there is a table to read.
    pub(super) fn is_given(&self) -> bool {
        self.entries.is_some()
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where its header stands.
    pub(super) fn at(&self) -> Spot {
        self.at
    }

    /// The value of a key, which is a known one by being asked for.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.asked.push(key);
        let node = self.entries?.get(key)?;
        Some(Field { path: key_below(&self.path, key), node })
    }

    /// All its keys, none of them known before.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> + use<'a> {
        let path = self.path.clone();
        self.entries
            .into_iter()
            .flatten()
            .map(move |(key, node)| (key.as_str(), Field { path: key_below(&path, key), node }))
    }

    /// Reports the keys that nobody asked for; `advice` says where one of no known name belongs, if it knows.
    pub(super) fn refuse_others(self, check: &mut Check<'_>, advice: impl Fn(&str) -> Option<String>) {
        for (key, field) in self.all() {
            if self.asked.contains(&key) {
                continue;
            }
            let what = match field.node.value {
                Value::Table(_) => "unknown table",
                Value::List(ref items) if items.iter().any(|item| matches!(item.value, Value::Table(_))) => {
                    "unknown table"
                }
                _ => "unknown key",
            };
            // at the top, a near table is written with its brackets: left to the advice
            let near =
                if self.path.is_empty() { None } else { did_you_mean(key, self.asked.iter().copied()) };
            let hint = near.or_else(|| advice(key)).unwrap_or_else(|| self.known());
            check.error(field.node.key, &field.path, what, hint);
        }
    }

    fn known(&self) -> String {
        format!("the keys here are {}", self.asked.join(", "))
    }
}
