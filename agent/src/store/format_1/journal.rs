//! Writing the journal: which batches share a row, under which key, and which layouts the rows name.

use super::{
    codec::{Row, RowWriter, write_layout},
    error::{Failure, Inner},
    key,
    types::{StoredBatch, StoredSample},
};
use crate::model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// Layouts that the writer remembers (half a kilobyte each at most); a forgotten one is written again, which costs bytes
/// and nothing else.
const KNOWN_LAYOUTS: usize = 1024;

/// A row takes another batch only if it stays below this.
const ROW_BYTES: usize = 1000;
/// A batch of more samples is stored as several.
const BATCH_SAMPLES: usize = 128;

/// What a commit wrote to the journal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// Bytes of all rows.
    pub(super) bytes: usize,
    /// The key of the row of the newest batches.
    pub(super) newest: Option<i64>,
}

/// The writer of journal rows. Whatever it remembers holds only while its transactions are committed:
/// [`Journal::forget`] after one that was not.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The largest key, where it is known.
    largest: Option<i64>,
    layouts: Layouts,
    row: RowWriter,
    order: Vec<usize>,
    sorted: Vec<StoredSample>,
}

impl Journal {
    /// Forgets what was read from the file or written to it.
    pub(super) fn forget(&mut self) {
        self.largest = None;
        self.layouts.forget();
    }

    /// Appends batches: those within a minute of one another share rows.
    pub(super) fn append(&mut self, conn: &Connection, run: u32, batches: &[StoredBatch]) -> Inner<Written> {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend((0..batches.len()).filter(|at| !batches[*at].samples.is_empty()));
        let time = |at: &usize| key::storable(batches[*at].time);
        order.sort_by_key(|at| std::cmp::Reverse(time(at)));
        let mut written = Written::default();
        for group in groups(&order, |newest, at| time(newest) - time(at) <= key::SPREAD) {
            self.append_group(conn, run, group.iter().map(|at| &batches[*at]), &mut written)?;
        }
        self.order = order;
        Ok(written)
    }

    /// Appends batches that lie close together, the newest first, as rows of a kilobyte: they fill SQLite's pages well,
    /// and who reads one series reads past little else.
    fn append_group<'a>(
        &mut self,
        conn: &Connection,
        run: u32,
        batches: impl Iterator<Item = &'a StoredBatch>,
        written: &mut Written,
    ) -> Inner<()> {
        let mut sorted = std::mem::take(&mut self.sorted);
        // the key of the row that is being filled, and how many samples it has
        let mut filling: Option<(i64, usize)> = None;
        let mut newest = None;
        for batch in batches {
            let millis = key::storable(batch.time);
            let newest = *newest.get_or_insert(millis);
            for samples in in_order(&batch.samples, &mut sorted).chunks(BATCH_SAMPLES) {
                if self.row.encode(samples) > ROW_BYTES
                    && let Some((row_key, count)) = filling.take()
                {
                    self.insert(conn, row_key, count, written)?;
                }
                let (row_key, count) = match filling {
                    Some(filling) => filling,
                    None => {
                        self.row.begin(run);
                        (self.free_key(conn, newest)?, 0)
                    }
                };
                let layout = self.layouts.number(conn, key::hour(key::millis(row_key)), samples)?;
                self.row.push(key::millis(row_key).abs_diff(millis), layout, samples.len());
                filling = Some((row_key, count + samples.len()));
            }
        }
        self.sorted = sorted;
        match filling {
            Some((row_key, count)) => self.insert(conn, row_key, count, written),
            None => Ok(()),
        }
    }

    fn insert(&mut self, conn: &Connection, row_key: i64, count: usize, written: &mut Written) -> Inner<()> {
        let data = self.row.finish(row_key);
        let mut insert = conn.prepare_cached("INSERT INTO journal(key, n, data) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![row_key, count as i64, data])?;
        self.largest = self.largest.max(Some(row_key));
        written.bytes += data.len();
        written.newest.get_or_insert(row_key);
        Ok(())
    }

    /// A key that no row has, at this millisecond or as soon as possible after it.
    fn free_key(&mut self, conn: &Connection, millis: i64) -> Inner<i64> {
        let largest = match self.largest {
            Some(known) => Some(known),
            None => conn.query_row("SELECT max(key) FROM journal", [], |row| row.get(0))?,
        };
        self.largest = largest;
        if largest.is_none_or(|largest| largest < key::first(millis)) {
            return Ok(key::first(millis));
        }
        // the clock was set back, or stands still
        let mut select = conn.prepare_cached("SELECT max(key) FROM journal WHERE key BETWEEN ?1 AND ?2")?;
        for candidate in millis..millis + key::BUMP {
            let (first, last) = (key::first(candidate), key::last(candidate));
            let taken: Option<i64> = select.query_row([first, last], |row| row.get(0))?;
            match taken {
                None => return Ok(first),
                Some(taken) if taken < last => return Ok(taken + 1),
                Some(_) => {}
            }
        }
        Err(Failure::Exhausted("row at this time: does the clock stand still"))
    }
}

