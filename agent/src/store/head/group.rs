//! One group: its series, and its rows.

use super::pending::PendingRow;
use std::sync::Arc;

/// Series that a group has at most: the bits of a row.
pub(in super::super) const SLOTS: usize = 64;

/// The bit of a slot.
const fn bit(slot: u8) -> u64 {
    1 << (slot as u32 % SLOTS as u32)
}

/// A group of series.
#[derive(Debug)]
pub(in super::super) struct Group {
    /// Its number, under which it is stored.
    pub(in super::super) number: u32,
    /// The collector whose series it has.
    pub(in super::super) collector: Arc<str>,
    /// The series by slot; 0 where there is none.
    ids: Vec<u32>,
    /// Rows that are, or will be, in a segment.
    pub(in super::super) frozen: RowSet,
    /// Whether the frozen rows are in a segment.
    pub(in super::super) written: bool,
    /// The newest rows.
    pub(in super::super) current: RowSet,
    /// The segment that was written last: its part, its number, how many rows it has.
    pub(in super::super) last_segment: Option<(i64, i64, usize)>,
}

impl Group {
    pub(super) fn new(number: u32, collector: Arc<str>) -> Self {
        Self {
            number,
            collector,
            ids: Vec::new(),
            frozen: RowSet::default(),
            written: true,
            current: RowSet::default(),
            last_segment: None,
        }
    }

    pub(super) fn put(&mut self, slot: u8, series: u32) {
        let slot = usize::from(slot);
        if self.ids.len() <= slot {
            self.ids.resize(slot + 1, 0);
        }
        self.ids[slot] = series;
    }

