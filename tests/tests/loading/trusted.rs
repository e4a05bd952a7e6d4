//! Who may have written a plugin file. Changing owners needs root: as somebody else those tests end at once.

use super::{Shelf, set_mode, sound};
use rustix::process::{Uid, geteuid};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};
use twarga_agent::host::Refusal;

/// An account that is neither root nor the agent's.
const NOBODY: u32 = 65_534;

fn untrusted(shelf: &Shelf, file: &Path) -> String {
    let (refusal, message) = shelf.refused(file, "faulty");
    assert!(matches!(refusal, Refusal::Untrusted(_)), "{refusal:?}");
    assert!(message.contains("mend owner and mode"), "{message}");
    message
}

#[test]
fn files_that_everyone_may_write() {
    let shelf = Shelf::new();
    let file = shelf.put("libfaulty.so", &sound("faulty"));
    set_mode(&file, 0o777);
    let message = untrusted(&shelf, &file);
    assert!(message.contains("it is writable for everyone (mode 0777)"), "{message}");
    set_mode(&file, 0o1777);
    untrusted(&shelf, &file);
    set_mode(&file, 0o644);
    shelf.load(&file, "faulty").unwrap();
}

#[test]
fn directories_above_that_everyone_may_write() {
    let shelf = Shelf::new();
    let (open, inner) = (shelf.path("open"), shelf.path("open/inner"));
    fs::create_dir_all(&inner).unwrap();
    let file = shelf.put("open/inner/libfaulty.so", &sound("faulty"));
    set_mode(&inner, 0o755);
    set_mode(&open, 0o777);
    let message = untrusted(&shelf, &file);
    assert!(
        message.contains(&format!("the directory {}", open.canonicalize().unwrap().display())),
        "{message}"
    );
    // the link's own place matters not, the file's does
    let link = shelf.path("link.so");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    untrusted(&shelf, &link);
    set_mode(&open, 0o1777); // as /tmp
    shelf.load(&link, "faulty").unwrap();
}

#[test]
fn files_that_another_group_may_write() {
    if !geteuid().is_root() {
        return;
    }
    let shelf = Shelf::new();
    let file = shelf.put("libfaulty.so", &sound("faulty"));
    chown(&file, None, Some(NOBODY)).unwrap();
    set_mode(&file, 0o775);
    let message = untrusted(&shelf, &file);
    assert!(message.contains("writable for group 65534"), "{message}");
    set_mode(&file, 0o755);
    chown(shelf.dir.path(), None, Some(NOBODY)).unwrap();
    set_mode(shelf.dir.path(), 0o775);
    untrusted(&shelf, &file);
    set_mode(shelf.dir.path(), 0o755);
    shelf.load(&file, "faulty").unwrap();
}

#[test]
fn files_of_somebody_else() {
    if !geteuid().is_root() {
        return;
    }
    let shelf = Shelf::new();
    let file = shelf.put("libfaulty.so", &sound("faulty"));
    chown(&file, Some(NOBODY), None).unwrap();
    let message = untrusted(&shelf, &file);
    assert!(message.contains("belongs to user 65534, and root alone may own it (mode 0755)"), "{message}");
    chown(&file, Some(0), None).unwrap();
    chown(shelf.dir.path(), Some(NOBODY), None).unwrap();
    let message = untrusted(&shelf, &file);
    assert!(message.contains("the directory "), "{message}");
    chown(shelf.dir.path(), Some(0), None).unwrap();
    shelf.load(&file, "faulty").unwrap();
}

#[test]
fn files_that_the_agent_may_not_read() {
    let shelf = Shelf::new();
    set_mode(shelf.dir.path(), 0o755);
    let file = shelf.put("libfaulty.so", &sound("faulty"));
    set_mode(&file, 0);
    let look = || {
        if geteuid().is_root() {
            // root may read everything: become somebody else, in this thread alone
            let nobody = Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        let (refusal, message) = shelf.refused(&file, "faulty");
        assert!(matches!(refusal, Refusal::Io(_)), "{refusal:?}");
        assert!(message.contains("make it readable for the agent's user"), "{message}");
    };
    std::thread::scope(|scope| scope.spawn(look).join()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0);
}
