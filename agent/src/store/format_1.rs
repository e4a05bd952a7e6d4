//! What an agent that wrote format 1 left: reading alone, for `upgrade.rs`.
//!
//! Samples were journal rows, and stayed it: under a key of time, batches each of which names a layout of the row's hour.
//! The renamed tables: `journal_1`, `layout_1`, `run_1`.

use super::{
    codec::{BatchView, Damage, Row, read_layout},
    error::Inner,
    reader::DamageLog,
};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;

/// A batch lies at most this many milliseconds before its row's time: a minute, and another where the row was moved
/// because its own millisecond was full.
const OLDEST: u64 = 120_000;
const HOUR: i64 = 3_600_000;
const ROW_BITS: u32 = 8;
const LAYOUT_BITS: u32 = 28;

/// The first key of a millisecond.
pub(super) const fn first_key(millis: i64) -> i64 {
    millis << ROW_BITS
}

/// The time of a row, in milliseconds.
pub(super) const fn millis(key: i64) -> i64 {
    key >> ROW_BITS
}

/// The hour of a row: it names the layouts of this hour.
pub(super) const fn hour(key: i64) -> i64 {
    millis(key).div_euclid(HOUR)
}

/// The first key of an hour's layouts.
pub(super) const fn first_layout(hour: i64) -> i64 {
    hour << LAYOUT_BITS
}

/// Whether the samples of a file are still to be taken over, wholly or in part.
pub(super) fn is_there(conn: &Connection) -> Inner<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'journal_1'";
    Ok(conn.query_row(sql, [], |_| Ok(())).optional()?.is_some())
}

/// The key of the oldest row.
pub(super) fn oldest(conn: &Connection) -> Inner<Option<i64>> {
    Ok(conn.prepare_cached("SELECT min(key) FROM journal_1")?.query_row([], |row| row.get(0))?)
}

/// How many samples there are.
pub(super) fn samples(conn: &Connection) -> Inner<u64> {
    let samples: i64 = conn.query_row("SELECT coalesce(sum(n), 0) FROM journal_1", [], |row| row.get(0))?;
    Ok(samples.unsigned_abs())
}

/// The last run, and the time of its newest row. Not simply that of the newest row: the clock may have been set back since.
pub(super) fn last(conn: &Connection) -> Inner<Option<(u32, i64)>> {
    let noted =
        conn.query_row("SELECT number, first_key FROM run_1 ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?))
        });
    let Some((run, first)) = noted.optional()? else {
        let newest: Option<i64> = conn.query_row("SELECT max(key) FROM journal_1", [], |row| row.get(0))?;
        return Ok(newest.map(|newest| (0, millis(newest))));
    };
    let mut select = conn.prepare("SELECT key, data FROM journal_1 WHERE key >= ?1 ORDER BY key DESC")?;
    let mut rows = select.query([first])?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        if Row::open(data, key).is_ok_and(|row| row.run == run) {
            return Ok(Some((run, millis(key))));
        }
    }
    Ok(Some((run, millis(first))))
}

/// The batches of a row and the run it is of, in the order in which the newest sample of one time comes last. What is
/// damaged is noted and left out.
pub(super) fn batches<'a>(
    data: &'a [u8],
    key: i64,
    damages: &DamageLog,
) -> Option<(u32, Vec<BatchView<'a>>)> {
    let row = match Row::open(data, key) {
        Ok(row) => row,
        Err(damage) => {
            damages.note("journal row", key, damage);
            return None;
        }
    };
    let run = row.run;
    let mut batches = Vec::new();
    for batch in row {
        match batch {
            Ok(batch) if batch.age <= OLDEST => batches.push(batch),
            Ok(_) => damages.note("journal row", key, Damage::Malformed("the age of a batch")),
            Err(damage) => damages.note("journal row", key, damage),
        }
    }
    // of batches of one time in a row, the first was the newest to readers
    batches.reverse();
    Some((run, batches))
}

/// The layouts of an hour.
#[derive(Debug, Default)]
pub(super) struct Layouts<T> {
    hour: Option<i64>,
    /// By number: the series, and what the user makes of them.
    known: HashMap<u32, (Vec<u32>, Option<T>)>,
}

impl<T> Layouts<T> {
    /// Reads the layouts of an hour, unless they are the ones at hand.
    pub(super) fn of_hour(&mut self, conn: &Connection, hour: i64, damages: &DamageLog) -> Inner<()> {
        if self.hour == Some(hour) {
            return Ok(());
        }
        self.known.clear();
        let mut select =
            conn.prepare_cached("SELECT key, data FROM layout_1 WHERE key >= ?1 AND key < ?2")?;
        let mut rows = select.query([first_layout(hour), first_layout(hour + 1)])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let mut ids = Vec::new();
            let read = read_layout(data, key, &mut ids);
            match read {
                // no series has the number 0
                Ok(()) if ids.first() != Some(&0) => {
                    let number = (key - first_layout(hour)) as u32; // 28 bits
                    self.known.insert(number, (ids, None));
                }
                Ok(()) => damages.note("layout", key, Damage::Malformed("a series number")),
                Err(damage) => damages.note("layout", key, damage),
            }
        }
        self.hour = Some(hour);
        Ok(())
    }

    /// What was made of a layout, which is made where it was not yet. Nothing where there is no such layout of so many
    /// series.
    pub(super) fn get(
        &mut self,
        number: u32,
        count: usize,
        make: impl FnOnce(&[u32]) -> Inner<T>,
    ) -> Inner<Option<&T>> {
        let Some((ids, made)) = self.known.get_mut(&number).filter(|(ids, _)| ids.len() == count) else {
            return Ok(None);
        };
        match made {
            Some(made) => Ok(Some(made)),
            None => Ok(Some(made.insert(make(ids)?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_time_on_both_sides_of_1970() {
        let times = [-(1 << 54), -HOUR - 1, -HOUR, -1, 0, 1, HOUR - 1, HOUR, 4_102_444_800_000, 1 << 54];
        for pair in times.windows(2) {
            assert!(first_key(pair[0]) < first_key(pair[1]), "{pair:?}");
            assert!(hour(first_key(pair[0])) <= hour(first_key(pair[1])), "{pair:?}");
        }
        for time in times {
            assert_eq!(millis(first_key(time) | 255), time);
            assert_eq!(first_layout(hour(first_key(time))) >> LAYOUT_BITS, time.div_euclid(HOUR));
        }
    }
}
