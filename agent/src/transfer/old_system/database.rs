//! The SQLite file: what it has of what is expected, read only.

use super::rows::Row;
use crate::transfer::TransferError;
use rusqlite::{Connection, ErrorCode, OpenFlags, types::ValueRef};
use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long another program's lock is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// The open database.
pub(super) struct Database {
    conn: Connection,
    file: PathBuf,
}

/// A table that is there.
pub(super) struct Table {
    name: &'static str,
    columns: HashSet<String>,
}

impl Table {
    /// The column, or NULL where the table lacks it.
    fn column(&self, name: &'static str) -> String {
        if self.columns.contains(name) { format!("\"{name}\"") } else { "NULL".into() }
    }
}

impl Database {
    pub(super) fn open(file: &Path) -> Result<Self, TransferError> {
        let told = |problem: String| TransferError::Database { file: file.to_path_buf(), problem };
        let meta = std::fs::metadata(file).map_err(|error| told(error.to_string()))?;
        if !meta.is_file() {
            return Err(told("is no file; name the old system's SQLite database".into()));
        }
        // never relative: SQLite would read `file:…` as a URI
        let path = std::path::absolute(file).map_err(|error| told(error.to_string()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(|error| told(explained(&error)))?;
        let database = Self { conn, file: file.to_path_buf() };
        database.ask(|conn| {
            conn.busy_timeout(BUSY)?;
            conn.execute_batch("PRAGMA query_only = ON;")
        })?;
        let known = ["metrics", "events", "vms"].map(|name| database.columns(name));
        for columns in known {
            if !columns?.is_empty() {
                return Ok(database);
            }
        }
        Err(database
            .wrong("has none of the tables metrics, events and vms: it is no database of the old system"))
    }

    /// A table with the columns without which it is nothing; none where the database lacks it.
    pub(super) fn table(&self, name: &'static str, needed: &[&str]) -> Result<Option<Table>, TransferError> {
        let columns = self.columns(name)?;
        if columns.is_empty() {
            return Ok(None);
        }
        match needed.iter().find(|column| !columns.contains(**column)) {
            Some(missing) => Err(self.wrong(&format!("its table {name} has no column {missing}"))),
            None => Ok(Some(Table { name, columns })),
        }
    }

    fn columns(&self, table: &str) -> Result<HashSet<String>, TransferError> {
        self.ask(|conn| {
            let mut select = conn.prepare("SELECT lower(name) FROM pragma_table_info(?1)")?;
            select.query_map([table], |row| row.get(0))?.collect()
        })
    }

    /// The machines: number and identity. The old system knew no UUIDs; where `vm_metadata` has none, the identity is
    /// `twarga:<number>`.
    pub(super) fn machines(&self) -> Result<BTreeMap<i64, String>, TransferError> {
        let Some(table) = self.table("vms", &["id"])? else { return Ok(BTreeMap::new()) };
        let sql = format!("SELECT id, {} FROM vms ORDER BY id", table.column("vm_metadata"));
        self.ask(|conn| {
            let mut select = conn.prepare(&sql)?;
            let mut rows = select.query([])?;
            let mut machines = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let ValueRef::Integer(id) = row.get_ref(0)? else { continue };
                let uuid = text(row.get_ref(1)?).and_then(uuid).unwrap_or_else(|| nameless(id));
                if id > 0 {
                    machines.insert(id, uuid);
                }
            }
            Ok(machines)
        })
    }

    /// How many rows of a table there are after an id.
    pub(super) fn count_after(&self, table: &Table, after: i64) -> Result<u64, TransferError> {
        let sql = format!("SELECT count(*) FROM {} WHERE rowid > ?1", table.name);
        let count: i64 = self.ask(|conn| conn.query_row(&sql, [after], |row| row.get(0)))?;
        Ok(count.unsigned_abs())
    }

    /// Hands out the metrics after an id, at most `limit`, in the order of their ids.
    pub(super) fn rows(
        &self,
        table: &Table,
        after: i64,
        limit: usize,
        mut take: impl FnMut(&Row<'_>),
    ) -> Result<(), TransferError> {
        let [unit, vm_id] = ["unit", "vm_id"].map(|column| table.column(column));
        let sql = format!(
            "SELECT rowid, name, value, {unit}, \"timestamp\", {vm_id} FROM {} WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
            table.name
        );
        self.ask(|conn| {
            let mut select = conn.prepare_cached(&sql)?;
            let mut rows = select.query((after, i64::try_from(limit).unwrap_or(i64::MAX)))?;
            while let Some(row) = rows.next()? {
                let mut columns = [ValueRef::Null; 5];
                for (column, value) in (1..).zip(columns.iter_mut()) {
                    *value = row.get_ref(column)?;
                }
                let [name, value, unit, time, vm] = columns;
                take(&Row { id: row.get(0)?, name, value, unit, time, vm });
            }
            Ok(())
        })
    }

    /// Hands out the events: type, severity, message, details, created_at, user_id, vm_id.
    pub(super) fn events(
        &self,
        table: &Table,
        mut take: impl FnMut([ValueRef<'_>; 7]) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let columns = ["type", "severity", "message", "details", "created_at", "user_id", "vm_id"];
        let columns = columns.map(|column| table.column(column)).join(", ");
        let sql = format!("SELECT {columns} FROM {} ORDER BY rowid", table.name);
        self.ask(|conn| {
            let mut select = conn.prepare(&sql)?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let mut values = [ValueRef::Null; 7];
                for (column, value) in values.iter_mut().enumerate() {
                    *value = row.get_ref(column)?;
                }
                if let Err(error) = take(values) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, TransferError> {
        question(&self.conn).map_err(|error| self.wrong(&explained(&error)))
    }

    fn wrong(&self, problem: &str) -> TransferError {
        TransferError::Database { file: self.file.clone(), problem: problem.into() }
    }
}

/// What to do about an error of SQLite.
fn explained(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "is no SQLite database; name the old system's".into(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "is locked by another program; stop the old system, or copy its database and import the copy"
                .into()
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            format!("is damaged ({error}); what is before the damage is stored")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => format!(
            "can't be opened ({error}); of a database with a write-ahead log beside it, the directory must be \
             writable: copy both files to one that is"
        ),
        _ => error.to_string(),
    }
}

/// A text column.
pub(super) fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The identity of a machine of which only the old number is known.
pub(super) fn nameless(id: i64) -> String {
    format!("twarga:{id}")
}

fn uuid(metadata: &str) -> Option<String> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).ok()?;
    let uuid = metadata.get("uuid")?.as_str()?;
    (!uuid.is_empty()).then(|| uuid.to_owned())
}
