//! What an ended process left: the journal becomes the head again.

use super::{Places, SampleWriter, SharedHead, journal, noted_run, places};
use crate::{
    model::SeriesId,
    store::{
        codec::Samples,
        columns::part_before,
        error::{Failure, Inner},
        head::{Head, Pending, RowSet, Slot},
        key,
        merge::Source,
        reader::DamageLog,
        tables::Tables,
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
    rows: usize,
}

impl Recovered {
    /// Reads the journal.
    pub(in super::super) fn read(conn: &Connection, damages: &DamageLog) -> Inner<Self> {
        let noted = noted_run(conn)?;
        let (mut last, mut next) =
            (noted.map(|(run, time, _)| (run, time)), noted.map_or(1, |(.., next)| next));
        let mut head = Head::default();
        let newest = newest_part(conn)?.unwrap_or_default();
        let part = last.map_or(newest, |(_, time)| places::part(time));
        let mut places = Places::load(conn, &mut head, part, newest.max(part))?;
        let (mut pending, mut rows, mut failure) = (Pending::default(), 0, None);
        let mut open: Option<i64> = None;
        let mut collectors = Collectors { conn, known: HashMap::new() };
        journal::replay(conn, damages, |number, row, batch| {
            rows += usize::from(open.replace(number) != Some(number));
            pending.clear();
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
            head.apply(&pending, row.run);
            last = Some((row.run, row.time));
            next = next.max(number + 1);
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        head.stored_until = newest_stored(conn)?;
        drop_stored(conn, &mut head)?;
        Ok(Self { head, places, last, next, rows })
    }

    /// A writer that goes on from here.
    pub(in super::super) fn into_writer(self, damages: DamageLog) -> SampleWriter {
        let part = self.last.map(|(_, time)| places::part(time));
        let mut journal = journal::Journal::new(self.next);
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
            doing: super::Doing::default(),
        };
        if let Some(part) = part {
            // what the process before had not come to
            writer.sealer.seal_below(part);
        }
        writer
    }
}

impl SampleWriter {
    /// For the readers of this process.
    pub(in super::super) fn head(&self) -> SharedHead {
        Arc::clone(&self.head)
    }
}

/// The collectors of series, as the file has them.
struct Collectors<'a> {
    conn: &'a Connection,
    known: HashMap<String, Arc<str>>,
}

fn enter(
    head: &mut Head,
    places: &mut Places,
    collectors: &mut Collectors<'_>,
    series: SeriesId,
    part: i64,
) -> Inner<Slot> {
    let name = crate::store::series::collector(collectors.conn, series)?.unwrap_or_default();
    let collector = collectors.known.entry(name).or_insert_with_key(|name| name.as_str().into()).clone();
    let slot = head.free_slot(&collector).ok_or(Failure::Exhausted("group of series"))?;
    head.put(series.0, slot, &collector);
    places.enter(series.0, slot.group, part);
    Ok(slot)
}

fn newest_part(conn: &Connection) -> Inner<Option<i64>> {
    part_before(conn, Tier::Raw, i64::MAX)
}

/// No stored row is newer than the end of the newest part.
fn newest_stored(conn: &Connection) -> Inner<i64> {
    Ok(newest_part(conn)?.map_or(i64::MIN, |part| key::part_start(Tier::Raw, part + 1) - 1))
}

/// Takes the samples out of the head that are in segments already: the end came between the segment and the journal. Sample
/// by sample, for a series whose place the file didn't know yet may now share a group with series whose rows are stored.
fn drop_stored(conn: &Connection, head: &mut Head) -> Inner<()> {
    let rows_of: HashMap<u32, RowsByPlace> =
        head.groups().map(|group| (group.number, by_place(&group.current))).collect();
    let times = || rows_of.values().flat_map(|rows| rows.keys().map(|(time, ..)| *time));
    let parts: BTreeSet<i64> = times().map(places::part).collect();
    let mut stored = Vec::new();
    let mut samples = Samples::default();
    for part in parts {
        let mut select = conn.prepare_cached(Tables::of(Tier::Raw).segments)?;
        let mut rows = select.query([key::block(part, 0), key::last_segment(part, key::GROUPS - 1)])?;
        while let Some(row) = rows.next()? {
            // a damaged one is noted when it is read for its samples, and those that the journal has stay
            let Ok(source) = Source::read("segment", row.get(0)?, row.get(1)?) else { continue };
            let mut known: Option<(u32, Vec<Option<usize>>)> = None;
            for column in &source.head.columns {
                let Some(slot) = head.slot(column.series) else { continue };
                let Some(of_group) = rows_of.get(&slot.group) else { continue };
                let (_, at) = match known.take_if(|(group, _)| *group == slot.group) {
                    Some(same) => known.insert(same),
                    None => known.insert((slot.group, whereabouts(&source, of_group))),
                };
                if at.iter().all(Option::is_none) {
                    continue;
                }
                let Ok(body) = source.head.body(column, &source.blob) else { continue };
                if samples.decode(body, source.head.rows.len(), column.count as usize).is_ok() {
                    stored.extend(samples.iter().filter_map(|(row, ..)| Some((slot, at[row]?))));
                }
            }
        }
    }
    for (slot, row) in stored {
        if let Some(group) = head.group_mut(slot.group) {
            group.current.drop_sample(row, slot.slot);
        }
    }
    for group in head.groups_mut() {
        group.current.drop_empty_rows();
    }
    Ok(())
}

/// The rows of a group by time, run and number.
type RowsByPlace = BTreeMap<(i64, i64, i64), usize>;

fn by_place(rows: &RowSet) -> RowsByPlace {
    (0..rows.len()).map(|row| (rows.place(row), row)).collect()
}

/// Which row of a group each row of a segment is.
fn whereabouts(source: &Source, rows: &RowsByPlace) -> Vec<Option<usize>> {
    let of_segment = &source.head.rows;
    (0..of_segment.len()).map(|row| rows.get(&of_segment.place(row)).copied()).collect()
}
