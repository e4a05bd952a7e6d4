//! Files that are pinned by their digest, and what happens to them before and after they are loaded.

use super::{Run, Shelf, set_mode, sound};
use std::{fs, os::unix::fs::symlink, path::Path};
use twarga_agent::{
    host::{Library, LoadError, Refusal, Strategy, load_pinned, provenance, would_load},
    model::Digest,
};

const CONFIG: &str = r#"{"gauges":1,"counters":1}"#;
const NONE: Digest = Digest([0; 32]);

fn pinned(shelf: &Shelf, file: &Path, digest: Digest) -> Result<Library, LoadError> {
    load_pinned(file, "synthetic", Some(digest), &shelf.claims)
}

/// What `sha256sum` says of a file: by another program than ours.
fn sha256sum(file: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().into()
}

fn value(run: &mut Run) -> Option<f64> {
    run.collect().unwrap();
    run.value(r#"synthetic_value{n="0"}"#)
}

#[test]
fn the_digest_is_that_of_sha256sum() {
    let shelf = Shelf::new();
    let file = shelf.put("libsynthetic.so", &sound("synthetic"));
    let digest = provenance(&file).unwrap().digest;
    assert_eq!(digest.to_string(), sha256sum(&file));
    assert_eq!(shelf.load(&file, "synthetic").unwrap().digest, digest, "also of what is not pinned");
    let library = pinned(&shelf, &file, digest).unwrap();
    assert_eq!((library.digest, library.file), (digest, file.canonicalize().unwrap()));
}

#[test]
fn another_digest_is_refused_with_both_and_the_line_to_write() {
    let shelf = Shelf::new();
    let file = shelf.put("libsynthetic.so", &sound("synthetic"));
    let digest = provenance(&file).unwrap().digest;
    let error = pinned(&shelf, &file, NONE).err().unwrap();
    assert!(
        matches!(error.refusal, Refusal::OtherDigest { pinned, found } if pinned == NONE && found == digest)
    );
    let message = error.to_string();
    for line in [format!("sha256 = \"{NONE}\""), format!("sha256 = \"{digest}\"")] {
        assert!(message.contains(&line), "{message}");
    }
    // the looks say the same as the load, in the same order: who wrote it counts before what it is
    assert!(matches!(
        would_load(&file, "synthetic", Some(NONE), Strategy::InProcess),
        Err(Refusal::OtherDigest { .. })
    ));
    assert!(would_load(&file, "synthetic", Some(digest), Strategy::InProcess).is_ok());
    set_mode(&file, 0o777);
    assert!(matches!(
        would_load(&file, "synthetic", Some(NONE), Strategy::InProcess),
        Err(Refusal::Untrusted(_))
    ));
    let found = provenance(&file).unwrap();
    assert!(matches!(found.distrust, Some(Refusal::Untrusted(_))), "{found:?}");
}

#[test]
fn one_byte_makes_another_file() {
    let shelf = Shelf::new();
    let file = shelf.put("libsynthetic.so", &sound("synthetic"));
    let digest = provenance(&file).unwrap().digest;
    let mut bytes = sound("synthetic");
    bytes.push(0);
    let longer = shelf.put("longer.so", &bytes);
    assert!(
        matches!(pinned(&shelf, &longer, digest), Err(error) if matches!(error.refusal, Refusal::OtherDigest { .. }))
    );
    let link = shelf.path("link.so");
    symlink(&longer, &link).unwrap();
    assert!(pinned(&shelf, &link, digest).is_err());
    fs::remove_file(&link).unwrap();
    symlink(&file, &link).unwrap();
    pinned(&shelf, &link, digest).unwrap();
}

#[test]
fn what_is_done_to_the_file_does_not_reach_a_pinned_plugin() {
    let shelf = Shelf::new();
    let file = shelf.put("libsynthetic.so", &sound("synthetic"));
    let digest = provenance(&file).unwrap().digest;
    let library = pinned(&shelf, &file, digest).unwrap();
    let mut run = shelf.run(&library, CONFIG).unwrap();
    assert_eq!(value(&mut run), Some(1.0));
    // in place, and to nothing: a library that is mapped from the file dies of SIGBUS
    fs::write(&file, b"").unwrap();
    assert_eq!(value(&mut run), Some(2.0));
    let mut again = shelf.run(&library, CONFIG).unwrap();
    assert_eq!(value(&mut again), Some(1.0), "code that had not run before");
    fs::write(&file, vec![0xcc; 10_000_000]).unwrap();
    assert_eq!(value(&mut run), Some(3.0));
    assert!(pinned(&shelf, &file, digest).is_err());
}

#[test]
fn what_is_no_file_or_far_too_large_is_not_copied() {
    let shelf = Shelf::new();
    let directory = shelf.path("libfolder.so");
    fs::create_dir(&directory).unwrap();
    assert!(
        matches!(pinned(&shelf, &directory, NONE), Err(error) if matches!(error.refusal, Refusal::NotAFile))
    );
    // a sparse file: 1 TiB without a byte
    let huge = shelf.put("libhuge.so", b"");
    fs::File::options().write(true).open(&huge).unwrap().set_len(1 << 40).unwrap();
    assert!(
        matches!(pinned(&shelf, &huge, NONE), Err(error) if matches!(error.refusal, Refusal::TooLarge(_)))
    );
}
