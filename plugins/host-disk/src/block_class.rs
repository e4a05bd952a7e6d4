//! What kind of block device a name stands for, and the facts about it: /sys/class/block and udev's database.

use crate::pattern::Lists;
use std::{
    fs,
    path::{Path, PathBuf},
};
use twarga_plugin_api::pseudo_file::lines;

/// What a device is, as far as reporting it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// A part of another device.
    pub(crate) partition: bool,
    /// A whole device on a bus, not one that stands on others or on memory: what the totals count.
    pub(crate) physical: bool,
    /// One path of several to a device that is listed itself.
    pub(crate) path: bool,
}

/// Devices that stand on files, on memory or on other devices, by the beginning of their name.
const STACKED: &[&str] = &["loop", "ram", "zram", "dm-", "md", "drbd", "bcache", "nbd", "zd", "ublkb"];
/// Names with a number at the end that are left out unless the configuration includes them.
const LEFT_OUT: &[&str] = &["loop", "ram", "zram", "fd"];

impl Class {
    /// Asks sysfs, and guesses by the name where there is none.
    pub(crate) fn of(sysfs: &Path, name: &str) -> Self {
        let folder = sysfs.join("class/block").join(folder_name(name));
        // a link into /sys/devices; through it, what kind of bus the device is on
        let Ok(target) = fs::canonicalize(&folder) else {
            return Self::by_name(name);
        };
        let base = fs::canonicalize(sysfs).unwrap_or_else(|_| sysfs.to_path_buf());
        let place = target.strip_prefix(&base).unwrap_or(&target);
        let partition = folder.join("partition").exists();
        let path = is_nvme_path(name) || read(&folder.join("hidden")) == "1";
        // NVMe devices with several paths are the one kind of real device that sysfs calls virtual
        let on_nothing =
            place.starts_with("devices/virtual") && !place.starts_with("devices/virtual/nvme-subsystem");
        let stacked = on_nothing || has_entries(&folder.join("slaves"));
        Self { partition, physical: !(partition || path || stacked), path }
    }

    fn by_name(name: &str) -> Self {
        let partition = is_partition_name(name);
        let stacked = STACKED.iter().any(|start| numbered(name, start));
        let path = is_nvme_path(name);
        Self { partition, physical: !(partition || path || stacked), path }
    }

    /// Whether the device is reported.
    pub(crate) fn is_reported(self, name: &str, lists: &Lists) -> bool {
        let by_default =
            || !self.partition && !self.path && !LEFT_OUT.iter().any(|start| numbered(name, start));
        lists.verdict(name.as_bytes()).unwrap_or_else(by_default)
    }
}

/// sysfs can't have a `/` in a name: `cciss/c0d0` is `cciss!c0d0` there.
fn folder_name(name: &str) -> String {
    match name {
        "." | ".." => "!".into(),
        name => name.replace('/', "!"),
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|content| clean(&content)).unwrap_or_default()
}

fn clean(content: &[u8]) -> String {
    String::from_utf8_lossy(content)
        .trim_matches(|letter: char| letter.is_whitespace() || letter == '\0')
        .into()
}

fn has_entries(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Whether a name is `start` and a number: `loop0`, `dm-12`.
fn numbered(name: &str, start: &str) -> bool {
    name.strip_prefix(start)
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit() || letter == '_'))
}

/// `nvme0c1n1`: the path over controller 1 to `nvme0n1`.
fn is_nvme_path(name: &str) -> bool {
    let digits = |text: &mut &str| {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        *text = &text[end..];
        end > 0
    };
    let Some(mut rest) = name.strip_prefix("nvme") else { return false };
    for letter in ['c', 'n'] {
        if !digits(&mut rest) {
            return false;
        }
        match rest.strip_prefix(letter) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    digits(&mut rest) && rest.is_empty()
}

/// `sda1`, `vdb12`, `nvme0n1p2`, `mmcblk0p1`, `md0p1`, `cciss/c0d0p1`.
fn is_partition_name(name: &str) -> bool {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if stem.len() == name.len() {
        return false;
    }
    let after_number = |stem: &str| stem.ends_with(|letter: char| letter.is_ascii_digit());
    if let Some(device) = stem.strip_suffix('p')
        && after_number(device)
    {
        return true;
    }
    ["sd", "hd", "vd", "xvd", "ubd"].iter().any(|start| {
        stem.strip_prefix(start)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|letter| letter.is_ascii_lowercase()))
    })
}

/// Facts for the labels of `host_disk_info`; empty where not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) path: String,
    pub(crate) wwn: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    pub(crate) revision: String,
    pub(crate) rotational: String,
}

/// Where the facts are read.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(crate) sysfs: PathBuf,
    udev: Option<PathBuf>,
}

impl Roots {
    pub(crate) fn under(root: &Path) -> Self {
        let udev = root.join("run/udev/data");
        Self { sysfs: root.join("sys"), udev: udev.is_dir().then_some(udev) }
    }

