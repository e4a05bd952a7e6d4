//! Reading one value a step: from the coarsest roll-ups that serve it, and where these are not made yet, or are gone,
//! from finer or coarser ones.

use super::{
    aggregate::{Bucket, Folder, step_of},
    codec::rollup::{Counter, Gauge, Rollups},
    columns::{Columns, has_segment, part_after, part_before, segment_part_after},
    error::Inner,
    history::{self, InHead, Numbered, Parts},
    key,
    merge::{read_rollups, replaced, union_rollups},
    reader::DamageLog,
    tables::Tables,
    types::{AggregateQuery, Steps, Tier},
    write,
};
use crate::model::{Kind, SeriesId, Timestamp};
use rusqlite::Connection;
use std::{collections::BTreeSet, ops::RangeInclusive};

/// The steps of a series. To be called within a transaction that began after the head was read; `head` has all points of
/// the head.
pub(super) fn steps(
    conn: &Connection,
    series: SeriesId,
    head: &InHead,
    query: &AggregateQuery,
    damages: &DamageLog,
) -> Inner<Steps> {
    let is_counter = super::series::kind(conn, series.0)? == Kind::Counter;
    let step = query.step.max(1);
    let from = step_of(key::storable(query.range.from), step);
    let to = step_of(key::storable(query.range.to), step).saturating_add(step - 1);
    let mut walk = Walk {
        conn,
        series,
        head,
        groups: write::of_series(conn, series.0)?,
        raw: Parts::new(conn, damages),
        minutes: Columns::new(conn, Tier::Minute, damages),
        hours: Columns::new(conn, Tier::Hour, damages),
        points: Vec::new(),
        folder: Folder::new(query, is_counter),
        open: [BTreeSet::new(), BTreeSet::new()],
        is_counter,
        fed: None,
        runs: BTreeSet::new(),
    };
    if from <= to {
        walk.look_for_open()?;
        walk.all(coarsest(query, step, is_counter), from..=to)?;
    }
    Ok(walk.folder.finish())
}

/// The coarsest tier that serves a query.
fn coarsest(query: &AggregateQuery, step: i64, is_counter: bool) -> Tier {
    let serves = |tier: &Tier| match tier.width() {
        Some(width) => step % width == 0 && !query.aggregate.needs_samples(is_counter),
        None => true,
    };
    Tier::ALL.into_iter().rev().find(serves).unwrap_or(Tier::Raw)
}

struct Walk<'a> {
    conn: &'a Connection,
    series: SeriesId,
    head: &'a InHead,
    groups: Vec<(u32, i64, i64)>,
    raw: Parts<'a>,
    minutes: Columns<'a>,
    hours: Columns<'a>,
    points: Vec<Numbered>,
    folder: Folder,
    /// The parts of which the coarser tier has not all roll-ups yet: two-hour parts with samples in the head or in
    /// segments, days with these or with segments of their own.
    open: [BTreeSet<i64>; 2],
    is_counter: bool,
    /// The first of the parts of which the folder has had all samples up to those that come next.
    fed: Option<i64>,
    /// The runs whose last sample before these parts the folder knows, if there is one.
    runs: BTreeSet<u32>,
}

