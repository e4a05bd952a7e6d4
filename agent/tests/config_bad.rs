//! A bad configuration for each message: `bad_configs/NAME.toml`, with drop-ins in `bad_configs/NAME.d/` where it has
//! some, and the whole text that people get in `NAME.expected`. With `BLESS=1` in the environment the expected texts are
//! written anew, to be read in the diff.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};
use twarga_agent::config::{self, Environment, Flags};

fn report(case: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let environment =
        Environment { current_dir: dir.path().into(), home: None, ..Environment::below(dir.path()) };
    let environment = Environment { state_home: Some(dir.path().join("state")), ..environment };
    fs::copy(case, dir.path().join("agent.toml")).unwrap();
    let drop_ins = case.with_extension("d");
    if drop_ins.is_dir() {
        fs::create_dir(dir.path().join("agent.d")).unwrap();
        for entry in fs::read_dir(&drop_ins).unwrap() {
            let file = entry.unwrap();
            fs::copy(file.path(), dir.path().join("agent.d").join(file.file_name())).unwrap();
        }
    }
    match config::load_in(&Flags::default(), &environment) {
        Ok(_) => panic!("{} is accepted", case.display()),
        Err(errors) => format!("{errors}\n"),
    }
}

#[test]
fn each_bad_config_gets_its_whole_message() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_configs");
    let mut cases: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cases.sort();
    assert!(cases.len() >= 30, "only {} cases found", cases.len());
    let mut wrong = String::new();
    for case in cases {
        let report = report(&case);
        let expected = case.with_extension("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &report).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if report != wanted {
            wrong += &format!("== {}\n-- wanted\n{wanted}-- got\n{report}", case.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
