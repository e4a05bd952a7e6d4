//! What a file says about itself, against what this agent needs and what its code says.

use super::{Shelf, sound};
use twarga_agent::host::{Refusal, isolated, open_file, preflight};
use twarga_plugin_api::abi::API_VERSION;
use twarga_tests::{build, elf};

/// What a copy of `synthetic` is refused for, with this in place of that in its metadata.
fn edited(from: &str, to: &str) -> (Refusal, String) {
    let shelf = Shelf::new();
    let mut bytes = sound("synthetic");
    elf::edit_metadata(&mut bytes, |text| {
        assert!(text.contains(from), "{from:?} is not in {text}");
        let (head, description) = text.split_once("\ndescription=").unwrap();
        let (_, rest) = description.split_once('\n').unwrap(); // left out: room for what is longer
        format!("{head}\n{rest}").replacen(from, to, 1)
    });
    shelf.refused(&shelf.put("libsynthetic.so", &bytes), "synthetic")
}

#[test]
fn formats_that_are_not_known() {
    for (from, to) in [
        ("twarga-plugin-metadata 1", "twarga-plugin-metadata 2"),
        ("twarga-plugin-metadata 1", "\u{fffd}"),
        ("name=synthetic\n", "synthetic\n"),
        ("name=synthetic\n", ""),
        ("entry=", "e="),
        ("api=", "a="),
        ("metric=gauge\tsynthetic_value\t", "metric=gauge\n"),
    ] {
        let (refusal, message) = edited(from, to);
        assert!(matches!(refusal, Refusal::BadMetadata(_)), "{from:?} → {to:?}: {refusal:?}");
        assert!(message.contains("metadata can't be read"), "{message}");
    }
}

#[test]
fn garbage_in_the_section() {
    let shelf = Shelf::new();
    let mut bytes = sound("synthetic");
    let section = elf::section(&bytes, elf::METADATA);
    bytes[section].fill(0xff);
    let (refusal, _) = shelf.refused(&shelf.put("libsynthetic.so", &bytes), "synthetic");
    assert!(matches!(refusal, Refusal::BadMetadata(_)), "{refusal:?}");
}

#[test]
fn names_that_would_spoil_a_terminal() {
    let (refusal, _) = edited("name=synthetic", "name=\u{1b}[31mred");
    assert!(matches!(refusal, Refusal::BadMetadata(_)), "{refusal:?}");
    let (refusal, _) = edited("api=1.0", "api=\u{1b}[7m");
    assert!(matches!(refusal, Refusal::BadMetadata(_)), "{refusal:?}");
}

#[test]
fn another_major_version() {
    for version in ["2.0", "0.9", "x.0", "1"] {
        let (refusal, message) = edited("api=1.0", &format!("api={version}"));
        assert!(matches!(refusal, Refusal::ApiVersion { .. }), "{refusal:?}");
        let sentence = format!("built with plugin API {version}, this agent speaks 1.0");
        assert!(message.contains(&sentence), "{message}");
        assert!(message.contains("build it again with this agent's plugin API"), "{message}");
    }
}

#[test]
fn a_later_minor_version_is_loaded() {
    let shelf = Shelf::new();
    let mut bytes = sound("synthetic");
    elf::edit_metadata(&mut bytes, |text| text.replacen("api=1.0", "api=1.7", 1));
    let library = shelf.load(&shelf.put("libsynthetic.so", &bytes), "synthetic").unwrap();
    assert_eq!(library.metadata.api_numbers(), Some((1, 7)));
}

#[test]
fn panics_that_would_abort() {
    let (refusal, message) = edited("panic=unwind", "panic=abort");
    assert!(matches!(refusal, Refusal::PanicAbort), "{refusal:?}");
    assert!(message.contains("build it with panic=\"unwind\", or set mode = \"isolated\""), "{message}");
    let shelf = Shelf::new();
    let mut bytes = sound("synthetic");
    elf::edit_metadata(&mut bytes, |text| text.replacen("panic=unwind", "panic=abort", 1));
    let file = shelf.put("libsynthetic.so", &bytes);
    isolated::prepare(&file, "synthetic", None, &shelf.claims).unwrap();
}

#[test]
fn an_entry_symbol_that_is_not_there() {
    let (refusal, message) =
        edited("entry=twarga_plugin_entry_synthetic", "entry=twarga_plugin_entry_antithetic");
    assert!(matches!(refusal, Refusal::Entry(_)), "{refusal:?}");
    assert!(message.contains("undefined symbol: twarga_plugin_entry_antithetic"), "{message}");
    assert!(!message.contains("/proc/self/fd"), "{message}");
}

#[test]
fn an_entry_symbol_that_is_something_else() {
    // a function of the C library, found through the plugin's own dependencies
    let (refusal, message) = edited("entry=twarga_plugin_entry_synthetic", "entry=malloc");
    assert!(matches!(refusal, Refusal::Entry(_)), "{refusal:?}: {message}");
}

