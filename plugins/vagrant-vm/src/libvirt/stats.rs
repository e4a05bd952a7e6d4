//! What libvirt's statistics of one machine mean. Pure: what else must be looked up is handed in.

use super::wire::Param;
use crate::{
    machine::{Quantity, Reason, State, Value, Values},
    process::Process,
};
use std::{collections::BTreeSet, path::Path};

/// The guest's driver tells how much memory is in use when QEMU asks it, which it may do once and never again. Older
/// than so many seconds, it says nothing of now.
const FRESH: u64 = 30;

/// More disks or interfaces than any machine has.
const MOST: usize = 1024;

const NANOSECONDS: f64 = 1e9;
const KIBIBYTE: f64 = 1024.0;

pub(super) const QEMU_SILENT: &str = "qemu does not answer";

/// The parameters that are of use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stats {
    pub(super) state: Option<u64>,
    pub(super) state_reason: Option<u64>,
    cpu_time: Option<u64>,
    vcpus: Option<u64>,
    balloon: Balloon,
    net_count: Option<u64>,
    nets: Vec<Net>,
    block_count: Option<u64>,
    blocks: Vec<Block>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Balloon {
    current: Option<u64>,
    available: Option<u64>,
    usable: Option<u64>,
    last_update: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Net {
    received: Option<u64>,
    transmitted: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) path: Option<String>,
    capacity: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
}

