//! Many samples straight into segments, without head and journal: for the samples of an older format. Nobody reads
//! meanwhile; readers are handed out once all is done.

use super::{
    places::{Places, Stayed},
    recover::{Collectors, enter},
    segment::{self, Written},
};
use crate::{
    model::SeriesId,
    store::{
        codec::ColumnEncoder,
        error::Inner,
        head::{Group, Head, Slot},
    },
};
use rusqlite::Connection;
use std::collections::HashMap;

/// The values that are gathered, as a rule: eight megabytes.
const CELLS: usize = 1 << 20;
/// No row.
const NONE: usize = usize::MAX;

/// Gathers samples, and writes them as segments.
pub(in super::super) struct Bulk<'a> {
    conn: &'a Connection,
    head: Head,
    places: Places,
    collectors: Collectors<'a>,
    /// The last row of a group at a time in a run.
    last: HashMap<(u32, i64, u32), usize>,
    /// By group: for each row the one before it of the same time and run.
    before: Vec<Vec<usize>>,
    cells: usize,
    /// So many values are gathered at most, about.
    pub(in super::super) most: usize,
    part: Option<i64>,
    encoder: ColumnEncoder,
    written: Vec<Written>,
    stayed: Vec<Stayed>,
}

impl<'a> Bulk<'a> {
    /// Goes on with the groups that the file has. `part`: the one of the first samples to come.
    pub(in super::super) fn open(conn: &'a Connection, part: i64) -> Inner<Self> {
        let mut head = Head::default();
        let places = Places::load(conn, &mut head, part)?;
        Ok(Self {
            conn,
            head,
            places,
            collectors: Collectors::of(conn),
            last: HashMap::new(),
            before: Vec::new(),
            cells: 0,
            most: CELLS,
            part: None,
            encoder: ColumnEncoder::default(),
            written: Vec::new(),
            stayed: Vec::new(),
        })
    }

    /// The samples that come now are of this part, about. Slots of before may not be used any more.
    pub(in super::super) fn enter_part(&mut self, part: i64) {
        if self.part.is_some_and(|before| before != part) {
            self.head.freeze();
            self.places.tidy(&mut self.head, part);
        }
        self.part = Some(part);
    }

    /// The slots of series, which are given some where they have none.
    pub(in super::super) fn slots(&mut self, series: &[u32]) -> Inner<Vec<Slot>> {
        let part = self.part.unwrap_or_default();
        let slot = |series: &u32| match self.head.slot(*series) {
            Some(slot) => Ok(slot),
            None => enter(&mut self.head, &mut self.places, &mut self.collectors, SeriesId(*series), part),
        };
        series.iter().map(slot).collect()
    }

    /// Adds the samples of a batch: a value, and whether it began the counter anew, for each slot. Of samples of one
    /// series, time and run the later come after the earlier; rows of this time are numbered from `first` on.
    pub(in super::super) fn add(
        &mut self,
        (time, run, first): (i64, u32, i64),
        slots: &[Slot],
        mut samples: &[(f64, bool)],
    ) {
        for slots in slots.chunk_by(|one, other| one.group == other.group) {
            let (here, rest) = samples.split_at(slots.len());
            samples = rest;
            let Some(number) = slots.first().map(|slot| slot.group) else { continue };
            let Some(group) = self.head.group_mut(number) else { continue };
            if self.before.len() <= number as usize {
                self.before.resize_with(number as usize + 1, Vec::new);
            }
            let before = &mut self.before[number as usize];
            let wanted = slots.iter().fold(0, |bits, slot| bits | 1 << slot.slot);
            let last = self.last.entry((number, time, run)).or_insert(NONE);
            let row = free_row(group, before, *last, wanted).unwrap_or_else(|| {
                let number = if *last == NONE { first } else { group.current.place(*last).2 + 1 };
                before.push(*last);
                *last = group.begin_row((time, i64::from(run), number));
                self.cells += group.current.stride();
                *last
            });
            let samples = slots.iter().zip(here).map(|(slot, (value, reset))| (slot.slot, *value, *reset));
            group.fill(row, samples);
        }
    }

    /// Whether so much is gathered that it should be written.
    pub(in super::super) fn is_full(&self) -> bool {
        self.cells >= self.most
    }

    /// Writes what was gathered, within a transaction.
    pub(in super::super) fn write(&mut self) -> Inner<()> {
        let Self { conn, head, places, encoder, written, stayed, .. } = self;
        head.freeze();
        for group in head.groups().filter(|group| !group.written) {
            let stored = |part, series: &[u32]| places.write(conn, group.number, part, series, stayed);
            written.extend(segment::write(conn, group, encoder, stored)?);
        }
        places.close(conn)
    }

    /// What was written is committed. Without this nothing may be done any more.
    pub(in super::super) fn committed(&mut self) {
        for Written { group, part, number, rows } in self.written.drain(..) {
            self.head.written(group, (part, number, rows));
        }
        self.places.committed(&mut self.stayed);
        self.last.clear();
        self.before.iter_mut().for_each(Vec::clear);
        self.cells = 0;
    }
}

/// Of the rows of one time, the first after all that have a sample of a wanted slot.
fn free_row(group: &Group, before: &[usize], mut row: usize, wanted: u64) -> Option<usize> {
    let mut free = None;
    while row != NONE && group.current.present(row) & wanted == 0 {
        free = Some(row);
        row = before[row];
    }
    free
}
