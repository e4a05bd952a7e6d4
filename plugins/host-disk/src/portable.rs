//! `source = "sysinfo"`: what the sysinfo crate tells, on any system it knows.

use crate::{
    config::Config,
    metrics::{ALL, AVAIL, DISK, FILESYSTEM, FREE, READ_BYTES, READONLY, SIZE, USAGE, USED, WRITTEN_BYTES},
    pattern::Lists,
    registration::{register_all, retire_all},
    selection::Filters,
    space::{Probe, StatVfs},
};
use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr},
    os::unix::ffi::OsStrExt,
};
use sysinfo::{Disk, DiskRefreshKind, Disks};
use twarga_plugin_api::{Error, Metric, Result, Series, Sink};

const OF_MOUNT: [Metric; 6] = [
    FILESYSTEM[SIZE],
    FILESYSTEM[AVAIL],
    FILESYSTEM[READONLY],
    FILESYSTEM[FREE],
    FILESYSTEM[USED],
    FILESYSTEM[USAGE],
];
const OF_DEVICE: [Metric; 2] = [DISK[READ_BYTES], DISK[WRITTEN_BYTES]];

/// The disks of sysinfo: mounted file systems, with what their devices read and wrote.
pub(crate) struct Portable {
    disks: Disks,
    filters: Filters,
    lists: Lists,
    mounts: BTreeMap<[String; 3], Entry<6>>,
    devices: BTreeMap<String, Device>,
    all: Option<[Series; 2]>,
    /// Bytes read and written by all devices, also those that are gone since.
    totals: [u64; 2],
}

struct Entry<const N: usize> {
    series: [Series; N],
    seen: bool,
}

struct Device {
    /// Nothing where the configuration leaves it out.
    entry: Option<[Series; 2]>,
    last: [u64; 2],
    seen: bool,
}

impl Portable {
    /// # Errors
    /// Where sysinfo does not know this system.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            disks: Disks::new().map_err(Error::unsupported)?,
            filters: Filters::new(config),
            lists: config.devices.clone(),
            mounts: BTreeMap::new(),
            devices: BTreeMap::new(),
            all: None,
            totals: [0; 2],
        })
    }

    /// Puts all there is.
    ///
    /// # Errors
    /// The first of what went wrong, after everything else was put.
    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage().with_io_usage());
        self.mounts.values_mut().for_each(|entry| entry.seen = false);
        self.devices.values_mut().for_each(|device| device.seen = false);
        let mut outcome = Ok(());
        for disk in self.disks.iter() {
            if is_reported(disk, &self.disks, &self.filters) {
                outcome = outcome.and(put_mount(disk, &mut self.mounts, sink));
            }
            let device = put_device(disk, &self.lists, &mut self.devices, &mut self.totals, sink);
            outcome = outcome.and(device);
        }
        self.mounts.retain(|_, entry| {
            if !entry.seen {
                retire_all(sink.host(), &entry.series);
            }
            entry.seen
        });
        self.devices.retain(|_, device| {
            if let (false, Some(series)) = (device.seen, &device.entry) {
                retire_all(sink.host(), series);
            }
            device.seen
        });
        outcome.and(self.put_totals(sink))
    }

    fn put_totals(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let all = match self.all {
            Some(all) => all,
            None => *self.all.insert(register_all(sink.host(), &ALL, &[])?),
        };
        for (series, total) in all.iter().zip(self.totals) {
            sink.put(*series, total as f64);
        }
        Ok(())
    }
}

fn is_reported(disk: &Disk, disks: &[Disk], filters: &Filters) -> bool {
    let point = |disk: &Disk| disk.mount_point().as_os_str().as_bytes().to_vec();
    let accepted = |disk: &Disk| {
        let (source, fstype) = (disk.name().as_bytes(), disk.file_system().as_bytes());
        disk.total_space() > 0 && filters.accepts(&point(disk), source, fstype)
    };
    let preference = |disk: &Disk| (point(disk) != b"/", point(disk).len(), point(disk));
    // a bind mount of what is reported already
    let repeats = |other: &Disk| {
        other.name() == disk.name()
            && disk.name().as_bytes().starts_with(b"/")
            && preference(other) < preference(disk)
            && accepted(other)
    };
    accepted(disk) && (filters.names(&point(disk)) || !disks.iter().any(repeats))
}

fn put_mount(disk: &Disk, mounts: &mut BTreeMap<[String; 3], Entry<6>>, sink: &mut Sink<'_>) -> Result<()> {
    let labels = [disk.name(), disk.file_system(), disk.mount_point().as_os_str()].map(lossy);
    if !mounts.contains_key(&labels) {
        let series = register_all(sink.host(), &OF_MOUNT, &labels.each_ref().map(String::as_str))?;
        mounts.insert(labels.clone(), Entry { series, seen: false });
    }
    let Some(entry) = mounts.get_mut(&labels).filter(|entry| !entry.seen) else { return Ok(()) };
    entry.seen = true;
    let [size, avail, readonly, free, used, usage] = entry.series;
    sink.put(size, disk.total_space() as f64);
    sink.put(avail, disk.available_space() as f64);
    sink.put(readonly, f64::from(u8::from(disk.is_read_only())));
    // sysinfo does not tell what is reserved for root, without which used space would come out too large
    let path = CString::new(disk.mount_point().as_os_str().as_bytes())?;
    match StatVfs.space(&path) {
        Ok(space) => {
            sink.put(free, space.free_bytes());
            for (series, value) in [(used, space.used_bytes()), (usage, space.usage_ratio())] {
                match value {
                    Some(value) => sink.put(series, value),
                    None => sink.unavailable(series, "no size"),
                }
            }
        }
        Err(failure) => {
            for series in [free, used, usage] {
                sink.unavailable(series, &failure.reason());
            }
        }
    }
    Ok(())
}

fn put_device(
    disk: &Disk,
    lists: &Lists,
    devices: &mut BTreeMap<String, Device>,
    totals: &mut [u64; 2],
    sink: &mut Sink<'_>,
) -> Result<()> {
    let usage = disk.usage();
    let now = [usage.total_read_bytes, usage.total_written_bytes];
    let name = lossy(disk.name());
    let label = name.strip_prefix("/dev/").unwrap_or(&name);
    if now == [0, 0] && !devices.contains_key(label) {
        return Ok(()); // no block device, or none that sysinfo has numbers of
    }
    if !devices.contains_key(label) {
        let reported = lists.verdict(label.as_bytes()) != Some(false);
        let entry = reported.then(|| register_all(sink.host(), &OF_DEVICE, &[label])).transpose()?;
        devices.insert(label.to_owned(), Device { entry, last: [0; 2], seen: false });
    }
    // mounted in two places, it is listed twice
    let Some(device) = devices.get_mut(label).filter(|device| !device.seen) else { return Ok(()) };
    device.seen = true;
    for index in 0..2 {
        let (now, last) = (now[index], std::mem::replace(&mut device.last[index], now[index]));
        let fell = now < last;
        totals[index] = totals[index].saturating_add(if fell { now } else { now - last });
        match device.entry {
            Some(series) if fell => sink.put_after_reset(series[index], now as f64),
            Some(series) => sink.put(series[index], now as f64),
            None => {}
        }
    }
    Ok(())
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}
