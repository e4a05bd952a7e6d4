//! Files in folders of ordinary users, who may put anything there: read without ever waiting for anybody, up to a size,
//! and only what their user may read, too.

use rustix::{
    fs::{FileType, OFlags},
    io::Errno,
};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file that changed so recently may change again without another time: file systems count in steps of up to 10 ms,
/// some in seconds.
const STEP: Duration = Duration::from_secs(2);

/// Tells whether a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) place: Place,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    mode: u32,
}

/// Which file it is, by whatever path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    device: u64,
    inode: u64,
}

/// For whom a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What is in a file.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// From before the bytes were read.
    pub(crate) stamp: Stamp,
    /// Whether another content will have another stamp.
    pub(crate) settled: bool,
}

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Refusal {
    Failed(io::Error),
    NoFile,
    Foreign,
    TooLarge,
}

/// The file system.
pub(crate) trait Files: Send + Sync + 'static {
    /// Of the file itself; a symbolic link is not followed.
    ///
    /// # Errors
    /// Those of lstat(2).
    fn stat(&self, path: &Path) -> io::Result<Stamp>;

    /// Reads at most `most` bytes.
    ///
    /// # Errors
    /// Where it is no file, or none that is read for that user.
    fn read(&self, path: &Path, reader: Reader, most: usize) -> Result<Content, Refusal>;
}

/// The one of the kernel.
pub(crate) struct Kernel;

impl Files for Kernel {
    fn stat(&self, path: &Path) -> io::Result<Stamp> {
        fs::symlink_metadata(path).map(|about| Stamp::of(&about))
    }

    fn read(&self, path: &Path, reader: Reader, most: usize) -> Result<Content, Refusal> {
        // a pipe is opened at once, and a link is not followed: both are refused below
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let mut options = File::options();
        options.read(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(path).map_err(|error| match error.raw_os_error() {
            // a link, or a socket
            Some(code) if [Errno::LOOP, Errno::NXIO].map(Errno::raw_os_error).contains(&code) => {
                Refusal::NoFile
            }
            _ => Refusal::Failed(error),
        })?;
        let about = file.metadata().map_err(Refusal::Failed)?;
        let stamp = Stamp::of(&about);
        if !stamp.is_file() {
            return Err(Refusal::NoFile);
        }
        if !stamp.is_readable_for(reader) {
            return Err(Refusal::Foreign);
        }
        let mut bytes = Vec::with_capacity(about.len().min(most as u64) as usize + 1);
        // one byte more tells that it is too large, also where it grows meanwhile
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(Refusal::Failed)?;
        if bytes.len() > most {
            return Err(Refusal::TooLarge);
        }
        Ok(Content { bytes, stamp, settled: stamp.is_settled(SystemTime::now()) })
    }
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self {
            place: Place { device: about.dev(), inode: about.ino() },
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
            uid: about.uid(),
            gid: about.gid(),
            mode: about.mode(),
        }
    }

    fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Whether the user owns it, or root does and lets the user read it: the agent of root shows nobody what is not his.
    fn is_readable_for(&self, reader: Reader) -> bool {
        let granted = self.mode & 0o004 != 0 || (self.gid == reader.gid && self.mode & 0o040 != 0);
        self.uid == reader.uid || (self.uid == 0 && granted)
    }

    /// By the time of the last change, which no user can set.
    fn is_settled(&self, now: SystemTime) -> bool {
        let changed = Duration::from_secs(self.changed.0.max(0).cast_unsigned());
        now.duration_since(UNIX_EPOCH + changed).is_ok_and(|age| age > STEP)
    }
}

impl Refusal {
    /// There is nothing of that name.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Failed(error) if is_absence(error))
    }

    pub(crate) fn is_denial(&self) -> bool {
        matches!(self, Self::Failed(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// In few words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Failed(error) => reason(error),
            Self::NoFile => "it is no regular file".into(),
            Self::Foreign => "it belongs to another user".into(),
            Self::TooLarge => "it is too large".into(),
        }
    }
}

/// There is nothing of that name.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "the agent may not read it".into(),
        _ => format!("it can't be read: {error}"),
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
