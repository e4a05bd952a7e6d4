//! `plugin-api/include/twarga_plugin.h` as it was published: layouts and signatures by a C compiler, the section and the
//! entry by what the host reads. What to do where this fails: `docs/abi.md`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};
use twarga_agent::host::{Metadata, open_file, preflight};
use twarga_plugin_api::abi::API_VERSION;
use twarga_tests::c_compiler::Compiler;

const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api/tests/frozen/header.c");

/// Compiles a file and reads what it says it is.
fn read(compiler: &Compiler, source: &Path, flags: &[&str]) -> Result<Metadata, String> {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("libfrozen.so");
    compiler.library(source, &library, flags)?;
    Ok(preflight(&open_file(&library).unwrap()).unwrap().metadata)
}

#[test]
fn the_header_is_as_it_was_published() {
    let Some(compiler) = Compiler::c() else { return };
    let metadata =
        read(&compiler, Path::new(FROZEN), &["-pedantic", "-O2"]).unwrap_or_else(|error| panic!("{error}"));
    let compiler = metadata.rustc.split(' ').next().unwrap();
    assert!(["gcc", "clang"].contains(&compiler), "{}", metadata.rustc);
    assert!(metadata.target.contains("-linux"), "{}", metadata.target);
    let text = format!(
        "twarga-plugin-metadata 1\nname=frozen-c\nversion=1.2.3\ndescription=A description\nauthors=Ann\n\
         entry=twarga_plugin_entry_frozen\nabi=c\napi={API_VERSION}\ncompiler={}\ntarget={}\nprofile=release\n\
         namespace=frozen_\nnamespace=other_\nmetric=gauge\tfrozen_gauge_bytes\tBy\ta,b\tA gauge.\n\
         metric=counter\tfrozen_total\t\t\tA counter.\nmetric=info\tfrozen_info\t\tc\tAn info.\n\
         metric=stateset\tfrozen_state\t\tstate\tA state.\nschema={{}}\n",
        metadata.rustc, metadata.target
    );
    assert_eq!(metadata, Metadata::parse(text.as_bytes()).unwrap(), "take the change back, see docs/abi.md");
}

/// The list finds what it is there to find.
#[test]
fn changes_of_the_header_are_found() {
    let Some(compiler) = Compiler::c() else { return };
    let header =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api/include/twarga_plugin.h"))
            .unwrap();
    let frozen = fs::read_to_string(FROZEN).unwrap();
    for (from, to, expected) in [
        ("    uint32_t flags;  /* TWARGA_RESET or 0 */\n", "    uint64_t flags;\n", "twarga_sample"),
        ("char message[512];", "char message[500];", "twarga_error.message"),
        (
            "int32_t (*retire)(const twarga_host *host, uint32_t series);",
            "int32_t (*retire)(const twarga_host *host, int64_t series);",
            "the type of twarga_host.retire",
        ),
        ("#define TWARGA_FATAL 4", "#define TWARGA_FATAL 5", "TWARGA_FATAL"),
        (
            "    void (*destroy)(void *self);",
            "    void *later; void (*destroy)(void *self);",
            "twarga_plugin.destroy",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        assert!(header.contains(from), "{from}");
        fs::write(dir.path().join("twarga_plugin.h"), header.replacen(from, to, 1)).unwrap();
        let source = dir.path().join("header.c");
        fs::write(&source, &frozen).unwrap(); // its own directory is looked through first
        let error = read(&compiler, &source, &[]).unwrap_err();
        assert!(error.contains(expected) && error.contains("see docs/abi.md"), "{from}: {error}");
    }
    // growing is allowed
    let dir = tempfile::tempdir().unwrap();
    let log = "int32_t (*log)(const twarga_host *host, uint32_t level, const char *message);";
    fs::write(dir.path().join("twarga_plugin.h"), header.replacen(log, &format!("{log} void *later;"), 1))
        .unwrap();
    let source = dir.path().join("header.c");
    fs::write(&source, &frozen).unwrap();
    read(&compiler, &source, &[]).unwrap_or_else(|error| panic!("{error}"));
}