#[test]
fn another_name_than_the_one_asked_for() {
    let shelf = Shelf::new();
    let file = shelf.put("libthermal.so", &sound("synthetic"));
    let (refusal, message) = shelf.refused(&file, "thermal");
    assert!(matches!(&refusal, Refusal::OtherName(name) if name == "synthetic"), "{refusal:?}");
    assert!(message.contains("the plugin `synthetic`"), "{message}");
}

#[test]
fn code_that_says_another_thing() {
    for (from, to) in [
        ("synthetic_value\t", "synthetic_valid\t"),
        ("metric=gauge\tsynthetic_value", "metric=counter\tsynthetic_value"),
        ("\tn\t1000 n + c.", "\tm\t1000 n + c."),
        ("1000 n + c.", "2000 n + c."),
        ("metric=gauge\tsynthetic_value\t\tn\t1000 n + c.\n", ""),
    ] {
        let (refusal, message) = edited(from, to);
        assert!(matches!(refusal, Refusal::Inconsistent(_)), "{from:?} → {to:?}: {refusal:?}");
        assert!(message.contains("synthetic_"), "names the metric: {message}");
    }
    let shelf = Shelf::new();
    let mut bytes = sound("synthetic");
    elf::edit_metadata(&mut bytes, |text| text.replacen("name=synthetic", "name=antithesi", 1));
    let (refusal, _) = shelf.refused(&shelf.put("libantithesi.so", &bytes), "antithesi");
    assert!(matches!(refusal, Refusal::Inconsistent(_)), "{refusal:?}");
}

/// The loader compares every declaration of the code with the one of the file: what is loaded is what is shown.
#[test]
fn every_plugin_says_the_same_in_its_file_and_in_its_code() {
    let mut checked = 0;
    for library in build().libraries().filter(|name| !["not_a_plugin", "wrong_layout"].contains(name)) {
        let shelf = Shelf::new(); // claims of its own: some claim the same metrics on purpose
        let name = library.replace('_', "-");
        let read = preflight(&open_file(build().library(library)).unwrap()).unwrap().metadata;
        let loaded = shelf.loaded(&name);
        assert_eq!(loaded.metadata, read, "{name}");
        assert_eq!((read.name, read.panic), (name, "unwind".to_string()));
        assert!(!read.version.is_empty() && read.rustc.starts_with("rustc ") && !read.target.is_empty());
        checked += 1;
    }
    assert!(checked >= 9, "{checked}: the plugins of the agent and of the tests");
}

#[test]
fn types_of_another_crate_are_told_in_a_line() {
    let shelf = Shelf::new();
    let file = shelf.put("libwrong_layout.so", &sound("wrong_layout"));
    let (refusal, message) = shelf.refused(&file, "wrong-layout");
    let Refusal::Layout(text) = refusal else { panic!("{refusal:?}") };
    assert!(text.len() <= 400, "{} bytes: {text}", text.len());
    assert!(text.contains("twarga-plugin-api") && text.contains("twarga-tests"), "{text}");
    assert!(message.contains("build it again with this agent's plugin API"), "{message}");
}

/// A copy of `synthetic` whose types are, by their own word, of another version of the plugin API.
fn types_of_version(version: &str) -> Vec<u8> {
    let text = |version: &str| format!("twarga-plugin-api;{version}.").into_bytes();
    let mut bytes = sound("synthetic");
    assert!(elf::replace(&mut bytes, &text(API_VERSION), &text(version)) > 0);
    bytes
}

#[test]
fn types_of_another_version() {
    let shelf = Shelf::new();
    let (refusal, message) = shelf.refused(&shelf.put("a.so", &types_of_version("2.0")), "synthetic");
    assert!(matches!(refusal, Refusal::Layout(_)), "{refusal:?}");
    assert!(message.contains("the root module: agent has crate 1.0."), "{message}");
    assert!(message.contains(", plugin has 2.0."), "{message}");
    // minor versions and patches live together, whichever is newer
    shelf.load(&shelf.put("b.so", &types_of_version("1.7")), "synthetic").unwrap();
}

#[test]
fn a_renamed_field_is_told() {
    let shelf = Shelf::new();
    let mut bytes = sound("synthetic");
    // the names of a sample's fields in its type layout
    let count = elf::replace(&mut bytes, b"series;flags;value;", b"series;flags;valuf;");
    assert!(count > 0, "the layout is written otherwise now");
    let (refusal, message) = shelf.refused(&shelf.put("libsynthetic.so", &bytes), "synthetic");
    let Refusal::Layout(text) = refusal else { panic!("{refusal:?}") };
    assert!(text.len() <= 400, "{} bytes: {text}", text.len());
    assert!(text.contains("`value`") && text.contains("`valuf`"), "{message}");
}
