//! Holds the house rules of `docs/architecture.md` against the source.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// All Rust files below a directory.
fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![below.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The code without comments, texts and characters; each is replaced by a space.
fn code(source: &str) -> String {
    let mut out = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = rest.find('"').unwrap() + 1;
            rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
        } else if first == '"' {
            quoted(rest, '"')
        } else if rest.starts_with("'\\") || (first == '\'' && rest.chars().nth(2) == Some('\'')) {
            quoted(rest, '\'')
        } else {
            0
        };
        if skipped == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

/// The number of hashes of a raw string that begins here.
fn raw_string(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("br").or(text.strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a quoted text or character.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if sign == quote => return at + sign.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The modules of the crate that code names: `crate::model::…` and `crate::{model::…, store}`, also over lines.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$') {
            continue;
        }
        let behind = code[at + "crate::".len()..].trim_start();
        match behind.strip_prefix('{') {
            Some(group) => used.extend(first_words(group)),
            None => used.extend(word(behind)),
        }
    }
    used
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_string())
}

/// The first word of each part of `a::{b, c}, d}`.
fn first_words(group: &str) -> Vec<String> {
    let (mut words, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if sign.is_whitespace() => {}
            _ if begins => {
                words.extend(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    words
}

/// The room of a file of the agent: its first directory, or its own name.
fn room(file: &Path, source: &Path) -> String {
    let first = file.strip_prefix(source).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_string()
}

/// What a room may use.
enum MayUse {
    Everything,
    These(BTreeSet<String>),
}

/// The table of the document. `ingest's tables` means the room `ingest`; words in parentheses only explain.
fn table(document: &str) -> BTreeMap<String, MayUse> {
    let mut lines = document.lines().skip_while(|line| !line.contains("| May use |")).skip(2);
    let rows = lines.by_ref().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, room, _, uses, _] = cells[..] else { panic!("a row of three columns: {row}") };
        let may_use = match uses {
            "everything" => MayUse::Everything,
            "nothing of ours" => MayUse::These(BTreeSet::new()),
            list => MayUse::These(list.split(',').map(|part| word(part.trim()).unwrap()).collect()),
        };
        (room.trim_matches('`').to_string(), may_use)
    })
    .collect()
}

#[test]
fn rooms_use_only_what_the_document_says() {
    let source = root().join("agent/src");
    let document = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table = table(&document);
    let mut used: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for file in sources(&source) {
        let room = room(&file, &source);
        let code = code(&fs::read_to_string(&file).unwrap());
        let others = rooms_used(&code).into_iter().filter(|other| *other != room);
        used.entry(room.clone()).or_default().extend(others.map(|other| (other, file.clone())));
    }
    used.retain(|room, _| room != "lib" && room != "main");
    let rooms: BTreeSet<&String> = used.keys().collect();
    assert_eq!(
        rooms,
        table.keys().collect::<BTreeSet<_>>(),
        "the rooms of the source and those of the document"
    );

    let mut wrong = Vec::new();
    for (room, others) in &used {
        let MayUse::These(allowed) = &table[room] else { continue };
        for (other, file) in others.iter().filter(|(other, _)| !allowed.contains(*other)) {
            let file = file.strip_prefix(&source).unwrap().display();
            wrong.push(format!("`{room}` may not use `{other}`: {file}"));
        }
        for unused in allowed.iter().filter(|allowed| !others.contains_key(*allowed)) {
            wrong.push(format!("`{room}` does not use `{unused}`, which the document allows"));
        }
    }
    assert!(wrong.is_empty(), "docs/architecture.md and the code disagree:\n{}", wrong.join("\n"));
    let everything: Vec<_> =
        table.iter().filter(|(_, may_use)| matches!(may_use, MayUse::Everything)).collect();
    assert_eq!(everything.len(), 1, "one room puts all together");
}

#[test]
fn no_two_rooms_need_each_other() {
    let source = root().join("agent/src");
    let mut edges = BTreeSet::new();
    for file in sources(&source) {
        let room = room(&file, &source);
        let code = code(&fs::read_to_string(&file).unwrap());
        edges.extend(
            rooms_used(&code).into_iter().filter(|other| *other != room).map(|other| (room.clone(), other)),
        );
    }
    let mutual: Vec<_> = edges
        .iter()
        .filter(|(one, other)| one < other && edges.contains(&(other.clone(), one.clone())))
        .collect();
    assert!(mutual.is_empty(), "{mutual:?}");
}

