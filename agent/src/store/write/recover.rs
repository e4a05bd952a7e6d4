//! What an ended process left: the journal becomes the head again.

use super::{Places, SampleWriter, SharedHead, journal, noted_run, places};
use crate::{
    model::SeriesId,
    store::{
        blobs,
        columns::{newest_row, part_before},
        error::Inner,
        head::{Head, Pending, Slot},
        reader::DamageLog,
        types::Tier,
    },
};
use rusqlite::Connection;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, RwLock},
};

/// The head of a file, as its journal has it.
#[derive(Debug, Default)]
pub(in super::super) struct Recovered {
    pub(in super::super) head: Head,
    places: Places,
    /// Run and time of the last row.
    last: Option<(u32, i64)>,
    /// The number that the next row may have.
    next: i64,
    /// Where the journal begins.
    from: i64,
    rows: usize,
}

impl Recovered {
    /// Reads the journal.
    pub(in super::super) fn read(conn: &Connection, damages: &DamageLog) -> Inner<Self> {
        let noted = noted_run(conn)?;
        let from = noted.map_or(0, |(.., from)| from);
        let (mut last, mut next) = (noted.map(|(run, time, _)| (run, time)), from.max(1));
        let mut head = Head::default();
        let newest = newest_part(conn)?.or(last.map(|(_, time)| places::part(time))).unwrap_or_default();
        let mut places = Places::load(conn, &mut head, last.map_or(newest, |(_, time)| places::part(time)))?;
        let (mut pending, mut rows, mut failure) = (Pending::default(), 0, None);
        let mut open: Option<(i64, u32)> = None;
        let mut collectors = Collectors::of(conn);
        journal::replay(conn, from, damages, |number, row, batch| {
            // batches of one time are one row of the head, as when they were committed
            if open != Some((number, row.run)) {
                if let Some((_, run)) = open.replace((number, row.run)) {
                    head.apply(&pending, run);
                }
                pending.clear();
                rows += 1;
            }
            let mut slots: Vec<(Slot, f64, bool)> = Vec::with_capacity(batch.samples.len());
            for sample in &batch.samples {
                let slot = head.slot(sample.series.0).map_or_else(
                    || enter(&mut head, &mut places, &mut collectors, sample.series, places::part(row.time)),
                    Ok,
                );
                match slot {
                    Ok(slot) => slots.push((slot, sample.value, sample.reset)),
                    Err(error) => failure = Some(error),
                }
            }
            let number = number + i64::from(batch.number);
            pending.add(batch.time, number, slots.into_iter());
            last = Some((row.run, row.time));
            next = next.max(number + 1);
        })?;
        if let Some((_, run)) = open {
            head.apply(&pending, run);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        head.stored_until = newest_stored(conn)?;
        drop_stored(conn, &mut head)?;
        Ok(Self { head, places, last, next, from, rows })
    }

    /// A writer that goes on from here.
    pub(in super::super) fn into_writer(self, conn: &Connection, damages: DamageLog) -> Inner<SampleWriter> {
        let part = self.last.map(|(_, time)| places::part(time));
        let mut journal = journal::Journal::new(self.next);
        journal.load(conn, self.from)?;
        journal.rows_since = self.rows;
        let mut writer = SampleWriter {
            head: SharedHead::new(RwLock::new(self.head)),
            damages,
            journal,
            pending: Pending::default(),
            places: self.places,
            sealer: super::Sealer::default(),
            encoder: super::ColumnEncoder::default(),
            flush: super::Flush::default(),
            collectors: HashMap::new(),
            part,
            frozen_part: part,
            tidied: part,
            last: self.last,
            rest: false,
            doing: super::Doing::default(),
        };
        if let Some(part) = part {
            // what the process before had not come to
            writer.sealer.seal_below(part);
        }
        Ok(writer)
    }
}

impl SampleWriter {
    /// For the readers of this process.
    pub(in super::super) fn head(&self) -> SharedHead {
        Arc::clone(&self.head)
    }
}

/// The collectors of series, as the file has them.
pub(super) struct Collectors<'a> {
    conn: &'a Connection,
    known: HashMap<String, Arc<str>>,
}

impl<'a> Collectors<'a> {
    pub(super) fn of(conn: &'a Connection) -> Self {
        Self { conn, known: HashMap::new() }
    }
}

/// Gives a series its first slot.
pub(super) fn enter(
    head: &mut Head,
    places: &mut Places,
    collectors: &mut Collectors<'_>,
    series: SeriesId,
    part: i64,
) -> Inner<Slot> {
    let name = crate::store::series::collector(collectors.conn, series)?.unwrap_or_default();
    let collector = collectors.known.entry(name).or_insert_with_key(|name| name.as_str().into()).clone();
    places.settle(head, series.0, &collector, part)
}

fn newest_part(conn: &Connection) -> Inner<Option<i64>> {
    part_before(conn, Tier::Raw, i64::MAX)
}

/// The time of the newest stored row: no stored one is newer.
fn newest_stored(conn: &Connection) -> Inner<i64> {
    match newest_part(conn)? {
        Some(part) => newest_row(conn, Tier::Raw, part),
        None => Ok(i64::MIN),
    }
}

/// Takes the rows out of the head that are in segments already, or in the blocks made of these: the end came between the
/// segment and the journal. A row that has a series which its segment has not stays: that series may have been in another
/// group before.
fn drop_stored(conn: &Connection, head: &mut Head) -> Inner<()> {
    // a damaged one is noted when it is read for its samples
    let unnoted = DamageLog::default();
    for group in head.groups_mut() {
        let (Some(oldest), Some(newest)) = (group.current.oldest(), group.current.newest()) else { continue };
        let mut stored: BTreeMap<(i64, i64, i64), u64> = BTreeMap::new();
        let of_row = |row| places::part(group.current.place(row).0);
        let parts: BTreeSet<i64> = (0..group.current.len()).map(of_row).collect();
        for part in &parts {
            for source in blobs::of_group(conn, Tier::Raw, *part, group.number, &unnoted)? {
                let slots = group.current.slots_of(|series| source.head.find(series).is_some());
                let places = (0..source.head.rows.len()).map(|row| source.head.rows.place(row));
                for place in places.filter(|(time, ..)| (oldest..=newest).contains(time)) {
                    *stored.entry(place).or_default() |= slots;
                }
            }
        }
        if !stored.is_empty() {
            group.current.drop_rows(&stored);
        }
    }
    Ok(())
}
