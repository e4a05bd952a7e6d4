//! History in one SQLite file. `FORMAT.md` describes the file; later formats change the inside, not this interface.
//!
//! One writer ([`Store`]) per file, readers ([`Readers`]) in any number, also of other processes.

mod codec;
mod error;
mod events;
mod file;
mod gaps;
mod history;
mod journal;
mod key;
mod matcher;
mod names;
mod reader;
mod retention;
mod schema;
mod series;
#[cfg(test)]
mod tests;
mod transaction;
mod types;

pub use error::{Result, StoreError};
pub use matcher::{BadPattern, Matcher};
pub use reader::{Reader, Readers};
pub use types::*;

use crate::model::{SeriesDef, SeriesId, Timestamp};
use error::{Inner, of};
use file::{Found, Lock};
use gaps::{OpenGaps, Owners};
use journal::Journal;
use rusqlite::Connection;
use series::SeriesTable;
use std::{path::PathBuf, time::Instant};
use transaction::Transaction;

/// The writer: one per file, owned by `ingest`.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    file: PathBuf,
    options: Options,
    readers: Readers,
    series: SeriesTable,
    owners: Owners,
    gaps: OpenGaps,
    journal: Journal,
    run: u32,
    /// Whether the file knows of the run.
    run_stored: bool,
    last: Option<Timestamp>,
    /// When a commit was last synced to the disk.
    synced: Option<Instant>,
    /// Whether SQLite is set to sync each commit.
    syncing: bool,
    /// Whether a step of retention was taken while the clock was not trusted.
    untrusted_step: bool,
    /// Last, so that it is let go after the connection.
    _lock: Lock,
}

impl Store {
    /// Opens or creates. Begins a new run. A file that isn't a store, or is a newer one, is refused and left as it is.
    pub fn open(options: Options) -> Result<Store> {
        let file = file::resolve(&options.file)?;
        file::inspect(&file)?;
        file::make_directory(&file)?;
        let lock = Lock::take(&file)?;
        // once more: another process may just have created it
        if file::inspect(&file)? == Found::Nothing {
            file::create(&file)?;
        }
        let mut conn = file::open_writer(&file)?;
        let sql = of::<rusqlite::Error>(&file);
        schema::configure_writer(&conn).map_err(sql)?;
        // the header may be older than the write-ahead log
        file::known_format(&file, schema::version(&conn).map_err(sql)?)?;
        schema::migrate(&mut conn, schema::MIGRATIONS).map_err(sql)?;
        let inner = of(&file);
        let run = journal::last_run(&conn).map_err(inner)?.saturating_add(1);
        let last = journal::last_commit(&conn).map_err(inner)?;
        let series = SeriesTable::load(&conn).map_err(inner)?;
        Ok(Store {
            readers: Readers::new(&file),
            owners: Owners::default(),
            gaps: OpenGaps::default(),
            journal: Journal::default(),
            run_stored: false,
            synced: None,
            syncing: false,
            untrusted_step: false,
            _lock: lock,
            conn,
            file,
            options,
            series,
            run,
            last,
        })
    }

    /// The time of the newest commit that the file holds (also before this start): of the last run that wrote samples.
    pub fn last_commit(&self) -> Option<Timestamp> {
        self.last
    }

    /// Finds or creates a series of a collector (the key of its table); durable with the next commit.
    pub fn series(&mut self, def: &SeriesDef, collector: &str) -> Result<SeriesId> {
        let id = self.series.find_or_add(&self.conn, def, collector).map_err(of(&self.file))?;
        self.owners.note(id, collector);
        Ok(id)
    }

