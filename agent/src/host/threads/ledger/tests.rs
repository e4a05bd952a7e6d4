//! A ledger of its own, over a folder that says what the test wants. Processor time is that of the test's real threads.

use super::*;
use std::{path::Path, ptr, thread};
use tempfile::TempDir;

/// The mark of the first plugin.
const FIRST_MARK: &str = "fff0000000000000";

struct Stage {
    folder: TempDir,
    ledger: Ledger,
    number: Number,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger { folder: TaskFolder::at(folder.path()), ..Ledger::default() };
        let (number, _) = ledger.account("plugin").unwrap();
        Self { folder, ledger, number }
    }

    fn path(&self, tid: i32, file: &str) -> std::path::PathBuf {
        self.folder.path().join(tid.to_string()).join(file)
    }

    /// A thread that was started at this tick.
    fn thread(&self, tid: i32, blocked: &str, started: u64) {
        fs::create_dir_all(self.folder.path().join(tid.to_string())).unwrap();
        fs::write(self.path(tid, "status"), format!("Name:\tx\nSigBlk:\t{blocked}\n")).unwrap();
        let stat = format!("{tid} (x) S 1 2 2 0 -1 0 0 0 0 0 1 2 0 0 20 0 9 0 {started} 700\n");
        fs::write(self.path(tid, "stat"), stat).unwrap();
    }

    /// Without another look.
    fn used(&mut self) -> OwnThreads {
        (self.ledger.looked, self.ledger.pause) = (Some(Instant::now()), LOOK);
        self.ledger.used(self.number, Instant::now())
    }

    fn take(&mut self, listed: &[(i32, u64)]) {
        self.ledger.take(listed.iter().copied());
    }
}

/// A file can't be read, as where no descriptor is left, until what is given is called.
fn unreadable(path: &Path) -> impl FnOnce() + use<> {
    let (file, aside) = (path.to_path_buf(), path.with_extension("aside"));
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    move || {
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
    }
}

/// This thread has used so much that to count it twice would show.
fn burnt() -> (i32, Duration) {
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    while processor_time(own).unwrap() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    (own, processor_time(own).unwrap())
}

fn own_time() -> Duration {
    processor_time(rustix::thread::gettid().as_raw_nonzero().get()).unwrap()
}

#[test]
fn a_thread_that_a_list_leaves_out_is_not_charged_again() {
    let mut stage = Stage::new();
    let (own, burnt) = burnt();
    stage.thread(own, FIRST_MARK, 100);
    stage.take(&[(own, 7)]);
    assert!(stage.used().cpu >= burnt);
    stage.take(&[]);
    assert_eq!(stage.used().count, 1, "it lives");
    stage.take(&[(own, 7)]);
    let told = stage.used();
    assert!(told.count == 1 && told.cpu <= own_time(), "{told:?} of {:?}", own_time());
    // with the same number, but another thread: all that it has used is new
    stage.thread(own, FIRST_MARK, 101);
    stage.take(&[]);
    assert_eq!(stage.used().count, 0, "the first one has ended");
    stage.take(&[(own, 8)]);
    let both = stage.used();
    assert!(both.count == 1 && both.cpu >= told.cpu + burnt, "{both:?}");
}

#[test]
fn what_can_not_be_read_has_not_ended() {
    let mut stage = Stage::new();
    let (own, burnt) = burnt();
    stage.thread(own, FIRST_MARK, 100);
    // a new one is looked at again, and then counts from its start
    for file in ["status", "stat"] {
        let readable = unreadable(&stage.path(own, file));
        stage.take(&[(own, 7)]);
        assert_eq!(stage.used(), OwnThreads::default(), "{file}");
        readable();
    }
    stage.take(&[(own, 7)]);
    assert!(stage.used().cpu >= burnt);
    // its folder is another, or it is left out
    let readable = unreadable(&stage.path(own, "stat"));
    for listed in [&[(own, 8)][..], &[], &[(own, 9)]] {
        stage.take(listed);
        assert_eq!(stage.used().count, 1, "{listed:?}");
    }
    readable();
    stage.take(&[(own, 10)]);
    let told = stage.used();
    assert!(told.count == 1 && told.cpu <= own_time(), "{told:?} of {:?}", own_time());
}

#[test]
fn a_callers_place_is_free_once_its_thread_has_ended() {
    let mut stage = Stage::new();
    let (own, _) = burnt();
    // its mark is that of a call
    stage.thread(own, FIRST_MARK, 100);
    let readable = unreadable(&stage.path(own, "stat"));
    let first = stage.ledger.caller(own);
    for listed in [&[][..], &[(own, 7)], &[(own, 8)]] {
        stage.take(listed);
        assert_eq!((stage.ledger.free.len(), stage.used()), (0, OwnThreads::default()), "{listed:?}");
    }
    readable();
    for listed in [&[][..], &[(own, 7)], &[(own, 8)], &[]] {
        stage.take(listed);
        assert_eq!((stage.ledger.free.len(), stage.used()), (0, OwnThreads::default()), "{listed:?}");
    }
    // the number is another's
    stage.thread(own, "0000000000000000", 101);
    stage.take(&[]);
    let second = stage.ledger.caller(own);
    assert!(ptr::eq(first, second));
    assert!(stage.ledger.free.is_empty());
}

#[test]
fn a_thread_without_a_clock_has_ended_whatever_can_be_read() {
    let mut stage = Stage::new();
    let ended = thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get()).join().unwrap();
    // the kernel may keep it for a moment after it was joined
    assert!((0..1000).any(|_| {
        thread::yield_now();
        processor_time(ended).is_none()
    }));
    stage.thread(ended, FIRST_MARK, 100);
    stage.ledger.caller(ended);
    let _readable = unreadable(&stage.path(ended, "stat"));
    stage.take(&[]);
    assert_eq!(stage.ledger.free.len(), 1);
}
