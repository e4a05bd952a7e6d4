//! What the table knows of a collector: where its series are, and which of its collections are neighbours.

use crate::model::{LocalSeries, SeriesDef, Timestamp};
use std::sync::Arc;

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Collector {
    /// The number of its series that has the first place.
    first: LocalSeries,
    /// Places of its series by its own numbers, from the first on: each version of a plugin counts on where the one before
    /// ended, and the numbers before are nobody's then.
    places: Vec<u32>,
    /// Collections it has brought; one more for each gap, so that samples around a gap are no neighbours.
    pub(super) collections: u64,
    /// Those of them that went well.
    pub(super) complete: u64,
    /// Its interval is so many times the configured one; 0 is 1.
    pub(super) stretch: u32,
    /// The time of its last batch.
    pub(super) last: Option<Timestamp>,
    /// From and to of the gaps that were told since then.
    pub(super) gaps: Option<(Timestamp, Timestamp)>,
    /// Series to which the store could not give a number yet.
    pub(super) unregistered: Vec<(LocalSeries, Arc<SeriesDef>)>,
}

impl Collector {
    /// Counts a collection at `time`; twice after a gap, so that it is nobody's neighbour.
    pub(super) fn count(&mut self, time: Timestamp) {
        self.collections += 1;
        if let Some((from, to)) = self.gaps.filter(|(from, _)| *from < time) {
            if self.last.is_some_and(|last| to > last) {
                self.collections += 1;
            }
            // the rest of a gap that reaches further parts this batch from the next
            self.gaps = (to >= time).then_some((from.max(time), to));
        }
        self.last = Some(time);
    }

    pub(super) fn place(&self, local: LocalSeries) -> Option<usize> {
        let at = local.checked_sub(self.first)? as usize;
        self.places.get(at).filter(|place| **place != NONE).map(|place| *place as usize)
    }

    /// No series has a place; the numbers of those that get one now go from `first` on.
    pub(super) fn begin_places(&mut self, first: LocalSeries) {
        self.places.clear();
        self.first = first;
    }

    /// Gives back what more series needed once.
    pub(super) fn shrink(&mut self) {
        self.places.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.places.capacity()
    }

    pub(super) fn set_place(&mut self, local: LocalSeries, place: u32) {
        if let Some(before) = self.first.checked_sub(local).filter(|before| *before > 0) {
            self.places.splice(0..0, std::iter::repeat_n(NONE, before as usize));
            self.first = local;
        }
        let at = (local - self.first) as usize;
        if at >= self.places.len() {
            self.places.resize(at + 1, NONE);
        }
        if let Some(known) = self.places.get_mut(at) {
            *known = place;
        }
    }

    pub(super) fn clear_place(&mut self, local: LocalSeries) {
        let at = local.checked_sub(self.first).map(|at| at as usize);
        if let Some(known) = at.and_then(|at| self.places.get_mut(at)) {
            *known = NONE;
        }
    }
}
