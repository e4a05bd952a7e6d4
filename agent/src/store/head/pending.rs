//! The rows that a commit adds, put together before anything is written: what fails then leaves nothing behind.

use super::{SLOTS, Slot};
use std::collections::HashMap;

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
    /// Which slots have one that began a counter anew.
    resets: u64,
    index: u32,
}

/// The rows of one commit.
#[derive(Debug, Default)]
pub(in super::super) struct Pending {
    rows: Vec<PendingRow>,
    values: Vec<[f64; SLOTS]>,
    /// The row of a group at a time, under a number: an import brings thousands of times at once.
    places: HashMap<(u32, i64, i64), u32>,
}

impl Pending {
    pub(in super::super) fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
        self.places.clear();
    }

    /// The row of a group at a time, under a number.
    fn find(&self, group: u32, time: i64, number: i64) -> Option<usize> {
        self.places.get(&(group, time, number)).map(|row| *row as usize)
    }

    /// Whether one of these slots has a sample at this time, under this number.
    pub(in super::super) fn has_any(&self, slots: &[Slot], time: i64, number: i64) -> bool {
        // series that follow one another are of one group, as a rule
        slots.chunk_by(|a, b| a.group == b.group).any(|slots| {
            let row = self.find(slots[0].group, time, number); // a chunk is never empty
            row.is_some_and(|row| slots.iter().any(|slot| self.rows[row].present >> slot.slot & 1 == 1))
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
        let mut group = None;
        for (slot, value, reset) in samples {
            if group != Some(slot.group) {
                group = Some(slot.group);
                let found = self.find(slot.group, time, number);
                row = found.unwrap_or_else(|| self.begin(slot.group, time, number));
            }
            self.rows[row].present |= 1 << slot.slot;
            self.rows[row].resets |= u64::from(reset) << slot.slot;
            self.values[row][usize::from(slot.slot)] = value;
        }
    }

    fn begin(&mut self, group: u32, time: i64, number: i64) -> usize {
        let index = self.rows.len();
        self.places.insert((group, time, number), index as u32);
        self.rows.push(PendingRow { group, time, number, present: 0, resets: 0, index: index as u32 });
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

    /// The slots of a row whose sample began a counter anew, ascending.
    pub(in super::super) fn resets(row: &PendingRow) -> impl Iterator<Item = u8> {
        let resets = row.resets;
        (0..SLOTS as u8).filter(move |slot| resets >> slot & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(group: u32, slot: u8) -> Slot {
        Slot { group, slot }
    }

    #[test]
    fn batches_of_one_time_and_number_share_the_rows_of_their_groups() {
        let mut pending = Pending::default();
        pending.add(10, 1, [(slot(0, 63), 1.0, true), (slot(1, 0), 2.0, false)].into_iter());
        pending.add(20, 1, std::iter::once((slot(0, 0), 3.0, false)));
        pending.add(10, 1, [(slot(0, 2), 4.0, true), (slot(2, 5), 5.0, false)].into_iter());
        let rows: Vec<_> = pending.rows().iter().map(|row| (row.group, row.time, row.present)).collect();
        assert_eq!(rows, [(0, 10, 1 << 63 | 1 << 2), (1, 10, 1), (0, 20, 1), (2, 10, 1 << 5)]);
        let first = pending.rows()[0];
        assert_eq!(Pending::resets(&first).collect::<Vec<_>>(), [2, 63]);
        assert_eq!((pending.values(&first)[2], pending.values(&first)[63]), (4.0, 1.0));
        assert!(pending.has_any(&[slot(1, 1), slot(0, 1), slot(0, 2)], 10, 1));
        assert!(!pending.has_any(&[slot(0, 2)], 20, 1) && !pending.has_any(&[slot(0, 2)], 10, 2));
        pending.clear();
        assert!(pending.rows().is_empty() && !pending.has_any(&[slot(0, 2)], 10, 1));
    }
}
