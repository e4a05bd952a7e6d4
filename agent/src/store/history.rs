//! Reading samples: those in memory, and part by part of time those in segments and blocks.

use super::{
    aggregate::LONGEST_PAIR,
    codec::{BlockHead, Column, Damage, Samples},
    columns::{Columns, part_after, part_before},
    error::Inner,
    head::Head,
    key,
    merge::Tail,
    reader::DamageLog,
    segments::Segments,
    types::{Point, Range, Tier},
    write,
};
use crate::model::{SeriesId, Timestamp};
use rusqlite::Connection;
use std::ops::RangeInclusive;

/// How many parts apart the samples of a pair may lie.
pub(super) const PAIR_PARTS: i64 = LONGEST_PAIR / key::part_width(Tier::Raw);

/// A point, and the number of the commit that brought it: with time and run it tells points apart.
pub(super) type Numbered = (Point, i64);

/// What the head has of one series.
#[derive(Clone, Debug, Default)]
pub(super) struct InHead {
    /// In order, the oldest first.
    pub(super) points: Vec<Numbered>,
    /// No point outside of the head is newer.
    pub(super) stored_until: i64,
}

impl InHead {
    /// The points of a series within a range.
    pub(super) fn of(head: &Head, series: SeriesId, range: &RangeInclusive<i64>) -> Self {
        let mut points = Vec::new();
        head.points(series, |point, number| {
            if range.contains(&point.time.as_millis()) {
                points.push((point, number));
            }
        });
        in_order(&mut points);
        Self { points, stored_until: head.stored_until }
    }

    /// The same of several series.
    pub(super) fn of_each(
        series: &[SeriesId],
        range: &RangeInclusive<i64>,
    ) -> impl FnOnce(&Head) -> Vec<Self> {
        move |head| series.iter().map(|series| Self::of(head, *series, range)).collect()
    }

    /// The points of a part.
    pub(super) fn of_part(&self, part: i64) -> &[Numbered] {
        let start = key::part_start(Tier::Raw, part);
        let end = key::part_start(Tier::Raw, part + 1);
        let from = self.points.partition_point(|(point, _)| point.time.as_millis() < start);
        let to = self.points.partition_point(|(point, _)| point.time.as_millis() < end);
        &self.points[from..to]
    }

    fn newest_part(&self) -> Option<i64> {
        self.points.last().map(|(point, _)| key::part(Tier::Raw, point.time.as_millis()))
    }

    /// The newest part of points that is older than this one.
    fn part_below(&self, part: i64) -> Option<i64> {
        let below =
            self.points.partition_point(|(point, _)| key::part(Tier::Raw, point.time.as_millis()) < part);
        let (point, _) = self.points[..below].last()?;
        Some(key::part(Tier::Raw, point.time.as_millis()))
    }
}

/// Where a point stands among others.
fn place((point, number): &Numbered) -> (i64, u32, i64) {
    (point.time.as_millis(), point.run, *number)
}

/// Brings points into order, each once: of one that is there twice, the last stays.
pub(super) fn in_order(points: &mut Vec<Numbered>) {
    if points.is_sorted_by(|a, b| place(a) < place(b)) {
        return;
    }
    points.sort_by_key(place);
    points.dedup_by(|later, kept| {
        let same = place(later) == place(kept);
        if same {
            *kept = *later;
        }
        same
    });
}

/// The range as milliseconds that can be stored.
pub(super) fn millis(range: Range) -> RangeInclusive<i64> {
    key::storable(range.from)..=key::storable(range.to)
}

/// What reads the newest points of several series: those of one group share what was read.
pub(super) struct Newest<'a> {
    conn: &'a Connection,
    parts: Parts<'a>,
    segments: Segments<'a>,
}

impl<'a> Newest<'a> {
    /// To be used within a transaction that began after the head was read.
    pub(super) fn new(conn: &'a Connection, damages: &'a DamageLog) -> Self {
        Self { conn, parts: Parts::new(conn, damages), segments: Segments::new(conn, damages) }
    }

    /// The newest `limit` points of a series within the range, newest first.
    pub(super) fn of(
        &mut self,
        series: SeriesId,
        head: &InHead,
        range: &RangeInclusive<i64>,
        limit: usize,
    ) -> Inner<Vec<Point>> {
        let mut found: Vec<Point> = Vec::new();
        if limit == 0 || range.is_empty() {
            return Ok(found);
        }
        if let Some(points) = newest_of_head(head, limit) {
            return Ok(points);
        }
        let groups = write::of_series(self.conn, series.0)?;
        let first = key::part(Tier::Raw, *range.start());
        let from = key::part(Tier::Raw, *range.end());
        let mut next = part_before(self.conn, Tier::Raw, from)?.max(head.newest_part());
        let mut points = Vec::new();
        while let Some(part) = next.filter(|part| *part >= first) {
            let left = (range, limit - found.len());
            let was_there = self.part(part, &groups, series, head, left, &mut points)?;
            let wanted = points.iter().rev().map(|(point, _)| *point);
            let wanted = wanted.filter(|point| range.contains(&point.time.as_millis()));
            found.extend(wanted.take(limit - found.len()));
            if found.len() >= limit {
                break;
            }
            // where one part was, the next is likely right before it
            next = if was_there {
                Some(part - 1)
            } else {
                part_before(self.conn, Tier::Raw, part - 1)?.max(head.part_below(part))
            };
        }
        Ok(found)
    }