impl Walk<'_> {
    /// Finds out of which parts the roll-ups are still to come.
    fn look_for_open(&mut self) -> Inner<()> {
        let raw = |millis| key::part(Tier::Raw, millis);
        let [parts, days] = &mut self.open;
        parts.extend(self.head.points.iter().map(|(point, _)| raw(point.time.as_millis())));
        parts.extend(with_segments(self.conn, Tier::Raw, &self.groups)?);
        if self.is_counter {
            parts.append(&mut followers(self.conn, parts, &self.groups)?);
        }
        days.extend(parts.iter().map(|part| key::part(Tier::Minute, key::part_start(Tier::Raw, *part))));
        days.extend(with_segments(self.conn, Tier::Minute, &self.groups)?);
        Ok(())
    }

    /// Feeds what a tier has of a range; what it has not yet from the finer one, what it has no longer from the coarser.
    fn all(&mut self, tier: Tier, range: RangeInclusive<i64>) -> Inner<()> {
        let (from, to) = range.into_inner();
        let oldest = self.oldest(tier)?;
        if let Some(coarser) = tier.coarser()
            && from < oldest
        {
            self.rolled(coarser, from..=to.min(oldest.saturating_sub(1)))?;
        }
        self.feed(tier, from.max(oldest)..=to)
    }

    /// When the oldest part of a tier begins, or of the finer ones, whose roll-ups are to come.
    fn oldest(&self, tier: Tier) -> Inner<i64> {
        let mut oldest = self.head.points.first().map_or(i64::MAX, |(point, _)| point.time.as_millis());
        for tier in Tier::ALL.into_iter().filter(|finer| *finer <= tier) {
            let part = part_after(self.conn, tier, i64::MIN)?;
            oldest = oldest.min(part.map_or(i64::MAX, |part| key::part_start(tier, part)));
        }
        Ok(oldest)
    }

    fn feed(&mut self, tier: Tier, range: RangeInclusive<i64>) -> Inner<()> {
        let Some(finer) = tier.finer() else { return self.samples(&range) };
        let (mut from, to) = range.into_inner();
        let open = &self.open[if finer == Tier::Raw { 0 } else { 1 }];
        let within = key::part(finer, from)..=key::part(finer, to.max(from));
        for part in open.range(within).copied().collect::<Vec<i64>>() {
            let start = key::part_start(finer, part);
            let end = start + key::part_width(finer) - 1;
            if start > from {
                self.rolled(tier, from..=to.min(start - 1))?;
            }
            self.feed(finer, from.max(start)..=to.min(end))?;
            from = end + 1;
        }
        self.rolled(tier, from..=to)
    }

    /// Feeds the samples of a range.
    fn samples(&mut self, range: &RangeInclusive<i64>) -> Inner<()> {
        let mut part = key::part(Tier::Raw, *range.start());
        while *range.start() <= *range.end() && part <= key::part(Tier::Raw, *range.end()) {
            let at = self
                .head
                .points
                .partition_point(|(point, _)| key::part(Tier::Raw, point.time.as_millis()) < part);
            let in_head =
                self.head.points.get(at).map(|(point, _)| key::part(Tier::Raw, point.time.as_millis()));
            let stored = part_after(self.conn, Tier::Raw, part)?;
            let next = [in_head, stored].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= key::part(Tier::Raw, *range.end())) else { break };
            self.part(next, range)?;
            part = next + 1;
        }
        Ok(())
    }

    /// Feeds the samples of a part. The ones before them are the earlier ones of the first pairs.
    fn part(&mut self, part: i64, range: &RangeInclusive<i64>) -> Inner<()> {
        let Self { raw, groups, series, head, points, folder, runs, .. } = self;
        raw.read(part, groups, *series, head, points)?;
        if points.is_empty() {
            return Ok(());
        }
        if self.fed.is_none() {
            folder.unpair();
            runs.clear();
        }
        let first = *self.fed.get_or_insert(part);
        if self.is_counter {
            // where the clock was stepped back a run may come back after parts that have nothing of it
            let new: Vec<u32> =
                points.iter().map(|(point, _)| point.run).filter(|run| runs.insert(*run)).collect();
            let earlier = history::last_of_runs(raw, groups, *series, head, (part, first), &new)?;
            earlier.iter().for_each(|point| folder.prime(point));
        }
        for (point, _) in points {
            if range.contains(&point.time.as_millis()) {
                folder.push(point);
            } else if point.time.as_millis() < *range.start() {
                folder.prime(point);
            }
        }
        Ok(())
    }

    /// Feeds the roll-ups of a range; where the tier has none any more, those of the coarser one.
    fn rolled(&mut self, tier: Tier, range: RangeInclusive<i64>) -> Inner<()> {
        let (mut from, to) = range.into_inner();
        if from > to {
            return Ok(());
        }
        self.fed = None;
        if let Some(coarser) = tier.coarser() {
            let oldest =
                part_after(self.conn, tier, i64::MIN)?.map_or(i64::MAX, |part| key::part_start(tier, part));
            if from < oldest {
                self.rolled(coarser, from..=to.min(oldest.saturating_sub(1)))?;
                from = oldest;
            }
        }
        while from <= to {
            let Some(part) = part_after(self.conn, tier, key::part(tier, from))? else { break };
            let start = key::part_start(tier, part);
            let range = from.max(start)..=to.min(start + key::part_width(tier) - 1);
            self.rolled_part(tier, part, &range)?;
            from = start + key::part_width(tier);
        }
        Ok(())
    }

    /// The parts of the finest tier within a part.
    fn raw_parts(&self, tier: Tier, part: i64) -> RangeInclusive<i64> {
        let start = key::part_start(tier, part);
        key::part(Tier::Raw, start)..=key::part(Tier::Raw, start + key::part_width(tier) - 1)
    }

    fn rolled_part(&mut self, tier: Tier, part: i64, range: &RangeInclusive<i64>) -> Inner<()> {
        let raw = self.raw_parts(tier, part);
        let columns = if tier == Tier::Minute { &mut self.minutes } else { &mut self.hours };
        let mut lists: Vec<(Vec<i64>, Rollups)> = Vec::new();
        for (group, first, last) in &self.groups {
            if *first > *raw.end() || *last < *raw.start() {
                continue;
            }
            let mut of_group: Vec<(Vec<i64>, Rollups)> = Vec::new();
            columns.each(part, *group, self.series.0, |head, column, body| {
                let (rows, rollups) = read_rollups(body, head.rows.len(), column.count as usize)?;
                of_group.push((rows.into_iter().map(|row| head.rows.times[row]).collect(), rollups));
                Ok(())
            })?;
            lists.extend(replaced(of_group));
        }
        let (starts, rollups) = if lists.len() == 1 { lists.swap_remove(0) } else { union_rollups(&lists) };
        for (at, start) in starts.into_iter().enumerate().filter(|(_, start)| range.contains(start)) {
            let bucket = match &rollups {
                Rollups::Gauges(gauges) => gauges.get(at).map(of_gauge),
                Rollups::Counters(counters) => counters.get(at).map(of_counter),
            };
            if let Some(bucket) = bucket {
                self.folder.push_rolled(tier, Timestamp::from_millis(start), &bucket);
            }
        }
        Ok(())
    }
}

