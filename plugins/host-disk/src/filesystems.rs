//! The mounts and their series.

use crate::{
    config::Config,
    metrics::{AVAIL, DEVICE_ERROR, FILES, FILES_FREE, FILESYSTEM, FREE, READONLY, SIZE, STUCK, USAGE, USED},
    mountinfo::{self, Mount},
    prober::{Prober, Reading, SlotId, Timing},
    registration::{register_all, retire_all},
    selection::{Filters, is_remote},
    space::{Probe, Space},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    collections::HashSet,
    ffi::CString,
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use twarga_plugin_api::{Host, Level, Result, Series, Sink, pseudo_file::PseudoFile};

/// The mounts that are reported.
pub(crate) struct Filesystems {
    table: MountTable,
    filters: Filters,
    root: PathBuf,
    prober: Prober,
    rows: Vec<Row>,
    /// What the prober said in this collection.
    readings: Vec<(SlotId, Reading)>,
    /// Why the mount table could not be read this time.
    failure: Option<io::Error>,
}

/// A mount that is reported.
struct Row {
    /// In the order of the metrics' label keys.
    labels: [String; 3],
    slot: SlotId,
    /// Registered with the first reading that is not of a file system without size.
    series: Option<[Series; FILESYSTEM.len()]>,
}

impl Filesystems {
    /// Opens the mount table.
    ///
    /// # Errors
    /// Where it is missing.
    pub(crate) fn open(config: &Config, probe: Arc<dyn Probe>, timing: Timing) -> io::Result<Self> {
        Ok(Self {
            table: MountTable::open(&config.root)?,
            filters: Filters::new(config),
            root: config.root.clone(),
            prober: Prober::new(probe, timing),
            rows: vec![],
            readings: vec![],
            failure: None,
        })
    }

    /// Looks for new mounts and has all of them asked, while the caller does something else.
    pub(crate) fn start(&mut self, host: &mut Host<'_>) {
        self.failure = None;
        match self.table.changed() {
            Ok(Some(content)) => {
                let mounts = self.filters.select(mountinfo::parse(content));
                self.arrange(mounts, host);
            }
            Ok(None) => {}
            Err(error) => self.failure = Some(error), // the mounts known so far are asked all the same
        }
        if let Err(error) = self.prober.start() {
            self.failure.get_or_insert(error);
        }
    }

    /// Waits for the answers and puts them.
    ///
    /// # Errors
    /// The first of what went wrong, after everything else was put.
    pub(crate) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.readings.clear();
        let readings = &mut self.readings;
        let mut outcome = match self.prober.finish(|slot, reading| readings.push((slot, reading))) {
            Err(error) => Err(error.into()),
            Ok(()) => Ok(()),
        };
        for (index, row) in self.rows.iter_mut().enumerate() {
            // mostly in the same order
            let of_slot = |(slot, _): &&(SlotId, Reading)| *slot == row.slot;
            let guess = self.readings.get(index).filter(of_slot);
            if let Some((_, reading)) = guess.or_else(|| self.readings.iter().find(of_slot)) {
                outcome = outcome.and(row.put(*reading, sink));
            }
        }
        self.failure.take().map_or(Ok(()), |error| Err(error.into())).and(outcome)
    }

    /// Makes the rows those of `mounts`, keeping what stayed.
    fn arrange(&mut self, mounts: Vec<Mount>, host: &mut Host<'_>) {
        let mut old: Vec<Option<Row>> = std::mem::take(&mut self.rows).into_iter().map(Some).collect();
        let mut kept = Vec::with_capacity(mounts.len());
        let mut seen = HashSet::new();
        for mount in mounts {
            let labels = [&mount.source, &mount.fstype, &mount.point].map(|text| lossy(text));
            if !seen.insert(labels[2].clone()) {
                let point = &labels[2];
                host.log(
                    Level::Warn,
                    &format!("`{point}` is left out: another mount point is spelled the same"),
                );
                continue;
            }
            let found = old.iter_mut().find(|row| row.as_ref().is_some_and(|row| row.labels == labels));
            kept.push((found.and_then(Option::take), labels, mount));
        }
        // before new ones are added: a new mount on an old one's path takes over its slot
        for row in old.into_iter().flatten() {
            self.prober.remove(row.slot);
            if let Some(series) = row.series {
                retire_all(host, &series);
            }
        }
        for (row, labels, mount) in kept {
            let row = row.or_else(|| {
                let slot = self.prober.add(self.path_of(&mount)?.into(), is_remote(&mount));
                Some(Row { labels, slot, series: None })
            });
            self.rows.extend(row);
        }
    }

    /// Where a mount point is found by this process; nothing for one that can't be a path.
    fn path_of(&self, mount: &Mount) -> Option<CString> {
        let mut path = self.root.as_os_str().as_bytes().to_vec();
        while path.last() == Some(&b'/') {
            path.pop();
        }
        path.extend_from_slice(&mount.point);
        CString::new(path).ok()
    }

    #[cfg(test)]
    pub(crate) fn prober(&self) -> &Prober {
        &self.prober
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

impl Row {
    fn put(&mut self, reading: Reading, sink: &mut Sink<'_>) -> Result<()> {
        let is_root = self.labels[2] == "/";
        if let Reading::Space(space) = reading
            && space.size_bytes() == 0.0
            && !is_root
        {
            if let Some(series) = self.series.take() {
                retire_all(sink.host(), &series);
            }
            return Ok(());
        }
        let series = match self.series {
            Some(series) => series,
            None => {
                let labels = self.labels.each_ref().map(String::as_str);
                *self.series.insert(register_all(sink.host(), &FILESYSTEM, &labels)?)
            }
        };
        match reading {
            Reading::Space(space) => put_space(&series, &space, sink),
            Reading::Failed(failure) => {
                put_nothing(&series[..DEVICE_ERROR], &failure.reason(), sink);
                sink.put(series[DEVICE_ERROR], 1.0);
                sink.put(series[STUCK], 0.0);
            }
            Reading::Late => {
                put_nothing(&series[..STUCK], "slow", sink);
                sink.put(series[STUCK], 0.0);
            }
            Reading::Stuck => {
                put_nothing(&series[..STUCK], "stuck", sink);
                sink.put(series[STUCK], 1.0);
            }
        }
        Ok(())
    }
}

fn put_nothing(series: &[Series], reason: &str, sink: &mut Sink<'_>) {
    for series in series {
        sink.unavailable(*series, reason);
    }
}

fn put_space(series: &[Series; FILESYSTEM.len()], space: &Space, sink: &mut Sink<'_>) {
    sink.put(series[SIZE], space.size_bytes());
    sink.put(series[FREE], space.free_bytes());
    sink.put(series[AVAIL], space.avail_bytes());
    for (index, value) in [(USED, space.used_bytes()), (USAGE, space.usage_ratio())] {
        match value {
            Some(value) => sink.put(series[index], value),
            None if space.free > space.blocks => sink.unavailable(series[index], "more free than there is"),
            None => sink.unavailable(series[index], "no size"),
        }
    }
    sink.put(series[FILES], space.files as f64);
    sink.put(series[FILES_FREE], space.files_free as f64);
    sink.put(series[READONLY], f64::from(u8::from(space.readonly)));
    sink.put(series[DEVICE_ERROR], 0.0);
    sink.put(series[STUCK], 0.0);
}

/// The mount table, read only when it changed: on a machine with many containers it is long.
struct MountTable {
    file: PseudoFile,
    /// A descriptor of procfs, on which the kernel tells of changes; nothing for a file that is none of procfs.
    bell: Option<File>,
    content: Vec<u8>,
    known: bool,
}

impl MountTable {
    fn open(root: &Path) -> io::Result<Self> {
        // Under another root the host's first process stands for the host; this process, in a container, does not.
        let (first, second) = match root == Path::new("/") {
            true => ("proc/self/mountinfo", "proc/1/mountinfo"),
            false => ("proc/1/mountinfo", "proc/self/mountinfo"),
        };
        let file = PseudoFile::open(root, first)
            .or_else(|error| PseudoFile::open(root, second).map_err(|_| error))?;
        let bell = File::open(file.path()).ok().filter(is_of_procfs);
        Ok(Self { file, bell, content: vec![], known: false })
    }

    /// The content, if it is not what it was the last time.
    fn changed(&mut self) -> io::Result<Option<&[u8]>> {
        if self.known && self.bell.as_ref().is_some_and(|bell| !rings(bell)) {
            return Ok(None);
        }
        self.known = false; // until it is read
        let content = self.file.read()?;
        self.known = true;
        if content == self.content {
            return Ok(None);
        }
        self.content.clear();
        self.content.extend_from_slice(content);
        Ok(Some(&self.content))
    }
}

/// Whether the mount table changed since this was asked last: proc_pid_mountinfo(5), poll(2).
fn rings(bell: &File) -> bool {
    let mut fds = [PollFd::new(bell, PollFlags::PRI)];
    loop {
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(_) => return true, // reading it is always right
        }
    }
}

#[cfg(target_os = "linux")]
fn is_of_procfs(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| stat.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_of_procfs(_: &File) -> bool {
    false
}
