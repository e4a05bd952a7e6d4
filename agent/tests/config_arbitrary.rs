//! No text makes the configuration panic, and each error it finds is one that can be shown.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::{cell::LazyCell, fs, path::Path};
use twarga_agent::config::{self, Environment, Flags};

/// Loads this as `agent.toml`, and the second as a drop-in.
fn load(main: &[u8], drop_in: Option<&[u8]>) {
    thread_local! {
        static DIR: LazyCell<tempfile::TempDir> = LazyCell::new(|| tempfile::tempdir().unwrap());
    }
    DIR.with(|dir| {
        let environment = Environment::below(dir.path());
        let file = environment.current_dir.join("agent.toml");
        let folder = environment.current_dir.join("agent.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(&file, main).unwrap();
        fs::write(folder.join("10.toml"), drop_in.unwrap_or_default()).unwrap();
        match config::load_in(&Flags::default(), &environment) {
            Ok(loaded) => assert_eq!(loaded.config.files.len(), 2),
            Err(errors) => {
                assert!(!errors.errors.is_empty());
                let lines =
                    main.iter().chain(drop_in.unwrap_or_default()).filter(|byte| **byte == b'\n').count();
                for error in &errors.errors {
                    assert!(error.line <= lines + 1, "{error}");
                    assert!(!error.to_string().contains('\n'), "{error}");
                }
            }
        }
    });
}

fn shipped() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent.toml")).unwrap()
}

/// Pieces of which broken files are made.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "\n",
        "\n",
        "\n",
        " = ",
        " = ",
        ".",
        ",",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "#",
        "\\",
        "\r",
        "\u{feff}",
        "\0",
        "ä",
        "\u{1f4a9}",
        "agent",
        "http",
        "auth",
        "storage",
        "views",
        "plugins",
        "alert",
        "[agent]\n",
        "[plugins.a]\n",
        "[plugins.a.config]\n",
        "[[alert]]\n",
        "config",
        "labels",
        "listen",
        "interval = ",
        "offset = ",
        "name = \"system_high_cpu\"\n",
        "enabled = false\n",
        "threshold = ",
        "\"5s\"",
        "\"1GiB\"",
        "5",
        "-1",
        "1e999",
        "nan",
        "0x",
        "0b2",
        "1_",
        "99999999999999999999",
        "true",
        "yes",
        "1979-05-27",
        "07:32:00",
        "\"18446744073709551615s 1000000000ns\"",
        "\"99999999999999999999YiB\"",
        "\"~\"",
        "\"::1\"",
        "\"{value\"",
        "\"{\"",
    ]);
    prop_oneof![8 => fixed.prop_map(str::to_owned), 1 => ".{0,6}"]
}

proptest! {
    #[test]
    fn bytes(main in prop::collection::vec(any::<u8>(), 0..200)) {
        load(&main, None);
    }

    #[test]
    fn pieces(main in prop::collection::vec(piece(), 0..40), drop_in in prop::collection::vec(piece(), 0..20)) {
        load(main.concat().as_bytes(), Some(drop_in.concat().as_bytes()));
    }

    #[test]
    fn damaged_files(edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, piece()), 1..5)) {
        let mut text = shipped();
        for (at, removed, piece) in edits {
            let at = at.index(text.len());
            let end = (at + removed).min(text.len());
            text.splice(at..end, piece.bytes());
        }
        load(&text, Some(&shipped()));
    }

    #[test]
    fn values(value in ".*", size in "[0-9.]{0,30} ?[a-zA-Zµ]{0,6}") {
        let quoted = |text: &str| serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f");
        let (value, size) = (quoted(&value), quoted(&size));
        let text = format!(
            "[agent]\ninterval = {size}\ndata_dir = {value}\nlabels = {{ {value} = {value} }}\nalign_offset = {value}\n\
             [http]\nlisten = {value}\nhosts = [{value}]\n[storage]\nmax_size = {size}\nretention = {size}\n[views]\ndisk = {value}\n\
             [plugins.{value}]\nplugin = {value}\nmode = {value}\n[plugins.{value}.config]\n{value} = {value}\n\
             [[alert]]\nname = {value}\nmetric = {value}\nop = {value}\nmessage = {value}\nfor = {size}\n{size} = 1\n"
        );
        load(text.as_bytes(), None);
    }
}

#[test]
fn truncated_files() {
    let text = shipped();
    for length in (0..text.len()).step_by(5) {
        load(&text[..length], None);
    }
}

#[test]
fn large_files_are_judged_in_linear_time() {
    let fill = |start: &str, piece: &str, end: &str| {
        let count = ((1 << 17) - start.len() - end.len()) / piece.len();
        [start, &piece.repeat(count), end].concat()
    };
    for text in [
        fill("", "a=1\n", ""),
        fill("", "a\n", ""),
        fill("", "[a]\n", ""),
        fill("[http]\nlisten = [", "1,", "]"),
        fill("[agent]\nplugin_dirs = [", "1,", "]"),
        fill("[agent]\nplugin_dirs = [", "x,", "]"),
        fill("[plugins.a]\nconfig = {", "a=1,", "}"),
        fill("[plugins.a.config]\nx = [", "nan,", "]"),
        fill("[plugins.a.config]\nx = [", "[", ""),
        fill("", "[[alert]]\n", ""),
        fill("x = \"", "a", "\""),
        fill("x = ", "a", ""),
        fill("", "\"", ""),
        fill("", "a.", ""),
        fill("", "\u{1}", ""),
    ] {
        load(text.as_bytes(), None);
    }
}