impl Stats {
    pub(super) fn of(params: &[Param<'_>]) -> Self {
        let mut stats = Self::default();
        for Param { field, value } in params {
            let number = value.number();
            match *field {
                "state.state" => stats.state = number,
                "state.reason" => stats.state_reason = number,
                "cpu.time" => stats.cpu_time = number,
                "vcpu.current" => stats.vcpus = number,
                "balloon.current" => stats.balloon.current = number,
                "balloon.available" => stats.balloon.available = number,
                "balloon.usable" => stats.balloon.usable = number,
                "balloon.last-update" => stats.balloon.last_update = number,
                "net.count" => stats.net_count = number,
                "block.count" => stats.block_count = number,
                field => {
                    if let Some((net, rest)) = numbered(&mut stats.nets, "net.", field) {
                        match rest {
                            "rx.bytes" => net.received = number,
                            "tx.bytes" => net.transmitted = number,
                            _ => {}
                        }
                    } else if let Some((block, rest)) = numbered(&mut stats.blocks, "block.", field) {
                        match rest {
                            "name" => block.name = value.text().unwrap_or_default().to_owned(),
                            "path" => {
                                block.path = value.text().filter(|path| !path.is_empty()).map(String::from);
                            }
                            "capacity" => block.capacity = number,
                            "rd.bytes" => block.read = number,
                            "wr.bytes" => block.written = number,
                            _ => {}
                        }
                    }
                }
            }
        }
        stats
    }

    /// Its disks and drives.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Whether QEMU itself told something; of a machine without disks nobody can tell.
    pub(super) fn qemu_spoke(&self) -> bool {
        self.block_count == Some(0)
            || self.blocks.iter().any(|block| block.capacity.is_some())
            || self.balloon.last_update.is_some()
    }

    /// Takes over what can't have changed since QEMU last told it in the same run, while it tells nothing.
    pub(super) fn complete(&mut self, before: &Self) {
        self.vcpus = self.vcpus.or(before.vcpus);
        self.balloon.current = self.balloon.current.or(before.balloon.current);
        if self.blocks.is_empty() {
            self.block_count = before.block_count;
            self.blocks = before
                .blocks
                .iter()
                .map(|block| Block { read: None, written: None, ..block.clone() })
                .collect();
        }
        for (block, before) in self.blocks.iter_mut().zip(&before.blocks) {
            if (&block.name, &block.path) == (&before.name, &before.path) {
                block.capacity = block.capacity.or(before.capacity);
            }
        }
    }

    /// The state. `before` is what it was a moment ago, where that is known.
    pub(super) fn state(&self, before: Option<State>) -> Result<State, Reason> {
        match (self.state, self.state_reason) {
            // running, blocked, running until it has shut down, and held back for the moment in which it is started
            (Some(1 | 2 | 4), _) | (Some(3), Some(11)) => Ok(State::Running),
            // paused, and suspended by its guest
            (Some(3 | 7), _) => Ok(State::Paused),
            (Some(5), Some(3)) | (Some(6), _) => Ok(State::Crashed),
            (Some(5), Some(5)) => Ok(State::Saved),
            // a service that was restarted has forgotten why
            (Some(5), Some(0) | None) => match before {
                Some(known @ (State::Crashed | State::Saved)) => Ok(known),
                _ => Ok(State::Shutoff),
            },
            (Some(5), Some(_)) => Ok(State::Shutoff),
            (Some(other), _) => Err(format!("libvirt tells a state {other}").into()),
            (None, _) => Err("libvirt tells no state".into()),
        }
    }

    /// The values of a machine in this state.
    pub(super) fn values(&self, state: State, known: &Known<'_>) -> Values {
        let mut values = Values::none("not told by libvirt");
        self.put_sizes(&mut values, known);
        if let Some(absence) = state.absence() {
            for quantity in Quantity::ALL.into_iter().filter(|quantity| !quantity.outlives_a_run()) {
                values[quantity] = Err(absence.into());
            }
            return values;
        }
        values[Quantity::CpuSeconds] = match (&known.process, self.cpu_time) {
            (Some(process), _) => Ok(process.cpu_seconds),
            (None, Some(time)) => Ok(time as f64 / NANOSECONDS),
            (None, None) => Err(known.untold()),
        };
        values[Quantity::Uptime] = known.uptime();
        values[Quantity::MemoryUsed] = self.memory_used(known);
        values[Quantity::DiskRead] = self.disks(known, |block| block.read.ok_or_else(|| known.untold()));
        values[Quantity::DiskWritten] =
            self.disks(known, |block| block.written.ok_or_else(|| known.untold()));
        values[Quantity::NetworkReceived] = self.networks(known, |net| net.received);
        values[Quantity::NetworkTransmitted] = self.networks(known, |net| net.transmitted);
        values
    }

    /// What belongs to its definition.
    pub(super) fn put_sizes(&self, values: &mut Values, known: &Known<'_>) {
        values[Quantity::Vcpus] = self.vcpus.map(|count| count as f64).ok_or_else(|| known.untold());
        values[Quantity::MemoryTotal] =
            self.balloon.current.map(|size| size as f64 * KIBIBYTE).ok_or_else(|| known.untold());
        values[Quantity::DiskCapacity] =
            self.disks(known, |block| block.capacity.ok_or_else(|| known.untold()));
        values[Quantity::DiskUsed] = self.disk_used(known);
    }

    /// What its disks take on the host.
    pub(super) fn disk_used(&self, known: &Known<'_>) -> Value {
        self.disks(known, |block| known.disk_used(block.path.as_deref()))
    }

    fn memory_used(&self, known: &Known<'_>) -> Value {
        let Balloon { available, usable, last_update, .. } = self.balloon;
        if known.silent.is_some() {
            return Err(known.untold());
        }
        let (Some(available), Some(usable)) = (available, usable) else {
            return Err("no guest driver".into());
        };
        let age = last_update.and_then(|then| known.wall_clock.checked_add(1)?.checked_sub(then));
        if age.is_none_or(|age| age > FRESH) {
            return Err("stale balloon".into());
        }
        let used = available.checked_sub(usable).ok_or("the guest says that more is usable than there is")?;
        Ok(used as f64 * KIBIBYTE)
    }

    /// The sum over all disks; CD-ROMs and floppies are none. One disk without it makes a part of a sum, which is no value.
    fn disks(&self, known: &Known<'_>, of: impl Fn(&Block) -> Result<u64, Reason>) -> Value {
        if self.block_count.is_none_or(|count| count != self.blocks.len() as u64) {
            return Err(known.untold());
        }
        let removable = known.removable?;
        let mut disks =
            self.blocks.iter().filter(|block| !removable.contains(&block.name)).map(of).peekable();
        if disks.peek().is_none() {
            return Err("no disks".into());
        }
        let sum = disks.try_fold(0_u64, |sum, disk| sum.checked_add(disk?).ok_or("impossible sizes".into()));
        sum.map(|sum: u64| sum as f64)
    }

    fn networks(&self, known: &Known<'_>, of: impl Fn(&Net) -> Option<u64>) -> Value {
        match self.net_count {
            None => return Err(known.untold()),
            Some(0) => return Err("no network interface".into()),
            Some(_) => {}
        }
        // interfaces of user networking have no counters, and stand in the count alone
        if self.net_count != Some(self.nets.len() as u64) {
            return Err("an interface without counters".into());
        }
        let sum = self.nets.iter().try_fold(0_u64, |sum, net| {
            let bytes = of(net).ok_or("an interface without counters")?;
            sum.checked_add(bytes).ok_or("impossible counts")
        });
        Ok(sum? as f64)
    }
}

/// `block.3.rd.bytes`: the fourth of these, made if need be, and `rd.bytes`.
fn numbered<'list, 'text, T: Default>(
    list: &'list mut Vec<T>,
    prefix: &str,
    field: &'text str,
) -> Option<(&'list mut T, &'text str)> {
    let (number, rest) = field.strip_prefix(prefix)?.split_once('.')?;
    let number: usize = number.parse().ok().filter(|number| *number < MOST)?;
    if list.len() <= number {
        list.resize_with(number + 1, T::default);
    }
    Some((&mut list[number], rest))
}

/// What a file or device takes on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    File(u64),
    /// Nobody can tell: a thin volume takes less than it offers.
    Device,
}

