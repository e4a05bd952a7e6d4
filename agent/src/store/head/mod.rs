//! The newest samples, in memory: those that are not in segments yet, and those of the segments before, so that most
//! questions for the newest samples need no file. The journal has them all: what is here can be made again from it.
//!
//! Series lie in groups of up to 64 which are stored together. A group has rows (a time at which a commit brought samples
//! of it) of two kinds: current ones, to which commits append, and frozen ones, which are or will be written as a segment.

mod group;
mod pending;

pub(super) use group::{Group, RowSet, SLOTS};
pub(super) use pending::{Pending, PendingRow};

use super::types::Point;
use crate::model::{SeriesId, Timestamp};
use std::{collections::HashMap, sync::Arc};

/// Where a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The number of the group.
    pub(super) group: u32,
    /// Its place there.
    pub(super) slot: u8,
}

/// All groups, and where each series is.
#[derive(Debug)]
pub(super) struct Head {
    /// By number; numbers are used again.
    groups: Vec<Option<Group>>,
    slots: HashMap<u32, Slot>,
    /// No row outside of the head is newer than this.
    pub(super) stored_until: i64,
    /// Grows whenever a series gets, loses or changes its slot.
    pub(super) generation: u64,
}

impl Default for Head {
    fn default() -> Self {
        Self { groups: Vec::new(), slots: HashMap::new(), stored_until: i64::MIN, generation: 0 }
    }
}

impl Head {
    pub(super) fn slot(&self, series: u32) -> Option<Slot> {
        self.slots.get(&series).copied()
    }

    pub(super) fn group(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)?.as_ref()
    }

    pub(super) fn group_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.groups.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flatten()
    }

    pub(super) fn groups_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.iter_mut().flatten()
    }

    /// Puts a series into a slot.
    pub(super) fn put(&mut self, series: u32, slot: Slot, collector: &Arc<str>) {
        let index = slot.group as usize;
        if self.groups.len() <= index {
            self.groups.resize_with(index + 1, || None);
        }
        let group = self.groups[index].get_or_insert_with(|| Group::new(slot.group, collector.clone()));
        group.put(slot.slot, series);
        self.slots.insert(series, slot);
        self.generation += 1;
    }

    /// Takes a series out of its slot; an empty group goes.
    pub(super) fn remove(&mut self, series: u32) {
        let Some(slot) = self.slots.remove(&series) else { return };
        if let Some(group) = self.group_mut(slot.group) {
            group.clear_slot(slot.slot);
            if group.is_empty() {
                self.groups[slot.group as usize] = None;
            }
        }
        self.generation += 1;
    }

    /// A slot for a series of a collector: in one of its groups, or in a new one. Nothing where all numbers are taken.
    pub(super) fn free_slot(&self, collector: &str) -> Option<Slot> {
        let roomy = self.groups().filter(|group| *group.collector == *collector);
        if let Some((group, slot)) = roomy.filter_map(|group| Some((group.number, group.free_slot()?))).next() {
            return Some(Slot { group, slot });
        }
        let free = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        let group = u32::try_from(free).ok().filter(|group| *group < super::key::GROUPS)?;
        Some(Slot { group, slot: 0 })
    }

    /// How many series have a slot.
    pub(super) fn series(&self) -> usize {
        self.slots.len()
    }

    /// Takes the rows of a commit.
    pub(super) fn apply(&mut self, pending: &Pending, run: u32) {
        for row in pending.rows() {
            if let Some(group) = self.group_mut(row.group) {
                group.current.push(row, pending.values(row), i64::from(run), group.slots());
                group.current.resets_of(pending.resets(row));
            }
        }
    }

    /// The points of a series that are here, in no order. Some may be in segments as well.
    pub(super) fn points(&self, series: SeriesId, mut each: impl FnMut(Point, i64)) {
        let Some(slot) = self.slot(series.0) else { return };
        let Some(group) = self.group(slot.group) else { return };
        for rows in [&group.frozen, &group.current] {
            for (row, value, reset) in rows.samples(slot.slot) {
                let (time, run, number) = rows.place(row);
                let run = u32::try_from(run).unwrap_or(u32::MAX);
                each(Point { time: Timestamp::from_millis(time), value, reset, run }, number);
            }
        }
    }

    /// The times of the oldest row that is here and not in a segment.
    pub(super) fn oldest(&self) -> Option<i64> {
        let of = |group: &Group| {
            let unwritten = [(!group.written).then_some(&group.frozen), Some(&group.current)];
            unwritten.into_iter().flatten().filter_map(RowSet::oldest).min()
        };
        self.groups().filter_map(of).min()
    }
}
