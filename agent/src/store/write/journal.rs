//! The journal: what a commit brings, before and until it is in segments. A row a commit, as a rule.

use super::super::{
    codec::{JournalBatch, JournalDecoder, JournalEncoder, JournalRow},
    error::Inner,
    head::{Pending, Slot},
    reader::DamageLog,
    types::{StoredBatch, StoredSample},
};
use super::table::{Places, is_long};
use rusqlite::{Connection, params};

/// A chain of rows that need one another has at most so many: the most that one damaged row can cost.
const CHAIN: u32 = 24;

/// The writer of the journal.
#[derive(Debug)]
pub(super) struct Journal {
    encoder: JournalEncoder,
    /// The number of the next row.
    pub(super) next: i64,
    /// Rows of the chain; nothing where the next row begins one.
    chain: Option<u32>,
    /// The slots of each layout of the chain.
    slots: Vec<Vec<Slot>>,
    /// For which state of the head the slots hold.
    generation: u64,
    rows: Vec<Row>,
    places: Places,
    sorted: Vec<StoredSample>,
    /// Rows and bytes since the last segments were begun.
    pub(super) rows_since: usize,
    pub(super) bytes_since: usize,
}

/// A row to be written.
#[derive(Debug)]
struct Row {
    place: usize,
    key: i64,
    samples: usize,
    data: Vec<u8>,
}

impl Journal {
    pub(super) fn new(next: i64) -> Self {
        Self {
            encoder: JournalEncoder::default(),
            next,
            chain: None,
            slots: Vec::new(),
            generation: 0,
            rows: Vec::new(),
            places: Places::default(),
            sorted: Vec::new(),
            rows_since: 0,
            bytes_since: 0,
        }
    }

    /// The next row begins a chain: what was encoded was not written, or rows before it will be gone.
    pub(super) fn break_chain(&mut self) {
        self.chain = None;
        self.rows.clear();
        self.places.begin();
    }

    /// Encodes the batches of a commit, and puts their samples together as rows of the head. `newest`: the newest of their
    /// times, in milliseconds. `slot` finds the slot of a series; `generation` grows when slots change.
    pub(super) fn encode(
        &mut self,
        batches: &[StoredBatch],
        (run, newest): (u32, i64),
        generation: u64,
        pending: &mut Pending,
        slot: impl Fn(&StoredSample) -> Option<Slot>,
    ) {
        self.rows.clear();
        self.places.begin();
        let mut sorted = std::mem::take(&mut self.sorted);
        let (mut open, mut highest, mut count) = (false, 0, 0);
        for batch in batches.iter().filter(|batch| !batch.samples.is_empty()) {
            if open && self.encoder.is_full() {
                self.end_row(highest, count);
                open = false;
            }
            if !open {
                self.begin_row(run, newest, generation);
                (open, highest, count) = (true, 0, 0);
            }
            let samples = in_order(&batch.samples, &mut sorted);
            let layout = self.encoder.batch(samples);
            if self.slots.len() <= layout {
                self.slots.push(samples.iter().filter_map(&slot).collect());
            }
            let slots = &self.slots[layout];
            let time = super::super::key::storable(batch.time);
            let mut number = 0;
            while pending.has_any(slots, time, self.next + i64::from(number)) {
                number += 1;
            }
            highest = highest.max(number);
            count += samples.len();
            self.encoder.samples(layout, time, number, samples);
            let values = slots.iter().zip(samples).map(|(slot, sample)| (*slot, sample.value, sample.reset));
            pending.add(time, self.next + i64::from(number), values);
        }
        if open {
            self.end_row(highest, count);
        }
        self.sorted = sorted;
    }

    fn begin_row(&mut self, run: u32, time: i64, generation: u64) {
        let first = self.chain.is_none_or(|rows| rows >= CHAIN)
            || self.generation != generation
            || self.encoder.is_full();
        if first {
            self.slots.clear();
            self.chain = Some(0);
            self.generation = generation;
        }
        self.chain = self.chain.map(|rows| rows + 1);
        self.encoder.begin(first, run, time);
    }

    fn end_row(&mut self, highest: u32, samples: usize) {
        let key = self.next;
        let mut data = self.encoder.finish(key).to_vec();
        let room = self.places.take(key, data.len());
        data.resize(room.bytes, 0);
        self.rows.push(Row { place: room.place, key, samples, data });
        self.next = key + i64::from(highest) + 1;
    }

    /// Writes what was encoded. Gives the bytes.
    pub(super) fn write(&mut self, conn: &Connection) -> Inner<usize> {
        let mut bytes = 0;
        for row in &self.rows {
            // of what fits into one page REPLACE is the cheaper; but it frees the further pages of the row before and
            // takes others, even for a row of the same size
            let mut put = conn.prepare_cached(if is_long(row.data.len()) {
                "INSERT INTO journal(place, key, n, data) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (place) DO UPDATE SET key = ?2, n = ?3, data = ?4"
            } else {
                "INSERT OR REPLACE INTO journal(place, key, n, data) VALUES (?1, ?2, ?3, ?4)"
            })?;
            put.execute(params![row.place as i64, row.key, row.samples as i64, row.data])?;
            bytes += row.data.len();
        }
        Ok(bytes)
    }

    /// The places of a table, with the keys of their rows; those before `from` are in segments.
    pub(super) fn load(&mut self, conn: &Connection, from: i64) -> Inner<()> {
        let mut select = conn.prepare("SELECT place, key, length(data) FROM journal ORDER BY place")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            self.places.load(row.get::<_, i64>(0)? as usize, row.get(1)?, row.get::<_, i64>(2)? as usize);
        }
        self.reuse(from);
        Ok(())
    }

    /// The rows before this key are in segments: their places are free.
    pub(super) fn reuse(&mut self, from: i64) {
        self.places.reuse(from);
    }

    /// Gives back the places that a flood has left, at the end of the table.
    pub(super) fn trim(&mut self, conn: &Connection, from: i64) -> Inner<()> {
        if let Some(last) = self.places.trim(from) {
            conn.prepare_cached("DELETE FROM journal WHERE place >= ?1")?.execute([last as i64])?;
        }
        Ok(())
    }

    /// Gives back the pages of all rows that are in segments.
    pub(super) fn free_places(&mut self, conn: &Connection) -> Inner<()> {
        let from = super::journal_from(conn)?;
        if conn.prepare_cached("DELETE FROM journal WHERE key < ?1")?.execute([from])? > 0 {
            self.places.emptied();
        }
        Ok(())
    }

    /// What was written is committed.
    pub(super) fn committed(&mut self) {
        self.rows_since += self.rows.len();
        self.bytes_since += self.rows.iter().map(|row| row.data.len()).sum::<usize>();
        self.places.committed();
        self.rows.clear();
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

/// Reads the rows of the journal from a key on, in their order. Damaged rows are noted and skipped, with those that need them.
pub(in super::super) fn replay(
    conn: &Connection,
    from: i64,
    damages: &DamageLog,
    mut each: impl FnMut(i64, JournalRow, &JournalBatch),
) -> Inner<()> {
    let mut decoder = JournalDecoder::default();
    let mut select = conn.prepare_cached("SELECT key, data FROM journal WHERE key >= ?1 ORDER BY key")?;
    let mut rows = select.query([from])?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        if let Err(damage) = decoder.read(data, key, |row, batch| each(key, row, batch)) {
            damages.note("journal row", key, damage);
        }
    }
    Ok(())
}
