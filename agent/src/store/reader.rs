//! Readers: each on a read-only connection of its own, in transactions that end with the call.

use super::{
    codec::Damage,
    error::{Inner, Result, StoreError, of},
    events,
    file::{self, Found},
    gaps,
    head::Head,
    head_source::HeadSource,
    history::{self, InHead, Newest},
    names, series, steps,
    types::{AggregateQuery, EventFilter, Point, Range, Selector, Steps, StoredEvent, StoredSeries},
    write::SharedHead,
};
use crate::model::{Gap, SeriesId, Timestamp};
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections that wait for their next use; more are closed.
const IDLE: usize = 4;
/// More damaged rows than this are skipped without being told apart.
const DAMAGES: usize = 1000;

/// Hands out readers; cheap to clone, usable on every thread.
#[derive(Clone, Debug)]
pub struct Readers {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    head: HeadSource,
    damages: DamageLog,
}

impl Readers {
    /// For another process (the `query` command): refuses a file that isn't there or isn't ours, never creates one. Also
    /// refuses one of an older format, all or some of whose samples no reader would find.
    pub fn of_file(file: &Path) -> Result<Readers> {
        let readers = Self::of_any_format(file)?;
        let reader = readers.reader()?;
        let found = reader.ask(|conn| Ok(super::schema::version(conn)?))?;
        if found < super::schema::FORMAT || reader.ask(super::format_1::is_there)? {
            return Err(StoreError::Older { file: readers.pool.file.clone() });
        }
        drop(reader);
        Ok(readers)
    }

    /// For what needs the file but not its samples.
    pub(super) fn of_any_format(file: &Path) -> Result<Readers> {
        let file = file::resolve(file)?;
        match file::inspect(&file)? {
            Found::Nothing => return Err(StoreError::Missing { file }),
            Found::Store => {}
        }
        let readers = Self::new(&file, HeadSource::journal(), DamageLog::default());
        let reader = readers.reader()?;
        file::known_format(&file, reader.ask(|conn| Ok(super::schema::version(conn)?))?)?;
        drop(reader);
        Ok(readers)
    }

    /// Of the process that writes.
    pub(super) fn of_writer(file: &Path, head: SharedHead, damages: DamageLog) -> Self {
        Self::new(file, HeadSource::Shared(head), damages)
    }

    fn new(file: &Path, head: HeadSource, damages: DamageLog) -> Self {
        let idle = Mutex::new(Vec::new());
        Self { pool: Arc::new(Pool { file: file.to_path_buf(), idle, head, damages }) }
    }

