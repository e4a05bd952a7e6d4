//! The table of views.

use super::{GIB, MIB, Select, Source, Subject, View};
use Select::{AllCpus, Disk, Only};
use Source::{Percent, Rate, Scaled};

/// Every view, in the order of `docs/http-api.md`.
pub const ALL: &[View] = &[
    host("host_cpu_percent", "%", AllCpus, Scaled("host_cpu_usage_ratio", 100.0), "Processor time in use."),
    host("host_memory_percent", "%", Only, Scaled("host_memory_usage_ratio", 100.0), "Memory in use."),
    host("host_swap_percent", "%", Only, Scaled("host_swap_usage_ratio", 100.0), "Swap space in use."),
    host(
        "host_disk_percent",
        "%",
        Disk,
        Scaled("host_filesystem_usage_ratio", 100.0),
        "Space in use on the file system of `views.disk`, as df says.",
    ),
    host(
        "host_memory_used_gb",
        "GB",
        Only,
        Scaled("host_memory_used_bytes", 1.0 / GIB),
        "Memory in use, GiB.",
    ),
    host(
        "host_disk_used_gb",
        "GB",
        Disk,
        Scaled("host_filesystem_used_bytes", 1.0 / GIB),
        "Space in use on the file system of `views.disk`, GiB.",
    ),
    host(
        "host_net_send_speed",
        "MB/s",
        Only,
        Rate("host_network_all_transmit_bytes_total", 1.0 / MIB),
        "Sent over the network, MiB/s.",
    ),
    host(
        "host_net_recv_speed",
        "MB/s",
        Only,
        Rate("host_network_all_receive_bytes_total", 1.0 / MIB),
        "Received over the network, MiB/s.",
    ),
    vm(
        "vm_cpu_percent",
        "%",
        Scaled("vm_cpu_usage_ratio", 100.0),
        "Processor time in use, of the machine's vCPUs.",
    ),
    vm(
        "vm_memory_percent",
        "%",
        Percent("vm_memory_used_bytes", "vm_memory_total_bytes"),
        "Memory in use, of the machine's own.",
    ),
    vm(
        "vm_disk_percent",
        "%",
        Percent("vm_disk_used_bytes", "vm_disk_capacity_bytes"),
        "Space taken by the machine's disks, of their capacity.",
    ),
    vm("vm_memory_used_mb", "MB", Scaled("vm_memory_used_bytes", 1.0 / MIB), "Memory in use, MiB."),
    vm(
        "vm_disk_used_gb",
        "GB",
        Scaled("vm_disk_used_bytes", 1.0 / GIB),
        "Space taken by the machine's disks, GiB.",
    ),
    vm(
        "vm_network_rx_mb",
        "MB",
        Scaled("vm_network_receive_bytes_total", 1.0 / MIB),
        "Received by the machine, MiB.",
    ),
    vm(
        "vm_network_tx_mb",
        "MB",
        Scaled("vm_network_transmit_bytes_total", 1.0 / MIB),
        "Sent by the machine, MiB.",
    ),
    vm("vm_uptime", "seconds", Scaled("vm_uptime_seconds", 1.0), "Time since the machine's process started."),
];

/// The names of all views, in the order of [`ALL`].
pub const NAMES: &[&str] = &{
    let mut names = [""; ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = ALL[at].name;
        at += 1;
    }
    names
};

const fn host(
    name: &'static str,
    unit: &'static str,
    select: Select,
    from: Source,
    help: &'static str,
) -> View {
    View { name, unit, help, subject: Subject::Host(select), from }
}

const fn vm(name: &'static str, unit: &'static str, from: Source, help: &'static str) -> View {
    View { name, unit, help, subject: Subject::Vm, from }
}

/// The view of this name.
pub fn find(name: &str) -> Option<&'static View> {
    ALL.iter().find(|view| view.name == name)
}

/// Whether no metric may have this name, because a view has it.
pub fn is_reserved(metric: &str) -> bool {
    find(metric).is_some()
}
