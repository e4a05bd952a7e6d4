//! A plugin's table against the JSON Schema of its metadata, without running the plugin.
//!
//! The keywords are those that a table of settings needs. All others, and forms of these that are not understood, are
//! passed over: a schema can make this check miss an error, never invent one.

mod bounds;
mod walk;
mod words;

pub(crate) use bounds::compiled;

use super::problem::key_below;
use serde_json::Value as Json;

/// A value that its schema doesn't allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path below the table, as [`plugin_key_place`](super::plugin_key_place) takes it: `mounts.exclude[2]`.
    pub path: String,
    /// The same with parts in quotes where TOML needs them; both are empty for the table itself.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub hint: String,
    /// What kind of violation it is.
    pub fault: Fault,
}

/// Kinds of violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The value is of a type that is not allowed there.
    Type,
    /// A key that must be there is not.
    Missing,
    /// Anything else.
    Value,
}

/// Everything in which a value differs from its schema.
pub fn validate(schema: &Json, value: &Json) -> Vec<Violation> {
    walk::violations(schema, value)
}

/// Where the walk is.
#[derive(Clone, Debug, Default)]
struct At {
    path: String,
    key: String,
}

impl At {
    fn below(&self, name: &str) -> Self {
        // as plugins name it: parts that are no bare keys aren't quoted there
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { path, key: key_below(&self.key, name) }
    }

    fn item(&self, index: usize) -> Self {
        Self { path: format!("{}[{index}]", self.path), key: format!("{}[{index}]", self.key) }
    }

    fn violation(&self, fault: Fault, message: impl Into<String>, hint: impl Into<String>) -> Violation {
        let Self { path, key } = self.clone();
        Violation { path, key, message: message.into(), hint: hint.into(), fault }
    }
}

#[cfg(test)]
mod tests;
