//! Who holds a lock on a file: read from `/proc/locks`.

use std::{fmt, fs, os::unix::fs::MetadataExt, path::Path};

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name; empty where it could not be learnt.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "process {}", self.pid),
            name => write!(f, "{name} (pid {})", self.pid),
        }
    }
}

/// A file as the kernel's list of locks names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    major: u32,
    minor: u32,
    inode: u64,
}

/// A line of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    pid: u32,
    file: FileId,
    exclusive: bool,
    /// The first byte that is locked.
    first: u64,
}

/// Reads `/proc/locks`: `1: POSIX  ADVISORY  WRITE 1234 fd:01:131138 120 120`. Left out are those who only wait (`->`),
/// and locks that belong to no process (its number is -1).
fn parse(locks: &str) -> impl Iterator<Item = Held> {
    locks.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let _kind = words.next().filter(|kind| *kind != "->")?;
        let _mode = words.next()?;
        let exclusive = words.next()? == "WRITE";
        let pid = words.next()?.parse().ok()?;
        let mut parts = words.next()?.split(':');
        let mut hex = || u32::from_str_radix(parts.next()?, 16).ok();
        let (major, minor) = (hex()?, hex()?);
        let inode = parts.next()?.parse().ok()?;
        let first = words.next()?.parse().ok()?;
        Some(Held { pid, file: FileId { major, minor, inode }, exclusive, first })
    })
}

fn id(file: &Path) -> Option<FileId> {
    let meta = fs::metadata(file).ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    Some(FileId { major, minor, inode: meta.ino() })
}

/// The process other than `own` that holds a lock of this kind. Some file systems give their files another device than
/// the list has: where no lock is on the very file, the number of the inode decides, if it names one process only.
fn find(locks: &str, file: FileId, own: u32, wanted: impl Fn(&Held) -> bool) -> Option<u32> {
    let held: Vec<Held> = parse(locks)
        .filter(|held| held.file.inode == file.inode && held.pid != own && wanted(held))
        .collect();
    if let Some(exact) = held.iter().find(|held| held.file == file) {
        return Some(exact.pid);
    }
    let first = held.first()?;
    held.iter().all(|other| other.pid == first.pid).then_some(first.pid)
}

fn look(file: &Path, own: u32, wanted: impl Fn(&Held) -> bool) -> Option<Holder> {
    let pid = find(&fs::read_to_string("/proc/locks").ok()?, id(file)?, own, wanted)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim_end().chars().filter(|c| !c.is_control()).collect() })
}

/// The bytes of the index of the write-ahead log that SQLite locks to write, to checkpoint and to recover.
const LOG_LOCKS: std::ops::RangeInclusive<u64> = 120..=122;

/// The other process that keeps SQLite from writing this database.
pub(super) fn of_database(file: &Path) -> Option<Holder> {
    let own = std::process::id();
    let log = super::file::beside(file, "-shm");
    look(&log, own, |held| held.exclusive && LOG_LOCKS.contains(&held.first))
        .or_else(|| look(file, own, |held| held.exclusive))
}

/// The other processes that read an old state of this database, each once, by number.
pub(super) fn of_log(file: &Path) -> Vec<Holder> {
    let log = super::file::beside(file, "-shm");
    let mut found: Vec<Holder> = Vec::new();
    let is_known = |found: &[Holder], pid| found.iter().any(|known| known.pid == pid);
    // bytes from the sixth lock on are those of readers
    while let Some(holder) =
        look(&log, std::process::id(), |held| held.first > *LOG_LOCKS.end() && !is_known(&found, held.pid))
    {
        found.push(holder);
    }
    found.sort_by_key(|holder| holder.pid);
    found
}

/// The process that holds the lock file of a store.
pub(super) fn of_lock_file(lock: &Path) -> Option<Holder> {
    look(lock, 0, |_| true)
}

/// The process that writes this store, also where that is this one.
pub fn writer(file: &Path) -> Option<Holder> {
    of_lock_file(&super::file::beside(file, ".lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: &str = "\
1: POSIX  ADVISORY  WRITE 101 fd:01:131138 120 120
1: -> POSIX  ADVISORY  WRITE 102 fd:01:131138 120 120
2: POSIX  ADVISORY  READ 103 fd:01:131138 128 128
3: FLOCK  ADVISORY  WRITE 104 08:02:77 0 EOF
4: OFDLCK ADVISORY  WRITE -1 00:1a:55 0 EOF
5: LEASE  ACTIVE    READ  105 fd:01:99 0 EOF
6: POSIX  ADVISORY  WRITE 106 00:2b:77 1073741824 1073742335
";

    fn at(major: u32, minor: u32, inode: u64) -> FileId {
        FileId { major, minor, inode }
    }

    #[test]
    fn the_holder_of_a_file_is_found() {
        let file = at(0xfd, 1, 131_138);
        assert_eq!(parse(LOCKS).count(), 5, "without those who wait and who are nobody");
        assert_eq!(find(LOCKS, file, 0, |held| held.exclusive), Some(101));
        assert_eq!(find(LOCKS, file, 101, |held| held.exclusive), None, "not oneself");
        assert_eq!(find(LOCKS, file, 101, |_| true), Some(103));
        assert_eq!(find(LOCKS, at(8, 2, 77), 0, |_| true), Some(104));
        assert_eq!(find(LOCKS, at(0, 0x2b, 77), 0, |_| true), Some(106));
        assert_eq!(
            find(LOCKS, at(0, 9, 99), 0, |_| true),
            Some(105),
            "another device, but only one such inode"
        );
        assert_eq!(find(LOCKS, at(0, 9, 77), 0, |_| true), None, "another device, and two such inodes");
        assert_eq!(find(LOCKS, at(0xfd, 1, 1), 0, |_| true), None);
    }

    #[test]
    fn nonsense_names_nobody() {
        for text in [
            "",
            "1:",
            "1: POSIX ADVISORY WRITE x fd:01:1 0 0",
            "1: POSIX ADVISORY WRITE 1 fd:01 0 0",
            "1: POSIX ADVISORY WRITE 1 zz:01:5 0 0",
            "1: POSIX ADVISORY WRITE 1 fd:01:99999999999999999999999 0 0",
        ] {
            assert_eq!(parse(text).count(), 0, "{text}");
        }
    }

    #[test]
    fn a_lock_of_this_process_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        rustix::fs::flock(file.as_file(), rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        let holder = of_lock_file(file.path()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.name.is_empty());
        assert_eq!(Holder { pid: 3, name: String::new() }.to_string(), "process 3");
        assert_eq!(Holder { pid: 3, name: "sqlite3".into() }.to_string(), "sqlite3 (pid 3)");
    }
}
