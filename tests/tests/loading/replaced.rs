//! One file under several names, several files under one name, and files that change while they are loaded.

use super::{Shelf, sound};
use std::{fs, os::unix::fs::symlink};
use twarga_tests::elf;

const CONFIG: &str = r#"{"gauges":1,"counters":1}"#;

/// `synthetic` with another mark, as if it had been built anew.
fn another_build(mark: &[u8; 16]) -> Vec<u8> {
    let mut bytes = sound("synthetic");
    assert!(elf::replace(&mut bytes, b"synthetic-mark-1", mark) > 0);
    bytes
}

fn mark(run: &super::Run) -> String {
    let names: Vec<String> =
        run.samples().keys().filter(|name| name.contains("mark")).map(ToString::to_string).collect();
    names.join(" ")
}

#[test]
fn a_file_that_is_replaced_by_rename() {
    let shelf = Shelf::new();
    let file = shelf.put("libsynthetic.so", &sound("synthetic"));
    let library = shelf.load(&file, "synthetic").unwrap();
    let mut old = shelf.run(&library, CONFIG).unwrap();
    old.collect().unwrap();
    assert_eq!(mark(&old), r#"synthetic_info{mark="synthetic-mark-1"}"#);

    let new = shelf.put("new", &another_build(b"synthetic-mark-2"));
    fs::rename(new, &file).unwrap();
    old.collect().unwrap();
    assert_eq!(old.value(r#"synthetic_value{n="0"}"#), Some(2.0));
    let mut new = shelf.run(&shelf.load(&file, "synthetic").unwrap(), CONFIG).unwrap();
    new.collect().unwrap();
    assert_eq!(mark(&new), r#"synthetic_info{mark="synthetic-mark-2"}"#);

    fs::remove_file(&file).unwrap();
    let mut again = shelf.run(&library, CONFIG).unwrap();
    for run in [&mut old, &mut new, &mut again] {
        run.collect().unwrap();
    }
    assert_eq!(mark(&again), r#"synthetic_info{mark="synthetic-mark-1"}"#);
}

#[test]
fn many_builds_are_told_apart() {
    let shelf = Shelf::new();
    for n in b'0'..=b'4' {
        let mark: [u8; 16] = std::array::from_fn(|at| if at == 15 { n } else { b"synthetic-build-"[at] });
        let file = shelf.put("libsynthetic.so", &another_build(&mark));
        let mut run = shelf.run(&shelf.load(&file, "synthetic").unwrap(), CONFIG).unwrap();
        run.collect().unwrap();
        let mark = String::from_utf8_lossy(&mark);
        assert!(run.value(&format!("synthetic_info{{mark=\"{mark}\"}}")).is_some(), "{:?}", run.samples());
    }
}

#[test]
fn links_lead_to_one_library_and_copies_do_not() {
    let shelf = Shelf::new();
    let file = shelf.put("libsynthetic.so", &sound("synthetic"));
    fs::hard_link(&file, shelf.path("hard.so")).unwrap();
    symlink("libsynthetic.so", shelf.path("soft.so")).unwrap();
    let library = shelf.load(&file, "synthetic").unwrap();
    let mut run = shelf.run(&library, CONFIG).unwrap();
    run.collect().unwrap();
    // a counter inside the library: it sees what is done there through any link
    let mut before = run.value("synthetic_allocations_total").unwrap();
    for (name, shared) in [("hard.so", true), ("soft.so", true), ("copy.so", false)] {
        if !shared {
            shelf.put(name, &sound("synthetic"));
        }
        let other = shelf.load(&shelf.path(name), "synthetic").unwrap();
        shelf.run(&other, CONFIG).unwrap().collect().unwrap();
        run.collect().unwrap();
        let after = run.value("synthetic_allocations_total").unwrap();
        assert_eq!(after > before, shared, "{name}: {before} → {after}");
        before = after;
    }
    assert_eq!(shelf.load(&shelf.path("soft.so"), "synthetic").unwrap().file, file.canonicalize().unwrap());
}

#[test]
fn two_instances_of_one_library_know_nothing_of_each_other() {
    let shelf = Shelf::new();
    let library = shelf.loaded("synthetic");
    let mut options = shelf.options(r#"{"gauges":1,"counters":0}"#);
    options.instance = Some("a".into());
    let mut a = super::Run::new(&library, &options).unwrap();
    options.instance = Some("b".into());
    options.config = r#"{"gauges":3,"counters":0}"#.into();
    let mut b = super::Run::new(&library, &options).unwrap();
    a.collect().unwrap();
    a.collect().unwrap();
    b.collect().unwrap();
    assert_eq!(a.value(r#"synthetic_value{instance="a",n="0"}"#), Some(2.0));
    assert_eq!(a.samples().len(), 3);
    assert_eq!(b.value(r#"synthetic_value{instance="b",n="0"}"#), Some(1.0));
    assert_eq!(b.value(r#"synthetic_value{instance="b",n="2"}"#), Some(2001.0));
    drop(a);
    b.collect().unwrap();
    assert_eq!(b.value(r#"synthetic_value{instance="b",n="0"}"#), Some(2.0));
}
