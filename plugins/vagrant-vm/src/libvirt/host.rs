//! What the host itself shows of libvirt's machines: processes, pid files, disk images, definitions.

use super::stats::Extent;
use crate::{
    machine::{Reason, Run},
    process::{Kept, Process, Processes},
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A definition that is longer than this is none.
const MAX_DEFINITION: u64 = 1 << 20;
/// A folder with more definitions than this is not looked through.
const MAX_DEFINITIONS: usize = 2000;

/// See the [module](self).
pub(super) struct Host {
    pub(super) root: PathBuf,
    processes: Processes,
    pub(super) ticks_per_second: f64,
}

/// What became of a process.
pub(super) enum Fate {
    Lives(Process),
    Ended,
    /// /proc does not say.
    Unknown,
}

impl Host {
    pub(super) fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            processes: Processes::below(root),
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
        }
    }

    /// A path of the host, as it is reached from here.
    pub(super) fn reach(&self, path: &Path) -> PathBuf {
        if self.root == Path::new("/") || path.starts_with(&self.root) {
            return path.to_owned();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// How long the host is up, in seconds: the age of what was started with it.
    pub(super) fn age(&self) -> Option<f64> {
        self.processes.age(Run { pid: 0, start: 0 }).ok()
    }

    /// The process of this run.
    pub(super) fn fate(&self, run: Run) -> Fate {
        Self::fate_by(run, self.processes.read(run.pid))
    }

    /// The same; its status stays open for the next time.
    pub(super) fn fate_again(&self, run: Run, kept: &mut Option<Kept>) -> Fate {
        Self::fate_by(run, self.processes.read_again(run.pid, kept))
    }

    fn fate_by(run: Run, read: io::Result<Process>) -> Fate {
        match read {
            Ok(process) if process.run == run && !matches!(process.state, 'Z' | 'X') => Fate::Lives(process),
            Ok(_) => Fate::Ended,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Fate::Ended,
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Fate::Ended,
            Err(_) => Fate::Unknown,
        }
    }

    /// The process that the pid file of a machine names, where it is QEMU with this UUID.
    pub(super) fn by_pid_file(
        &self,
        folder: &Path,
        name: &str,
        id: &str,
        uid: Option<u32>,
    ) -> Option<Process> {
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let file = open_regular(&folder.join(format!("{name}.pid"))).ok()?;
        let mut text = String::new();
        file.take(32).read_to_string(&mut text).ok()?;
        self.verified(text.trim().parse().ok()?, id, uid)
    }

    /// The process of this pid, where it is QEMU with this UUID and belongs to that user, or to whomever.
    fn verified(&self, pid: u32, id: &str, uid: Option<u32>) -> Option<Process> {
        let process = self.processes.read(pid).ok()?;
        let arguments = self.processes.arguments(pid).ok()?;
        let told = arguments.iter().skip_while(|argument| *argument != "-uuid").nth(1)?;
        let owner =
            || fs::metadata(self.root.join("proc").join(pid.to_string())).ok().map(|found| found.uid());
        let is_its = told.eq_ignore_ascii_case(id) && (uid.is_none() || owner() == uid);
        // it may have ended, and another may have its pid
        (is_its && !matches!(process.state, 'Z' | 'X') && matches!(self.fate(process.run), Fate::Lives(_)))
            .then_some(process)
    }

    /// The processes of QEMU that were started with a UUID: all of /proc is looked through.
    pub(super) fn search(&self) -> Vec<(String, u32)> {
        let Ok(pids) = self.processes.pids() else { return Vec::new() };
        let found = pids.filter_map(|pid| {
            let arguments = self.processes.arguments(pid).ok()?;
            let id = arguments.iter().skip_while(|argument| *argument != "-uuid").nth(1)?;
            Some((id.to_ascii_lowercase(), pid))
        });
        found.collect()
    }

    /// One that was found so.
    pub(super) fn found(&self, found: &[(String, u32)], id: &str, uid: Option<u32>) -> Option<Process> {
        found.iter().filter(|(told, _)| told == id).find_map(|(_, pid)| self.verified(*pid, id, uid))
    }

    /// What a disk takes. Those of a user's own service must be the user's: root's agent says nothing of others' files.
    pub(super) fn extent(&self, path: &Path, uid: Option<u32>) -> Result<Extent, Reason> {
        let found = fs::metadata(self.reach(path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Reason::Borrowed("a disk image is missing"),
            kind => format!("a disk image can't be looked at: {kind}").into(),
        })?;
        if uid.is_some_and(|uid| found.uid() != uid) {
            return Err("a disk image belongs to another user".into());
        }
        if found.is_file() {
            return found.blocks().checked_mul(512).map(Extent::File).ok_or("impossible sizes".into());
        }
        if found.file_type().is_block_device() {
            Ok(Extent::Device)
        } else {
            Err("a disk that is no file".into())
        }
    }

    /// Whether in this folder of definitions is, or may be, one of this machine.
    pub(super) fn may_define(&self, folder: &Path, id: &str) -> bool {
        let entries = match fs::read_dir(self.reach(folder)) {
            Ok(entries) => entries,
            Err(error) => return error.kind() == io::ErrorKind::PermissionDenied,
        };
        let mut definitions = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "xml"));
        let found = definitions.by_ref().take(MAX_DEFINITIONS).any(|path| match open_regular(&path) {
            Ok(file) => {
                let mut text = Vec::new();
                // what can't be read may be the one
                file.take(MAX_DEFINITION).read_to_end(&mut text).is_err()
                    || String::from_utf8_lossy(&text).to_ascii_lowercase().contains(id)
            }
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        });
        found || definitions.next().is_some()
    }

    /// Whether there are traces of libvirt on this host.
    pub(super) fn has_libvirt(&self) -> bool {
        self.root.join("run/libvirt").exists() || self.root.join("etc/libvirt").exists()
    }
}

/// Opens a file that may be anything: a pipe must hold up nobody.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Seconds since 1970.
pub(super) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
