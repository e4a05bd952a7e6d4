//! The metric families.

use crate::machine::Quantity;
use twarga_plugin_api::{Metric, Unit};

pub(crate) const STATE: Metric = Metric::state_set("vm_state", "State of the machine.").labels("vm,state");
pub(crate) const INFO: Metric = Metric::info("vm_info", "What the machine is and where it comes from.")
    .labels("vm,name,provider,project,box,ip_address,owner");
pub(crate) const CPU_USAGE: Metric = gauge(
    "vm_cpu_usage_ratio",
    Unit::RATIO,
    "Part of its virtual processors that was busy since the last collection.",
);

/// Beside the machines: what the agent, too, must know to tell a machine that is gone from one that nobody can read about.
pub(crate) const INDEX_READ: Metric = Metric::gauge(
    "vm_index_read",
    Unit::NONE,
    "1 where the user's machine index was read and the id of each machine in it is known, else 0.",
)
.labels("owner");

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric<'static> {
    Metric::gauge(name, unit, help).labels("vm")
}

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Metric<'static> {
    Metric::counter(name, unit, help).labels("vm")
}

/// In the order of [`Quantity::ALL`].
pub(crate) const QUANTITIES: [Metric; Quantity::ALL.len()] = [
    gauge("vm_vcpus", Unit::NONE, "Virtual processors."),
    counter(
        "vm_cpu_seconds_total",
        Unit::SECONDS,
        "Processor time of the machine's process since its start.",
    ),
    gauge("vm_memory_total_bytes", Unit::BYTES, "Memory that the machine has."),
    gauge("vm_memory_used_bytes", Unit::BYTES, "Memory in use, as its guest tells: available minus usable."),
    gauge("vm_disk_capacity_bytes", Unit::BYTES, "Size of its disks as its guest sees it."),
    gauge("vm_disk_used_bytes", Unit::BYTES, "Space that its disks take on the host."),
    counter("vm_disk_read_bytes_total", Unit::BYTES, "Bytes read from its disks since its start."),
    counter("vm_disk_written_bytes_total", Unit::BYTES, "Bytes written to its disks since its start."),
    counter("vm_network_receive_bytes_total", Unit::BYTES, "Bytes that the guest received since its start."),
    counter("vm_network_transmit_bytes_total", Unit::BYTES, "Bytes that the guest sent since its start."),
    gauge("vm_uptime_seconds", Unit::SECONDS, "Time since the machine's process was started."),
];

/// All families.
pub(crate) const METRICS: &[Metric<'static>] = &{
    let mut all = [STATE; 4 + Quantity::ALL.len()];
    all[1] = INFO;
    all[2] = CPU_USAGE;
    all[3] = INDEX_READ;
    let mut index = 0;
    while index < QUANTITIES.len() {
        all[4 + index] = QUANTITIES[index];
        index += 1;
    }
    all
};
