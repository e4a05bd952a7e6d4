//! Takes over what a file of format 1 holds, when the agent opens it: the oldest rows first, in steps, each of which is one
//! transaction that writes samples in their new form and deletes the rows they came from. Whatever ends the process, the
//! next start goes on where it was; the file needs little more room than before, as each step makes room for the next.

use super::{
    codec::{BatchView, Damage},
    error::Inner,
    format_1::{self, Layouts},
    head::Slot,
    key,
    reader::DamageLog,
    transaction::Transaction,
    types::Tier,
    write::{self, Bulk},
};
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// Progress is told this often at most.
const TELL: Duration = Duration::from_secs(5);
/// A row of format 1 has fewer batches than this: numbers of rows are this far apart for each key.
const BATCHES: i64 = 1 << 10;

/// Takes over all that is left of format 1; nothing is left then.
pub(super) fn run(conn: &Connection, damages: &DamageLog) -> Inner<()> {
    if !format_1::is_there(conn)? {
        return Ok(());
    }
    let mut upgrade = Upgrade::begin(conn, damages)?;
    while upgrade.step()? {}
    upgrade.finish()
}

struct Upgrade<'a> {
    conn: &'a Connection,
    damages: &'a DamageLog,
    bulk: Bulk<'a>,
    layouts: Layouts<Vec<Slot>>,
    values: Vec<(f64, bool)>,
    progress: Progress,
}

impl<'a> Upgrade<'a> {
    /// Carries over the number and the end of the last run, before anything that tells of them is deleted.
    fn begin(conn: &'a Connection, damages: &'a DamageLog) -> Inner<Self> {
        let transaction = Transaction::begin(conn)?;
        if write::noted_run(&transaction)?.is_none()
            && let Some((run, time)) = format_1::last(&transaction)?
        {
            write::note_run(&transaction, run, time, 1)?;
        }
        transaction.commit()?;
        let part = format_1::oldest(conn)?.map(part).unwrap_or_default();
        Ok(Self {
            conn,
            damages,
            bulk: Bulk::open(conn, part)?,
            layouts: Layouts::default(),
            values: Vec::new(),
            progress: Progress::begin(format_1::samples(conn)?),
        })
    }

    /// Takes over the oldest rows, of one part at most. Whether there were any.
    fn step(&mut self) -> Inner<bool> {
        let Some(first) = format_1::oldest(self.conn)? else { return Ok(false) };
        self.bulk.enter_part(part(first));
        let transaction = Transaction::begin(self.conn)?;
        let last = self.read(first)?;
        self.bulk.write()?;
        transaction.prepare_cached("DELETE FROM journal_1 WHERE key <= ?1")?.execute([last])?;
        let layouts = format_1::first_layout(format_1::hour(last));
        transaction.prepare_cached("DELETE FROM layout_1 WHERE key < ?1")?.execute([layouts])?;
        transaction.commit()?;
        self.bulk.committed();
        self.progress.tell();
        Ok(true)
    }

    /// Gathers the samples of the rows from this one on. Gives the key of the last one.
    fn read(&mut self, first: i64) -> Inner<i64> {
        let mut select =
            self.conn.prepare_cached("SELECT key, n, data FROM journal_1 WHERE key >= ?1 ORDER BY key")?;
        let mut rows = select.query([first])?;
        let mut last = first;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            if part(key) != part(first) || self.bulk.is_full() {
                break;
            }
            last = key;
            let data = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let expected = row.get::<_, i64>(1)?.unsigned_abs();
            let mut taken = 0;
            if let Some((run, batches)) = format_1::batches(data, key, self.damages) {
                self.layouts.of_hour(self.conn, format_1::hour(key), self.damages)?;
                for batch in &batches {
                    taken += self.take(first, key, run, batch)?;
                }
            }
            self.progress.row(expected, taken);
        }
        Ok(last)
    }

    /// Gathers the samples of a batch. Gives their count.
    fn take(&mut self, first: i64, key: i64, run: u32, batch: &BatchView<'_>) -> Inner<u64> {
        let Self { bulk, layouts, values, damages, .. } = self;
        let Some(slots) = layouts.get(batch.layout, batch.count, |series| bulk.slots(series))? else {
            damages.note("journal row", key, Damage::Malformed("a batch without its layout"));
            return Ok(0);
        };
        values.clear();
        if let Err(damage) = batch.values(|value, reset| values.push((value, reset))) {
            damages.note("journal row", key, damage);
            return Ok(0);
        }
        let time = batch.time(format_1::millis(key));
        bulk.add((time, run, first_number(first, time)), slots, values);
        Ok(values.len() as u64)
    }

    /// Drops the empty tables.
    fn finish(self) -> Inner<()> {
        let transaction = Transaction::begin(self.conn)?;
        transaction.execute_batch("DROP TABLE journal_1; DROP TABLE layout_1; DROP TABLE run_1;")?;
        transaction.commit()?;
        self.progress.end();
        Ok(())
    }
}

/// The part of a row.
const fn part(key: i64) -> i64 {
    key::part(Tier::Raw, format_1::millis(key))
}

/// From which number on a step that begins with this key numbers the rows of a time. A row never has batches of after its
/// own time: of a time that begins with the step or later no step before had any. Of an earlier one they may have: then the
/// number grows with the step, by more than each of its keys could use up.
const fn first_number(first: i64, time: i64) -> i64 {
    let late = first.saturating_sub(format_1::first_key(time));
    if late > 0 { late.saturating_mul(BATCHES) } else { 0 }
}

/// How far it is.
struct Progress {
    begun: Instant,
    told: Instant,
    /// Samples: all, those that were read, those that could not be.
    all: u64,
    done: u64,
    lost: u64,
    lost_rows: u64,
}

impl Progress {
    fn begin(all: u64) -> Self {
        if all > 0 {
            tracing::info!(samples = all, "the store is of an older format; taking its history over");
        }
        let now = Instant::now();
        Self { begun: now, told: now, all, done: 0, lost: 0, lost_rows: 0 }
    }

    /// A row was read: how many samples it had, and how many of them are taken over.
    fn row(&mut self, expected: u64, taken: u64) {
        self.done += expected;
        self.lost += expected.saturating_sub(taken);
        self.lost_rows += u64::from(taken < expected);
    }

    fn tell(&mut self) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            let percent = self.done.saturating_mul(100) / self.all.max(1);
            tracing::info!("taking over the history of the older format: {percent} % done");
        }
    }

    fn end(&self) {
        if self.lost_rows > 0 {
            let Self { lost, lost_rows, .. } = self;
            tracing::warn!(
                rows = lost_rows,
                samples = lost,
                "damaged rows of the older format were left out"
            );
        }
        if self.all > 0 {
            let seconds = self.begun.elapsed().as_secs_f64();
            tracing::info!(seconds, "the history is taken over; the file is of the new format");
        }
    }
}

#[cfg(test)]
mod tests;
