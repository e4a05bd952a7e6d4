//! The way of samples into the file: head and journal with each commit, then segments, then blocks and roll-ups.

mod bulk;
mod delete;
mod journal;
mod places;
mod recover;
mod seal;
mod segment;
mod table;
#[cfg(test)]
mod tests;

pub(super) use bulk::Bulk;
pub(super) use delete::{delete_blobs, delete_blobs_between, delete_sealed, forget_places};
pub(super) use places::of_series;
pub(super) use recover::Recovered;

use super::{
    codec::ColumnEncoder,
    error::Inner,
    head::{Head, Pending},
    key,
    reader::DamageLog,
    sizes::Sizes,
    types::{StoredBatch, StoredSample},
};
use crate::model::SeriesId;
use journal::Journal;
use places::{Places, Stayed};
use rusqlite::{Connection, OptionalExtension, params};
use seal::Sealer;
use segment::Written;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

/// The rows of a segment, at least.
const SEGMENT_ROWS: usize = 120;
/// The same where there are many series: longer segments are fewer, and make most of what is written less.
const MANY_SERIES: usize = 2000;
const SEGMENT_ROWS_OF_MANY: usize = 360;
/// So many values at most are gathered in the head if that leaves a segment no less than [`SEGMENT_ROWS`] rows.
const HEAD_VALUES: usize = 30 * 1024;
/// And no segment has more rows.
const MOST_ROWS: usize = 480;
/// A journal with more rows or bytes than this becomes segments, however few rows each has.
const JOURNAL_ROWS: usize = 4096;
const JOURNAL_BYTES: usize = 16 << 20;
/// Within so many commits the frozen rows of all groups are written.
const FLUSH_COMMITS: usize = 100;

/// The head, shared with the readers of this process.
pub(super) type SharedHead = Arc<RwLock<Head>>;

/// Writes samples.
#[derive(Debug)]
pub(super) struct SampleWriter {
    head: SharedHead,
    damages: DamageLog,
    journal: Journal,
    pending: Pending,
    places: Places,
    sealer: Sealer,
    encoder: ColumnEncoder,
    flush: Flush,
    /// The collector of each series that has no slot yet.
    collectors: HashMap<u32, Arc<str>>,
    /// The part of the newest sample of the last commit, and of the one with which frozen rows were last all written.
    part: Option<i64>,
    frozen_part: Option<i64>,
    tidied: Option<i64>,
    /// Run and time of what was committed last.
    last: Option<(u32, i64)>,
    /// The last commit ended a flush.
    rest: bool,
    /// What the open transaction writes.
    doing: Doing,
}

/// The frozen rows on their way into segments.
#[derive(Debug, Default)]
struct Flush {
    /// Groups whose rows are to be written; the last first.
    groups: Vec<u32>,
    /// How many are written by one commit.
    at_once: usize,
    /// Journal rows below this are of frozen rows.
    below: i64,
    /// Rows were frozen, and their journal rows still count.
    open: bool,
}

/// What the open transaction does beside the commit itself.
#[derive(Debug, Default)]
struct Doing {
    written: Vec<Written>,
    stayed: Vec<Stayed>,
    flushed: usize,
    closed: bool,
    part: Option<i64>,
    last: Option<(u32, i64)>,
}