/// Looks at a disk by its path.
pub(super) type Look<'a> = dyn Fn(&Path) -> Result<Extent, Reason> + 'a;

/// What is known of the machine from elsewhere.
pub(super) struct Known<'a> {
    /// Its process, read just now.
    pub(super) process: Option<Process>,
    /// How long the host is up, in seconds.
    pub(super) host_age: Option<f64>,
    pub(super) ticks_per_second: f64,
    /// Seconds since 1970.
    pub(super) wall_clock: u64,
    /// The target names of its CD-ROMs and floppies.
    pub(super) removable: Result<&'a BTreeSet<String>, &'static str>,
    /// Why QEMU tells nothing, where it doesn't.
    pub(super) silent: Option<&'a str>,
    /// Looks at a disk.
    pub(super) extent: Box<Look<'a>>,
}

impl Known<'_> {
    fn untold(&self) -> Reason {
        self.silent.map_or(Reason::Borrowed("not told by libvirt"), |silent| silent.to_owned().into())
    }

    pub(super) fn uptime(&self) -> Value {
        let process = self.process.as_ref().ok_or("its process was not found")?;
        let host_age = self.host_age.ok_or("/proc/uptime can't be read")?;
        Ok((host_age - process.run.start as f64 / self.ticks_per_second).max(0.0))
    }

    /// What a disk takes.
    fn disk_used(&self, path: Option<&str>) -> Result<u64, Reason> {
        let path = path.map(Path::new).filter(|path| path.is_absolute());
        match (self.extent)(path.ok_or("a disk that is no file")?)? {
            Extent::File(bytes) => Ok(bytes),
            Extent::Device => Err("a disk that is a device, which does not tell what it takes".into()),
        }
    }
}

/// The target names of CD-ROMs and floppies in a machine's definition.
pub(super) fn removable(definition: &str) -> Option<BTreeSet<String>> {
    let options = roxmltree::ParsingOptions { nodes_limit: 100_000, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(definition, options).ok()?;
    let devices = document.root_element().children().find(|node| node.has_tag_name("devices"))?;
    let disks = devices.children().filter(|node| node.has_tag_name("disk"));
    let drives = disks.filter(|disk| matches!(disk.attribute("device"), Some("cdrom" | "floppy")));
    let names = drives.filter_map(|disk| {
        disk.children().find(|node| node.has_tag_name("target"))?.attribute("dev").map(String::from)
    });
    Some(names.collect())
}
