//! `plugins certify` against the real binary: a sound plugin passes, and each fault fails by its check and no other.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use twarga_tests::{Ended, Home, build, elf};

fn certify(home: &Home, file: &Path, arguments: &[&str]) -> Ended {
    home.end(Command::new(home.agent()).args(["plugins", "certify"]).arg(file).args(arguments))
}

/// The answers as `(check, outcome, reason)`, and the whole.
fn report(home: &Home, file: &Path, arguments: &[&str]) -> (Vec<(String, String, String)>, Ended) {
    let ended = certify(home, file, &[&["--format", "json"], arguments].concat());
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let text = |answer: &Value, key: &str| answer[key].as_str().unwrap().to_string();
    let answers = report["checks"].as_array().unwrap().iter();
    let answers: Vec<_> = answers
        .map(|answer| {
            let failed = answer["outcome"] == "fail";
            assert_eq!(failed, !text(answer, "advice").is_empty(), "advice where it fails: {answer}");
            (text(answer, "check"), text(answer, "outcome"), text(answer, "reason"))
        })
        .collect();
    assert_eq!(report["certified"], answers.iter().all(|(_, outcome, _)| outcome != "fail"));
    (answers, ended)
}

/// The checks that ended so.
fn ended_so<'a>(answers: &'a [(String, String, String)], outcome: &str) -> Vec<&'a str> {
    answers.iter().filter(|answer| answer.1 == outcome).map(|answer| answer.0.as_str()).collect()
}

/// Puts a changed copy of a plugin into the home.
fn changed(home: &Home, plugin: &str, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(build().library(plugin)).unwrap();
    change(&mut bytes);
    home.plugin_file(name, &bytes)
}

#[test]
fn sound_plugins_are_certified() {
    let home = Home::new("");
    for plugin in ["faulty", "host-cpu", "host-mem"] {
        let (answers, ended) = report(&home, build().library(plugin), &[]);
        assert_eq!(ended.code, Some(0), "{plugin}: {ended:?}");
        assert_eq!(ended_so(&answers, "pass").len(), 16, "{plugin}: {answers:#?}");
    }
    // its table out of a whole agent.toml
    let table = home.write("agent.toml", "[plugins.faulty.config]\nmode = \"error_new\"\n");
    let (answers, _) = report(&home, build().library("faulty"), &["--config", table.to_str().unwrap()]);
    assert_eq!(ended_so(&answers, "fail"), ["start"], "{answers:#?}");
}

#[test]
fn each_fault_fails_by_its_check_and_no_other() {
    let home = Home::new("");
    let lock = home.path("lock").display().to_string();
    let locked = format!("mode = 'lock'\nlock = '{lock}'");
    for (config, check, part) in [
        ("mode = 'panic_new'", "start", "planned in new"),
        ("mode = 'config_error'", "start", "refuses its configuration"),
        ("mode = 'panic_collect'", "first-collection", "panicked"),
        ("mode = 'error_collect'", "first-collection", "transient: planned in collect"),
        ("mode = 'abort'", "first-collection", "SIGABRT"),
        ("mode = 'hang'", "first-collection", "no answer within"),
        ("mode = 'panic_collect'\nafter = 5", "cycles", "collection 5: panicked"),
        ("mode = 'abort'\nafter = 5", "cycles", "SIGABRT"),
        ("mode = 'nan'", "values", "not finite"),
        ("mode = 'duplicate'", "values", "put twice"),
        ("mode = 'bad_series'", "values", "never registered"),
        ("mode = 'backwards'", "counters", "faulty_steps_total fell from 100 to 99"),
        ("mode = 'flicker'", "series", "faulty_steps_total had a value, then none"),
        ("mode = 'leak'\nn = 2000", "memory", "KiB in 800 collections"),
        ("mode = 'slow'\nms = 150", "cost", "median of "),
        ("mode = 'slow_drop'\nms = 2500", "stop", "dropping it took 2.5 s"),
        (&locked, "kill", "File exists"),
    ] {
        let (answers, ended) = report(&home, build().library("faulty"), &["--config", config]);
        assert_eq!(ended.code, Some(1), "{config}: {ended:?}");
        assert_eq!(ended_so(&answers, "fail"), [check], "{config}: {answers:#?}");
        let reason = &answers.iter().find(|answer| answer.0 == check).unwrap().2;
        assert!(reason.contains(part), "{config}: {reason}");
    }
}

