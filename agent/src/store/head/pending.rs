//! The rows that a commit adds, put together before anything is written: what fails then leaves nothing behind.

use super::{SLOTS, Slot};

/// No row.
const NONE: u32 = u32::MAX;

/// A row to be.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct PendingRow {
    /// The number of the group.
    pub(in super::super) group: u32,
    /// Milliseconds.
    pub(in super::super) time: i64,
    /// The number of the commit.
    pub(in super::super) number: i64,
    /// Which slots have a sample.
    pub(in super::super) present: u64,
    index: u32,
    /// The row of the same group before it.
    before: u32,
}

/// The rows of one commit.
#[derive(Debug, Default)]
pub(in super::super) struct Pending {
    rows: Vec<PendingRow>,
    values: Vec<[f64; SLOTS]>,
    /// Row and slot.
    resets: Vec<(u32, u8)>,
    /// The last row of each group.
    last: Vec<u32>,
}

impl Pending {
    pub(in super::super) fn clear(&mut self) {
        for row in &self.rows {
            self.last[row.group as usize] = NONE;
        }
        self.rows.clear();
        self.values.clear();
        self.resets.clear();
    }

    /// The row of a group at a time, under a number.
    fn find(&self, group: u32, time: i64, number: i64) -> Option<usize> {
        let mut at = self.last.get(group as usize).copied().unwrap_or(NONE);
        while let Some(row) = self.rows.get(at as usize) {
            if (row.time, row.number) == (time, number) {
                return Some(at as usize);
            }
            at = row.before;
        }
        None
    }

    /// Whether one of these slots has a sample at this time, under this number.
    pub(in super::super) fn has_any(&self, slots: &[Slot], time: i64, number: i64) -> bool {
        if !self.rows.iter().any(|row| (row.time, row.number) == (time, number)) {
            return false;
        }
        slots.iter().any(|slot| {
            let row = self.find(slot.group, time, number);
            row.is_some_and(|row| self.rows[row].present >> slot.slot & 1 == 1)
        })
    }

    /// Adds a batch: for each sample its slot, its value, and whether it began the counter anew.
    pub(in super::super) fn add(
        &mut self,
        time: i64,
        number: i64,
        samples: impl Iterator<Item = (Slot, f64, bool)>,
    ) {
        let mut row = usize::MAX;
        let mut group = NONE;
        for (slot, value, reset) in samples {
            if slot.group != group {
                group = slot.group;
                row = self.find(group, time, number).unwrap_or_else(|| self.begin(group, time, number));
            }
            self.rows[row].present |= 1 << slot.slot;
            self.values[row][usize::from(slot.slot)] = value;
            if reset {
                self.resets.push((row as u32, slot.slot));
            }
        }
    }

    fn begin(&mut self, group: u32, time: i64, number: i64) -> usize {
        let index = self.rows.len();
        if self.last.len() <= group as usize {
            self.last.resize(group as usize + 1, NONE);
        }
        let before = std::mem::replace(&mut self.last[group as usize], index as u32);
        self.rows.push(PendingRow { group, time, number, present: 0, index: index as u32, before });
        self.values.push([0.0; SLOTS]);
        index
    }

    /// The rows.
    pub(in super::super) fn rows(&self) -> &[PendingRow] {
        &self.rows
    }

    /// The values of a row, by slot.
    pub(in super::super) fn values(&self, row: &PendingRow) -> &[f64; SLOTS] {
        &self.values[row.index as usize]
    }

    /// The slots of a row whose sample began a counter anew.
    pub(in super::super) fn resets(&self, row: &PendingRow) -> impl Iterator<Item = u8> {
        self.resets.iter().filter(move |(of, _)| *of == row.index).map(|(_, slot)| *slot)
    }
}
