//! Plugin files as authors have them: of every released ABI, and of one that has grown since. Today's host loads them, and
//! what they say is what they said.

use super::{Run, Shelf};
use std::{fmt::Write, fs};
use twarga_agent::{
    host::{open_file, preflight},
    model::{Batch, Timestamp},
};
use twarga_plugin_api::{Error, ErrorKind};
use twarga_tests::kept::{LANGUAGES, folder, library, packed, runs_here, versions};

/// All that one collection brought, line by line.
fn told(run: &Run, result: &Result<(), Error>, time: Timestamp) -> String {
    let Batch { retired, absent, .. } = &run.batch;
    let mut lines: Vec<String> = (run.samples().iter())
        .map(|(name, sample)| format!("{name} {}{}", sample.value, if sample.reset { " # anew" } else { "" }))
        .collect();
    lines.extend(retired.iter().map(|id| format!("# retired {}", run.names[id])));
    lines.extend(absent.iter().map(|it| format!("# unavailable {}: {}", run.names[&it.series], it.reason)));
    if run.batch.time == time {
        lines.push("# at its own time".into());
    }
    if let Err(error) = result {
        lines.push(format!("# {:?}: {}", error.kind(), error.message()));
    }
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    })
}

/// Four collections of a kept plugin.
fn collected(bytes: &[u8]) -> String {
    let shelf = Shelf::new();
    let library = shelf.load(&shelf.put("libabi_fixture.so", bytes), "abi-fixture").unwrap();
    let time = Timestamp::from_millis(Timestamp::now().as_millis() - 3_600_000);
    let mut run = shelf.run(&library, &format!("{{\"time\":{}}}", time.as_millis())).unwrap();
    let mut text = String::new();
    for collection in 1..=4 {
        let (result, log) = super::faults::logged(|| run.collect());
        let _ = writeln!(text, "## {collection}\n{}", told(&run, &result, time));
        assert_eq!(log.contains("the first collection"), collection == 1, "{log}");
    }
    let error = shelf.run(&library, r#"{"fail":true}"#).err().unwrap();
    assert_eq!((error.kind(), error.location(), error.message()), (ErrorKind::Config, "fail", "planned"));
    text
}

#[test]
fn plugins_of_every_abi_say_what_they_said() {
    if !runs_here() {
        return;
    }
    let versions = versions();
    assert!(versions.len() >= 2 && versions.contains(&"grown".to_string()), "{versions:?}");
    for version in versions {
        for language in LANGUAGES {
            let text = collected(&library(&version, language));
            // the grown one is made of the sources of the first
            let of = if version == "grown" { "1.0.0-rc.1" } else { &version };
            let expected = fs::read_to_string(folder().join(of).join("samples.txt")).unwrap();
            assert_eq!(text, expected, "{version}, {language}");
        }
    }
}

#[test]
fn the_grown_ones_are_newer_than_this_host() {
    if !runs_here() {
        return;
    }
    for language in LANGUAGES {
        let shelf = Shelf::new();
        let file = shelf.put("libabi_fixture.so", &library("grown", language));
        let metadata = preflight(&open_file(&file).unwrap()).unwrap().metadata;
        assert_eq!(metadata.api_numbers(), Some((1, 1)), "{language}");
    }
}

/// The script looks for paths of the machine that built them; so does this, in case it was not run.
#[test]
fn kept_files_are_small_and_anonymous() {
    for version in versions() {
        for language in LANGUAGES {
            let file = packed(&version, language);
            assert!(fs::metadata(&file).unwrap().len() <= 300 * 1024, "{}", file.display());
            let bytes = library(&version, language);
            for word in ["/home/", "/root/", "/tmp/", "/.cargo/"] {
                let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                assert!(!found, "{} has {word}", file.display());
            }
        }
    }
}
