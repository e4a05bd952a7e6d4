//! The metric families. Names and label keys are node_exporter's wherever it has the metric.

use twarga_plugin_api::{Metric, Unit};

const MOUNT: &str = "device,fstype,mountpoint";
const DEVICE: &str = "device";
const INFO_LABELS: &str = "device,major,minor,path,wwn,model,serial,revision,rotational";

const fn mount(name: &'static str, unit: Unit, help: &'static str) -> Metric<'static> {
    Metric::gauge(name, unit, help).labels(MOUNT)
}

const fn count(name: &'static str, help: &'static str) -> Metric<'static> {
    Metric::counter(name, Unit::NONE, help).labels(DEVICE)
}

const fn bytes(name: &'static str, help: &'static str) -> Metric<'static> {
    Metric::counter(name, Unit::BYTES, help).labels(DEVICE)
}

const fn seconds(name: &'static str, help: &'static str) -> Metric<'static> {
    Metric::counter(name, Unit::SECONDS, help).labels(DEVICE)
}

/// Of each mount; [`filesystems`](crate::filesystems) puts them in this order.
pub(crate) const FILESYSTEM: [Metric; 10] = [
    mount("host_filesystem_size_bytes", Unit::BYTES, "Size of the file system."),
    mount("host_filesystem_free_bytes", Unit::BYTES, "Free space, what is reserved for root included."),
    mount("host_filesystem_avail_bytes", Unit::BYTES, "Free space for users other than root."),
    mount("host_filesystem_used_bytes", Unit::BYTES, "Used space: size minus free."),
    mount(
        "host_filesystem_usage_ratio",
        Unit::RATIO,
        "Used space as a part of used plus available, as df says.",
    ),
    mount("host_filesystem_files", Unit::NONE, "Inodes in all; 0 where their number is not fixed."),
    mount("host_filesystem_files_free", Unit::NONE, "Free inodes."),
    mount("host_filesystem_readonly", Unit::NONE, "1 where the mount is read-only, else 0."),
    mount(
        "host_filesystem_device_error",
        Unit::NONE,
        "1 where asking the mount for its space failed, else 0.",
    ),
    mount("host_filesystem_stuck", Unit::NONE, "1 while the mount does not answer, else 0."),
];

pub(crate) const SIZE: usize = 0;
pub(crate) const FREE: usize = 1;
pub(crate) const AVAIL: usize = 2;
pub(crate) const USED: usize = 3;
pub(crate) const USAGE: usize = 4;
pub(crate) const FILES: usize = 5;
pub(crate) const FILES_FREE: usize = 6;
pub(crate) const READONLY: usize = 7;
pub(crate) const DEVICE_ERROR: usize = 8;
pub(crate) const STUCK: usize = 9;

/// Of each block device, in the order of the fields of /proc/diskstats.
pub(crate) const DISK: [Metric; 17] = [
    count("host_disk_reads_completed_total", "Reads completed."),
    count("host_disk_reads_merged_total", "Reads merged with an adjacent one before they were queued."),
    bytes("host_disk_read_bytes_total", "Bytes read."),
    seconds("host_disk_read_time_seconds_total", "Time spent by all reads, those in parallel added up."),
    count("host_disk_writes_completed_total", "Writes completed."),
    count("host_disk_writes_merged_total", "Writes merged with an adjacent one before they were queued."),
    bytes("host_disk_written_bytes_total", "Bytes written."),
    seconds("host_disk_write_time_seconds_total", "Time spent by all writes, those in parallel added up."),
    Metric::gauge("host_disk_io_now", Unit::NONE, "Requests in progress.").labels(DEVICE),
    seconds("host_disk_io_time_seconds_total", "Time in which at least one request was in progress."),
    seconds(
        "host_disk_io_time_weighted_seconds_total",
        "Time spent by all requests, those in parallel added up.",
    ),
    count("host_disk_discards_completed_total", "Discards completed. Since Linux 4.18."),
    count("host_disk_discards_merged_total", "Discards merged with an adjacent one. Since Linux 4.18."),
    count("host_disk_discarded_sectors_total", "Sectors of 512 bytes discarded. Since Linux 4.18."),
    seconds("host_disk_discard_time_seconds_total", "Time spent by all discards. Since Linux 4.18."),
    count("host_disk_flush_requests_total", "Flush requests completed. Since Linux 5.5."),
    seconds(
        "host_disk_flush_requests_time_seconds_total",
        "Time spent by all flush requests. Since Linux 5.5.",
    ),
];

/// Places in [`DISK`].
pub(crate) const READ_BYTES: usize = 2;
pub(crate) const WRITTEN_BYTES: usize = 6;

pub(crate) const DISK_INFO: Metric = Metric::info(
    "host_disk_info",
    "A block device's numbers, path, world wide name, model and serial number.",
)
.labels(INFO_LABELS);

/// Bytes read and written by all whole devices.
pub(crate) const ALL: [Metric; 2] = [
    Metric::counter(
        "host_disk_all_read_bytes_total",
        Unit::BYTES,
        "Bytes read from whole physical devices: no partitions, dm, md, loop, ram, zram.",
    ),
    Metric::counter(
        "host_disk_all_written_bytes_total",
        Unit::BYTES,
        "Bytes written to whole physical devices: no partitions, dm, md, loop, ram, zram.",
    ),
];

/// Pressure stall information of IO.
pub(crate) const PRESSURE: [Metric; 2] = [
    Metric::counter(
        "host_pressure_io_waiting_seconds_total",
        Unit::SECONDS,
        "Time in which at least one task waited for IO.",
    ),
    Metric::counter(
        "host_pressure_io_stalled_seconds_total",
        Unit::SECONDS,
        "Time in which no task could go on because all waited for IO.",
    ),
];

const COUNT: usize = FILESYSTEM.len() + DISK.len() + 1 + ALL.len() + PRESSURE.len();

/// All of them.
pub(crate) const METRICS: &[Metric<'static>] = &{
    let mut all = [DISK_INFO; COUNT];
    let mut next = 1;
    next = append(&mut all, next, &FILESYSTEM);
    next = append(&mut all, next, &DISK);
    next = append(&mut all, next, &ALL);
    assert!(append(&mut all, next, &PRESSURE) == COUNT);
    all
};

const fn append(to: &mut [Metric<'static>; COUNT], mut next: usize, metrics: &[Metric<'static>]) -> usize {
    let mut index = 0;
    while index < metrics.len() {
        to[next] = metrics[index];
        next += 1;
        index += 1;
    }
    next
}
