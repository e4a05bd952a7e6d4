//! Which mounts are reported.

use crate::{
    config::Config,
    mountinfo::{Mount, visible},
    pattern::Lists,
};
use std::collections::{HashMap, HashSet};

/// Types left out unless the configuration includes them: interfaces of the kernel without storage; images that are
/// always full; overlays, which repeat the numbers of the file system below them; views of the desktop that only their
/// own user may ask. tmpfs is not here: it is storage that fills up, and `df` shows it.
pub(crate) const PSEUDO: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "cramfs",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fuse.snapfuse",
    "fuse.squashfuse",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nfsd",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "romfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// A tmpfs below one of these holds no one's files: masks over kernel interfaces, credentials, and what container
/// engines mount for each container.
pub(crate) const TMPFS_OF_THE_SYSTEM: &[&str] = &[
    "/proc/",
    "/run/containerd/",
    "/run/credentials/",
    "/run/docker/",
    "/sys/",
    "/var/lib/containers/",
    "/var/lib/docker/",
    "/var/lib/kubelet/",
];

/// The lists of the configuration that concern mounts.
#[derive(Debug)]
pub(crate) struct Filters {
    mounts: Lists,
    sources: Lists,
    fstypes: Lists,
}

impl Filters {
    pub(crate) fn new(config: &Config) -> Self {
        let (mounts, sources, fstypes) = (&config.mounts, &config.sources, &config.fstypes);
        Self { mounts: mounts.clone(), sources: sources.clone(), fstypes: fstypes.clone() }
    }

    /// Whether a mount is reported, its duplicates aside. `/` always is.
    pub(crate) fn accepts(&self, point: &[u8], source: &[u8], fstype: &[u8]) -> bool {
        point == b"/"
            || (self.mounts.verdict(point))
                .or_else(|| self.sources.verdict(source))
                .or_else(|| self.fstypes.verdict(fstype))
                .unwrap_or_else(|| !left_out_by_default(point, fstype))
    }

    /// Whether the configuration names the mount point itself, which then is reported beside others of its device.
    pub(crate) fn names(&self, point: &[u8]) -> bool {
        self.mounts.include.iter().any(|pattern| pattern.matches(point))
    }

    /// The mounts to report, in the order of `mounts`; one on `/` is always among them.
    pub(crate) fn select(&self, mounts: Vec<Mount>) -> Vec<Mount> {
        let mut mounts = visible(mounts);
        mounts.retain(|mount| self.accepts(&mount.point, &mount.source, &mount.fstype));
        let mut best: HashMap<(u32, u32, &[u8]), &Mount> = HashMap::new();
        for mount in &mounts {
            best.entry(file_system(mount))
                .and_modify(|best| {
                    if preference(mount) < preference(best) {
                        *best = mount;
                    }
                })
                .or_insert(mount);
        }
        let chosen: HashSet<u32> = best.values().map(|mount| mount.id).collect();
        mounts.retain(|mount| chosen.contains(&mount.id) || self.names(&mount.point));
        if !mounts.iter().any(|mount| mount.point == b"/") {
            mounts.insert(0, unlisted_root());
        }
        mounts
    }
}

/// The root where the mount table doesn't list it: that of a process in a chroot need not be a mount.
fn unlisted_root() -> Mount {
    let unknown = || b"unknown".to_vec();
    let (root, point) = (b"/".to_vec(), b"/".to_vec());
    Mount { id: 0, parent: 0, device: (0, 0), root, point, fstype: unknown(), source: unknown() }
}

fn left_out_by_default(point: &[u8], fstype: &[u8]) -> bool {
    let below = |folder: &&str| point.starts_with(folder.as_bytes());
    PSEUDO.iter().any(|pseudo| pseudo.as_bytes() == fstype)
        || (fstype == b"tmpfs" && TMPFS_OF_THE_SYSTEM.iter().any(below))
}

/// What bind mounts and subvolumes of one file system have in common. Exports of one NFS server may share a device
/// number; they are told apart by their source. A block device may go by several names.
fn file_system(mount: &Mount) -> (u32, u32, &[u8]) {
    let (major, minor) = mount.device;
    (major, minor, if major == 0 { &mount.source } else { b"" })
}

