//! The families of this plugin. Names are node_exporter's, with `host_` for `node_`.

use twarga_plugin_api::{Metric, Unit};

macro_rules! lines {
    ($($line:literal $name:literal $unit:ident $help:literal;)*) => {
        /// The lines of `/proc/meminfo` that Linux is known to have (proc_meminfo(5) and the kernel's
        /// filesystems/proc.rst), in its order, with their metrics.
        pub(crate) const LINES: &[(&str, Metric<'static>)] =
            &[$(($line, Metric::gauge($name, Unit::$unit, $help))),*];
    };
}

lines! {
    "MemTotal" "host_memory_MemTotal_bytes" BYTES "Usable memory: physical memory without what the kernel reserved at boot.";
    "MemFree" "host_memory_MemFree_bytes" BYTES "Memory that is used for nothing at all.";
    "MemAvailable" "host_memory_MemAvailable_bytes" BYTES "Memory that programs can get without swapping, as the kernel estimates it.";
    "Buffers" "host_memory_Buffers_bytes" BYTES "Cache of raw blocks.";
    "Cached" "host_memory_Cached_bytes" BYTES "Cache of file contents, tmpfs and shared memory included.";
    "SwapCached" "host_memory_SwapCached_bytes" BYTES "Memory that is in swap as well.";
    "Active" "host_memory_Active_bytes" BYTES "Memory that was used recently.";
    "Inactive" "host_memory_Inactive_bytes" BYTES "Memory that was used less recently: taken back first.";
    "Active(anon)" "host_memory_Active_anon_bytes" BYTES "Anonymous and tmpfs memory that was used recently.";
    "Inactive(anon)" "host_memory_Inactive_anon_bytes" BYTES "Anonymous and tmpfs memory that was used less recently.";
    "Active(file)" "host_memory_Active_file_bytes" BYTES "Cache of files that was used recently.";
    "Inactive(file)" "host_memory_Inactive_file_bytes" BYTES "Cache of files that was used less recently.";
    "Unevictable" "host_memory_Unevictable_bytes" BYTES "Memory that can't be taken back.";
    "Mlocked" "host_memory_Mlocked_bytes" BYTES "Memory that programs locked.";
    "HighTotal" "host_memory_HighTotal_bytes" BYTES "Memory beyond the kernel's direct mapping (32 bits).";
    "HighFree" "host_memory_HighFree_bytes" BYTES "Free part of the memory beyond the direct mapping.";
    "LowTotal" "host_memory_LowTotal_bytes" BYTES "Memory within the kernel's direct mapping (32 bits).";
    "LowFree" "host_memory_LowFree_bytes" BYTES "Free part of the memory within the direct mapping.";
    "MmapCopy" "host_memory_MmapCopy_bytes" BYTES "Memory of mappings that were copied (without MMU).";
    "SwapTotal" "host_memory_SwapTotal_bytes" BYTES "Size of all swap spaces.";
    "SwapFree" "host_memory_SwapFree_bytes" BYTES "Unused swap space.";
    "Zswap" "host_memory_Zswap_bytes" BYTES "Memory that zswap takes, compressed.";
    "Zswapped" "host_memory_Zswapped_bytes" BYTES "Anonymous memory that is in zswap, before compression.";
    "Dirty" "host_memory_Dirty_bytes" BYTES "Memory that waits to be written to disk.";
    "Writeback" "host_memory_Writeback_bytes" BYTES "Memory that is being written to disk.";
    "AnonPages" "host_memory_AnonPages_bytes" BYTES "Anonymous memory that is mapped by programs.";
    "Mapped" "host_memory_Mapped_bytes" BYTES "Files that are mapped by programs.";
    "Shmem" "host_memory_Shmem_bytes" BYTES "Shared memory and tmpfs.";
    "KReclaimable" "host_memory_KReclaimable_bytes" BYTES "Kernel memory that can be taken back under pressure.";
    "Slab" "host_memory_Slab_bytes" BYTES "Caches of the kernel's own structures.";
    "SReclaimable" "host_memory_SReclaimable_bytes" BYTES "Part of the slab that can be taken back.";
    "SUnreclaim" "host_memory_SUnreclaim_bytes" BYTES "Part of the slab that can't be taken back.";
    "KernelStack" "host_memory_KernelStack_bytes" BYTES "Kernel stacks of all tasks.";
    "ShadowCallStack" "host_memory_ShadowCallStack_bytes" BYTES "Shadow call stacks of all tasks.";
    "PageTables" "host_memory_PageTables_bytes" BYTES "Page tables of programs.";
    "SecPageTables" "host_memory_SecPageTables_bytes" BYTES "Page tables of virtual machines and IOMMUs.";
    "Quicklists" "host_memory_Quicklists_bytes" BYTES "Caches of page tables (until Linux 5.2).";
    "NFS_Unstable" "host_memory_NFS_Unstable_bytes" BYTES "Sent to an NFS server but not yet stable there; 0 since Linux 5.8.";
    "Bounce" "host_memory_Bounce_bytes" BYTES "Bounce buffers of block devices.";
    "WritebackTmp" "host_memory_WritebackTmp_bytes" BYTES "Temporary buffers for writeback by FUSE.";
    "CommitLimit" "host_memory_CommitLimit_bytes" BYTES "What may be promised to programs under strict overcommit.";
    "Committed_AS" "host_memory_Committed_AS_bytes" BYTES "What is promised to programs.";
    "VmallocTotal" "host_memory_VmallocTotal_bytes" BYTES "Address space of vmalloc.";
    "VmallocUsed" "host_memory_VmallocUsed_bytes" BYTES "Used part of the address space of vmalloc.";
    "VmallocChunk" "host_memory_VmallocChunk_bytes" BYTES "Largest free block of vmalloc; 0 since Linux 4.4.";
    "Percpu" "host_memory_Percpu_bytes" BYTES "Memory of the kernel's per-CPU allocator.";
    "EarlyMemtestBad" "host_memory_EarlyMemtestBad_bytes" BYTES "Memory that the test at boot found corrupt.";
    "HardwareCorrupted" "host_memory_HardwareCorrupted_bytes" BYTES "Memory that the hardware reported as corrupt.";
    "AnonHugePages" "host_memory_AnonHugePages_bytes" BYTES "Anonymous memory in transparent huge pages.";
    "ShmemHugePages" "host_memory_ShmemHugePages_bytes" BYTES "Shared memory and tmpfs in huge pages.";
    "ShmemPmdMapped" "host_memory_ShmemPmdMapped_bytes" BYTES "Shared memory that is mapped as huge pages.";
    "FileHugePages" "host_memory_FileHugePages_bytes" BYTES "Cache of files in huge pages.";
    "FilePmdMapped" "host_memory_FilePmdMapped_bytes" BYTES "Cache of files that is mapped as huge pages.";
    "CmaTotal" "host_memory_CmaTotal_bytes" BYTES "Size of the contiguous memory allocator.";
    "CmaFree" "host_memory_CmaFree_bytes" BYTES "Free part of the contiguous memory allocator.";
    "Unaccepted" "host_memory_Unaccepted_bytes" BYTES "Memory that a confidential guest has not accepted yet.";
    "Balloon" "host_memory_Balloon_bytes" BYTES "Memory that a balloon driver gave back to the hypervisor.";
    "GPUActive" "host_memory_GPUActive_bytes" BYTES "Memory that is in use by GPUs.";
    "GPUReclaim" "host_memory_GPUReclaim_bytes" BYTES "Memory of GPUs that can be taken back.";
    "HugePages_Total" "host_memory_HugePages_Total" NONE "Huge pages in the pool.";
    "HugePages_Free" "host_memory_HugePages_Free" NONE "Huge pages in the pool that are not allocated.";
    "HugePages_Rsvd" "host_memory_HugePages_Rsvd" NONE "Huge pages that are promised but not allocated.";
    "HugePages_Surp" "host_memory_HugePages_Surp" NONE "Huge pages beyond the configured number.";
    "Hugepagesize" "host_memory_Hugepagesize_bytes" BYTES "Size of a huge page of the default size.";
    "Hugetlb" "host_memory_Hugetlb_bytes" BYTES "Memory in huge pages of all sizes.";
    "DirectMap4k" "host_memory_DirectMap4k_bytes" BYTES "Memory that the kernel maps in pages of 4 KiB.";
    "DirectMap64k" "host_memory_DirectMap64k_bytes" BYTES "Memory that the kernel maps in pages of 64 KiB.";
    "DirectMap1M" "host_memory_DirectMap1M_bytes" BYTES "Memory that the kernel maps in pages of 1 MiB.";
    "DirectMap2M" "host_memory_DirectMap2M_bytes" BYTES "Memory that the kernel maps in pages of 2 MiB.";
    "DirectMap4M" "host_memory_DirectMap4M_bytes" BYTES "Memory that the kernel maps in pages of 4 MiB.";
    "DirectMap1G" "host_memory_DirectMap1G_bytes" BYTES "Memory that the kernel maps in pages of 1 GiB.";
    "DirectMap2G" "host_memory_DirectMap2G_bytes" BYTES "Memory that the kernel maps in pages of 2 GiB.";
}

pub(crate) const USED: Metric = Metric::gauge(
    "host_memory_used_bytes",
    Unit::BYTES,
    "Memory that is not available: MemTotal - MemAvailable.",
);
pub(crate) const USAGE: Metric =
    Metric::gauge("host_memory_usage_ratio", Unit::RATIO, "Part of the memory that is not available.");
pub(crate) const SWAP_USED: Metric =
    Metric::gauge("host_swap_used_bytes", Unit::BYTES, "Used swap space: SwapTotal - SwapFree.");
pub(crate) const SWAP_USAGE: Metric = Metric::gauge(
    "host_swap_usage_ratio",
    Unit::RATIO,
    "Used part of the swap space; 0 where there is none.",
);
pub(crate) const CGROUP_LIMIT: Metric = Metric::gauge(
    "host_memory_cgroup_limit_bytes",
    Unit::BYTES,
    "Lowest memory limit of the cgroups that the agent runs in, where it is lower than the host's memory.",
);
pub(crate) const CGROUP_USED: Metric = Metric::gauge(
    "host_memory_cgroup_used_bytes",
    Unit::BYTES,
    "Memory in the cgroup with that limit, without the cache of files that was used less recently.",
);
pub(crate) const WAITING: Metric = Metric::counter(
    "host_pressure_memory_waiting_seconds_total",
    Unit::SECONDS,
    "Seconds in which at least one task waited for memory.",
);
pub(crate) const STALLED: Metric = Metric::counter(
    "host_pressure_memory_stalled_seconds_total",
    Unit::SECONDS,
    "Seconds in which all tasks that were not idle waited for memory.",
);
/// In the order of [`crate::parse::vmstat::NAMES`].
pub(crate) const VMSTAT: [Metric<'static>; 7] = [
    Metric::counter("host_vmstat_pgpgin", Unit::NONE, "Read from block devices, in KiB."),
    Metric::counter("host_vmstat_pgpgout", Unit::NONE, "Written to block devices, in KiB."),
    Metric::counter("host_vmstat_pswpin", Unit::NONE, "Pages brought in from swap."),
    Metric::counter("host_vmstat_pswpout", Unit::NONE, "Pages brought out to swap."),
    Metric::counter("host_vmstat_pgfault", Unit::NONE, "Page faults, minor and major."),
    Metric::counter("host_vmstat_pgmajfault", Unit::NONE, "Page faults that had to read from a device."),
    Metric::counter("host_vmstat_oom_kill", Unit::NONE, "Tasks that were killed because memory ran out."),
];

const OTHERS: [Metric<'static>; 8] =
    [USED, USAGE, SWAP_USED, SWAP_USAGE, CGROUP_LIMIT, CGROUP_USED, WAITING, STALLED];
const COUNT: usize = LINES.len() + OTHERS.len() + VMSTAT.len();

pub(crate) const METRICS: &[Metric<'static>] = &all();

const fn all() -> [Metric<'static>; COUNT] {
    let mut all = [USED; COUNT];
    let (mut at, mut i) = (0, 0);
    while i < LINES.len() {
        all[at] = LINES[i].1;
        (at, i) = (at + 1, i + 1);
    }
    i = 0;
    while i < OTHERS.len() {
        all[at] = OTHERS[i];
        (at, i) = (at + 1, i + 1);
    }
    i = 0;
    while i < VMSTAT.len() {
        all[at] = VMSTAT[i];
        (at, i) = (at + 1, i + 1);
    }
    all
}

pub(crate) const NAMESPACES: &[&str] =
    &["host_memory_", "host_swap_", "host_vmstat_", "host_pressure_memory_"];

/// The metric name of a line, by node_exporter's rule: `Active(anon)` in kB is `host_memory_Active_anon_bytes`.
pub(crate) fn name_of(line: &str, kib: bool) -> String {
    let name = line.replace('(', "_").replace(')', "");
    format!("host_memory_{name}{}", if kib { "_bytes" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_are_named_by_the_rule() {
        for (line, metric) in LINES {
            assert_eq!(metric.name(), name_of(line, metric.unit() == "By"));
        }
    }

    #[test]
    fn vmstat_is_in_the_order_of_its_names() {
        for (name, metric) in crate::parse::vmstat::NAMES.iter().zip(VMSTAT) {
            assert_eq!(metric.name(), format!("host_vmstat_{name}"));
        }
    }
}
