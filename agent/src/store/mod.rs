//! In work.
#![allow(missing_docs, unused_variables, clippy::unimplemented, clippy::pedantic, clippy::all)]
mod types;
use crate::model::*;
pub use types::*;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("in work")]
    InWork,
}
pub type Result<T> = std::result::Result<T, StoreError>;

/// The writer: one per file, owned by `ingest`.
pub struct Store {}
impl Store {
    /// Opens or creates. Begins a new run.
    pub fn open(options: Options) -> Result<Store> {
        unimplemented!()
    }
    /// The time of the newest commit that the file holds (also before this start).
    pub fn last_commit(&self) -> Option<Timestamp> {
        unimplemented!()
    }
    /// Finds or creates a series of a collector (the key of its table); durable with the next commit.
    pub fn series(&mut self, def: &SeriesDef, collector: &str) -> Result<SeriesId> {
        unimplemented!()
    }
    /// One transaction. Returns the bytes of the journal row.
    pub fn commit(&mut self, commit: &Commit) -> Result<usize> {
        unimplemented!()
    }
    /// Deletes what is strictly older, exactly.
    pub fn delete_before(&mut self, before: Timestamp) -> Result<Deleted> {
        unimplemented!()
    }
    /// Applies retention at this time; bounded work a call. `trusted` is false while the clock jumped forward less than an hour ago.
    pub fn expire(&mut self, now: Timestamp, trusted: bool) -> Result<Deleted> {
        unimplemented!()
    }
    /// The next or the known vm id of this machine.
    pub fn vm_id(&mut self, uuid: &str) -> Result<i64> {
        unimplemented!()
    }
    /// All known machines: (vm_id, uuid).
    pub fn vms(&self) -> Result<Vec<(i64, String)>> {
        unimplemented!()
    }
    /// A small named value that outlives a restart (alert states …).
    pub fn put_meta(&mut self, key: &str, value: &str) -> Result<()> {
        unimplemented!()
    }
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        unimplemented!()
    }
    /// Hands out readers of this file.
    pub fn readers(&self) -> Readers {
        unimplemented!()
    }
    /// Syncs, checkpoints, closes.
    pub fn close(self) -> Result<()> {
        unimplemented!()
    }
}

/// Hands out readers; cheap to clone, usable on every thread.
#[derive(Clone)]
pub struct Readers {}
impl Readers {
    /// For another process (the `query` command): refuses a file that isn't there or isn't ours, never creates one.
    pub fn of_file(file: &std::path::Path) -> Result<Readers> {
        unimplemented!()
    }
    /// A reader on a read-only connection of its own, from a small pool.
    pub fn reader(&self) -> Result<Reader> {
        unimplemented!()
    }
}

/// Reads, in short transactions; never blocks the writer.
pub struct Reader {}
impl Reader {
    /// The series that a selector means, also of the past.
    pub fn select(&self, selector: &Selector) -> Result<Vec<StoredSeries>> {
        unimplemented!()
    }
    /// All series (GET /api/metrics, did-you-mean).
    pub fn all_series(&self) -> Result<Vec<StoredSeries>> {
        unimplemented!()
    }
    /// The newest `limit` points within the range, newest first.
    pub fn last(&self, series: SeriesId, range: Range, limit: usize) -> Result<Vec<Point>> {
        unimplemented!()
    }
    /// The same of several series in one pass over the journal: one vector a series, newest first.
    pub fn last_of_many(&self, series: &[SeriesId], range: Range, limit: usize) -> Result<Vec<Vec<Point>>> {
        unimplemented!()
    }
    /// The gaps of a series within the range, oldest first: its own, its collector's, the agent's.
    pub fn gaps(&self, series: SeriesId, range: Range) -> Result<Vec<Gap>> {
        unimplemented!()
    }
    /// Events, newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>> {
        unimplemented!()
    }
    pub fn vms(&self) -> Result<Vec<(i64, String)>> {
        unimplemented!()
    }
}
