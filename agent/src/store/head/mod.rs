//! The newest samples, in memory: those that are not in segments yet, and those of the segments before, so that most
//! questions for the newest samples need no file. What is in no segment yet is in the journal, too: it can be made
//! again from it.
//!
//! Series lie in groups of up to 64 which are stored together. A group has rows (a time at which a commit brought samples
//! of it) of two kinds: current ones, to which commits append, and frozen ones, which are or will be written as a segment.

mod group;
mod pending;

pub(super) use group::{Group, RowSet, SLOTS};
pub(super) use pending::Pending;

use super::types::Point;
use crate::model::{SeriesId, Timestamp};
use rustc_hash::FxHashMap;
use std::sync::Arc;

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
    slots: FxHashMap<u32, Slot>,
    /// Where the frozen rows of a series are, if not in its slot.
    moved: FxHashMap<u32, Slot>,
    /// No row outside of the head is newer than this.
    pub(super) stored_until: i64,
    /// Grows whenever a series loses or changes its slot.
    pub(super) generation: u64,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            slots: FxHashMap::default(),
            moved: FxHashMap::default(),
            stored_until: i64::MIN,
            generation: 0,
        }
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
    }

    /// Takes a series out of its slot. Only while its group has no current rows; frozen ones stay.
    pub(super) fn remove(&mut self, series: u32) {
        let Some(slot) = self.slots.remove(&series) else { return };
        if let Some(group) = self.group_mut(slot.group) {
            group.clear_slot(slot.slot);
        }
        self.moved.insert(series, slot);
        self.generation += 1;
    }

    /// Makes the current rows the frozen ones, which must have been written. Groups without series or rows go.
    pub(super) fn freeze(&mut self) {
        self.moved.clear();
        for place in &mut self.groups {
            if let Some(group) = place {
                if let Some(newest) = group.frozen.newest() {
                    self.stored_until = self.stored_until.max(newest);
                }
                group.freeze();
            }
            place.take_if(|group| group.is_empty() && group.frozen.len() == 0);
        }
    }

    /// A slot for a series of a collector: in one of its groups, or in a new one. Nothing where all numbers are taken.
    pub(super) fn free_slot(&self, collector: &str) -> Option<Slot> {
        let roomy = self.groups().filter(|group| *group.collector == *collector);
        if let Some((group, slot)) = roomy.filter_map(|group| Some((group.number, group.free_slot()?))).next()
        {
            return Some(Slot { group, slot });
        }
        let free = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        let group = u32::try_from(free).ok().filter(|group| *group < super::key::GROUPS)?;
        Some(Slot { group, slot: 0 })
    }

    /// A slot of this group.
    pub(super) fn free_slot_of(&self, group: u32) -> Option<Slot> {
        let slot = match self.group(group) {
            Some(group) => group.free_slot()?,
            None => 0,
        };
        (group < super::key::GROUPS).then_some(Slot { group, slot })
    }

    /// Whether the frozen rows have samples of a series.
    pub(super) fn is_frozen(&self, series: u32) -> bool {
        let group = self.slot(series).and_then(|slot| Some((self.group(slot.group)?, slot.slot)));
        group.is_some_and(|(group, slot)| group.frozen.samples_of(slot, series).next().is_some())
    }

    /// The frozen rows of a group are in a segment: its part, its number, how many rows it has.
    pub(super) fn written(&mut self, group: u32, segment: (i64, i64, usize)) {
        if let Some(group) = self.group_mut(group) {
            group.last_segment = Some(segment);
            group.written = true;
        }
    }

    /// How many series have a slot.
    pub(super) fn series(&self) -> usize {
        self.slots.len()
    }

    /// Takes the rows of a commit.
    pub(super) fn apply(&mut self, pending: &Pending, run: u32) {
        for row in pending.rows() {
            if let Some(group) = self.group_mut(row.group) {
                group.append(row, pending.values(row), i64::from(run), Pending::resets(row));
            }
        }
    }

    /// The points of a series that are here, each with the number of its commit, in no order. Some may be in segments as
    /// well.
    pub(super) fn points(&self, series: SeriesId, mut each: impl FnMut(Point, i64)) {
        let now = self.slot(series.0);
        let frozen = self.moved.get(&series.0).copied().or(now);
        let frozen = frozen.and_then(|slot| Some((&self.group(slot.group)?.frozen, slot.slot)));
        let current = now.and_then(|slot| Some((&self.group(slot.group)?.current, slot.slot)));
        for (rows, slot) in [frozen, current].into_iter().flatten() {
            // a slot may have had another series when the rows were frozen
            for (row, value, reset) in rows.samples_of(slot, series.0) {
                let (time, run, number) = rows.place(row);
                let run = u32::try_from(run).unwrap_or(u32::MAX);
                each(Point { time: Timestamp::from_millis(time), value, reset, run }, number);
            }
        }
    }

    /// The times of the oldest and the newest row that is here.
    pub(super) fn extent(&self) -> Option<(i64, i64)> {
        let sets = || self.groups().flat_map(|group| [&group.frozen, &group.current]);
        sets().filter_map(RowSet::oldest).min().zip(sets().filter_map(RowSet::newest).max())
    }
}
