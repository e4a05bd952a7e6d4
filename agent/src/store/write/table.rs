//! The places of the journal's table, which are used again: SQLite then has no page to free, to take or to link, and a
//! commit changes one page more often than not.

use crate::store::schema::PAGE;
use std::collections::VecDeque;

/// A table of no more places than this is never trimmed.
const KEPT: usize = 512;
/// So many bytes of a row fit into the page of the table itself, beside what SQLite needs.
const IN_PAGE: usize = PAGE as usize - 64;
/// So many more fit into each further page of the row.
const MORE: usize = PAGE as usize - 4;

/// What is in a place.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The row's key.
    key: i64,
    /// The bytes of its blob.
    bytes: usize,
}

/// Where a row is to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) place: usize,
    /// The row's bytes, and what fills the room up. SQLite overwrites a row by one of the same size where it stands.
    pub(super) bytes: usize,
}

/// The places of the table.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    /// Places whose row is in segments, the one to be used next first.
    free: VecDeque<usize>,
    /// The rooms that the transaction under way uses, and their keys.
    taken: Vec<(Room, i64)>,
    /// It takes the places from this one on away.
    trimmed: Option<usize>,
}

impl Places {
    /// Notes what is in a place of the file, by ascending place.
    pub(super) fn load(&mut self, place: usize, key: i64, bytes: usize) {
        if place > self.places.len() + KEPT {
            return; // no writer leaves such a hole
        }
        self.places.resize(place.max(self.places.len()), Place { key: i64::MIN, bytes: 0 });
        self.places.push(Place { key, bytes });
    }

    /// The rows before this key are in segments: their places are free.
    pub(super) fn reuse(&mut self, from: i64) {
        self.free = (0..self.places.len()).filter(|place| self.places[*place].key < from).collect();
    }

    /// The rows that are in segments are gone from the file.
    pub(super) fn emptied(&mut self) {
        for place in &self.free {
            self.places[*place].bytes = 0;
        }
    }

    /// Nothing is written of what was to be written.
    pub(super) fn begin(&mut self) {
        self.taken.clear();
        self.trimmed = None;
    }

    /// Where the next row of the transaction goes.
    pub(super) fn take(&mut self, key: i64, bytes: usize) -> Room {
        let room = self.room(bytes);
        self.taken.push((room, key));
        room
    }

    fn room(&self, bytes: usize) -> Room {
        let is_free = |place: &usize| self.taken.iter().all(|(taken, _)| taken.place != *place);
        let free = || self.free.iter().copied().filter(is_free);
        if is_long(bytes) {
            // what it would waste is less than to write the lists of pages anew
            let fits = bytes..=bytes + bytes / 4 + MORE;
            let fitting = free().filter(|place| fits.contains(&self.places[*place].bytes));
            if let Some(place) = fitting.min_by_key(|place| self.places[*place].bytes) {
                return Room { place, bytes: self.places[place].bytes };
            }
        }
        // small rows are not to take the large rooms, nor is a row of no room another one's
        let small = free().find(|place| !is_long(self.places[*place].bytes));
        let added = self.taken.iter().filter(|(taken, _)| taken.place >= self.places.len()).count();
        let place = small.or_else(|| free().next()).unwrap_or(self.places.len() + added);
        Room { place, bytes: whole_pages(bytes) }
    }

    /// The transaction gives back the places that a flood has left at the end of the table: from which one on.
    pub(super) fn trim(&mut self, from: i64) -> Option<usize> {
        let live = self.places.iter().filter(|place| place.key >= from).count() + self.taken.len();
        let kept = KEPT.max(4 * live);
        if self.places.len() > kept && self.places[kept..].iter().all(|place| place.key < from) {
            let written = self.taken.iter().map(|(room, _)| room.place + 1).max().unwrap_or(0);
            self.trimmed = Some(kept.max(written));
        }
        self.trimmed
    }

    /// What was written is committed.
    pub(super) fn committed(&mut self) {
        for (Room { place, bytes }, key) in self.taken.drain(..) {
            if let Some(at) = self.free.iter().position(|free| *free == place) {
                self.free.remove(at);
            }
            let known = Place { key, bytes };
            match self.places.get_mut(place) {
                Some(before) => *before = known,
                None => self.places.push(known),
            }
        }
        if let Some(kept) = self.trimmed.take() {
            self.places.truncate(kept);
            self.free.retain(|place| *place < kept);
        }
    }
}

/// Whether a row of so many bytes needs further pages.
pub(super) const fn is_long(bytes: usize) -> bool {
    bytes > IN_PAGE
}

/// The bytes that a row of so many bytes has, the pages filled that it needs anyway.
fn whole_pages(bytes: usize) -> usize {
    if is_long(bytes) { IN_PAGE + (bytes - IN_PAGE).next_multiple_of(MORE) } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(places: &mut Places, key: i64, bytes: usize) -> Room {
        places.begin();
        let room = places.take(key, bytes);
        places.committed();
        room
    }

    #[test]
    fn rows_come_where_one_of_their_size_was() {
        let mut places = Places::default();
        let sizes = [9_000, 200, 28_000, 9_500, 300];
        let first: Vec<Room> = (1..).zip(sizes).map(|(key, bytes)| put(&mut places, key, bytes)).collect();
        assert_eq!(first.iter().map(|room| room.place).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(first.iter().zip(sizes).all(|(room, bytes)| (bytes..bytes + MORE).contains(&room.bytes)));
        assert_eq!((first[1].bytes, first[4].bytes), (200, 300));
        places.reuse(6);
        let again: Vec<usize> = (6..)
            .zip([28_100, 210, 9_100, 9_100])
            .map(|(key, bytes)| put(&mut places, key, bytes).place)
            .collect();
        assert_eq!(again, [2, 1, 0, 3]);
        // nothing fits it: the room that is left
        assert_eq!(put(&mut places, 10, 60_000).place, 4);
        assert_eq!(put(&mut places, 11, 10).place, 5);
    }

    #[test]
    fn rows_of_one_transaction_have_a_place_each_and_a_failed_one_leaves_no_trace() {
        let mut places = Places::default();
        places.begin();
        let rooms: Vec<Room> = (1..=3).map(|key| places.take(key, 5_000)).collect();
        assert_eq!(rooms.iter().map(|room| room.place).collect::<Vec<_>>(), [0, 1, 2]);
        places.begin();
        assert_eq!(places.take(1, 5_000).place, 0);
        places.committed();
        places.reuse(2);
        places.begin();
        let rooms: Vec<usize> = (2..=4).map(|key| places.take(key, 5_000).place).collect();
        assert_eq!(rooms, [0, 1, 2]);
    }

    #[test]
    fn a_flood_s_places_are_given_back_and_those_in_use_kept() {
        let mut places = Places::default();
        for key in 1..=2_000 {
            put(&mut places, key, 100);
        }
        places.reuse(1_990);
        places.begin();
        assert_eq!(places.trim(1_990), None, "rows that count are at the end");
        for key in 2_001..=2_020 {
            put(&mut places, key, 100);
        }
        places.reuse(2_010);
        places.begin();
        let room = places.take(2_021, 100);
        assert_eq!((room.place, places.trim(2_010)), (0, Some(KEPT)));
        places.committed();
        assert_eq!(places.places.len(), KEPT);
        assert!(places.free.iter().all(|place| *place < KEPT));
    }
}
