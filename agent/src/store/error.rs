//! What can go wrong, and what to do about it.

use super::holder::{self, Holder};
use rusqlite::ErrorCode;
use std::{
    io,
    path::{Path, PathBuf},
};

/// An error of the store. The messages name the file and say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the quota, is full. Nothing was written; the same commit may be tried again.
    #[error("{}: the disk is full; free some space, or lower storage.max_size", .file.display())]
    DiskFull {
        /// The store.
        file: PathBuf,
    },
    /// Another program holds the file's lock for longer than a second. Nothing was written.
    #[error("{}: {}; close what else has the file open, or end its transaction", .file.display(), match .holder {
        Some(holder) => format!("locked by {holder}"),
        None => "locked by another program".into(),
    })]
    Busy {
        /// The store.
        file: PathBuf,
        /// Who; nothing where it could not be learnt.
        holder: Option<Holder>,
    },
    /// A file that a copy can't be written to.
    #[error("{}: {what}", .file.display())]
    Target {
        /// The file.
        file: PathBuf,
        /// Why not, and what to do.
        what: &'static str,
    },
    /// A reader keeps the write-ahead log from being emptied, and it has grown to its bound. Nothing was written; the
    /// same commit may be tried again.
    #[error("{}: its write-ahead log has grown to {} MiB because it is being read all the time by {}; end that program",
        .file.display(), .bytes >> 20, names(.holders))]
    Held {
        /// The store.
        file: PathBuf,
        /// The size of the log.
        bytes: u64,
        /// Who reads it, beside this process; empty where it could not be learnt.
        holders: Vec<Holder>,
    },
    /// SQLite, or a check of our own, found the file damaged.
    #[error("{}: the file is damaged ({what}); `run --set-aside` moves it away and begins a new one", .file.display())]
    Corrupt {
        /// The store.
        file: PathBuf,
        /// What was found.
        what: String,
    },
    /// The file or its directory can't be written.
    #[error("{}: can't be written; give the agent's user write permission to the file and its directory", .file.display())]
    ReadOnly {
        /// The store.
        file: PathBuf,
    },
    /// The file can't be read.
    #[error("{}: can't be read; run as the agent's user, or ask for read permission", .file.display())]
    Denied {
        /// The store.
        file: PathBuf,
    },
    /// A database of another program.
    #[error("{}: is a database of another program (application_id {application_id:#x}); name another file, or let \
        `run --set-aside` move it away and begin a new one", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// Its application_id.
        application_id: u32,
    },
    /// No SQLite database at all.
    #[error("{}: is not a store of the agent ({what}); name another file, or let `run --set-aside` move it \
        away and begin a new one", .file.display())]
    NotAStore {
        /// The file.
        file: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Written by a newer agent.
    #[error(
        "{}: was written by a newer agent (format {found}, this one knows up to {known}); \
         upgrade the agent, or let `run --set-aside` move it away and begin a new one", .file.display()
    )]
    Newer {
        /// The store.
        file: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest format that this agent knows.
        known: u32,
    },
    /// Written by an older agent, and not wholly taken over yet.
    #[error(
        "{}: is of an older format, or is being brought to the new one; start the agent once (`run`), which does that, \
         and wait until it answers", .file.display()
    )]
    Older {
        /// The store.
        file: PathBuf,
    },
    /// Another agent writes it.
    #[error("{}: in use by {}; stop that agent first", .file.display(), match .pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".into(),
    })]
    InUse {
        /// The store.
        file: PathBuf,
        /// The process; nothing where it could not be learnt.
        pid: Option<u32>,
    },
    /// There is no such file.
    #[error("{}: no such file; the agent has not run here yet, or keeps its store elsewhere", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// More rows at one time, layouts in one hour, or series than the format has numbers for.
    #[error("{}: no number is left for another {what}", .file.display())]
    Exhausted {
        /// The store.
        file: PathBuf,
        /// What there are too many of.
        what: &'static str,
    },
    /// A number that was to be a machine's is another one's, or the machine has another number.
    #[error(
        "{}: machine {uuid} can't have the number {id}: number {known_id} is {known_uuid} already", .file.display()
    )]
    VmTaken {
        /// The store.
        file: PathBuf,
        /// The number that was asked for.
        id: i64,
        /// The machine.
        uuid: String,
        /// What is stored: the number …
        known_id: i64,
        /// … and its machine.
        known_uuid: String,
    },
    /// The operating system refused something.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused something.
    #[error("{}: {source}", .file.display())]
    Sqlite {
        /// The store.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// A result of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Busy { .. } | Self::Held { .. })
    }

    /// Whether the file itself is why it can't be used, so that a new one in its place could be.
    pub fn is_of_the_file(&self) -> bool {
        matches!(
            self,
            Self::Newer { .. } | Self::Foreign { .. } | Self::NotAStore { .. } | Self::Corrupt { .. }
        )
    }

    /// Somebody else has locked the file: who.
    pub(super) fn busy(file: &Path) -> Self {
        Self::Busy { file: file.to_path_buf(), holder: holder::of_database(file) }
    }

    /// An error of SQLite.
    pub(super) fn sqlite(file: &Path, source: rusqlite::Error) -> Self {
        let path = file.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { file: path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::busy(file),
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { file: path, what: source.to_string() },
            Some(ErrorCode::NotADatabase) => Self::NotAStore { file: path, what: "SQLite can't read it" },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { file: path },
            Some(ErrorCode::PermissionDenied) => Self::Denied { file: path },
            // a table or column that every store of ours has
            Some(ErrorCode::Unknown) if source.to_string().starts_with("no such ") => {
                Self::Corrupt { file: path, what: source.to_string() }
            }
            _ => Self::Sqlite { file: path, source },
        }
    }

    /// An error of the operating system on the way to writing.
    pub(super) fn io(file: &Path, source: io::Error) -> Self {
        let file = file.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { file },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { file },
            _ => Self::Io { file, source },
        }
    }
}

/// Who holds a file, for a message.
fn names(holders: &[Holder]) -> String {
    match holders {
        [] => "a program that can't be named".into(),
        _ => holders.iter().map(Holder::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// What fails within the store, before it is known about which file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// SQLite refused something.
    #[error("{0}")]
    Sqlite(rusqlite::Error),
    /// The format has no number left for another of these.
    #[error("no number is left for another {0}")]
    Exhausted(&'static str),
}

/// A result within the store.
pub(super) type Inner<T> = std::result::Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite(source)
    }
}

/// For `map_err`: a failure about this file.
pub(super) fn of<F: Into<Failure>>(file: &Path) -> impl Fn(F) -> StoreError + Copy + '_ {
    move |failure| match failure.into() {
        Failure::Sqlite(source) => StoreError::sqlite(file, source),
        Failure::Exhausted(what) => StoreError::Exhausted { file: file.to_path_buf(), what },
    }
}