    /// The newest points of a part. Whether the file has anything of it.
    fn part(
        &mut self,
        part: i64,
        groups: &[(u32, i64, i64)],
        series: SeriesId,
        head: &InHead,
        wanted: (&RangeInclusive<i64>, usize),
        points: &mut Vec<Numbered>,
    ) -> Inner<bool> {
        let mut there = groups.iter().filter(|(_, first, last)| (*first..=*last).contains(&part));
        if let (Some((group, ..)), None) = (there.next(), there.next())
            && let Some(was_there) = self.segments.newest((part, *group), series, head, wanted, points)?
        {
            return Ok(was_there);
        }
        self.parts.read(part, groups, series, head, points)
    }
}

/// The newest points, where the head has them all.
pub(super) fn newest_of_head(head: &InHead, limit: usize) -> Option<Vec<Point>> {
    let first = head.points.len().checked_sub(limit)?;
    let (oldest, _) = head.points.get(first)?;
    let newest = || head.points[first..].iter().rev().map(|(point, _)| *point).collect();
    (oldest.time.as_millis() > head.stored_until).then(newest)
}

/// Reads the points of parts.
pub(super) struct Parts<'a> {
    columns: Columns<'a>,
    samples: Samples,
}

impl<'a> Parts<'a> {
    pub(super) fn new(conn: &'a Connection, damages: &'a DamageLog) -> Self {
        Self { columns: Columns::new(conn, Tier::Raw, damages), samples: Samples::default() }
    }

    /// All points of a series in a part, in order, into `points`. Whether the file has anything of that part and these
    /// groups.
    pub(super) fn read(
        &mut self,
        part: i64,
        groups: &[(u32, i64, i64)],
        series: SeriesId,
        head: &InHead,
        points: &mut Vec<Numbered>,
    ) -> Inner<bool> {
        points.clear();
        let Self { columns, samples } = self;
        let mut was_there = false;
        for (group, first, last) in groups {
            if !(*first..=*last).contains(&part) {
                continue;
            }
            let found = columns.each(part, *group, series.0, |head, column, body| {
                take(head, column, body, samples, points)
            })?;
            was_there |= found.block || found.segment;
        }
        points.extend_from_slice(head.of_part(part));
        in_order(points);
        Ok(was_there)
    }
}

/// Appends the points of a column.
pub(super) fn take(
    head: &BlockHead,
    column: &Column,
    body: &[u8],
    samples: &mut Samples,
    points: &mut Vec<Numbered>,
) -> Result<(), Damage> {
    samples.decode(body, head.rows.len(), column.count as usize)?;
    points.reserve(samples.values.len());
    for (row, value, reset) in samples.iter() {
        let (time, run, number) = head.rows.place(row);
        let run = u32::try_from(run).map_err(|_| Damage::Malformed("a run"))?;
        points.push((Point { time: Timestamp::from_millis(time), value, reset, run }, number));
    }
    Ok(())
}

/// The last sample of each of these runs before a part, oldest first, as far back as samples are paired. From `first` on
/// the runs are known to have none there.
pub(super) fn last_of_runs(
    parts: &mut Parts<'_>,
    groups: &[(u32, i64, i64)],
    series: SeriesId,
    head: &InHead,
    (part, first): (i64, i64),
    runs: &[u32],
) -> Inner<Vec<Point>> {
    let mut found: Vec<Point> = Vec::new();
    let mut points = Vec::new();
    let farthest = part - PAIR_PARTS;
    for part in (farthest..first.min(part)).rev() {
        if found.len() == runs.len() {
            break;
        }
        parts.read(part, groups, series, head, &mut points)?;
        for (point, _) in points.iter().rev() {
            if runs.contains(&point.run) && !found.iter().any(|known| known.run == point.run) {
                found.push(*point);
            }
        }
    }
    found.sort_by_key(|point| (point.time, point.run));
    Ok(found)
}

/// The same of what is stored, for roll-ups.
pub(super) fn tails(conn: &Connection, series: u32, part: i64, runs: &[u32]) -> Inner<Vec<Tail>> {
    let damages = DamageLog::default();
    let groups = write::of_series(conn, series)?;
    let (mut parts, head) = (Parts::new(conn, &damages), InHead::default());
    let found = last_of_runs(&mut parts, &groups, SeriesId(series), &head, (part, part), runs)?;
    Ok(found.iter().map(|point| (point.time.as_millis(), point.run, point.value)).collect())
}

/// The time within which all samples lie. `in_head`: the oldest and the newest time in the head.
pub(super) fn extent(conn: &Connection, in_head: Option<(i64, i64)>) -> Inner<Option<Range>> {
    let stored = part_after(conn, Tier::Raw, i64::MIN)?.zip(part_before(conn, Tier::Raw, i64::MAX)?);
    let stored = stored.map(|(oldest, newest)| {
        let (from, end) = (key::part_start(Tier::Raw, oldest), key::part_start(Tier::Raw, newest + 1));
        // the head is newer than what is stored, unless the clock was set back
        let newest = in_head
            .map(|(_, newest)| newest)
            .filter(|in_head| *in_head >= key::part_start(Tier::Raw, newest));
        (from, newest.unwrap_or(end - 1))
    });
    let whole = match (stored, in_head) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    };
    Ok(whole.map(|(from, to)| Range { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) }))
}