#[test]
fn faults_of_the_file_fail_by_their_check() {
    let home = Home::new("");
    let edited = |name: &str, from: &str, to: &str| {
        changed(&home, "faulty", name, |bytes| {
            elf::edit_metadata(bytes, |text| text.replace(from, to));
        })
    };
    let schema = r#"{"type":"object","properties":{"mode":{"type":"string"}}}"#;
    for (file, check, part) in [
        (build().library("badly-named").to_path_buf(), "names", "`milliseconds` is no base unit"),
        (
            build().library("credulous").to_path_buf(),
            "wrong-config",
            "certify_unknown_key` (an unknown key) is accepted",
        ),
        (build().library("wrong-layout").to_path_buf(), "abi", "its plugin API differs from the agent's"),
        (build().library("not-a-plugin").to_path_buf(), "abi", "not a plugin of this agent"),
        (home.write("text.so", "text"), "abi", "not an ELF shared library"),
        (home.path("none.so"), "abi", "No such file"),
        (edited("libaborts.so", "panic=unwind", "panic=abort"), "abi", "panic=abort"),
        (
            edited(
                "libdescribed.so",
                "description=End-to-end tests of twarga-agent: the real binary, real plugins",
                "description=",
            ),
            "metadata",
            "missing: description",
        ),
        (
            edited("libschema.so", schema, r#"{"properties":{"mode":{"type":"text"}}}"#),
            "schema",
            "/properties/mode.type",
        ),
        (
            edited("libdefault.so", schema, r#"{"properties":{"n":{"default":"x"}}}"#),
            "defaults",
            "the schema's defaults: n: ",
        ),
        (
            changed(&home, "faulty", "libtruncated.so", |bytes| bytes.truncate(bytes.len() / 2)),
            "abi",
            "truncated",
        ),
    ] {
        let (answers, ended) = report(&home, &file, &[]);
        assert_eq!(ended.code, Some(1), "{}: {ended:?}", file.display());
        assert_eq!(ended_so(&answers, "fail"), [check], "{}: {answers:#?}", file.display());
        let reason = &answers.iter().find(|answer| answer.0 == check).unwrap().2;
        assert!(reason.contains(part), "{}: {reason}", file.display());
    }
    // declared at run time only
    let script = r#"{"script": [[{"declare": {"name": "dynamic_age_days", "kind": "gauge", "help": "How old it is."}},
        {"put": {"name": "dynamic_age_days", "value": 1}}]]}"#;
    let (answers, _) = report(&home, build().library("dynamic"), &["--config", script]);
    assert_eq!(ended_so(&answers, "fail"), ["names"], "{answers:#?}");

    // refused at load, but for its names
    let view = changed(&home, "claims-host-load", "libview.so", |bytes| {
        assert!(elf::replace(bytes, b"host_load1\t", b"host load1\t") > 0);
    });
    let (answers, _) = report(&home, &view, &[]);
    assert_eq!(ended_so(&answers, "fail"), ["names"], "{answers:#?}");
}

#[test]
fn what_can_not_be_told_is_skipped_with_the_reason() {
    let home = Home::new("");
    let config = "mode = 'unsupported'";
    let (answers, ended) = report(&home, build().library("faulty"), &["--config", config]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended_so(&answers, "pass").len(), 6, "{answers:#?}");
    let start = answers.iter().find(|answer| answer.0 == "start").unwrap();
    assert!(start.2.contains("this machine has nothing to collect: planned in new"), "{start:?}");
    // no schema is no mistake
    let (answers, ended) = report(&home, build().library("synthetic"), &[]);
    assert_eq!((ended.code, ended_so(&answers, "skip")), (Some(0), vec!["schema"]), "{answers:#?}");
}

#[test]
fn the_text_names_each_check_and_how_to_mend() {
    let home = Home::new("");
    let ended = certify(&home, build().library("badly-named"), &[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{ended:?}");
    let first = ended.out.lines().next().unwrap();
    assert!(first.starts_with("badly-named 0.1.0 ("), "{first}");
    assert!(
        ended.out.contains("\nFAIL  names             badly_named_latency_milliseconds: "),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("to mend: give it in seconds: `…_seconds`"), "{}", ended.out);
    assert!(ended.out.ends_with(" passed, 1 failed, 1 skipped\n"), "{}", ended.out);

    let wrong = certify(&home, build().library("faulty"), &["--config", "mode"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(1), ""), "{wrong:?}");
    assert!(wrong.err.contains("--config `mode`: no such file, and no table"), "{}", wrong.err);
}
