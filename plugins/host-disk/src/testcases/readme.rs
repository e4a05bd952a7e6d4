//! The README against the code.

use crate::selection::{PSEUDO, TMPFS_OF_THE_SYSTEM};
use std::collections::BTreeSet;

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_and_the_schema_say_what_the_plugin_does() {
    let wrong = twarga_plugin_api::testing::wrong_in_documents(crate::plugin(), README);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_left_out_by_default_stands_in_the_readme() {
    let words: BTreeSet<&str> = README
        .split(|letter: char| letter.is_whitespace() || letter == ',')
        .map(|word| word.trim_end_matches([':', ';', '.']))
        .collect();
    let folders = TMPFS_OF_THE_SYSTEM.iter().map(|folder| folder.trim_end_matches('/'));
    let missing: Vec<&str> =
        PSEUDO.iter().copied().chain(folders).filter(|name| !words.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
