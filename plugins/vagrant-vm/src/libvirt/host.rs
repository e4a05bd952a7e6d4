//! What the host itself shows of libvirt's machines: processes, pid files, disk images, definitions.

use super::stats::Extent;
use crate::{
    machine::{Reason, Run},
    owned,
    process::{Kept, Process, Processes},
};
use rustix::io::Errno;
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

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
        runs_as: RunsAs,
    ) -> Option<Process> {
        if name.is_empty() || name.contains('/') {
            return None;
        }
        let uid = if let RunsAs::User(uid) = runs_as { Some(uid) } else { None };
        let file = owned::open(&folder.join(format!("{name}.pid")), uid).ok()?;
        let mut text = String::new();
        file.take(32).read_to_string(&mut text).ok()?;
        self.verified(text.trim().parse().ok()?, id, runs_as)
    }

    /// The process of this pid, where it is QEMU with this UUID and runs as it should.
    pub(super) fn verified(&self, pid: u32, id: &str, runs_as: RunsAs) -> Option<Process> {
        let process = self.processes.read(pid).ok()?;
        let is_its = self.uuid_of(pid).is_some_and(|told| told.eq_ignore_ascii_case(id))
            && runs_as.allows(self.processes.uid(pid).ok()?);
        // it may have ended, and another may have its pid
        if !is_its || matches!(process.state, 'Z' | 'X') {
            return None;
        }
        if let Fate::Lives(process) = self.fate(process.run) { Some(process) } else { None }
    }

    /// The UUID with which this QEMU was started. Anybody may give any program such an argument.
    fn uuid_of(&self, pid: u32) -> Option<String> {
        let mut arguments = self.processes.arguments(pid).ok()?.into_iter();
        let path = arguments.next()?;
        let program = path.rsplit('/').next().unwrap_or_default();
        if !(program.starts_with("qemu") || program == "kvm") {
            return None;
        }
        arguments.skip_while(|argument| argument != "-uuid").nth(1)
    }

    /// The processes of QEMU that were started with a UUID: all of /proc is looked through.
    pub(super) fn search(&self) -> Vec<(String, u32)> {
        let Ok(pids) = self.processes.pids() else { return Vec::new() };
        pids.filter_map(|pid| Some((self.uuid_of(pid)?.to_ascii_lowercase(), pid))).collect()
    }

    /// One that was found so.
    pub(super) fn found(&self, found: &[(String, u32)], id: &str, runs_as: RunsAs) -> Option<Process> {
        found.iter().filter(|(told, _)| told == id).find_map(|(_, pid)| self.verified(*pid, id, runs_as))
    }

    /// Whether a process of this user would be seen, if there was one; none is the system's.
    pub(super) fn shows_processes_of(&self, uid: Option<u32>) -> bool {
        uid == Some(rustix::process::getuid().as_raw()) || self.processes.shows_others()
    }

    /// What a disk takes. Those of a user's own service must be the user's: root's agent says nothing of others' files,
    /// not even whether they are there.
    pub(super) fn extent(&self, path: &Path, uid: Option<u32>) -> Result<Extent, Reason> {
        let found = fs::metadata(self.reach(path));
        if let Some(uid) = uid {
            return match found {
                Ok(found) if found.uid() == uid && found.is_file() => extent(&found),
                _ => Err("a disk image is not there, or is no file of its owner's".into()),
            };
        }
        let found = found.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Reason::Borrowed("a disk image is missing"),
            kind => format!("a disk image can't be looked at: {kind}").into(),
        })?;
        if found.is_file() {
            extent(&found)
        } else if found.file_type().is_block_device() {
            Ok(Extent::Device)
        } else {
            Err("a disk that is no file".into())
        }
    }

    /// Whether there are traces of libvirt on this host.
    pub(super) fn has_libvirt(&self) -> bool {
        self.root.join("run/libvirt").exists() || self.root.join("etc/libvirt").exists()
    }
}

fn extent(found: &fs::Metadata) -> Result<Extent, Reason> {
    found.blocks().checked_mul(512).map(Extent::File).ok_or("impossible sizes".into())
}

/// Whose a machine's process may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunsAs {
    /// This user's.
    User(u32),
    /// Root's, or that of an account which no person has: libvirt's usual set-up.
    System,
    /// Anybody's, since it is named by a file that root alone writes.
    Anybody,
}

impl RunsAs {
    fn allows(self, uid: u32) -> bool {
        match self {
            Self::User(user) => uid == user,
            // people have those from 1000 on, their name spaces those above 65535; 65534 is nobody
            Self::System => uid < 1000 || (60_000..65_534).contains(&uid),
            Self::Anybody => true,
        }
    }
}

/// Seconds since 1970.
pub(super) fn wall_clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
