//! Deleting history: by time, exact to the sample; by retention and by size, in bounded steps.

use super::{
    Store,
    codec::{Row, RowWriter},
    error::{Inner, Result, of},
    events, key,
    schema::PAGE,
    types::Deleted,
};
use crate::model::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior::Immediate, params};
use std::time::Duration;

/// Rows that one transaction deletes at most.
const ROWS: u32 = 2000;
/// How long events are kept, if the retention of samples is not longer.
const EVENTS: Duration = Duration::from_secs(90 * 24 * 3600);
/// Events that one call of `expire` deletes at most.
const EVENTS_A_CALL: u32 = 500;
/// Samples may outlive their retention by a hundredth of it, but by no more than this: few large deletions cost less
/// than many small ones.
const LARGEST_SLACK: Duration = Duration::from_secs(600);
/// Pages that are given back to the file system at once.
const PAGES_A_CALL: u32 = 512;
/// Fewer free pages than this are kept for what comes next.
const FREE_PAGES_KEPT: u64 = 1024;

impl Store {
    /// Deletes samples that are strictly older, and gaps that ended before, exactly. Events are kept: they have their
    /// own limit of 90 days.
    pub fn delete_before(&mut self, before: Timestamp) -> Result<Deleted> {
        let outcome = self.delete(before);
        // what was deleted may be what the writer remembers
        self.journal.forget();
        let samples = outcome.map_err(of(&self.file))?;
        Ok(Deleted { samples })
    }

    /// Applies retention at this time; bounded work a call: at most an hour of the oldest data. To be called about once
    /// a minute. `trusted` is false while the clock jumped forward less than an hour ago: until it is true again, one
    /// such step is all that is deleted for its age, lest a wrong clock empties the store.
    pub fn expire(&mut self, now: Timestamp, trusted: bool) -> Result<Deleted> {
        // deletions are written to the log too
        if self.bound_log().is_err() {
            return Ok(Deleted::default());
        }
        self.untrusted_step &= !trusted;
        let until = match self.outlived(now, trusted).map_err(of(&self.file))? {
            Some(until) => Some(until),
            None => self.oversized().map_err(of(&self.file))?,
        };
        let deleted = match until {
            Some(until) => self.delete_before(until)?,
            None => Deleted::default(),
        };
        if trusted {
            let before = now.minus(EVENTS.max(self.options.retention.raw));
            events::delete_before(&self.conn, before, EVENTS_A_CALL).map_err(of(&self.file))?;
        }
        // on a full disk others would take what is given back
        if self.disk_full().is_none() {
            give_back(&self.conn, self.options.max_size).map_err(of(&self.file))?;
            self.ballast.restore();
        }
        Ok(deleted)
    }

    /// Until when samples are to be deleted because they outlived the retention.
    fn outlived(&mut self, now: Timestamp, trusted: bool) -> Inner<Option<Timestamp>> {
        let Some((oldest, _)) = ends(&self.conn)? else { return Ok(None) };
        let retention = self.options.retention.raw;
        let limit = now.minus(retention);
        if oldest >= limit.minus(LARGEST_SLACK.min(retention / 100)) || self.untrusted_step {
            return Ok(None);
        }
        self.untrusted_step = !trusted;
        Ok(Some(limit.min(end_of_hour(oldest))))
    }

    /// Until when samples are to be deleted because the file is too large.
    fn oversized(&self) -> Inner<Option<Timestamp>> {
        let pages = Pages::of(&self.conn)?;
        if (pages.all - pages.free) * PAGE <= self.options.max_size {
            return Ok(None);
        }
        self.oldest_step()
    }

    /// Until when samples are to be deleted to make some room: an hour, or the oldest quarter of less. Where there are
    /// none, the oldest events go.
    pub(super) fn oldest_step(&self) -> Inner<Option<Timestamp>> {
        let Some((oldest, newest)) = ends(&self.conn)? else {
            events::delete_before(&self.conn, Timestamp::from_millis(i64::MAX), EVENTS_A_CALL)?;
            return Ok(None);
        };
        let quarter = Timestamp::from_millis(oldest.as_millis() + newest.millis_since(oldest) / 4 + 1);
        Ok(Some(quarter.min(end_of_hour(oldest))))
    }

    fn delete(&mut self, before: Timestamp) -> Inner<u64> {
        let millis = key::storable(before);
        let mut samples = 0;
        loop {
            let transaction = Transaction::new_unchecked(&self.conn, Immediate)?;
            let (rows, deleted) = delete_rows(&transaction, key::first(millis))?;
            transaction.commit()?;
            samples += deleted;
            if rows < ROWS {
                break;
            }
        }
        let transaction = Transaction::new_unchecked(&self.conn, Immediate)?;
        samples += cut_rows(&transaction, millis)?;
        let orphans = key::layout(key::hour(millis), 0);
        transaction.execute("DELETE FROM layout WHERE key < ?1", [orphans])?;
        transaction.commit()?;
        while delete_gaps(&self.conn, before)? == ROWS as usize {}
        Ok(samples)
    }
}

