//! Names of plugins and files, and who may use which metric's name.

use super::{Shelf, sound};
use std::{fs, os::unix::fs::symlink, sync::Arc};
use twarga_agent::host::{Candidate, Claims, Refusal, discover};
use twarga_tests::elf;

#[test]
fn a_plugin_is_found_by_its_own_name() {
    let shelf = Shelf::new();
    let file = shelf.put("anything.so", &sound("synthetic"));
    shelf.put("libplain.so", &sound("not_a_plugin"));
    shelf.put("notes.txt", b"");
    shelf.put("libsynthetic.so.new", b"half a copy");
    let catalogue = discover(&[shelf.dir.path().into()]);
    assert_eq!(catalogue.find("synthetic").unwrap().file, file);
    let available: Vec<String> = catalogue.available(&[]).map(Candidate::name).collect();
    assert_eq!(available, ["synthetic"]);
    assert_eq!(catalogue.available(&["synthetic".into()]).count(), 0);
    let error = catalogue.find("anything").unwrap_err();
    assert!(matches!(error.refusal, Refusal::NotFound(_)), "{error}");
    let message = catalogue.find("syntetic").unwrap_err().to_string();
    assert!(message.contains("did you mean `synthetic`?"), "{message}");
    assert!(message.contains(&shelf.dir.path().display().to_string()), "{message}");
}

#[test]
fn strange_things_in_the_directory_hold_nobody_up() {
    let shelf = Shelf::new();
    let file = shelf.put("libsynthetic.so", &sound("synthetic"));
    fs::create_dir(shelf.path("directory.so")).unwrap();
    symlink("nowhere", shelf.path("dangling.so")).unwrap();
    symlink("round.so", shelf.path("round.so")).unwrap();
    shelf.put("empty.so", b"");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mkfifoat(rustix::fs::CWD, shelf.path("pipe.so"), mode).unwrap();
    let catalogue = discover(&[shelf.path("missing"), file.clone(), shelf.dir.path().into()]);
    assert_eq!(catalogue.find("synthetic").unwrap().file, file);
}

#[test]
fn two_files_of_one_name_are_refused() {
    let shelf = Shelf::new();
    let bytes = sound("synthetic");
    let files = [shelf.put("a.so", &bytes), shelf.put("b.so", &bytes)];
    let error = discover(&[shelf.dir.path().into()]).find("synthetic").unwrap_err();
    assert!(matches!(&error.refusal, Refusal::Ambiguous(both) if *both == files), "{error}");
    let message = error.to_string();
    assert!(message.len() <= 600 && message.ends_with("; leave one of them there"), "{message}");
}

#[test]
fn links_are_no_second_file() {
    let shelf = Shelf::new();
    let file = shelf.put("a.so", &sound("synthetic"));
    fs::hard_link(&file, shelf.path("b.so")).unwrap();
    symlink("a.so", shelf.path("c.so")).unwrap();
    let catalogue = discover(&[shelf.dir.path().into(), shelf.dir.path().join(".")]);
    assert_eq!(catalogue.candidates.len(), 1);
    assert!(catalogue.find("synthetic").unwrap().shadowed.is_empty());
}

#[test]
fn the_first_directory_decides() {
    let (one, two) = (Shelf::new(), Shelf::new());
    let used = one.put("a.so", &sound("synthetic"));
    let hidden = two.put("b.so", &sound("synthetic"));
    let found = discover(&[one.dir.path().into(), two.dir.path().into()]).find("synthetic").unwrap();
    assert_eq!((found.file, found.shadowed), (used.clone(), vec![hidden.clone()]));
    let found = discover(&[two.dir.path().into(), one.dir.path().into()]).find("synthetic").unwrap();
    assert_eq!((found.file, found.shadowed), (hidden, vec![used]));
}

#[test]
fn two_plugins_that_claim_one_metric() {
    for (first, second) in [("host-cpu", "claims-host-load"), ("claims-host-load", "host-cpu")] {
        let shelf = Shelf::new();
        shelf.loaded(first);
        let file = shelf.put("second.so", &sound(second));
        let (refusal, message) = shelf.refused(&file, second);
        assert!(matches!(refusal, Refusal::Claimed { .. }), "{refusal:?}");
        let sentence = format!("metric `host_load1` is already claimed by the plugin `{first}`");
        assert!(message.contains(&sentence) && message.contains("disable one of the two"), "{message}");
    }
}

#[test]
fn a_refused_plugin_claims_nothing() {
    let shelf = Shelf::new();
    let mut bytes = sound("claims-host-load");
    elf::undefine_a_symbol(&mut bytes);
    shelf.refused(&shelf.put("broken.so", &bytes), "claims-host-load");
    shelf.loaded("host-cpu");
}

#[test]
fn a_metric_outside_its_namespaces() {
    let shelf = Shelf::new();
    let mut bytes = sound("claims-host-load");
    elf::edit_metadata(&mut bytes, |text| text.replacen("namespace=host_load", "namespace=load", 1));
    let (refusal, message) = shelf.refused(&shelf.put("a.so", &bytes), "claims-host-load");
    assert!(matches!(refusal, Refusal::BadMetric { .. }), "{refusal:?}");
    assert!(message.contains("starts with none of the plugin's namespaces (load)"), "{message}");
    elf::edit_metadata(&mut bytes, |text| text.replacen("namespace=load", "namespace=", 1));
    let (refusal, _) = shelf.refused(&shelf.put("b.so", &bytes), "claims-host-load");
    assert!(matches!(refusal, Refusal::BadMetric { .. }), "an empty prefix is none: {refusal:?}");
}

#[test]
fn reserved_names() {
    let mut shelf = Shelf::new();
    shelf.claims = Arc::new(Claims::new(|name| name == "host_load1"));
    let mut bytes = sound("claims-host-load");
    let (refusal, message) = shelf.refused(&shelf.put("a.so", &bytes), "claims-host-load");
    assert!(matches!(refusal, Refusal::Claimed { .. }), "{refusal:?}");
    assert!(message.contains("a view of the agent"), "{message}");

    elf::edit_metadata(&mut bytes, |text| {
        let text = text.replacen("\nnamespace=host_load", "\nnamespace=twarga_agent", 1);
        let text = text.replacen("host_load1", "twarga_agent_x", 1);
        text.replacen("Another load.", "x", 1) // room for the longer names
    });
    let (refusal, message) = shelf.refused(&shelf.put("b.so", &bytes), "claims-host-load");
    assert!(matches!(refusal, Refusal::Claimed { .. }), "{refusal:?}");
    assert!(message.contains("the agent itself"), "{message}");
}

#[test]
fn declarations_that_no_compiler_has_checked() {
    for (from, to) in [
        ("host_load1", "host_load-1"),
        ("host_load1", "host_load_bytes"),
        ("Another load.", ""),
        ("gauge\thost_load1", "info\thost_load1"),
        ("\t\t\tAnother load.", "\t\ta,a\tAnother."),
        ("\t\t\tAnother load.", "\t\t__a\tAnother."),
    ] {
        let shelf = Shelf::new();
        let mut bytes = sound("claims-host-load");
        elf::edit_metadata(&mut bytes, |text| {
            text.replacen(from, to, 1).replacen("description=", "", 1).replacen("\nauthors", "=\nauthors", 1)
        });
        let (refusal, message) = shelf.refused(&shelf.put("a.so", &bytes), "claims-host-load");
        assert!(matches!(refusal, Refusal::BadMetric { .. }), "{from} → {to}: {message}");
        assert!(message.contains("mend the declaration"), "{message}");
    }
}
