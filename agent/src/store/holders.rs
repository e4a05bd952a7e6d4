//! Who holds a lock on a file: what the kernel shows in `/proc/locks` (proc_locks(5)).

use std::{
    fmt, fs,
    os::{linux::fs::MetadataExt, unix::fs::MetadataExt as _},
    path::Path,
};

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, as this process sees it.
    pub pid: u32,
    /// The name of its program, where it could be learnt.
    pub name: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "process {} ({name})", self.pid),
            None => write!(f, "process {}", self.pid),
        }
    }
}

/// The processes that hold a POSIX lock on this very file, each once, in the order of their numbers. Empty where nobody
/// does, or where the kernel does not say.
pub(super) fn holders(file: &Path) -> Vec<Holder> {
    let Ok(meta) = fs::metadata(file) else { return Vec::new() };
    let (device, inode) = (meta.st_dev(), meta.ino());
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut pids: Vec<u32> = locks.lines().filter_map(|line| holder(line, device, inode)).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().map(|pid| Holder { pid, name: name(pid) }).collect()
}

/// The process of a line such as `1: POSIX  ADVISORY  READ 1234 08:01:5678 123 123`, if it is about this file.
fn holder(line: &str, device: (u32, u32), inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // a process that waits for the lock has an arrow in the second place
    let [_, "POSIX", _, _, pid, place, ..] = words[..] else { return None };
    let mut parts = place.split(':');
    let hex = |part: Option<&str>| u32::from_str_radix(part?, 16).ok();
    let found = (hex(parts.next())?, hex(parts.next())?);
    let same = found == device && parts.next()?.parse() == Ok(inode);
    // 0 and -1: a process of another namespace
    if same { pid.parse().ok().filter(|pid| *pid > 0) } else { None }
}

fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_about_a_file() {
        let line = "3: POSIX  ADVISORY  READ 1234 fe:01:5678 123 123";
        assert_eq!(holder(line, (0xfe, 1), 5678), Some(1234));
        assert_eq!(holder(line, (0xfe, 1), 5679), None);
        assert_eq!(holder(line, (0xfe, 2), 5678), None);
        for line in [
            "3: -> POSIX  ADVISORY  READ 1234 fe:01:5678 123 123",
            "3: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF",
            "3: POSIX  ADVISORY  READ -1 fe:01:5678 123 123",
            "3: POSIX  ADVISORY  READ 1234 fe:01",
            "3: POSIX  ADVISORY  READ 1234 : 0 0",
            "",
        ] {
            assert_eq!(holder(line, (0xfe, 1), 5678), None, "{line}");
        }
    }
}
