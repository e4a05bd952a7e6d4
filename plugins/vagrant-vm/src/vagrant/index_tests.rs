use super::*;
use proptest::prelude::*;
use std::{fs, path::Path};

fn case(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testcases/machine-index").join(name)).unwrap()
}

const ID: &str = "0123456789abcdef0123456789abcdef";

/// An index of one machine.
fn with(entry: &str) -> Vec<u8> {
    format!(r#"{{"version":1,"machines":{{"{ID}":{entry}}}}}"#).into_bytes()
}

fn left_out(entry: &str) -> &'static str {
    let index = parse(&with(entry)).unwrap();
    assert!(index.entries.is_empty(), "{entry}");
    assert_eq!(index.left_out.len(), 1, "{entry}");
    assert_eq!(index.left_out[0].index_id, ID);
    index.left_out[0].why
}

/// Its states differ from capture to capture; nothing that is read does.
#[test]
fn the_indexes_of_all_states_say_the_same_of_the_machines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testcases/machine-index");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let index = parse(&fs::read(file.unwrap().path()).unwrap()).unwrap();
        let entry = |index_id: &str, name: &str| Entry {
            index_id: index_id.into(),
            name: name.into(),
            provider: "libvirt".into(),
            local_data: "/srv/lab/project/.vagrant".into(),
            project: "/srv/lab/project".into(),
            box_name: Some("tiny".into()),
        };
        let db = entry("ec1b18f0ae41491196577ba25f87e85c", "db");
        assert_eq!(index.entries, [db, entry("6f6d8f563964419198d003319006a34d", "web")]);
        assert_eq!(index.left_out, []);
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn what_is_optional_may_lack_and_what_is_unknown_is_passed_over() {
    let index = parse(&with(
        r#"{"name":"web","provider":"libvirt","vagrantfile_path":"/srv/p/","new":{"deep":[[1,{}]]},"state":7}"#,
    ));
    let entry = &index.unwrap().entries[0];
    assert_eq!((entry.local_data.as_str(), entry.project.as_str()), ("/srv/p/.vagrant", "/srv/p/"));
    assert_eq!(entry.box_name, None);
    for odd in
        [r#"{"box":3}"#, r#"{"box":{"name":null}}"#, r#"{"box":{"name":"\u0007"}}"#, "[]", "null", "\"x\""]
    {
        let told = format!(
            r#"{{"name":"web","provider":"libvirt","local_data_path":"/srv/p/.vagrant","extra_data":{odd}}}"#
        );
        let index = parse(&with(&told)).unwrap();
        assert_eq!(index.entries[0].project, "/srv/p");
        assert_eq!(index.entries[0].box_name, None, "{odd}");
    }
    let elsewhere = r#"{"name":"web","provider":"libvirt","local_data_path":"/data/dot"}"#;
    assert_eq!(parse(&with(elsewhere)).unwrap().entries[0].project, "");
    for none in
        [r#"{"version":1}"#, r#"{"version":1,"machines":null}"#, r#"{"machines":{},"version":1.0,"x":[]}"#]
    {
        assert_eq!(parse(none.as_bytes()), Ok(Index::default()), "{none}");
    }
}

#[test]
fn an_entry_that_lacks_what_is_needed_is_left_out_alone() {
    for (entry, why) in [
        ("7", "it is no object"),
        ("[]", "it is no object"),
        ("null", "it is no object"),
        (r#"{"provider":"libvirt","vagrantfile_path":"/p"}"#, "it has no name"),
        (r#"{"name":["web"],"provider":"libvirt","vagrantfile_path":"/p"}"#, "it has no name"),
        (r#"{"name":"","provider":"libvirt","vagrantfile_path":"/p"}"#, "its name can't be one"),
        (r#"{"name":"..","provider":"libvirt","vagrantfile_path":"/p"}"#, "its name can't be one"),
        (r#"{"name":"a/../../b","provider":"libvirt","vagrantfile_path":"/p"}"#, "its name can't be one"),
        (r#"{"name":"a\u0000","provider":"libvirt","vagrantfile_path":"/p"}"#, "its name can't be one"),
        (r#"{"name":"web","vagrantfile_path":"/p"}"#, "it has no provider"),
        (r#"{"name":"web","provider":"..","vagrantfile_path":"/p"}"#, "its provider can't be one"),
        (r#"{"name":"web","provider":"a b","vagrantfile_path":"/p"}"#, "its provider can't be one"),
        (r#"{"name":"web","provider":"libvirt"}"#, "it has no project"),
        (r#"{"name":"web","provider":"libvirt","vagrantfile_path":"p"}"#, "its path can't be one"),
        (r#"{"name":"web","provider":"libvirt","local_data_path":"/p\n"}"#, "its path can't be one"),
    ] {
        assert_eq!(left_out(entry), why, "{entry}");
    }
    let both = format!(
        r#"{{"version":1,"machines":{{"x\u001b":{{}},"{ID}":{{"name":"w","provider":"p","vagrantfile_path":"/p"}}}}}}"#
    );
    let index = parse(both.as_bytes()).unwrap();
    assert_eq!(index.entries.len(), 1);
    assert_eq!(index.left_out[0].index_id, "x", "only what can be shown");
}

#[test]
fn what_is_no_index_of_version_1_is_told_apart() {
    let problem = |bytes: &[u8]| parse(bytes).unwrap_err();
    for empty in ["", " \n"] {
        assert_eq!(problem(empty.as_bytes()), Problem::Empty);
    }
    assert_eq!(problem(br#"{"version":2,"machines":{}}"#), Problem::Version(Some(2)));
    for version in ["\"1\"", "1.5", "-1", "[1]", "1e300"] {
        let text = format!(r#"{{"version":{version},"machines":{{}}}}"#);
        assert_eq!(problem(text.as_bytes()), Problem::Version(None), "{version}");
    }
    for other in ["{}", "[]", "[1,{}]", "null", "3", "\"x\"", r#"{"version":1,"machines":[]}"#] {
        assert_eq!(problem(other.as_bytes()), Problem::NoIndex, "{other}");
    }
    assert_eq!(problem(b"root:x:0:0"), Problem::Garbage { line: 1, column: 1 });
    assert_eq!(problem(b"{\"version\":1}\n}"), Problem::Garbage { line: 2, column: 1 });
    assert!(matches!(problem(&[0xff; 100]), Problem::Garbage { .. }));
    let twice = format!(r#"{{"version":1,"machines":{{"{ID}":{{}},"{ID}":{{}}}}}}"#);
    assert_eq!(problem(twice.as_bytes()), Problem::Duplicate(ID.into()));
}

#[test]
fn bombs_are_defused() {
    assert_eq!(parse(&vec![b'{'; 10 << 20]), Err(Problem::TooLarge));
    let deep = 1 << 20;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let bomb = |close: &str| format!("{}1{}", open.repeat(deep / 2), close.repeat(deep / 2));
        let texts = [
            format!(r#"{{"version":1,"new":{}}}"#, bomb(close)),
            format!(r#"{{"version":1,"new":{}"#, bomb("")),
        ];
        assert_eq!(parse(texts[0].as_bytes()), Ok(Index::default()), "unknown keys are passed over");
        assert_eq!(parse(texts[1].as_bytes()), Err(Problem::HalfWritten));
        assert_eq!(parse(bomb(close).as_bytes()), Err(Problem::NoIndex));
        assert_eq!(left_out(&format!(r#"{{"name":{}}}"#, bomb(close))), "it has no name");
    }
    let many = |count: usize| {
        let machines: Vec<String> = (0..count).map(|at| format!("\"{at:032x}\":{{}}")).collect();
        parse(format!(r#"{{"version":1,"machines":{{{}}}}}"#, machines.join(",")).as_bytes())
    };
    assert_eq!(many(MAX_MACHINES).unwrap().left_out.len(), MAX_MACHINES);
    assert_eq!(many(MAX_MACHINES + 1), Err(Problem::TooManyMachines));
}

/// Nothing of a file that is no index is quoted: the agent of root may read more than whoever reads its log.
#[test]
fn problems_quote_nothing() {
    for secret in [r#"{"version":"sesame"}"#, r#""sesame""#, "sesame", r#"{"version":1,"machines":"sesame"}"#]
    {
        let problem = parse(secret.as_bytes()).unwrap_err().to_string();
        assert!(!problem.contains("sesame"), "{problem}");
    }
}

/// Written in place, it is seen at any length.
#[test]
fn an_index_cut_anywhere_is_half_written() {
    let whole = case("A-both-running-index.json");
    assert!(parse(&whole).is_ok());
    assert_eq!(parse(&whole[..0]), Err(Problem::Empty));
    for end in 1..whole.len() {
        assert_eq!(parse(&whole[..end]), Err(Problem::HalfWritten), "{end}");
    }
}

/// Whatever is read of a damaged index has the form of what is needed.
fn assert_sane(index: &Index) {
    let mut seen = HashSet::new();
    for entry in &index.entries {
        assert!(is_index_id(&entry.index_id) && seen.insert(entry.index_id.clone()));
        assert!(is_file_name(&entry.name) && is_plain(&entry.provider) && is_path(&entry.local_data));
        assert!(entry.project.is_empty() || is_path(&entry.project));
        assert!(entry.box_name.as_deref().is_none_or(is_label));
    }
}

#[test]
fn no_flipped_bit_makes_a_machine_that_can_not_be() {
    let whole = case("B-db-halted-index.json");
    let mut refused = 0;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            match parse(&bytes) {
                Ok(index) => assert_sane(&index),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn box_meta_names_the_box() {
    assert_eq!(box_name(br#"{"name":"tiny","version":"0","provider":"libvirt"}"#).as_deref(), Some("tiny"));
    for none in
        [&b""[..], b"{}", b"[\"tiny\"]", br#"{"name":7}"#, br#"{"name":""}"#, b"{\"name\":\"ti", b"\xff"]
    {
        assert_eq!(box_name(none), None);
    }
    assert_eq!(box_name(format!(r#"{{"name":"{}"}}"#, "x".repeat(300)).as_bytes()), None);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(index) = parse(&bytes) {
            assert_sane(&index);
        }
        let _ = box_name(&bytes);
    }

    #[test]
    fn json_of_any_shape_never_panics(text in r#"\{"version":1,"machines":\{("[0-9a-f]{0,32}":[\[\]{}",:0-9a-z]{0,40},?){0,4}\}\}"#) {
        if let Ok(index) = parse(text.as_bytes()) {
            assert_sane(&index);
        }
    }

    #[test]
    fn a_spoilt_index_never_panics(at in 0usize..599, cut in 0usize..80, put in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = case("A-both-running-index.json");
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        if let Ok(index) = parse(&bytes) {
            assert_sane(&index);
        }
    }
}