    /// One transaction. Returns the bytes of the journal row. After an error nothing of it is stored, and the same
    /// commit may be tried again.
    pub fn commit(&mut self, commit: &Commit) -> Result<usize> {
        self.sync_if_due().map_err(of(&self.file))?;
        let gaps = (commit.new_run || !commit.gaps.is_empty()).then(|| self.gaps.clone());
        match self.write(commit) {
            Ok(bytes) => {
                self.series.written();
                self.gaps.settle();
                if self.syncing {
                    self.synced = Some(Instant::now());
                }
                Ok(bytes)
            }
            Err(failure) => {
                self.journal.forget();
                self.gaps = gaps.unwrap_or_else(|| std::mem::take(&mut self.gaps));
                Err(of(&self.file)(failure))
            }
        }
    }

    fn write(&mut self, commit: &Commit) -> Inner<usize> {
        let transaction = Transaction::begin(&self.conn)?;
        let run = if commit.new_run { self.run.saturating_add(1) } else { self.run };
        if commit.new_run {
            self.gaps.clear();
        }
        self.series.write(&transaction)?;
        let written = self.journal.append(&transaction, run, &commit.batches)?;
        let run_stored = self.run_stored && !commit.new_run;
        if let Some(first_key) = written.newest.filter(|_| !run_stored) {
            journal::begin_run(&transaction, run, first_key)?;
        }
        self.gaps.note(&self.owners, &commit.batches);
        self.gaps.write(&transaction, &commit.gaps)?;
        events::write(&transaction, &commit.events)?;
        for (key, value) in &commit.meta {
            names::put_meta(&transaction, key, value)?;
        }
        transaction.commit()?;
        self.run = run;
        self.run_stored = run_stored || written.newest.is_some();
        if let Some(newest) = written.newest {
            self.last = Some(Timestamp::from_millis(key::millis(newest)));
        }
        Ok(written.bytes)
    }

    /// Has SQLite sync the next commit to the disk if the last synced one is `max_loss` ago, else not: a sync costs
    /// more than all the rest.
    fn sync_if_due(&mut self) -> rusqlite::Result<()> {
        let due = self.synced.is_none_or(|synced| synced.elapsed() >= self.options.max_loss);
        if due != self.syncing {
            let pragma = if due { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.conn.execute_batch(pragma)?;
            self.syncing = due;
        }
        Ok(())
    }

    /// The next or the known vm id of this machine. No id is ever given twice.
    pub fn vm_id(&mut self, uuid: &str) -> Result<i64> {
        names::vm_id(&self.conn, uuid).map_err(of(&self.file))
    }

    /// Gives a machine this very number, unless it has it already. Later machines get larger ones.
    ///
    /// # Errors
    /// [`StoreError::VmTaken`] where the number is another machine's, or the machine has another number.
    pub fn reserve_vm(&mut self, id: i64, uuid: &str) -> Result<()> {
        match names::reserve_vm(&self.conn, id, uuid).map_err(of(&self.file))? {
            None => Ok(()),
            Some((known_id, known_uuid)) => Err(StoreError::VmTaken {
                file: self.file.clone(),
                id,
                uuid: uuid.into(),
                known_id,
                known_uuid,
            }),
        }
    }

    /// All known machines: (vm_id, uuid).
    pub fn vms(&self) -> Result<Vec<(i64, String)>> {
        names::vms(&self.conn).map_err(of(&self.file))
    }

    /// A small named value that outlives a restart (alert states …).
    pub fn put_meta(&mut self, key: &str, value: &str) -> Result<()> {
        names::put_meta(&self.conn, key, value).map_err(of(&self.file))
    }

    /// The value that was put under a name.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        names::meta(&self.conn, key).map_err(of(&self.file))
    }

    /// Hands out readers of this file.
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }

    /// Syncs, checkpoints, closes.
    pub fn close(self) -> Result<()> {
        // the last connection to close takes the write-ahead log with it, but only a writing one can
        self.readers.close_idle();
        let sql = of::<rusqlite::Error>(&self.file);
        self.conn
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE);")
            .map_err(sql)?;
        self.conn.close().map_err(|(_, e)| StoreError::sqlite(&self.file, e))
    }
}