/// The crates of the workspace that have code of ours.
fn all_sources() -> Vec<PathBuf> {
    ["agent", "plugin-api", "plugins", "tests"].iter().flat_map(|part| sources(&root().join(part))).collect()
}

#[test]
fn modules_are_named_for_what_they_hold() {
    let vague = ["util", "utils", "common", "helper", "helpers", "misc"];
    for file in all_sources() {
        let path = file.strip_prefix(root()).unwrap();
        let named = |part: &std::ffi::OsStr| vague.contains(&part.to_str().unwrap().trim_end_matches(".rs"));
        assert!(!path.iter().any(named), "{}: what is in it?", path.display());
        let code = code(&fs::read_to_string(&file).unwrap());
        for vague in vague {
            assert!(
                !code.contains(&format!("mod {vague} ")) && !code.contains(&format!("mod {vague};")),
                "{}",
                path.display()
            );
        }
    }
}

/// Where `unsafe` is allowed, and why it is needed there. The files of the agent and of plugin-api are those that
/// docs/architecture.md names; the others are plugins of the tests.
const UNSAFE: [&str; 13] = [
    "agent/src/host/c/",
    "agent/src/host/isolated/descriptors.rs",
    "agent/src/host/leave.rs",
    "agent/src/host/library.rs",
    "agent/src/host/threads/mark.rs",
    "agent/src/sql/vtab.rs",
    "plugin-api/src/abi/",
    "plugin-api/src/macros.rs",
    "tests/examples/fatal.rs",
    "tests/examples/initialiser.rs",
    "tests/examples/synthetic.rs",
    "tests/examples/wrong_layout.rs",
    "tests/src/counting.rs",
];

#[test]
fn unsafe_is_where_it_may_be() {
    let mut seen = BTreeSet::new();
    for file in all_sources() {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_string();
        let code = code(&fs::read_to_string(&file).unwrap());
        let mut words = code.split(|sign: char| !sign.is_alphanumeric() && sign != '_');
        if words.any(|word| word == "unsafe") {
            let allowed = UNSAFE.iter().find(|allowed| path.starts_with(*allowed));
            seen.insert(*allowed.unwrap_or_else(|| panic!("{path}: `unsafe` is not allowed here")));
        }
    }
    assert_eq!(seen, BTreeSet::from(UNSAFE), "no longer needed: take it off the list");
    let document = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let section = document.split_once("## `unsafe`").unwrap().1;
    let places = [
        "`agent/src/host/library.rs`",
        "`agent/src/host/c/`",
        "`agent/src/host/isolated/descriptors.rs`",
        "`agent/src/host/leave.rs`",
        "`agent/src/host/threads/mark.rs`",
        "`agent/src/sql/vtab.rs`",
        "`abi`",
        "`macros`",
    ];
    for word in places {
        assert!(section.contains(word), "docs/architecture.md does not name {word}");
    }
}

#[test]
fn the_reader_of_code_reads_code() {
    let source = r##"
use crate::{
    model::{Labels, Metric}, // crate::comment::x
    store as kept,
};
fn f() { crate::query::run("crate::text::x", 'x', '\'', r#"crate::raw::"x"#); }
use super::crate_like; use $crate::prelude; use other_crate::x;
/* unsafe */ fn lifetime<'a>(x: &'a str) {}
"##;
    let code = code(source);
    let used: Vec<String> = rooms_used(&code).into_iter().collect();
    assert_eq!(used, ["model", "query", "store"], "{code}");
    assert!(!code.contains("unsafe") && code.contains("lifetime<'a>"), "{code}");
    let table = table(
        "x\n| Room | What | May use |\n|---|---|---|\n| `a` | x | b (y), c's z |\n| `b` | x | everything |\nend",
    );
    assert!(matches!(&table["a"], MayUse::These(uses) if uses.iter().eq(["b", "c"])));
    assert!(matches!(table["b"], MayUse::Everything));
}
