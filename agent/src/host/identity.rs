//! Whether a file is still the one that it was.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Which file this is, and in what state. Two that are equal are the same file, unchanged between; a file that was closed
/// may lend its inode to another one, which differs in the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds: of the content.
    modified: (i64, i64),
    /// And of the content, the name or the mode. Unlike the one before, nobody can set it.
    changed: (i64, i64),
}

impl Identity {
    /// Of what lies at a path, links followed.
    ///
    /// # Errors
    /// Where nothing is there, or it can't be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }

    /// Of an open file.
    pub(super) fn of_open(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from(&metadata))
    }

    /// Whether both are one file, which may have another mode, name or content by now. Only of files that are kept open:
    /// the inode of one that was closed may be another's.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_replaces_another_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        fs::write(&old, b"a").unwrap();
        let kept = File::open(&old).unwrap();
        let before = Identity::of_open(&kept).unwrap();
        assert_eq!(Identity::of(&old).unwrap(), before);
        fs::write(&new, b"a").unwrap();
        fs::rename(&new, &old).unwrap();
        let after = Identity::of(&old).unwrap();
        assert!(!after.is_same_file(&before));
        assert_ne!(after, before);
        assert!(Identity::of(&new).is_err());
    }

    #[test]
    fn a_file_that_is_written_in_place_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"a").unwrap();
        let before = Identity::of(&file).unwrap();
        fs::write(&file, b"bc").unwrap();
        let after = Identity::of(&file).unwrap();
        assert!(after != before && after.is_same_file(&before), "{before:?} {after:?}");
    }

    #[test]
    fn another_file_with_the_same_inode_is_another() {
        let at = |length, seconds| Identity {
            device: 1,
            inode: 2,
            length,
            modified: (seconds, 0),
            changed: (seconds, 0),
        };
        assert_eq!(at(3, 4), at(3, 4));
        assert_ne!(at(3, 4), at(3, 5), "the same length, made later");
        assert_ne!(at(3, 4), at(4, 4), "made at once, within one tick of the clock of file systems");
    }
}