/// When the newest roll-up of a series within a range begins, of the finest tier that has any there.
pub(super) fn newest_rolled(
    conn: &Connection,
    series: SeriesId,
    range: &RangeInclusive<i64>,
    damages: &DamageLog,
) -> Inner<Option<Timestamp>> {
    let transaction = conn.unchecked_transaction()?;
    let groups = write::of_series(&transaction, series.0)?;
    for tier in [Tier::Minute, Tier::Hour] {
        let mut columns = Columns::new(&transaction, tier, damages);
        let mut next = part_before(&transaction, tier, key::part(tier, *range.end()))?;
        while let Some(part) = next.filter(|part| *part >= key::part(tier, *range.start())) {
            let mut newest = None;
            for (group, ..) in &groups {
                columns.each(part, *group, series.0, |head, column, body| {
                    let (rows, _) = read_rollups(body, head.rows.len(), column.count as usize)?;
                    let starts = rows.into_iter().map(|row| head.rows.times[row]);
                    newest = newest.max(starts.filter(|start| range.contains(start)).max());
                    Ok(())
                })?;
            }
            if newest.is_some() {
                return Ok(newest.map(Timestamp::from_millis));
            }
            next = part_before(&transaction, tier, part - 1)?;
        }
    }
    Ok(None)
}

/// The parts of a tier in which one of these groups has segments.
fn with_segments(conn: &Connection, tier: Tier, groups: &[(u32, i64, i64)]) -> Inner<Vec<i64>> {
    let mut found = Vec::new();
    let mut next = segment_part_after(conn, tier, i64::MIN)?;
    while let Some(part) = next {
        for (group, ..) in groups {
            if has_segment(conn, tier, part, *group)? {
                found.push(part);
                break;
            }
        }
        next = segment_part_after(conn, tier, part + 1)?;
    }
    Ok(found)
}

/// The parts with blocks that may have pairs with samples of these parts: their roll-ups are not of these pairs yet.
fn followers(conn: &Connection, parts: &BTreeSet<i64>, groups: &[(u32, i64, i64)]) -> Inner<BTreeSet<i64>> {
    let mut select = conn.prepare_cached(Tables::of(Tier::Raw).block_length)?;
    let mut found = BTreeSet::new();
    for part in parts {
        for later in part + 1..=part + history::PAIR_PARTS {
            if parts.contains(&later) || found.contains(&later) {
                continue;
            }
            for (group, ..) in groups {
                if select.exists([key::block(later, *group)])? {
                    found.insert(later);
                }
            }
        }
    }
    Ok(found)
}

fn of_gauge(gauge: Gauge) -> Bucket {
    let Gauge { count, sum, min, max, last } = gauge;
    Bucket { count: u64::from(count), sum, min, max, last, increase: 0.0, covered_ms: 0 }
}

fn of_counter(counter: Counter) -> Bucket {
    let Counter { count, increase, covered, last } = counter;
    Bucket { count: u64::from(count), last, increase, covered_ms: i64::from(covered), ..Bucket::EMPTY }
}