impl SampleWriter {
    /// The collector of a series, should the series need a group.
    pub(super) fn note(&mut self, series: SeriesId, collector: &str) {
        if self.read().slot(series.0).is_some() || self.collectors.contains_key(&series.0) {
            return;
        }
        let known = self.collectors.values().find(|known| ***known == *collector).cloned();
        self.collectors.insert(series.0, known.unwrap_or_else(|| collector.into()));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Head> {
        // the head is changed in steps that can't panic half-way
        self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Run and time of what was committed last.
    pub(super) fn last(&self) -> Option<(u32, i64)> {
        self.last
    }

    /// Makes ready what a commit brings. Nothing of it is seen before [`SampleWriter::committed`].
    pub(super) fn prepare(&mut self, conn: &Connection, batches: &[StoredBatch], run: u32) -> Inner<()> {
        self.pending.clear();
        self.doing = Doing::default();
        let newest = batches.iter().filter(|batch| !batch.samples.is_empty());
        let newest = newest.map(|batch| key::storable(batch.time)).max();
        let part = newest.map(places::part).or(self.part);
        // after each flush a commit without another one, lest nothing but flushing is done in a flood
        if !std::mem::take(&mut self.rest) && self.is_freeze_due(part) {
            self.freeze();
        }
        if let Err(failure) = self.seal_a_step(conn) {
            tracing::warn!(
                "old samples could not be sealed, which is tried again in some minutes: {failure}"
            );
            self.sealer.put_off();
        }
        self.enter(conn, batches, part.unwrap_or_default())?;
        let Self { head, journal, pending, .. } = self;
        let head = head.read().unwrap_or_else(PoisonError::into_inner);
        let slot = |sample: &StoredSample| head.slot(sample.series.0);
        journal.encode(batches, (run, newest.unwrap_or_default()), head.generation, pending, slot);
        self.doing.part = part;
        self.doing.last = newest.map(|newest| (run, newest)).or(self.last);
        Ok(())
    }

    /// Writes what was made ready, and does a little of the other work. Gives the bytes of the journal.
    pub(super) fn write(&mut self, conn: &Connection) -> Inner<usize> {
        let bytes = self.journal.write(conn)?;
        if self.flush.open {
            self.flush(conn, self.flush.at_once)?;
        } else {
            self.sealer.write(conn)?;
            self.places.close(conn)?;
        }
        Ok(bytes)
    }

    /// What was written is committed.
    pub(super) fn committed(&mut self) {
        let Self { head, pending, doing, journal, places, flush, sealer, .. } = self;
        let mut head = head.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((run, _)) = doing.last {
            head.apply(pending, run);
        }
        for Written { group, part, number, rows } in doing.written.drain(..) {
            sealer.segment_added(part, group);
            head.written(group, (part, number, rows));
        }
        flush.groups.truncate(flush.groups.len() - doing.flushed);
        journal.committed();
        if doing.closed {
            flush.open = false;
            self.rest = true;
            journal.reuse(flush.below);
            let living = head.series();
            sealer.tidy(living);
            if let Some(part) = self.frozen_part {
                // after a step back of the clock the open part is the older one
                sealer.seal_below(self.part.map_or(part, |now| now.min(part)));
            }
            self.frozen_part = doing.part;
        }
        self.frozen_part = self.frozen_part.or(doing.part);
        places.committed(&mut doing.stayed);
        self.part = doing.part;
        self.last = doing.last;
    }

    /// What was written is not committed: it is as if it had never been tried.
    pub(super) fn failed(&mut self) {
        self.journal.break_chain();
        self.places.failed();
        // should a block be why, the next try goes without
        self.sealer.put_off();
        self.doing = Doing::default();
    }

    fn is_freeze_due(&self, part: Option<i64>) -> bool {
        if self.flush.open || self.journal.rows_since == 0 {
            return false;
        }
        let head = self.read();
        let most = head.groups().map(|group| group.current.len()).max().unwrap_or(0);
        let series = head.series().max(1);
        let least = if series < MANY_SERIES { SEGMENT_ROWS } else { SEGMENT_ROWS_OF_MANY };
        let rows = (HEAD_VALUES / series).clamp(least, MOST_ROWS);
        most >= rows
            // not where late samples come between: each would make segments of a few rows
            || (part != self.part && part > self.frozen_part)
            || self.journal.rows_since >= JOURNAL_ROWS
            || self.journal.bytes_since >= JOURNAL_BYTES
    }

    /// Makes the current rows the frozen ones.
    fn freeze(&mut self) {
        let Self { head, places, flush, journal, .. } = self;
        let mut head: RwLockWriteGuard<'_, Head> = head.write().unwrap_or_else(PoisonError::into_inner);
        head.freeze();
        flush.groups.clear();
        flush.groups.extend(head.groups().filter(|group| !group.written).map(|group| group.number));
        flush.at_once = flush.groups.len().div_ceil(FLUSH_COMMITS).max(1);
        flush.below = journal.next;
        flush.open = true;
        journal.break_chain();
        (journal.rows_since, journal.bytes_since) = (0, 0);
        if self.part != self.tidied
            && let Some(part) = self.part
        {
            places.tidy(&mut head, part);
            self.tidied = self.part;
        }
    }

    /// Gives a slot to each series that has none.
    fn enter(&mut self, conn: &Connection, batches: &[StoredBatch], part: i64) -> Inner<()> {
        let samples = || batches.iter().flat_map(|batch| &batch.samples);
        let homeless = |head: &Head, sample: &StoredSample| head.slot(sample.series.0).is_none();
        {
            let head = self.read();
            if !samples().any(|sample| homeless(&head, sample)) {
                return Ok(());
            }
        }
        let Self { head, collectors, places, .. } = self;
        let mut head = head.write().unwrap_or_else(PoisonError::into_inner);
        for sample in samples() {
            let series = sample.series.0;
            if !homeless(&head, sample) {
                continue;
            }
            let collector = match collectors.remove(&series) {
                Some(collector) => collector,
                None => super::series::collector(conn, sample.series)?.unwrap_or_default().into(),
            };
            places.settle(&mut head, series, &collector, part)?;
        }
        Ok(())
    }

    /// Writes the frozen rows of some groups; with the last of them, their journal rows count no longer.
    fn flush(&mut self, conn: &Connection, groups: usize) -> Inner<()> {
        let Self { head, places, flush, encoder, doing, .. } = self;
        let head = head.read().unwrap_or_else(PoisonError::into_inner);
        for number in flush.groups.iter().rev().take(groups) {
            doing.flushed += 1;
            let Some(group) = head.group(*number) else { continue };
            let stored = |part, series: &[u32]| places.write(conn, *number, part, series, &mut doing.stayed);
            doing.written.extend(segment::write(conn, group, encoder, stored)?);
        }
        if doing.flushed == flush.groups.len() {
            if let Some((run, time)) = self.last {
                note_run(conn, run, time, flush.below)?;
            }
            self.journal.trim(conn, flush.below)?;
            doing.closed = true;
        }
        Ok(())
    }

    /// Writes all that is in the head into segments, each step a transaction of its own.
    pub(super) fn flush_all(&mut self, conn: &Connection) -> Inner<()> {
        for _ in 0..2 {
            while self.flush.open {
                self.pending.clear();
                self.doing = Doing { part: self.part, last: self.last, ..Doing::default() };
                let transaction = super::transaction::Transaction::begin(conn)?;
                let done = self.flush(&transaction, 64).and_then(|()| Ok(transaction.commit()?));
                match done {
                    Ok(()) => self.committed(),
                    Err(failure) => {
                        self.failed();
                        return Err(failure);
                    }
                }
            }
            if self.journal.rows_since > 0 {
                self.freeze();
            }
        }
        Ok(())
    }

    /// Gives back the pages of journal rows that count no longer, which would be used again.
    pub(super) fn free_places(&mut self, conn: &Connection) -> Inner<()> {
        self.journal.free_places(conn)
    }

    /// Does a step of what is left to be done when nothing is committed.
    pub(super) fn idle(&mut self, conn: &Connection) -> Inner<()> {
        if !self.sealer.is_busy() {
            return Ok(());
        }
        let done = self.seal_a_step(conn).and_then(|()| {
            let transaction = super::transaction::Transaction::begin(conn)?;
            self.sealer.write(&transaction)?;
            Ok(transaction.commit()?)
        });
        if done.is_err() {
            self.sealer.put_off();
        }
        done
    }

    /// How many series are alive.
    pub(super) fn series(&self) -> usize {
        self.read().series()
    }

    /// Some of what is stored was deleted: a block in the making may be of it.
    pub(super) fn deleted(&mut self) {
        self.sealer.restart();
    }

    /// Whether a block is being made.
    #[cfg(test)]
    pub(super) fn is_making_a_block(&self) -> bool {
        self.sealer.has_job()
    }

    fn seal_a_step(&mut self, conn: &Connection) -> Inner<()> {
        if !self.sealer.is_busy() {
            return Ok(());
        }
        // many small questions, and locks are taken for each transaction
        let transaction = conn.unchecked_transaction()?;
        self.sealer.step(&transaction, &self.damages)?;
        transaction.finish()?;
        Ok(())
    }

    /// How much is kept in memory.
    pub(super) fn sizes(&self) -> Sizes {
        let head = self.read();
        let (stays, left) = self.places.sizes();
        Sizes {
            groups: head.groups().count(),
            series: head.series(),
            stays,
            left,
            homeless: self.collectors.len(),
            tails: self.sealer.remembered(),
            owners: 0,
            sealing: self.sealer.is_busy(),
        }
    }
}

/// Notes which run wrote last, its newest time, and where the journal begins: what is before that is in segments.
pub(super) fn note_run(conn: &Connection, run: u32, time: i64, journal: i64) -> Inner<()> {
    conn.prepare_cached("DELETE FROM run")?.execute([])?;
    let mut insert = conn.prepare_cached("INSERT INTO run(number, time, journal) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![run, time, journal])?;
    Ok(())
}

/// The key of the first journal row that is not in segments.
pub(super) fn journal_from(conn: &Connection) -> Inner<i64> {
    Ok(noted_run(conn)?.map_or(0, |(.., from)| from))
}

/// What [`note_run`] noted.
pub(super) fn noted_run(conn: &Connection) -> Inner<Option<(u32, i64, i64)>> {
    let row =
        conn.query_row("SELECT number, time, journal FROM run ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        });
    Ok(row.optional()?)
}