    pub(super) fn clear_slot(&mut self, slot: u8) {
        if let Some(id) = self.ids.get_mut(usize::from(slot)) {
            *id = 0;
        }
        while self.ids.last() == Some(&0) {
            self.ids.pop();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn free_slot(&self) -> Option<u8> {
        self.free_slots().next()
    }

    /// The slots that no series has.
    pub(in super::super) fn free_slots(&self) -> impl Iterator<Item = u8> {
        (0..SLOTS as u8).filter(|slot| self.ids.get(usize::from(*slot)).is_none_or(|id| *id == 0))
    }

    /// How many series it has.
    pub(in super::super) fn len(&self) -> usize {
        self.ids.iter().filter(|id| **id != 0).count()
    }

    /// Its series.
    pub(in super::super) fn series(&self) -> impl Iterator<Item = u32> {
        self.ids.iter().copied().filter(|id| *id != 0)
    }

    /// Appends a row.
    pub(super) fn append(
        &mut self,
        row: &PendingRow,
        values: &[f64; SLOTS],
        run: i64,
        resets: impl Iterator<Item = u8>,
    ) {
        // while rows are added, slots are only ever filled
        if self.current.ids.len() != self.ids.len() || self.current.ids != self.ids {
            self.current.ids.clone_from(&self.ids);
        }
        self.current.push(row, values, run);
        self.current.resets_of(resets);
    }

    /// Makes the current rows the frozen ones, which must have been written.
    pub(in super::super) fn freeze(&mut self) {
        std::mem::swap(&mut self.frozen, &mut self.current);
        self.current.clear();
        self.written = self.frozen.len() == 0;
    }
}

/// Rows of a group: their places (time, run, number), which slots have a sample, and the values row by row.
#[derive(Debug, Default)]
pub(in super::super) struct RowSet {
    /// The series by slot; 0 where there is none.
    ids: Vec<u32>,
    times: Vec<i64>,
    runs: Vec<i64>,
    numbers: Vec<i64>,
    present: Vec<u64>,
    /// A row takes as many values as there are slots, rounded up to a power of two.
    stride: usize,
    values: Vec<f64>,
    /// Row and slot of each sample that began a counter anew.
    resets: Vec<(u32, u8)>,
}

impl RowSet {
    pub(in super::super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(in super::super) fn clear(&mut self) {
        self.ids.clear();
        self.times.clear();
        self.runs.clear();
        self.numbers.clear();
        self.present.clear();
        self.values.clear();
        self.resets.clear();
    }

    /// Appends a row; its values stand by slot.
    pub(super) fn push(&mut self, row: &PendingRow, values: &[f64; SLOTS], run: i64) {
        let slots = self.ids.len();
        if slots > self.stride {
            self.widen(slots.next_power_of_two().clamp(4, SLOTS));
        }
        self.times.push(row.time);
        self.runs.push(run);
        self.numbers.push(row.number);
        self.present.push(row.present);
        self.values.extend_from_slice(&values[..self.stride]);
    }

    /// The samples of the newest row that began a counter anew.
    pub(super) fn resets_of(&mut self, slots: impl Iterator<Item = u8>) {
        let row = self.len().saturating_sub(1) as u32; // far fewer rows than that are ever held
        self.resets.extend(slots.map(|slot| (row, slot)));
    }

    fn widen(&mut self, stride: usize) {
        let mut values = Vec::with_capacity(self.len() * stride);
        for row in self.values.chunks_exact(self.stride.max(1)) {
            values.extend_from_slice(row);
            values.resize(values.len() + stride - self.stride, 0.0);
        }
        (self.values, self.stride) = (values, stride);
    }

    /// The slots in use, each with its series, by ascending series.
    pub(in super::super) fn series(&self) -> Vec<(u32, u8)> {
        let used = self.ids.iter().zip(0_u8..).filter(|(id, _)| **id != 0);
        let mut series: Vec<(u32, u8)> = used.map(|(id, slot)| (*id, slot)).collect();
        series.sort_unstable();
        series
    }

    /// Takes a sample out. Its row stays, until [`drop_empty_rows`](RowSet::drop_empty_rows).
    pub(in super::super) fn drop_sample(&mut self, row: usize, slot: u8) {
        self.present[row] &= !bit(slot);
    }

    /// Takes out the rows without samples.
    pub(in super::super) fn drop_empty_rows(&mut self) {
        if self.present.iter().all(|present| *present != 0) {
            return;
        }
        let mut kept =
            RowSet { ids: std::mem::take(&mut self.ids), stride: self.stride, ..RowSet::default() };
        for row in 0..self.len() {
            if self.present[row] == 0 {
                continue;
            }
            let at = kept.len() as u32;
            let resets = self.resets.iter().filter(|(of, _)| *of as usize == row);
            kept.resets.extend(resets.map(|(_, slot)| (at, *slot)));
            kept.times.push(self.times[row]);
            kept.runs.push(self.runs[row]);
            kept.numbers.push(self.numbers[row]);
            kept.present.push(self.present[row]);
            kept.values.extend_from_slice(&self.values[row * self.stride..(row + 1) * self.stride]);
        }
        *self = kept;
    }

    /// Time, run and number of a row.
    pub(in super::super) fn place(&self, row: usize) -> (i64, i64, i64) {
        (self.times[row], self.runs[row], self.numbers[row])
    }

    /// The oldest time.
    pub(in super::super) fn oldest(&self) -> Option<i64> {
        self.times.iter().copied().min()
    }

    /// The newest time.
    pub(in super::super) fn newest(&self) -> Option<i64> {
        self.times.iter().copied().max()
    }

    /// The samples of a slot, if it has this series.
    pub(super) fn samples_of(&self, slot: u8, series: u32) -> impl Iterator<Item = (usize, f64, bool)> {
        let is_there = self.ids.get(usize::from(slot)) == Some(&series);
        is_there.then(|| self.samples(slot)).into_iter().flatten()
    }

    /// The sample of a slot in a row: the value, whether it began the counter anew.
    pub(in super::super) fn sample(&self, row: usize, slot: u8) -> Option<(f64, bool)> {
        let is_there = self.present[row] & bit(slot) != 0;
        is_there.then(|| {
            let reset = !self.resets.is_empty() && self.resets.contains(&(row as u32, slot));
            (self.values[row * self.stride + usize::from(slot)], reset)
        })
    }

    /// The samples of a slot: row, value, whether it began the counter anew.
    fn samples(&self, slot: u8) -> impl Iterator<Item = (usize, f64, bool)> {
        (0..self.len())
            .filter_map(move |row| self.sample(row, slot).map(|(value, reset)| (row, value, reset)))
    }
}
