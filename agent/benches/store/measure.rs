//! What the kernel counts for this process.

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Wall and processor time since a beginning.
pub(crate) struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: processor_time() }
    }

    /// (wall, processor time of all threads)
    pub(crate) fn stop(&self) -> (Duration, Duration) {
        (self.wall.elapsed(), processor_time().saturating_sub(self.cpu))
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Bytes that this process had the kernel write to a disk.
pub(crate) fn written() -> Result<u64> {
    number_after("/proc/self/io", "write_bytes:")
}

/// Resident memory in KiB.
pub(crate) fn resident() -> Result<u64> {
    number_after("/proc/self/status", "VmRSS:")
}

/// The most that resident memory was since `forget_peak`, in KiB.
pub(crate) fn peak() -> Result<u64> {
    number_after("/proc/self/status", "VmHWM:")
}

pub(crate) fn forget_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak of the memory")
}

fn number_after(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("{file} has no number `{name}`"))
}

/// The machine, and where the stores lie.
pub(crate) fn machine(directory: &Path) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (kind, device) = file_system(directory)?;
    let warning = match kind.as_str() {
        "tmpfs" | "ramfs" => "\nNOT A DISK: nothing is written here, syncs cost nothing; give --dir DIR",
        _ => "",
    };
    Ok(format!(
        "{cores} cores, Linux {}, load {}; stores on {kind} ({device}), agent {}{warning}",
        kernel.trim(),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
    ))
}

/// The kind and the device of the mount that holds a directory.
fn file_system(directory: &Path) -> Result<(String, String)> {
    let directory =
        directory.canonicalize().with_context(|| format!("--dir {}: not there", directory.display()))?;
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    let mount = |line: &str| -> Option<(usize, String, String)> {
        let mut fields = line.split(' ');
        let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        directory.starts_with(point).then(|| (point.len(), kind.into(), device.into()))
    };
    // of two with one mount point, the later hides the earlier
    let innermost = mounts.lines().filter_map(mount).max_by_key(|(length, ..)| *length);
    Ok(innermost.map_or(("unknown".into(), "unknown".into()), |(_, kind, device)| (kind, device)))
}