/// The samples by ascending series number, each series once: the last of a series that stands twice.
fn in_order<'a>(samples: &'a [StoredSample], sorted: &'a mut Vec<StoredSample>) -> &'a [StoredSample] {
    if samples.is_sorted_by(|a, b| a.series < b.series) {
        return samples;
    }
    sorted.clear();
    sorted.extend_from_slice(samples);
    sorted.sort_by_key(|sample| sample.series);
    sorted.dedup_by(|later, kept| {
        let same = later.series == kept.series;
        if same {
            *kept = *later;
        }
        same
    });
    sorted
}

/// Splits what is sorted into runs whose members belong to their first one.
fn groups<T>(sorted: &[T], belongs: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = &[T]> {
    let mut rest = sorted;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let end = rest.iter().position(|other| !belongs(first, other)).unwrap_or(rest.len());
        let (group, after) = rest.split_at(end);
        rest = after;
        Some(group)
    })
}

/// The layouts of the hour that is written.
#[derive(Debug, Default)]
struct Layouts {
    hour: Option<i64>,
    next: u32,
    uses: u64,
    known: Vec<Known>,
    buf: Vec<u8>,
}

#[derive(Debug)]
struct Known {
    number: u32,
    used: u64,
    ids: Vec<u32>,
}

impl Layouts {
    fn forget(&mut self) {
        self.hour = None;
        self.known.clear();
    }

    /// The number of the layout of these samples within an hour; writes the layout where it is new.
    fn number(&mut self, conn: &Connection, hour: i64, samples: &[StoredSample]) -> Inner<u32> {
        if self.hour != Some(hour) {
            self.forget();
            self.next = next_layout(conn, hour)?;
            self.hour = Some(hour);
        }
        self.uses += 1;
        let ids = samples.iter().map(|sample| sample.series.0);
        let same = |known: &&mut Known| {
            known.ids.len() == samples.len() && known.ids.iter().copied().eq(ids.clone())
        };
        if let Some(known) = self.known.iter_mut().find(same) {
            known.used = self.uses;
            return Ok(known.number);
        }
        if self.next > key::LAST_LAYOUT {
            return Err(Failure::Exhausted("layout of this hour"));
        }
        let (number, ids) = (self.next, ids.collect::<Vec<u32>>());
        let row_key = key::layout(hour, number);
        write_layout(&mut self.buf, row_key, &ids);
        let mut insert = conn.prepare_cached("INSERT INTO layout(key, data) VALUES (?1, ?2)")?;
        insert.execute(params![row_key, self.buf])?;
        self.next += 1;
        if self.known.len() >= KNOWN_LAYOUTS {
            let oldest =
                self.known.iter().enumerate().min_by_key(|(_, known)| known.used).map_or(0, |(at, _)| at);
            self.known.swap_remove(oldest);
        }
        self.known.push(Known { number, used: self.uses, ids });
        Ok(number)
    }
}

fn next_layout(conn: &Connection, hour: i64) -> Inner<u32> {
    let range = [key::layout(hour, 0), key::layout(hour, key::LAST_LAYOUT)];
    let last: Option<i64> =
        conn.query_row("SELECT max(key) FROM layout WHERE key BETWEEN ?1 AND ?2", range, |row| row.get(0))?;
    Ok(last.map_or(0, |last| key::layout_parts(last).1 + 1))
}

/// The number of the last run that wrote samples; 0 before the first.
pub(super) fn last_run(conn: &Connection) -> Inner<u32> {
    Ok(conn.query_row("SELECT coalesce(max(number), 0) FROM run", [], |row| row.get(0))?)
}

/// Notes that a run has begun to write, with a row under this key.
pub(super) fn begin_run(conn: &Connection, run: u32, first_key: i64) -> Inner<()> {
    conn.execute("DELETE FROM run", [])?;
    conn.execute("INSERT INTO run(number, first_key) VALUES (?1, ?2)", params![run, first_key])?;
    Ok(())
}

/// The time of the newest row of the last run. Not simply of the newest row: the clock may have been set back since.
pub(super) fn last_commit(conn: &Connection) -> Inner<Option<Timestamp>> {
    let last = conn.query_row("SELECT number, first_key FROM run ORDER BY number DESC LIMIT 1", [], |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?))
    });
    if let Some((run, first_key)) = last.optional()? {
        let mut select =
            conn.prepare_cached("SELECT key, data FROM journal WHERE key >= ?1 ORDER BY key DESC")?;
        let mut rows = select.query([first_key])?;
        while let Some(row) = rows.next()? {
            let row_key = row.get(0)?;
            let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if Row::open(data, row_key).is_ok_and(|row| row.run == run) {
                return Ok(Some(Timestamp::from_millis(key::millis(row_key))));
            }
        }
    }
    let newest: Option<i64> = conn.query_row("SELECT max(key) FROM journal", [], |row| row.get(0))?;
    Ok(newest.map(|newest| Timestamp::from_millis(key::millis(newest))))
}
