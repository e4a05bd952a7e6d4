//! History in one SQLite file. `FORMAT.md` describes the file; later formats change the inside, not this interface.
//!
//! One writer ([`Store`]) per file, readers ([`Readers`]) in any number, also of other processes.

mod aggregate;
mod aside;
mod backup;
mod ballast;
#[doc(hidden)]
pub mod bench_codec;
mod blobs;
mod codec;
mod columns;
mod compact;
mod error;
mod events;
mod file;
mod format_1;
mod gaps;
mod head;
mod head_source;
mod history;
mod holder;
mod inspect;
mod key;
mod log_bound;
mod matcher;
mod merge;
mod names;
mod reader;
mod retention;
mod schema;
mod segments;
mod series;
mod sizes;
mod steps;
mod tables;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tools_tests;
mod transaction;
mod types;
mod upgrade;
mod write;

pub(crate) use aggregate::step_of;
pub use aggregate::{BadAggregate, Bucket, Folder, Growth, Pairs};
pub use aside::set_aside;
pub use backup::{Overwrite, backup};
pub use compact::{Compacted, compact};
pub use error::{Result, StoreError};
pub use holder::{Holder, writer};
pub use inspect::{Bad, Checked, Info, Report, TierInfo, info, verify};
pub use matcher::{BadPattern, Matcher};
pub use reader::{Reader, Readers};
pub use sizes::Sizes;
pub use types::*;

use crate::model::{SeriesDef, SeriesId, Timestamp};
use ballast::Ballast;
use error::{Inner, of};
use file::{Found, Lock};
use gaps::{OpenGaps, Owners};
use log_bound::LogBound;
use reader::DamageLog;
use rusqlite::Connection;
use series::SeriesTable;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use transaction::Transaction;
use write::{Recovered, SampleWriter};

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
    samples: SampleWriter,
    run: u32,
    /// When a commit was last synced to the disk, and the time of its samples.
    synced: Option<(Instant, Option<Timestamp>)>,
    /// Whether SQLite is set to sync each commit.
    syncing: bool,
    /// Whether a step of retention was taken while the clock was not trusted.
    untrusted_step: bool,
    ballast: Ballast,
    log_bound: LogBound,
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
        let ballast = Ballast::beside(&file, options.max_size);
        let mut conn = file::open_writer(&file)?;
        let sql = of::<rusqlite::Error>(&file);
        schema::configure_writer(&conn).map_err(sql)?;
        // the header may be older than the write-ahead log
        file::known_format(&file, schema::version(&conn).map_err(sql)?)?;
        schema::migrate(&mut conn, schema::MIGRATIONS).map_err(sql)?;
        let inner = of(&file);
        let damages = DamageLog::default();
        upgrade::run(&conn, &damages).map_err(inner)?;
        let samples = Recovered::read(&conn, &damages)
            .and_then(|recovered| recovered.into_writer(&conn, damages.clone()))
            .map_err(inner)?;
        let run = samples.last().map_or(0, |(run, _)| run).saturating_add(1);
        let series = SeriesTable::load(&conn).map_err(inner)?;
        Ok(Store {
            readers: Readers::of_writer(&file, samples.head(), damages),
            owners: Owners::default(),
            gaps: OpenGaps::default(),
            samples,
            synced: None,
            syncing: false,
            untrusted_step: false,
            ballast,
            log_bound: LogBound::default(),
            _lock: lock,
            conn,
            file,
            options,
            series,
            run,
        })
    }

    /// The time of the newest commit that the file holds (also before this start): of the last run that wrote samples.
    pub fn last_commit(&self) -> Option<Timestamp> {
        self.samples.last().map(|(_, time)| Timestamp::from_millis(time))
    }

    /// Finds or creates a series of a collector (the key of its table); durable with the next commit.
    pub fn series(&mut self, def: &SeriesDef, collector: &str) -> Result<SeriesId> {
        let id = self.series.find_or_add(&self.conn, def, collector).map_err(of(&self.file))?;
        self.owners.note(id, collector);
        self.samples.note(id, collector);
        Ok(id)
    }

    /// One transaction. Returns the bytes of the journal row. After an error nothing of it is stored, and the same
    /// commit may be tried again. On a full disk the oldest history goes so that the newest is kept: see
    /// [`disk_full`](Store::disk_full).
    pub fn commit(&mut self, commit: &Commit) -> Result<usize> {
        self.bound_log()?;
        let written = match self.write_commit(commit) {
            Err(error) => self.commit_in_reserve(commit, error),
            written => written,
        };
        self.keep_room(commit);
        written
    }

    fn write_commit(&mut self, commit: &Commit) -> Result<usize> {
        let time = commit.batches.iter().map(|batch| batch.time).max();
        self.sync_if_due(time).map_err(of(&self.file))?;
        let gaps = (commit.new_run || !commit.gaps.is_empty()).then(|| self.gaps.clone());
        match self.write(commit) {
            Ok(bytes) => {
                self.samples.committed();
                self.series.written();
                self.gaps.settle();
                if self.syncing {
                    self.synced = Some((Instant::now(), time));
                }
                Ok(bytes)
            }
            Err(failure) => {
                self.samples.failed();
                self.gaps = gaps.unwrap_or_else(|| std::mem::take(&mut self.gaps));
                Err(of(&self.file)(failure))
            }
        }
    }

    fn write(&mut self, commit: &Commit) -> Inner<usize> {
        let run = if commit.new_run { self.run.saturating_add(1) } else { self.run };
        self.samples.prepare(&self.conn, &commit.batches, run)?;
        let transaction = Transaction::begin(&self.conn)?;
        if commit.new_run {
            self.gaps.clear();
        }
        self.series.write(&transaction)?;
        let bytes = self.samples.write(&transaction)?;
        self.gaps.note(&self.owners, &commit.batches);
        self.gaps.write(&transaction, &commit.gaps)?;
        events::write(&transaction, &commit.events)?;
        for (key, value) in &commit.meta {
            names::put_meta(&transaction, key, value)?;
        }
        transaction.commit()?;
        self.run = run;
        Ok(bytes)
    }

    /// Has SQLite sync this commit to the disk if the last synced one is `max_loss` ago, by the clock or by the times of
    /// the samples, else not: a sync costs more than all the rest.
    fn sync_if_due(&mut self, time: Option<Timestamp>) -> rusqlite::Result<()> {
        let max_loss = self.options.max_loss;
        let due = self.synced.is_none_or(|(moment, of)| {
            let apart = time.zip(of).map_or(0, |(now, of)| now.millis_since(of).unsigned_abs());
            moment.elapsed() >= max_loss || Duration::from_millis(apart) >= max_loss
        });
        if due != self.syncing {
            let pragma = if due { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.conn.execute_batch(pragma)?;
            self.syncing = due;
        }
        Ok(())
    }

    /// Forgets what is remembered of a series for its next samples; [`series`](Store::series) finds it again.
    pub fn forget(&mut self, series: SeriesId) {
        self.owners.forget(series);
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

    /// Gives the number of a machine to another UUID: it was created, and has another identity since.
    pub fn rename_vm(&mut self, vm_id: i64, uuid: &str) -> Result<()> {
        names::rename_vm(&self.conn, vm_id, uuid).map_err(of(&self.file))
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
