//! One tree of the main file and its drop-ins.

use super::{
    check::Check,
    document::{Entries, Node, Spot, Value},
    problem::key_below,
};
use std::collections::btree_map::Entry;

/// Merges the files' trees, in their order: tables join key by key, `[[alert]]` tables follow one another. Any other
/// key that stands in two files is an error.
pub(super) fn merge(trees: Vec<Entries>, check: &mut Check<'_>) -> Node {
    let mut all = Entries::new();
    for tree in trees {
        join(&mut all, tree, "", check);
    }
    Node { key: Spot::default(), at: Spot::default(), value: Value::Table(all) }
}

fn join(all: &mut Entries, more: Entries, path: &str, check: &mut Check<'_>) {
    for (key, node) in more {
        let path = key_below(path, &key);
        match all.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(node);
            }
            Entry::Occupied(mut entry) => join_node(entry.get_mut(), node, &path, check),
        }
    }
}

fn join_node(first: &mut Node, second: Node, path: &str, check: &mut Check<'_>) {
    match (&mut first.value, second.value) {
        (Value::Table(all), Value::Table(more)) => join(all, more, path, check),
        (Value::List(all), Value::List(more)) if path == "alert" => all.extend(more),
        _ => {
            let message = format!("set twice: it stands at {} too", check.name(first.key));
            check.error(second.key, path, message, "keep one of the two");
        }
    }
}
