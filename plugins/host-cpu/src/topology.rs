//! How many physical cores the online CPUs belong to.

use crate::parse::cpuinfo;
use std::{collections::BTreeSet, fs, path::Path};

/// Counts the distinct groups of threads that share a core
/// (`/sys/devices/system/cpu/cpu*/topology/core_cpus_list`, before Linux 5.3 `thread_siblings_list`); where those are
/// missing, the distinct cores of `/proc/cpuinfo`; nothing where neither tells.
pub(crate) fn physical_cores(root: &Path, online: impl Iterator<Item = u32>) -> Option<usize> {
    let mut cores = BTreeSet::new();
    for cpu in online {
        let folder = root.join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
        let threads = ["core_cpus_list", "thread_siblings_list"];
        let Some(list) = threads.iter().find_map(|name| fs::read(folder.join(name)).ok()) else {
            return cpuinfo::physical_cores(&fs::read(root.join("proc/cpuinfo")).ok()?);
        };
        cores.insert(list.trim_ascii().to_vec());
    }
    (!cores.is_empty()).then_some(cores.len())
}
