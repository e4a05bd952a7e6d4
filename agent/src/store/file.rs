//! The file on disk: what it is, making a new one, and who may write it. Nothing here writes to a file that isn't ours.

use super::{
    error::{Result, StoreError, of},
    schema,
};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// What lies at the store's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A store of a format that this program knows.
    Store,
}

/// Looks, and only looks, at a file. All that isn't ours is an error.
pub(super) fn inspect(file: &Path) -> Result<Found> {
    let path = || file.to_path_buf();
    let denied = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => StoreError::Denied { file: path() },
        _ => StoreError::Io { file: path(), source },
    };
    let meta = match fs::metadata(file) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(denied(e)),
    };
    if !meta.is_file() {
        let what = if meta.is_dir() { "a directory" } else { "not a regular file" };
        return Err(StoreError::NotAStore { file: path(), what });
    }
    if meta.len() == 0 {
        return Ok(Found::Nothing);
    }
    let mut header = Vec::with_capacity(100);
    File::open(file).and_then(|open| open.take(100).read_to_end(&mut header)).map_err(denied)?;
    let Some((application_id, format)) = header_fields(&header) else {
        return Err(StoreError::NotAStore { file: path(), what: "no SQLite database" });
    };
    if application_id != schema::APPLICATION_ID {
        return Err(StoreError::Foreign { file: path(), application_id });
    }
    known_format(file, format)?;
    Ok(Found::Store)
}

/// Refuses a format newer than ours.
pub(super) fn known_format(file: &Path, found: u32) -> Result<()> {
    if found <= schema::FORMAT {
        return Ok(());
    }
    Err(StoreError::Newer { file: file.to_path_buf(), found, known: schema::FORMAT })
}

/// The application_id and the user_version in SQLite's header (at bytes 68 and 60, as its file format documents them).
fn header_fields(header: &[u8]) -> Option<(u32, u32)> {
    let header = header.first_chunk::<100>()?;
    let field = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    header.starts_with(b"SQLite format 3\0").then(|| (field(68), field(60)))
}

/// The one path of a file, so that there is one lock and one write-ahead log for it. Never relative: SQLite would read
/// `file:…` as a URI.
pub(super) fn resolve(file: &Path) -> Result<PathBuf> {
    match fs::canonicalize(file) {
        Ok(path) => Ok(path),
        Err(_) => std::path::absolute(file).map_err(|e| StoreError::io(file, e)),
    }
}

/// The path with a suffix: `history.db-wal`.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}

/// Makes the directory of the store, for its user only, where it isn't there yet.
pub(super) fn make_directory(file: &Path) -> Result<()> {
    match file.parent() {
        Some(directory) if !directory.exists() => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|e| StoreError::io(directory, e))
        }
        _ => Ok(()),
    }
}

/// Makes a new store: complete under another name first, so that a half-made one never bears the store's name.
pub(super) fn create(file: &Path) -> Result<()> {
    let new = beside(file, ".new");
    let made = fill_new(&new).and_then(|()| {
        forget_orphans(file)?;
        fs::rename(&new, file).map_err(|e| StoreError::io(file, e))?;
        let directory = file.parent().unwrap_or(Path::new("/"));
        File::open(directory).and_then(|open| open.sync_all()).map_err(|e| StoreError::io(directory, e))
    });
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

fn fill_new(new: &Path) -> Result<()> {
    let io = |e| StoreError::io(new, e);
    for leftover in [new.to_path_buf(), beside(new, "-journal")] {
        remove(&leftover)?;
    }
    let empty = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new).map_err(io)?;
    // whatever the umask says
    empty.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
    let sql = of::<rusqlite::Error>(new);
    let mut conn = Connection::open_with_flags(new, WRITE).map_err(sql)?;
    schema::prepare_new(&conn).map_err(sql)?;
    schema::migrate(&mut conn, schema::MIGRATIONS).map_err(sql)?;
    conn.close().map_err(|(_, e)| StoreError::sqlite(new, e))
}

/// Removes a write-ahead log whose database is gone: SQLite would take its pages for those of the new file.
fn forget_orphans(file: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm", "-journal"] {
        let orphan = beside(file, suffix);
        if remove(&orphan)? {
            tracing::warn!(file = %orphan.display(), "removed what was left of a store that is gone");
        }
    }
    Ok(())
}

fn remove(file: &Path) -> Result<bool> {
    match fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::io(file, e)),
    }
}

const WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens an existing store for writing.
pub(super) fn open_writer(file: &Path) -> Result<Connection> {
    // SQLite itself would fall back to reading
    OpenOptions::new().read(true).write(true).open(file).map_err(|e| StoreError::io(file, e))?;
    Connection::open_with_flags(file, WRITE).map_err(of(file))
}

/// Opens an existing store for reading.
pub(super) fn open_reader(file: &Path) -> Result<Connection> {
    let refused = match try_reader(file) {
        Ok(conn) => return Ok(conn),
        Err(e) => e,
    };
    let code = refused.sqlite_error_code();
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
    if !matches!(code, Some(CannotOpen | PermissionDenied | ReadOnly)) {
        return Err(StoreError::sqlite(file, refused));
    }
    // A user who may read the file but not write beside it can't make the write-ahead log's index. Without a log nobody
    // writes, and the file alone is the whole store.
    let log = fs::metadata(beside(file, "-wal")).map_or(0, |meta| meta.len());
    if log > 0 {
        return Err(StoreError::Denied { file: file.to_path_buf() });
    }
    immutable(file).map_err(of(file))
}

fn try_reader(file: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(file, READ)?;
    schema::configure_reader(&conn)?;
    schema::version(&conn)?;
    Ok(conn)
}

fn immutable(file: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in file.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let conn = Connection::open_with_flags(uri, READ.union(OpenFlags::SQLITE_OPEN_URI))?;
    schema::configure_reader(&conn)?;
    schema::version(&conn)?;
    Ok(conn)
}

/// The right to write a store. Ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    _held: File,
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub(super) fn take(file: &Path) -> Result<Self> {
        let path = beside(file, ".lock");
        let io = |e: io::Error| StoreError::io(&path, e);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let read = lock.take(20).read_to_string(&mut holder);
                let pid = read.ok().and_then(|_| holder.trim().parse().ok());
                return Err(StoreError::InUse { file: file.to_path_buf(), pid });
            }
            Err(e) => return Err(io(e.into())),
        }
        // a full disk must not keep the agent from starting: then the lock just doesn't say whose it is
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { _held: lock })
    }
}
