//! statvfs(3) of one mount, and what follows from it.

use rustix::{fs::StatVfsMountFlags, io::Errno};
use std::{ffi::CStr, io};

/// The space of a file system, as statvfs tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes in a block (`f_frsize`).
    pub(crate) block: u64,
    /// In blocks: in all, free, and free for those who are not root.
    pub(crate) blocks: u64,
    pub(crate) free: u64,
    pub(crate) avail: u64,
    /// Inodes, in all and free; both 0 where the file system has no fixed number.
    pub(crate) files: u64,
    pub(crate) files_free: u64,
    pub(crate) readonly: bool,
}

impl Space {
    pub(crate) fn size_bytes(&self) -> f64 {
        self.bytes(self.blocks)
    }

    pub(crate) fn free_bytes(&self) -> f64 {
        self.bytes(self.free)
    }

    pub(crate) fn avail_bytes(&self) -> f64 {
        self.bytes(self.avail_blocks())
    }

    /// Size − free; nothing where more is free than there is, as some servers say.
    pub(crate) fn used_bytes(&self) -> Option<f64> {
        self.blocks.checked_sub(self.free).map(|used| self.bytes(used))
    }

    /// Used / (used + available), as `df` says, so that a file system is full when its users can write no more;
    /// nothing where there is neither.
    pub(crate) fn usage_ratio(&self) -> Option<f64> {
        let used = self.blocks.checked_sub(self.free)? as f64;
        let usable = used + self.avail_blocks() as f64;
        (usable > 0.0).then(|| used / usable)
    }

    fn bytes(&self, blocks: u64) -> f64 {
        blocks as f64 * self.block as f64
    }

    /// Some file systems say a negative number when the reserve of root is used up.
    fn avail_blocks(&self) -> u64 {
        if self.avail > u64::MAX / 2 { 0 } else { self.avail }
    }
}

/// Why a mount could not be asked: the system's error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) i32);

impl Failure {
    /// The system's words for it: `Permission denied`.
    pub(crate) fn reason(self) -> String {
        let text = io::Error::from_raw_os_error(self.0).to_string();
        let words = text.find(" (os error").unwrap_or(text.len());
        text[..words].to_owned()
    }
}

/// Asks for the space of a mount; may block for as long as it likes.
pub(crate) trait Probe: Send + Sync + 'static {
    fn space(&self, path: &CStr) -> Result<Space, Failure>;
}

/// The system call.
pub(crate) struct StatVfs;

impl Probe for StatVfs {
    fn space(&self, path: &CStr) -> Result<Space, Failure> {
        loop {
            return match rustix::fs::statvfs(path) {
                Ok(stat) => Ok(Space {
                    block: stat.f_frsize,
                    blocks: stat.f_blocks,
                    free: stat.f_bfree,
                    avail: stat.f_bavail,
                    files: stat.f_files,
                    files_free: stat.f_ffree,
                    readonly: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
                }),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(Failure(errno.raw_os_error())),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space =
        Space { block: 4096, blocks: 1000, free: 300, avail: 250, files: 10, files_free: 4, readonly: false };

    #[test]
    fn the_ratio_is_that_of_df() {
        assert_eq!(SPACE.used_bytes(), Some(700.0 * 4096.0));
        assert_eq!(SPACE.usage_ratio(), Some(700.0 / 950.0));
        assert_eq!(Space { avail: 0, ..SPACE }.usage_ratio(), Some(1.0));
    }

    #[test]
    fn impossible_numbers_give_nothing() {
        assert_eq!(Space { free: 1001, ..SPACE }.used_bytes(), None);
        assert_eq!(Space { free: 1001, ..SPACE }.usage_ratio(), None);
        assert_eq!(Space { free: 1000, avail: 0, ..SPACE }.usage_ratio(), None);
        assert_eq!(Space::default().usage_ratio(), None);
        let overdrawn = Space { avail: 5u64.wrapping_neg(), ..SPACE };
        assert_eq!((overdrawn.avail_bytes(), overdrawn.usage_ratio()), (0.0, Some(1.0)));
        assert!(Space { block: u64::MAX, blocks: u64::MAX, ..SPACE }.size_bytes().is_finite());
    }

    #[test]
    fn reasons_are_the_systems_words() {
        assert_eq!(Failure(13).reason(), "Permission denied");
        assert_eq!(StatVfs.space(c"/does/not/exist").unwrap_err().reason(), "No such file or directory");
    }

    #[test]
    fn the_root_agrees_with_sysinfo() {
        let disks = sysinfo::Disks::new_with_refreshed_list().unwrap();
        let Some(root) = disks.iter().find(|disk| disk.mount_point() == std::path::Path::new("/")) else {
            return; // sysinfo leaves overlays out
        };
        let space = StatVfs.space(c"/").unwrap();
        assert_eq!(space.size_bytes(), root.total_space() as f64);
        // others write meanwhile
        let difference = (space.avail_bytes() - root.available_space() as f64).abs();
        assert!(difference <= 0.02 * space.size_bytes(), "{difference}");
        assert_eq!(space.readonly, root.is_read_only());
    }
}
