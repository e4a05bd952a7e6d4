//! Gives free space back to the file system.

use super::{
    error::{Result, StoreError, of},
    file::{self, Found, Lock},
    schema,
};
use rusqlite::Connection;
use std::{fs, path::Path};

/// Pages that one transaction moves at most: the write-ahead log grows by no more than this.
const PAGES: u32 = 2048;

/// What compacting gave back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file and its log before.
    pub before: u64,
    /// Bytes after.
    pub after: u64,
}

/// Shrinks the file of a store that no agent uses. `progress` is told how many pages were given back and how many were
/// free.
///
/// Pages are moved in small transactions. VACUUM would write the whole store once more, beside it and into its log; this
/// needs no room, so it works where it is needed most, and whatever ends it leaves a whole store that is only less
/// compact. Pages are not filled up; deleting by time leaves few that are partly filled.
///
/// # Errors
/// In use by an agent, missing, foreign, newer, not writable, damaged.
pub fn compact(file: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Compacted> {
    let file = file::resolve(file)?;
    if file::inspect(&file)? == Found::Nothing {
        return Err(StoreError::Missing { file });
    }
    let _lock = Lock::take(&file)?;
    let before = size(&file);
    let conn = file::open_writer(&file)?;
    let sql = of::<rusqlite::Error>(&file);
    schema::configure_writer(&conn).map_err(sql)?;
    file::known_format(&file, schema::version(&conn).map_err(sql)?)?;
    shrink(&conn, progress).map_err(sql)?;
    conn.close().map_err(|(_, error)| StoreError::sqlite(&file, error))?;
    Ok(Compacted { before, after: size(&file) })
}

fn size(file: &Path) -> u64 {
    let length = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    length(file) + length(&file::beside(file, "-wal"))
}

fn shrink(conn: &Connection, progress: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<()> {
    conn.execute_batch("PRAGMA synchronous = FULL")?;
    let free = |conn: &Connection| -> rusqlite::Result<u64> {
        Ok(conn.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))?.unsigned_abs())
    };
    checkpoint(conn)?;
    let all = free(conn)?;
    let mut left = all;
    while left > 0 {
        progress(all - left, all);
        let mut vacuum = conn.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        // a row a page
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        drop(rows);
        checkpoint(conn)?;
        let now = free(conn)?;
        if now >= left {
            break; // a file without auto_vacuum gives nothing back
        }
        left = now;
    }
    progress(all - left, all);
    checkpoint(conn)
}

/// Puts the log into the file, and cuts it off. A reader may keep it from being complete: the next one is.
fn checkpoint(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
