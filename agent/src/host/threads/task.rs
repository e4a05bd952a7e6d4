//! One thread in `/proc/self/task` (proc_pid_task(5)).

use super::mark::{Marked, marked, processor_time};
use rustix::io::Errno;
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Which thread it is: the number alone may be another's later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of its folder in /proc. The kernel may make a new folder for the same thread, but no two threads have one.
    pub(super) inode: u64,
    /// When it was started, in ticks since boot, where that was asked and could be read.
    pub(super) started: Option<u64>,
}

/// The threads of this process, a folder each.
#[derive(Debug)]
pub(super) struct TaskFolder(PathBuf);

impl Default for TaskFolder {
    fn default() -> Self {
        Self("/proc/self/task".into())
    }
}

impl TaskFolder {
    #[cfg(test)]
    pub(super) fn at(path: &Path) -> Self {
        Self(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Which thread has this number now, as far as that can be read.
    pub(super) fn identity(&self, tid: i32) -> Identity {
        let inode = fs::metadata(self.0.join(tid.to_string())).map_or(0, |folder| folder.ino());
        Identity { inode, started: self.started(tid).unwrap_or_default() }
    }

    /// When a thread was started; nothing where it has ended.
    ///
    /// # Errors
    /// It may live, but that can't be read now.
    pub(super) fn started(&self, tid: i32) -> io::Result<Option<u64>> {
        self.read(tid, "stat", started_in)
    }

    /// Whose mark a thread has; nothing where it has ended.
    ///
    /// # Errors
    /// It may live, but that can't be read now.
    pub(super) fn mark_of(&self, tid: i32) -> io::Result<Option<Marked>> {
        self.read(tid, "status", mark_in)
    }

    /// Whether the thread with this number is the one that was seen. One whose start could not be read before is taken for
    /// that one; from then on it is known.
    ///
    /// # Errors
    /// There is one, but which can't be read now.
    pub(super) fn is_same(&self, tid: i32, seen: &mut Identity) -> io::Result<bool> {
        // without a file: a thread that has ended has no clock
        if processor_time(tid).is_none() {
            return Ok(false);
        }
        let Some(now) = self.started(tid)? else { return Ok(false) };
        Ok(*seen.started.get_or_insert(now) == now)
    }

    /// A plugin may have left no descriptor for the file, and no memory: that says nothing of the thread.
    fn read<T>(&self, tid: i32, file: &str, parse: fn(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
        match fs::read(self.0.join(tid.to_string()).join(file)) {
            Ok(content) => parse(&content).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(error) if has_ended(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The thread was gone before its file was opened, or before it was read.
fn has_ended(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
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
        let threads = TaskFolder::default();
        assert!(threads.started(own).unwrap().is_some() && threads.mark_of(own).unwrap().is_some());
        assert_eq!(threads.started(-1).unwrap(), None);
    }
    #[test]
    fn a_name_may_be_cut_within_a_character() {
        let torn = thread::Builder::new().name("ääääääää".into()).spawn(|| {
            let name = fs::read("/proc/thread-self/comm").unwrap();
            let own = rustix::thread::gettid().as_raw_nonzero().get();
            let threads = TaskFolder::default();
            (str::from_utf8(&name).is_err(), threads.started(own).unwrap(), threads.mark_of(own).unwrap())
        });
        let (is_torn, started, mark) = torn.unwrap().join().unwrap();
        assert!(is_torn);
        assert!(started.is_some() && mark == Some(Marked::No), "{started:?} {mark:?}");
    }
    #[test]
    fn only_a_thread_that_is_gone_has_ended() {
        let ended = [Errno::NOENT, Errno::SRCH];
        let may_live = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::INTR];
        assert!(ended.iter().all(|errno| has_ended(&(*errno).into())));
        assert!(!may_live.iter().any(|errno| has_ended(&(*errno).into())));
    }
}