    /// The facts, and whether they are all that will be known: udev may still be busy with a new device.
    pub(crate) fn facts(&self, name: &str, major: u32, minor: u32) -> (Facts, bool) {
        let entry = self.udev.as_ref().map(|data| fs::read(data.join(format!("b{major}:{minor}"))));
        let complete = !matches!(&entry, Some(Err(_)));
        let mut facts = entry.and_then(Result::ok).map(|entry| parse_udev(&entry)).unwrap_or_default();
        let folder = self.sysfs.join("class/block").join(folder_name(name));
        // Only attributes that the kernel has in memory: asking a virtio disk for its serial number, for one, asks
        // the device, which may not answer.
        fill(&mut facts.rotational, &folder, &["queue/rotational"]);
        fill(&mut facts.model, &folder, &["device/model", "device/name"]);
        fill(&mut facts.revision, &folder, &["device/rev", "device/firmware_rev"]);
        if name.starts_with("nvme") {
            fill(&mut facts.serial, &folder, &["device/serial"]);
            fill(&mut facts.wwn, &folder, &["wwid"]);
        }
        (facts, complete)
    }
}

fn fill(fact: &mut String, folder: &Path, attributes: &[&str]) {
    if fact.is_empty() {
        let values = attributes.iter().map(|attribute| read(&folder.join(attribute)));
        *fact = values.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    }
}

/// An entry of udev's database: lines `E:KEY=value` among others.
pub(crate) fn parse_udev(entry: &[u8]) -> Facts {
    let value = |keys: &[&str]| {
        let of_key = |key: &&str| {
            lines(entry).find_map(|line| {
                let value = line.strip_prefix(b"E:")?.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
                Some(clean(value)).filter(|value| !value.is_empty())
            })
        };
        keys.iter().find_map(of_key).unwrap_or_default()
    };
    Facts {
        path: value(&["ID_PATH"]),
        wwn: value(&["ID_WWN"]),
        model: value(&["ID_MODEL"]),
        serial: value(&["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]),
        revision: value(&["ID_REVISION"]),
        rotational: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn partitions_by_their_name() {
        for name in
            ["sda1", "sdaa12", "vdb2", "xvda1", "hda3", "nvme0n1p2", "mmcblk0p1", "md0p1", "cciss/c0d0p1"]
        {
            assert!(is_partition_name(name), "{name}");
        }
        let whole = [
            "sda",
            "nvme0n1",
            "mmcblk0",
            "mmcblk0boot0",
            "md0",
            "dm-0",
            "loop0",
            "sr0",
            "nbd1",
            "cciss/c0d0",
            "p1",
            "1",
        ];
        for name in whole {
            assert!(!is_partition_name(name), "{name}");
        }
    }

    #[test]
    fn physical_by_their_name() {
        let physical = |name| Class::by_name(name).physical;
        assert!(["sda", "vda", "nvme0n1", "mmcblk0", "sr0", "rbd0"].into_iter().all(physical));
        assert!(
            !["loop0", "ram1", "zram0", "dm-3", "md127", "md_d0", "nbd0", "zd16", "sda1", "nvme0c0n1"]
                .into_iter()
                .any(physical)
        );
    }

    #[test]
    fn paths_of_nvme_devices() {
        assert!(is_nvme_path("nvme0c1n1"));
        assert!(
            !["nvme0n1", "nvme0", "nvme0c1", "nvmec1n1", "nvme0c1n1p1", "nvme0c1n"]
                .into_iter()
                .any(is_nvme_path)
        );
    }

    #[test]
    fn the_configuration_decides_before_the_kind() {
        let lists = Lists { include: vec!["sda1".into()], exclude: vec!["dm-*".into()] };
        let reported = |name| Class::by_name(name).is_reported(name, &lists);
        assert!(reported("sda1") && reported("sda") && reported("md0"));
        assert!(
            !reported("sda2")
                && !reported("dm-0")
                && !reported("loop1")
                && !reported("fd0")
                && !reported("nvme0c0n1")
        );
    }

    #[test]
    fn facts_of_udev() {
        let entry = b"S:disk/by-id/x\nE:ID_MODEL=Disk_1\nE:ID_SERIAL=Disk_1_S1\nE:ID_SERIAL_SHORT=S1\nE:ID_WWN=\nE:ID_MODELX=no\n";
        let facts = parse_udev(entry);
        assert_eq!((&*facts.model, &*facts.serial, &*facts.wwn, &*facts.path), ("Disk_1", "S1", "", ""));
    }

    #[test]
    fn names_stay_below_their_folder() {
        assert_eq!(folder_name("cciss/c0d0"), "cciss!c0d0");
        assert!(!folder_name("../../etc").contains('/'));
        assert!(!folder_name("..").contains(".."));
    }

    proptest! {
        #[test]
        fn never_panics(content in prop::collection::vec(any::<u8>(), 0..200), name in "\\PC{0,12}|nvme[0-9cnp]{0,6}") {
            parse_udev(&content);
            Class::by_name(&name);
        }
    }
}
