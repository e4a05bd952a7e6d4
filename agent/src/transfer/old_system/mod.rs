//! The database of the old Python system: its metrics, events and machines. Opened for reading only.
//!
//! Its names are views here. Where a view is a gauge times a factor, the old values are divided by the factor and go into
//! that gauge's series, so that old and new are one history; others become gauges of their own, `twarga_<old name>`.

mod database;
mod events;
mod mapping;
mod moment;
mod rows;

use super::{
    Progress, TransferError,
    sink::{COMMIT, Sink},
};
use crate::{model::Timestamp, store::StoredSample};
use database::{Database, Table};
use mapping::Mapping;
use rows::Row;
use std::path::Path;

/// Under which name the store keeps how far it has read.
const CURSOR: &str = "import:twarga";

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Also the values 15, 45 and 30 of machines, which the old system invented.
    pub keep_constants: bool,
    /// The mount point that the old disk metrics are of (`views.disk`).
    pub disk: &'a str,
    /// Reads everything again.
    pub from_start: bool,
}

/// Reads a database into the sink. Goes on where it was stopped; stores nothing twice.
///
/// # Errors
/// The file is no database of the old system, is locked or damaged, or a machine's number is taken. The store's.
pub fn import(
    file: &Path,
    options: Options<'_>,
    sink: &mut Sink,
    progress: Progress<'_>,
) -> Result<(), TransferError> {
    let database = Database::open(file)?;
    let machines = database.machines()?;
    for (id, uuid) in &machines {
        sink.reserve_vm(*id, uuid)?;
    }
    if let Some(table) = database.table("events", &["type", "created_at"])? {
        events::import(&database, &table, sink)?;
    }
    let Some(table) = database.table("metrics", &["name", "value", "timestamp"])? else {
        sink.flush(Vec::new())?;
        return Ok(());
    };
    let start = if options.from_start { None } else { sink.meta(CURSOR)? };
    let start = match start {
        Some(cursor) => Cursor::resume(&database, &table, &cursor)?,
        None => None,
    };
    let mapping = Mapping::new(machines, options.disk);
    Metrics { database: &database, table: &table, mapping, keep_constants: options.keep_constants }.read(
        start.unwrap_or(i64::MIN),
        sink,
        progress,
    )
}

struct Metrics<'a> {
    database: &'a Database,
    table: &'a Table,
    mapping: Mapping<'a>,
    keep_constants: bool,
}

impl Metrics<'_> {
    fn read(mut self, start: i64, sink: &mut Sink, progress: Progress<'_>) -> Result<(), TransferError> {
        let total = self.database.count_after(self.table, start)?;
        let (mut after, mut done) = (start, 0);
        loop {
            let mut last = None;
            let mut outcome = Ok(());
            self.database.rows(self.table, after, COMMIT, |row| {
                done += 1;
                last = Some((row.id, Cursor::of(row)));
                if outcome.is_ok() {
                    outcome = self.row(row, sink);
                }
            })?;
            outcome?;
            let Some((id, cursor)) = last else {
                sink.flush(Vec::new())?;
                progress(done, done);
                return Ok(());
            };
            sink.flush(vec![(CURSOR.into(), cursor.to_string())])?;
            progress(done, total.max(done));
            after = id;
        }
    }

    fn row(&mut self, row: &Row<'_>, sink: &mut Sink) -> Result<(), TransferError> {
        sink.tally.read += 1;
        match self.sample(row, sink)? {
            Ok((time, sample)) => sink.put(time, sample),
            Err(reason) => sink.tally.skip(reason),
        }
        Ok(())
    }

    /// The sample of a row, or why it has none.
    fn sample(
        &mut self,
        row: &Row<'_>,
        sink: &mut Sink,
    ) -> Result<Result<(Timestamp, StoredSample), &'static str>, TransferError> {
        let (name, vm, value, time) = match row.read() {
            Ok(read) => read,
            Err(reason) => return Ok(Err(reason)),
        };
        if !self.keep_constants && vm.is_some() && mapping::is_invented(name, value) {
            return Ok(Err("constant that the old system invented"));
        }
        let target = match self.mapping.target(name, row.unit(), vm, sink)? {
            Ok(target) => target,
            Err(reason) => return Ok(Err(reason)),
        };
        let sample = StoredSample { series: target.series, reset: false, value: value / target.factor };
        Ok(Ok((time, sample)))
    }
}

/// How far the metrics are read: a row's id, and a checksum of it, as ids say nothing about another database.
struct Cursor {
    id: i64,
    checksum: u32,
}

impl Cursor {
    fn of(row: &Row<'_>) -> Self {
        Self { id: row.id, checksum: row.checksum() }
    }

    /// The id to go on after, if the row that the cursor tells of is still there.
    fn resume(database: &Database, table: &Table, text: &str) -> Result<Option<i64>, TransferError> {
        let Some((id, checksum)) = text.split_once(' ') else { return Ok(None) };
        let (Ok(id), Ok(checksum)) = (id.parse::<i64>(), checksum.parse::<u32>()) else { return Ok(None) };
        let mut found = None;
        database.rows(table, id.saturating_sub(1), 1, |row| {
            if row.id == id && row.checksum() == checksum {
                found = Some(id);
            }
        })?;
        Ok(found)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.checksum)
    }
}
