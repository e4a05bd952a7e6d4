//! /proc/[pid]/mountinfo, as described in proc_pid_mountinfo(5).

use std::collections::{HashMap, HashSet};
use twarga_plugin_api::pseudo_file::{lines, number};

/// One mount. Texts are unescaped bytes, in no certain encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) id: u32,
    pub(crate) parent: u32,
    /// Major and minor number of the file system's device, as in `st_dev`; major 0 for those without a block device.
    pub(crate) device: (u32, u32),
    /// Which folder of the file system is mounted: `/`, or another for bind mounts and subvolumes.
    pub(crate) root: Vec<u8>,
    pub(crate) point: Vec<u8>,
    pub(crate) fstype: Vec<u8>,
    /// What is mounted: `/dev/sda1`, `nas:/export`, or any word.
    pub(crate) source: Vec<u8>,
}

/// The mounts in the order of the file. Lines that don't parse are left out.
pub(crate) fn parse(content: &[u8]) -> Vec<Mount> {
    lines(content).filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    // single blanks: the source may be empty, and then two of them stand beside each other
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = parse_device(fields.next()?)?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    fields.next()?; // the mount's options
    fields.find(|optional| *optional == b"-")?;
    let fstype = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    let reachable = point.first() == Some(&b'/') && !point.ends_with(b"//deleted");
    reachable.then_some(Mount { id, parent, device, root, point, fstype, source })
}

fn parse_device(field: &[u8]) -> Option<(u32, u32)> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some((number(&field[..colon])?, number(&field[colon + 1..])?))
}

