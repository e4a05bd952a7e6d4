//! One thread in `/proc/self/task` (proc_pid_task(5)).

use super::mark::{Marked, marked};
use std::fs;

/// Which thread it is: the number alone may be another's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of its folder in /proc. The kernel may make a new folder for the same thread, but no two threads have one.
    pub(super) inode: u64,
    /// When it was started, in ticks since boot, where that was asked.
    pub(super) started: Option<u64>,
}

/// When a thread of this process was started; nothing where it has ended.
pub(super) fn started(tid: i32) -> Option<u64> {
    started_in(&fs::read(format!("/proc/self/task/{tid}/stat")).ok()?)
}

/// Whose mark a thread of this process has; nothing where it has ended.
pub(super) fn mark_of(tid: i32) -> Option<Marked> {
    mark_in(&fs::read(format!("/proc/self/task/{tid}/status")).ok()?)
}

// A thread's name is in both, as bytes: the kernel cuts it after 15 of them, also within a character.

/// Field 22 of `/proc/PID/stat` (proc_pid_stat(5)), behind a name that may hold anything.
fn started_in(stat: &[u8]) -> Option<u64> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(&stat[name_ends + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// `SigBlk` of `/proc/PID/status`. A thread's name comes before it, in which line feeds are escaped.
fn mark_in(status: &[u8]) -> Option<Marked> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"SigBlk:"))?;
    u64::from_str_radix(str::from_utf8(line).ok()?.trim(), 16).ok().map(marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::threads::mark::Number;
    use std::thread;

    fn status(name: &str, blocked: &str) -> Vec<u8> {
        let text = format!(
            "Name:\t{name}\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t812\nPid:\t815\nThreads:\t9\nSigQ:\t0/63419\n\
             SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t{blocked}\nSigIgn:\t0000000000001000\n\
             SigCgt:\t0000000100004443\nCapInh:\t0000000000000000\nSeccomp:\t0\n"
        );
        text.into_bytes()
    }

    #[test]
    fn the_mark_is_read_of_a_status() {
        assert_eq!(mark_in(&status("collect-0", "0000000000000000")), Some(Marked::No));
        // 5, and the opposites of its bits
        let five = Marked::With(Number::new(5).unwrap());
        assert_eq!(mark_in(&status("worker", "ffa0050000000000")), Some(five));
        assert_eq!(mark_in(&status("worker", "ffa0050000004a02")), Some(five), "others are blocked too");
        assert_eq!(mark_in(&status("SigBlk:\\nSigBlk:", "ffa0050000000000")), Some(five), "any name");
        assert_eq!(mark_in(&status("worker", "fffffffe7ffbfeff")), Some(Marked::NotYet), "being started");
        assert_eq!(mark_in(&status("worker", "ffa0040000000000")), Some(Marked::No), "one bit is wrong");
        assert_eq!(mark_in(&status("worker", "none")), None);
        assert_eq!(mark_in(b"Name:\tx\n"), None);
        assert_eq!(mark_in(b""), None);
    }

    #[test]
    fn the_start_is_read_behind_any_name() {
        let stat = b"815 (a) b (c) S 1 812 812 0 -1 4194368 70 0 0 0 1 2 0 0 20 0 9 0 48211 700 30 0\n";
        assert_eq!(started_in(stat), Some(48211));
        assert_eq!(started_in(b"815 (a) S 1 2 3"), None);
        assert_eq!(started_in(b""), None);
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        assert!(started(own).is_some() && mark_of(own).is_some());
        assert_eq!(started(-1), None);
    }
    #[test]
    fn a_name_may_be_cut_within_a_character() {
        let torn = thread::Builder::new().name("ääääääää".into()).spawn(|| {
            let name = fs::read("/proc/thread-self/comm").unwrap();
            let own = rustix::thread::gettid().as_raw_nonzero().get();
            (str::from_utf8(&name).is_err(), started(own), mark_of(own))
        });
        let (is_torn, started, mark) = torn.unwrap().join().unwrap();
        assert!(is_torn);
        assert!(started.is_some() && mark == Some(Marked::No), "{started:?} {mark:?}");
    }
}