    /// A reader on a read-only connection of its own, from a small pool.
    pub fn reader(&self) -> Result<Reader> {
        let idle = self.pool.idle().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => file::open_reader(&self.pool.file)?,
        };
        Ok(Reader { conn: Some(conn), pool: self.pool.clone() })
    }

    /// Closes the connections that nobody uses now.
    pub(super) fn close_idle(&self) {
        self.pool.idle().clear();
    }

    /// How many damaged rows reading has met and skipped since the start; counted up to a thousand.
    pub fn damaged_rows(&self) -> usize {
        self.pool.damages.seen().len()
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // a connection is in the pool or out of it, whatever panicked
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads, in short transactions; never blocks the writer.
#[derive(Debug)]
pub struct Reader {
    /// Always there until dropped.
    conn: Option<Connection>,
    pool: Arc<Pool>,
}

impl Reader {
    /// The series that a selector means, also of the past.
    pub fn select(&self, selector: &Selector) -> Result<Vec<StoredSeries>> {
        self.ask(|conn| series::select(conn, selector))
    }

    /// All series (GET /api/metrics, did-you-mean).
    pub fn all_series(&self) -> Result<Vec<StoredSeries>> {
        self.ask(series::all)
    }

    /// The newest `limit` points within the range, newest first.
    pub fn last(&self, series: SeriesId, range: Range, limit: usize) -> Result<Vec<Point>> {
        Ok(self.last_of_many(&[series], range, limit)?.pop().unwrap_or_default())
    }

    /// The same of several series, of one state of the store: one vector a series, newest first.
    pub fn last_of_many(&self, series: &[SeriesId], range: Range, limit: usize) -> Result<Vec<Vec<Point>>> {
        let millis = history::millis(range);
        let enough = |found: &Vec<InHead>| -> Option<Vec<Vec<Point>>> {
            found.iter().map(|found| history::newest_of_head(found, limit)).collect()
        };
        self.ask_with(InHead::of_each(series, &millis), enough, |conn, found| {
            let mut newest = Newest::new(conn, &self.pool.damages);
            let each = series.iter().zip(&found);
            each.map(|(series, head)| newest.of(*series, head, &millis, limit)).collect()
        })
    }

    /// One value a step of each series, of the coarsest tier that serves.
    pub fn aggregate(&self, series: &[SeriesId], query: &AggregateQuery) -> Result<Vec<Steps>> {
        let all = history::millis(Range::ALL);
        self.ask_with(
            InHead::of_each(series, &all),
            |_| None,
            |conn, found| {
                let each = series.iter().zip(&found);
                each.map(|(series, head)| steps::steps(conn, *series, head, query, &self.pool.damages))
                    .collect()
            },
        )
    }

    /// When the newest data of each series within the range is, of whatever tier; nothing of a series that has none.
    pub fn newest(&self, series: &[SeriesId], range: Range) -> Result<Vec<Option<Timestamp>>> {
        let samples = self.last_of_many(series, range, 1)?;
        let mut newest: Vec<Option<Timestamp>> =
            samples.iter().map(|points| points.first().map(|point| point.time)).collect();
        let millis = history::millis(range);
        for (series, newest) in series.iter().zip(&mut newest).filter(|(_, newest)| newest.is_none()) {
            *newest = self.ask(|conn| steps::newest_rolled(conn, *series, &millis, &self.pool.damages))?;
        }
        Ok(newest)
    }

    /// The newest `limit` gaps of a series within the range, oldest first: its own, its collector's, the agent's.
    pub fn gaps(&self, series: SeriesId, range: Range, limit: usize) -> Result<Vec<Gap>> {
        self.ask(|conn| gaps::read(conn, series, range, limit))
    }

    /// All gaps in the order of their numbers, after this one: a page of at most `limit`, each with its number.
    pub fn all_gaps(&self, after: Option<i64>, limit: usize) -> Result<Vec<(i64, Gap)>> {
        self.ask(|conn| gaps::page(conn, after, limit))
    }

    /// The time within which all samples lie: no sample is older or newer, but the ends may be a few minutes without
    /// one. Nothing where there are no samples.
    pub fn extent(&self) -> Result<Option<Range>> {
        self.ask_with(Head::extent, |_| None, history::extent)
    }

    /// Events, newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>> {
        self.ask(|conn| events::read(conn, filter))
    }

    /// All known machines: (vm_id, uuid).
    pub fn vms(&self) -> Result<Vec<(i64, String)>> {
        self.ask(names::vms)
    }

    /// Asks the head, and the file where that is not enough.
    fn ask_with<H, T>(
        &self,
        of_head: impl FnOnce(&Head) -> H,
        enough: impl FnOnce(&H) -> Option<T>,
        of_file: impl FnOnce(&Connection, H) -> Inner<T>,
    ) -> Result<T> {
        self.ask(|conn| self.pool.head.with(conn, &self.pool.damages, of_head, enough, of_file))
    }

    /// Asks within the room.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Connection) -> Inner<T>) -> Result<T> {
        let conn = self.conn.as_ref().expect("the connection leaves only when the reader is dropped");
        question(conn).map_err(of(&self.pool.file))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        let mut idle = self.pool.idle();
        if idle.len() < IDLE {
            idle.push(conn);
        }
    }
}

/// Which rows were found damaged: each is counted and logged once.
#[derive(Clone, Debug, Default)]
pub(super) struct DamageLog {
    seen: Arc<Mutex<BTreeSet<(&'static str, i64)>>>,
}

impl DamageLog {
    fn seen(&self) -> MutexGuard<'_, BTreeSet<(&'static str, i64)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a row was skipped.
    pub(super) fn note(&self, what: &'static str, key: i64, damage: Damage) {
        let mut seen = self.seen();
        if seen.len() < DAMAGES && seen.insert((what, key)) {
            tracing::warn!(key, "skipped a damaged {what} of the store: {damage}");
        }
    }
}
