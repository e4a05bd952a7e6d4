//! `/sys/class/net`: opening and reading, nothing else.
//!
//! Opening one of these files costs several times what reading it does, so that the descriptors of the first
//! interfaces are kept; a limit on them leaves the process its share on hosts with thousands of interfaces.

use crate::{
    interface::Links,
    parse::link::{self, Facts, Failure, Flags, Reading},
    total::Identity,
};
use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
};

/// Of how many interfaces the descriptors are kept (ten each).
pub(crate) const KEPT_INTERFACES: usize = 24;

/// The longest file: an alias has up to 255 bytes, an address of InfiniBand 59.
const LONGEST: usize = 512;

const FILES: [&str; 10] = [
    "operstate",
    "flags",
    "carrier",
    "speed",
    "mtu",
    "carrier_changes",
    "address",
    "broadcast",
    "duplex",
    "ifalias",
];
const OPERSTATE: usize = 0;
const FLAGS: usize = 1;
const CARRIER: usize = 2;
const SPEED: usize = 3;
const MTU: usize = 4;
const CARRIER_CHANGES: usize = 5;
const ADDRESS: usize = 6;
const BROADCAST: usize = 7;
const DUPLEX: usize = 8;
const IFALIAS: usize = 9;

/// The folder of all interfaces.
#[derive(Debug)]
pub(crate) struct Sysfs {
    class: PathBuf,
    buffer: Box<[u8; LONGEST]>,
}

/// Kept descriptors of one interface's files. They go on speaking of that very interface: once it is gone they
/// answer ENODEV, even where another of the same name took its place.
#[derive(Debug)]
pub(crate) struct LinkFiles([Option<File>; FILES.len()]);

/// What changed since the facts were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    Same,
    Changed,
}

impl Sysfs {
    pub(crate) fn new(root: &Path) -> Self {
        Self { class: root.join("sys/class/net"), buffer: Box::new([0; LONGEST]) }
    }

    /// Whether there is such a folder at all.
    pub(crate) fn exists(&self) -> bool {
        self.class.is_dir()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.class
    }

    /// Does `task` with the path of an interface's folder. The path is built in place: no allocation.
    fn within<T>(&mut self, name: &[u8], task: impl FnOnce(&mut PathBuf, &mut [u8; LONGEST]) -> T) -> T {
        self.class.push(OsStr::from_bytes(name));
        let answer = task(&mut self.class, &mut self.buffer);
        self.class.pop();
        answer
    }

    fn index_of(dir: &mut PathBuf, buffer: &mut [u8]) -> Option<u64> {
        number(open_and_read(dir, "ifindex", buffer))
    }
}

impl Links for Sysfs {
    /// Who the interface is: what decides whether the totals count it.
    fn identity(&mut self, name: &[u8]) -> Identity {
        self.within(name, |dir, buffer| {
            // `device` leads to the hardware, or what a hypervisor gives for it
            let physical = inside(dir, "device", |path| fs::symlink_metadata(path).is_ok());
            let mut master = None;
            if physical {
                master = inside(dir, "master", |path| fs::read_link(path).ok());
            }
            let master = master.as_deref().and_then(Path::file_name);
            let flags = Flags::parse(open_and_read(dir, "flags", buffer));
            Identity {
                physical,
                loopback: flags.loopback().unwrap_or(name == b"lo"),
                index: Self::index_of(dir, buffer),
                lower: if physical { number(open_and_read(dir, "iflink", buffer)) } else { None },
                master: master.map(|name| name.as_bytes().into()),
            }
        })
    }

    fn index(&mut self, name: &[u8]) -> Option<u64> {
        self.within(name, |dir, buffer| Self::index_of(dir, buffer))
    }

    fn open(&mut self, name: &[u8]) -> Option<LinkFiles> {
        let open = |dir: &mut PathBuf, file| inside(dir, file, |path| File::open(path).ok());
        Some(LinkFiles(self.within(name, |dir, _| FILES.map(|file| open(dir, file)))))
    }

    fn facts(&mut self, name: &[u8], files: Option<&LinkFiles>, facts: &mut Facts) {
        self.within(name, |dir, buffer| {
            let mut read = |file: usize, take: &mut dyn FnMut(Reading<'_>)| match files {
                Some(LinkFiles(kept)) => {
                    take(kept[file].as_ref().ok_or(Failure::Missing).and_then(|kept| read(kept, buffer)));
                }
                None => take(open_and_read(dir, FILES[file], buffer)),
            };
            let mut flags = Flags::default();
            read(FLAGS, &mut |reading| flags = Flags::parse(reading));
            let [carrier, up, speed, mtu, changes] = &mut facts.numbers;
            let [address, broadcast, duplex, operstate, adminstate, ifalias] = &mut facts.labels;
            read(OPERSTATE, &mut |reading| {
                *up = link::up(reading);
                facts.has_labels = reading.is_ok();
                link::text(reading, operstate);
            });
            read(CARRIER, &mut |reading| *carrier = link::carrier(reading));
            read(SPEED, &mut |reading| *speed = link::speed(reading, flags));
            read(MTU, &mut |reading| *mtu = link::plain(reading));
            read(CARRIER_CHANGES, &mut |reading| *changes = link::plain(reading));
            read(ADDRESS, &mut |reading| link::text(reading, address));
            read(BROADCAST, &mut |reading| link::text(reading, broadcast));
            read(DUPLEX, &mut |reading| link::text(reading, duplex));
            read(IFALIAS, &mut |reading| link::text(reading, ifalias));
            adminstate.clear();
            adminstate.push_str(flags.adminstate());
        });
    }
}

impl LinkFiles {
    /// Looks whether the operational state is still `known`: the one file of the folder that is read without
    /// taking a lock.
    pub(crate) fn glance(&self, known: &str) -> Glance {
        let mut buffer = [0; 32];
        match self.0[OPERSTATE].as_ref().map(|file| read(file, &mut buffer)) {
            Some(Ok(state)) if state == known.as_bytes() => Glance::Same,
            None => Glance::Same,
            Some(_) => Glance::Changed,
        }
    }
}

fn inside<T>(dir: &mut PathBuf, file: &str, task: impl FnOnce(&Path) -> T) -> T {
    dir.push(file);
    let answer = task(dir);
    dir.pop();
    answer
}

fn open_and_read<'a>(dir: &mut PathBuf, file: &str, buffer: &'a mut [u8]) -> Reading<'a> {
    let file = inside(dir, file, |path| File::open(path))?;
    read(&file, buffer)
}

/// One read is enough: these files are made at once, and shorter than the buffer.
fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Reading<'a> {
    let length = file.read_at(buffer, 0)?;
    let content = &buffer[..length];
    Ok(content.strip_suffix(b"\n").unwrap_or(content))
}

fn number(reading: Reading<'_>) -> Option<u64> {
    reading.ok().and_then(twarga_plugin_api::pseudo_file::number)
}