/// Undoes the kernel's octal escapes: blank, tab, newline, backslash and hash are written as `\040` and so on.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let digits = |byte: &u8| (b'0'..=b'7').contains(byte);
        match after {
            [a @ b'0'..=b'3', b, c, after @ ..] if *first == b'\\' && digits(b) && digits(c) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

/// Only the mounts that a path leads to: not those covered by a mount on the same point, and not those below a point
/// that something else was mounted on later.
pub(crate) fn visible(mounts: Vec<Mount>) -> Vec<Mount> {
    let by_id: HashMap<u32, usize> =
        mounts.iter().enumerate().map(|(index, mount)| (mount.id, index)).collect();
    // the last mount on a point of a parent is the one that a path walk finds there
    let on_point: HashMap<(u32, &[u8]), usize> =
        mounts.iter().enumerate().map(|(index, mount)| ((mount.parent, &*mount.point), index)).collect();
    let mut known = vec![None; mounts.len()];
    let shown: HashSet<u32> = (0..mounts.len())
        .filter(|&index| {
            let mount = &mounts[index];
            let covered = on_point.get(&(mount.id, &*mount.point)).is_some_and(|&other| other != index);
            !covered && reached(index, &mounts, &by_id, &on_point, &mut known)
        })
        .map(|index| mounts[index].id)
        .collect();
    mounts.into_iter().filter(|mount| shown.contains(&mount.id)).collect()
}

/// Whether neither the mount nor one of its parents is hidden by a sibling on the way to its point.
fn reached(
    index: usize,
    mounts: &[Mount],
    by_id: &HashMap<u32, usize>,
    on_point: &HashMap<(u32, &[u8]), usize>,
    known: &mut [Option<bool>],
) -> bool {
    // no recursion: a file may claim any depth, even a circle
    let (mut way, mut at) = (vec![], index);
    let answer = loop {
        if let Some(answer) = known[at] {
            break answer;
        }
        known[at] = Some(true); // for circles
        way.push(at);
        let mount = &mounts[at];
        // the root of all is its own parent: what is mounted on it is a child, no sibling
        if mount.parent != mount.id && hidden_by_sibling(at, mount, on_point) {
            break false;
        }
        match by_id.get(&mount.parent) {
            Some(&parent) if parent != at => at = parent,
            _ => break true,
        }
    };
    for at in way {
        known[at] = Some(answer);
    }
    answer
}

fn hidden_by_sibling(index: usize, mount: &Mount, on_point: &HashMap<(u32, &[u8]), usize>) -> bool {
    let sibling_at = |point: &[u8]| on_point.get(&(mount.parent, point)).is_some_and(|&other| other != index);
    let slashes = (mount.point.iter().enumerate().skip(1)).filter(|(_, byte)| **byte == b'/');
    sibling_at(&mount.point)
        || (mount.point != b"/" && sibling_at(b"/"))
        || slashes.map(|(at, _)| &mount.point[..at]).any(sibling_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(content: &str) -> Vec<String> {
        let shown = visible(parse(content.as_bytes()));
        shown.iter().map(|mount| format!("{}:{}", mount.id, String::from_utf8_lossy(&mount.point))).collect()
    }

    #[test]
    fn a_line_of_the_manual_page() {
        let line = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n";
        let mount = &parse(line)[0];
        assert_eq!((mount.id, mount.parent, mount.device), (36, 35, (98, 0)));
        assert_eq!((&*mount.root, &*mount.point), (&b"/mnt1"[..], &b"/mnt2"[..]));
        assert_eq!((&*mount.fstype, &*mount.source), (&b"ext3"[..], &b"/dev/root"[..]));
    }

    #[test]
    fn sources_may_be_empty_and_optional_fields_many_or_none() {
        let mounts =
            parse(b"1 0 0:9 / /a rw - tmpfs  rw\n2 1 0:9 / /b rw shared:1 master:2 x - tmpfs t rw\n");
        assert_eq!(mounts[0].source, b"");
        assert_eq!(mounts[1].source, b"t");
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(br"/My\040Disk\011\012\134\043x"), b"/My Disk\t\n\\#x");
        assert_eq!(unescape(br"/a\04"), br"/a\04");
        assert_eq!(unescape(br"/a\999\777\377"), b"/a\\999\\777\xff");
        assert_eq!(unescape(br"\"), br"\");
    }

    #[test]
    fn the_topmost_of_a_stack_counts() {
        // the initial root, covered by the real one; a tmpfs over a mount; one more over that
        let content = "1 1 0:2 / / rw - rootfs rootfs rw\n\
            21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 21 8:2 / /mnt rw - ext4 /dev/sda2 rw\n\
            31 30 0:40 / /mnt rw - tmpfs tmpfs rw\n\
            32 31 0:41 / /mnt rw - tmpfs tmpfs rw\n";
        assert_eq!(points(content), ["21:/", "32:/mnt"]);
    }

    #[test]
    fn what_lies_below_a_later_mount_is_hidden() {
        let content = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 21 8:2 / /a/b rw - ext4 /dev/sda2 rw\n\
            31 30 8:3 / /a/b/c rw - ext4 /dev/sda3 rw\n\
            32 21 8:4 / /a rw - ext4 /dev/sda4 rw\n\
            33 32 8:5 / /a/b/d rw - ext4 /dev/sda5 rw\n\
            34 21 8:6 / /ab rw - ext4 /dev/sda6 rw\n";
        assert_eq!(points(content), ["21:/", "32:/a", "33:/a/b/d", "34:/ab"]);
    }

    #[test]
    fn circles_and_repeated_ids_end() {
        let circle =
            "5 6 8:1 / /a rw - ext4 a rw\n6 5 8:2 / /b rw - ext4 b rw\n5 5 8:2 / /c rw - ext4 b rw\n";
        assert!(!points(circle).is_empty());
    }

    #[test]
    fn garbage_is_left_out() {
        for garbage in
            ["", "\n", "1 2", "1 2 3 / /a rw - x y z", "x 2 3:4 / /a rw - x y z", "1 2 3:4 / a rw - x y z"]
        {
            assert!(parse(garbage.as_bytes()).is_empty(), "{garbage}");
        }
        assert!(parse(b"1 2 3:4 / /gone//deleted rw - ext4 /dev/sda rw\n").is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(content in prop::collection::vec(any::<u8>(), 0..400)) {
            visible(parse(&content));
        }

        #[test]
        fn never_panics_on_likely_lines(
            lines in prop::collection::vec((0u32..6, 0u32..6, "(/[ab]{0,1}){1,3}"), 0..12),
        ) {
            let content: String = lines.iter()
                .map(|(id, parent, point)| format!("{id} {parent} 8:1 / {point} rw - ext4 /dev/sda rw\n"))
                .collect();
            visible(parse(content.as_bytes()));
        }
    }
}