/// The last millisecond of the hour and one.
fn end_of_hour(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(key::hour_start(key::hour(time.as_millis()) + 1))
}

/// The times of the oldest and the newest row.
fn ends(conn: &Connection) -> Inner<Option<(Timestamp, Timestamp)>> {
    let time = |key: i64| Timestamp::from_millis(key::millis(key));
    // two statements: SQLite answers each from the edge of the tree, but one for both by reading all of it
    let end = |sql| -> Inner<Option<i64>> { Ok(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    let (oldest, newest) = (end("SELECT min(key) FROM journal")?, end("SELECT max(key) FROM journal")?);
    Ok(oldest.zip(newest).map(|(oldest, newest)| (time(oldest), time(newest))))
}

/// Deletes the oldest rows below a key, a bounded number. Returns how many rows and samples.
fn delete_rows(conn: &Connection, below: i64) -> Inner<(u32, u64)> {
    let (rows, samples, last) = conn.query_row(
        "SELECT count(*), coalesce(sum(n), 0), max(key)
         FROM (SELECT key, n FROM journal WHERE key < ?1 ORDER BY key LIMIT ?2)",
        params![below, ROWS],
        |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?)),
    )?;
    if let Some(last) = last {
        conn.execute("DELETE FROM journal WHERE key <= ?1", [last])?;
    }
    Ok((rows, samples.unsigned_abs()))
}

/// Takes the batches of before out of the rows that hold others too. Returns how many samples.
fn cut_rows(conn: &Connection, before: i64) -> Inner<u64> {
    let mut writer = RowWriter::default();
    let mut cuts = Vec::new();
    let mut select = conn.prepare("SELECT key, n, data FROM journal WHERE key BETWEEN ?1 AND ?2")?;
    let mut rows = select.query([key::first(before), key::last(before + key::SPREAD + key::BUMP)])?;
    while let Some(row) = rows.next()? {
        let (row_key, all): (i64, u32) = (row.get(0)?, row.get(1)?);
        let data = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        // a damaged row stays until all of its time is over
        if let Some((left, data)) = cut_row(row_key, data, before, &mut writer) {
            cuts.push((row_key, all, left, data));
        }
    }
    let mut samples = 0;
    for (row_key, all, left, data) in cuts {
        samples += u64::from(all.saturating_sub(left));
        if left == 0 {
            conn.execute("DELETE FROM journal WHERE key = ?1", [row_key])?;
        } else {
            let mut update = conn.prepare_cached("UPDATE journal SET n = ?2, data = ?3 WHERE key = ?1")?;
            update.execute(params![row_key, left, data])?;
        }
    }
    Ok(samples)
}

/// A row without its batches of before, and the number of its samples; nothing where it may stay as it is.
fn cut_row(row_key: i64, data: &[u8], before: i64, writer: &mut RowWriter) -> Option<(u32, Vec<u8>)> {
    let row = Row::open(data, row_key).ok()?;
    let run = row.run;
    let mut batches = row.collect::<std::result::Result<Vec<_>, _>>().ok()?;
    let all = batches.len();
    batches.retain(|batch| batch.time(key::millis(row_key)) >= before);
    if batches.len() == all {
        return None;
    }
    writer.begin(run);
    for batch in &batches {
        writer.copy(batch);
    }
    let left = batches.iter().map(|batch| batch.count).sum::<usize>();
    Some((u32::try_from(left).ok()?, writer.finish(row_key).to_vec()))
}

fn delete_gaps(conn: &Connection, before: Timestamp) -> Inner<usize> {
    let mut delete =
        conn.prepare_cached("DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE last < ?1 LIMIT ?2)")?;
    Ok(delete.execute(params![before.as_millis(), ROWS])?)
}

/// The pages of the file.
pub(super) struct Pages {
    all: u64,
    free: u64,
}

impl Pages {
    pub(super) fn of(conn: &Connection) -> Inner<Self> {
        let number = |pragma| -> Inner<u64> {
            let pages: i64 = conn.prepare_cached(pragma)?.query_row([], |row| row.get(0))?;
            Ok(pages.unsigned_abs())
        };
        let (all, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
        Ok(Self { all, free: free.min(all) })
    }

    /// What the file takes.
    pub(super) fn bytes(&self) -> u64 {
        self.all * PAGE
    }

    /// What can be written before the file must grow.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free * PAGE
    }
}

/// Shrinks the file where far more of it is free than new samples will soon take, or where it is too large.
fn give_back(conn: &Connection, max_size: u64) -> Inner<()> {
    let pages = Pages::of(conn)?;
    let plenty = pages.free > FREE_PAGES_KEPT.max(pages.all / 4);
    if pages.free > 0 && (plenty || pages.all * PAGE > max_size) {
        let mut vacuum = conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES_A_CALL})"))?;
        // a row a page
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}
