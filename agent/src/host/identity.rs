//! Whether a file is still the one that it was.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Which file this is, and when it last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds: of the content, the name or the mode. An inode alone may be another file's later.
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

    /// Whether both are one file, which may have another mode or name by now. Only of files that are kept open, as
    /// loaded libraries are.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
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
}
