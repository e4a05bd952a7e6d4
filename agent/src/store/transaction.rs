//! The writer's transaction. One is made for each tick: BEGIN and COMMIT are kept as prepared statements, because parsing
//! them anew costs more than they do.

use rusqlite::{Connection, Result};
use std::ops::Deref;

/// An open transaction; dropped without a commit, it is rolled back.
pub(super) struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    /// Takes the file's write lock at once.
    pub(super) fn begin(conn: &'a Connection) -> Result<Self> {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(conn))
    }

    /// Commits. What can't be committed is rolled back.
    pub(super) fn commit(self) -> Result<()> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // some errors have rolled it back already
        if !self.0.is_autocommit() {
            let _ = self.0.execute_batch("ROLLBACK"); // the error that led here is the one to tell
        }
    }
}
