use super::*;
use tempfile::TempDir;

fn stamp(uid: u32, gid: u32, mode: u32) -> Stamp {
    let place = Place { device: 1, inode: 1 };
    Stamp { place, size: 1, modified: (0, 0), changed: (0, 0), uid, gid, mode: 0o100_000 | mode }
}

#[test]
fn a_file_is_read_for_whom_it_is() {
    let bob = Reader { uid: 1001, gid: 100 };
    for (uid, gid, mode, readable) in [
        (1001, 100, 0o600, true),
        (1001, 0, 0o000, true),
        (0, 0, 0o644, true),
        (0, 100, 0o640, true),
        (0, 0, 0o640, false),
        (0, 0, 0o600, false),
        (1002, 100, 0o666, false),
    ] {
        assert_eq!(stamp(uid, gid, mode).is_readable_for(bob), readable, "{uid} {gid} {mode:o}");
    }
    assert!(stamp(0, 0, 0o600).is_readable_for(Reader { uid: 0, gid: 0 }));
    assert!(
        !stamp(1001, 100, 0o600).is_readable_for(Reader { uid: 0, gid: 0 }),
        "nor root by another's hand"
    );
}

#[test]
fn what_changed_just_now_may_change_unseen() {
    let mut stamp = stamp(0, 0, 0o644);
    stamp.changed = (1_000_000, 0);
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
    assert!(!stamp.is_settled(at(1_000_000)) && !stamp.is_settled(at(1_000_002)));
    assert!(!stamp.is_settled(at(999_000)), "a clock that was set back");
    assert!(stamp.is_settled(at(1_000_003)));
    stamp.changed = (-5, 0);
    assert!(stamp.is_settled(at(10)));
}

#[test]
fn a_new_file_is_not_settled_and_its_stamp_is_that_of_stat() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "12345").unwrap();
    let stamp = Kernel.stat(&path).unwrap();
    let reader = Reader { uid: stamp.uid, gid: stamp.gid };
    let content = Kernel.read(&path, reader, 5).unwrap();
    assert_eq!((content.bytes.as_slice(), content.stamp, content.settled), (&b"12345"[..], stamp, false));
    assert!(matches!(Kernel.read(&path, reader, 4), Err(Refusal::TooLarge)));
    assert!(Kernel.read(&folder.path().join("none"), reader, 4).unwrap_err().is_absence());
    assert!(Kernel.read(&path.join("below"), reader, 4).unwrap_err().is_absence());
}

#[test]
fn a_changed_file_has_another_stamp() {
    let folder = TempDir::new().unwrap();
    let (path, other) = (folder.path().join("file"), folder.path().join("other"));
    fs::write(&path, "12345").unwrap();
    let before = Kernel.stat(&path).unwrap();
    fs::write(&other, "12345").unwrap();
    // with the times of the old one, as a cunning user would do it
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    File::options().write(true).open(&other).unwrap().set_modified(times).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_ne!(Kernel.stat(&path).unwrap(), before);
}