/// Of the mounts of one file system the least is reported: `/`, else one of the whole file system, else the one with
/// the shortest path, as `df` chooses.
fn preference(mount: &Mount) -> (bool, bool, usize) {
    (mount.point != b"/", mount.root != b"/", mount.point.len())
}

/// Whether statvfs of a mount asks a server or another process, which may not answer: those are asked last.
pub(crate) fn is_remote(mount: &Mount) -> bool {
    let local = [&b"btrfs"[..], b"zfs", b"bcachefs", b"tmpfs", b"ramfs", b"overlay"];
    let (major, _) = mount.device;
    mount.fstype.starts_with(b"fuse") || (major == 0 && !local.contains(&&*mount.fstype))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo::parse;
    use twarga_plugin_api::serde_json::{self, json};

    const MOUNTS: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
        2 1 0:2 / /proc rw - proc proc rw\n\
        3 1 0:3 / /run rw - tmpfs tmpfs rw\n\
        4 3 0:4 / /run/credentials/a rw - tmpfs tmpfs rw\n\
        5 1 8:2 / /data rw - xfs /dev/sda2 rw\n\
        6 1 8:2 /x /b rw - xfs /dev/sda2 rw\n\
        7 1 8:1 /srv /bind rw - ext4 /dev/sda1 rw\n\
        8 1 0:8 / /nfs/a rw - nfs4 nas:/a rw\n\
        9 1 0:8 / /nfs/b rw - nfs4 nas:/b rw\n\
        10 1 0:9 / /snap/x rw - squashfs /dev/loop0 rw\n";

    fn selected(config: serde_json::Value, mounts: &str) -> Vec<String> {
        let filters = Filters::new(&serde_json::from_value(config).unwrap());
        let mounts = filters.select(parse(mounts.as_bytes()));
        mounts.iter().map(|mount| String::from_utf8(mount.point.clone()).unwrap()).collect()
    }

    #[test]
    fn by_default_each_storage_once() {
        assert_eq!(selected(json!({}), MOUNTS), ["/", "/run", "/data", "/nfs/a", "/nfs/b"]);
    }

    #[test]
    fn the_mount_point_decides_before_source_and_type() {
        let config = json!({
            "mounts": {"include": ["/nfs/a", "/bind"], "exclude": ["/d*"]},
            "sources": {"include": ["/dev/sda2"]},
            "fstypes": {"include": ["squashfs"], "exclude": ["nfs*"]},
        });
        assert_eq!(selected(config, MOUNTS), ["/", "/run", "/b", "/bind", "/nfs/a", "/snap/x"]);
    }

    #[test]
    fn the_root_is_always_there() {
        assert_eq!(selected(json!({"mounts": {"exclude": ["*"]}}), MOUNTS), ["/"]);
        let overlay = "1 0 0:50 / / rw - overlay overlay rw\n2 1 8:1 /var/h /etc/hosts rw - ext4 /dev/sda1 rw\n\
            3 1 8:1 /var/r /etc/resolv.conf rw - ext4 /dev/sda1 rw\n";
        assert_eq!(selected(json!({}), overlay), ["/", "/etc/hosts"]);
        let chroot = "5 1 8:2 / /data rw - xfs /dev/sda2 rw\n";
        assert_eq!(selected(json!({}), chroot), ["/", "/data"]);
    }

    #[test]
    fn everything_is_a_star_away() {
        assert_eq!(selected(json!({"mounts": {"include": ["*"]}}), MOUNTS).len(), 10);
        let types = selected(json!({"fstypes": {"include": ["*"]}}), MOUNTS);
        assert_eq!(types.len(), 8, "all file systems, each once: {types:?}");
    }

    #[test]
    fn servers_and_fuse_are_asked_last() {
        let remote: Vec<bool> = parse(MOUNTS.as_bytes()).iter().map(is_remote).collect();
        assert_eq!(remote, [false, true, false, false, false, false, false, true, true, true]);
    }
}
