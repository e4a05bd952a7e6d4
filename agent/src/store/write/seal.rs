//! Sealing: the segments of a group in a part of time become one block, and are rolled up for the coarser tier. In steps,
//! so that no commit waits long.

use super::super::{
    codec::{ColumnEncoder, Effort},
    error::Inner,
    key,
    merge::{About, Blob, Merge, Source, Tail},
    reader::DamageLog,
    tables::Tables,
    types::Tier,
};
use crate::model::Kind;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// Samples (or roll-ups) that are encoded in one step, about: a few milliseconds.
const STEP: usize = 60_000;

const BLOCK: &str = "block";
const SEGMENT: &str = "segment";

/// What seals.
#[derive(Debug, Default)]
pub(super) struct Sealer {
    job: Option<Job>,
    /// Parts of the finest tier below this are sealed; nothing while none needs it.
    below: Option<i64>,
    /// The last sealed sample of each counter.
    tails: HashMap<u32, Tail>,
    encoder: ColumnEncoder,
}

/// A block in the making.
#[derive(Debug)]
struct Job {
    tier: Tier,
    part: i64,
    group: u32,
    merge: Merge,
    /// All columns are made.
    ready: bool,
}

/// The steps of sealing, from the finest tier on.
const ORDER: [Tier; 3] = Tier::ALL;

impl Sealer {
    /// Has all parts before this one sealed.
    pub(super) fn seal_below(&mut self, part: i64) {
        self.below = Some(self.below.map_or(part, |below| below.max(part)));
    }

    /// Whether there is something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.below.is_some()
    }

    /// A segment was added: a block of it in the making lacks it.
    pub(super) fn segment_added(&mut self, part: i64, group: u32) {
        self.job.take_if(|job| job.tier == Tier::Raw && (job.part, job.group) == (part, group));
    }

    /// Blobs of older parts were deleted: a block that is made of such would bring them back.
    pub(super) fn blobs_deleted(&mut self, tier: Tier, below: i64) {
        self.job.take_if(|job| job.tier == tier && job.part < below);
    }

    /// Drops what is in the making.
    pub(super) fn restart(&mut self) {
        self.job = None;
    }

    /// Does a step of the work, outside of any transaction.
    pub(super) fn step(&mut self, conn: &Connection, damages: &DamageLog) -> Inner<()> {
        let Some(below) = self.below else { return Ok(()) };
        if self.job.is_none() {
            self.job = self.begin(conn, below, damages)?;
        }
        let Some(job) = &mut self.job else {
            self.below = None;
            return Ok(());
        };
        let width = if job.tier == Tier::Raw { 1 } else { 6 };
        let columns = (STEP / (job.merge.rows() * width).max(1)).max(1);
        for _ in 0..columns {
            let Some(series) = job.merge.next_series() else { break };
            let about = about(conn, series, &self.tails, job)?;
            job.merge.advance(about, &mut self.encoder);
        }
        job.ready = job.merge.next_series().is_none();
        Ok(())
    }

    /// The next block to be made.
    fn begin(&self, conn: &Connection, below: i64, damages: &DamageLog) -> Inner<Option<Job>> {
        let mut start = key::part_start(Tier::Raw, below);
        for tier in ORDER {
            let part = key::part(tier, start);
            // a part of a coarser tier is whole once all finer parts in it are sealed
            start = key::part_start(tier, part);
            let mut select = conn.prepare_cached(Tables::of(tier).first_segment)?;
            let next: Option<i64> = select.query_row([key::block(part, 0)], |row| row.get(0)).optional()?;
            if let Some(next) = next {
                let (part, group) = key::part_and_group(next);
                let merge = begin(conn, tier, part, group, damages)?;
                return Ok(Some(Job { tier, part, group, merge, ready: false }));
            }
        }
        Ok(None)
    }

    /// Writes a block that is ready.
    pub(super) fn write(&mut self, conn: &Connection, damages: &DamageLog) -> Inner<()> {
        let Some(job) = self.job.take_if(|job| job.ready) else { return Ok(()) };
        // should the transaction fail, the segments are still there and it all begins again
        let tails = finish(conn, (job.tier, job.part, job.group), job.merge, damages)?;
        self.tails.extend(tails);
        Ok(())
    }

    /// Takes the rows before `from` out of what a group has in a part. A segment stays a segment, so that it is still rolled
    /// up; what is rolled up already was so with the rows that now go.
    pub(super) fn rewrite(
        &mut self,
        conn: &Connection,
        (tier, part, group): (Tier, i64, u32),
        from: i64,
        damages: &DamageLog,
    ) -> Inner<()> {
        let tables = Tables::of(tier);
        for (what, effort, put, delete) in [
            (BLOCK, Effort::Small, tables.put_block, tables.delete_blocks),
            (SEGMENT, Effort::Fast, tables.put_segment, tables.delete_segments),
        ] {
            for source in sources(conn, (tier, part, group), what, damages)? {
                if source.head.rows.times.first().is_none_or(|first| *first >= from) {
                    continue;
                }
                let key = source.key;
                let mut merge = Merge::begin(tier, key, effort, vec![source], from, None);
                while merge.next_series().is_some() {
                    merge.advance(About { kind: Kind::Gauge, tail: None }, &mut self.encoder);
                }
                note(&merge, damages);
                match merge.finish().0 {
                    Some(Blob { count, data, .. }) => {
                        conn.prepare_cached(put)?.execute(params![key, count as i64, data])?;
                    }
                    None => drop(conn.prepare_cached(delete)?.execute([key, key])?),
                }
            }
        }
        Ok(())
    }

    /// Forgets the tails of all but these many newest: they are looked up again.
    pub(super) fn tidy(&mut self, living: usize) {
        if self.tails.len() > 2 * living + 1000 {
            self.tails.clear();
        }
    }
}

fn about(conn: &Connection, series: u32, tails: &HashMap<u32, Tail>, job: &Job) -> Inner<About> {
    if job.tier != Tier::Raw {
        return Ok(About { kind: Kind::Gauge, tail: None });
    }
    let kind = super::super::series::kind(conn, series)?;
    if kind != Kind::Counter {
        return Ok(About { kind, tail: None });
    }
    let start = key::part_start(Tier::Raw, job.part);
    let known = tails.get(&series).copied().filter(|(time, ..)| *time < start);
    // of a later start of the agent, or of a part that is sealed again
    let fresh = known.filter(|(time, ..)| key::part(Tier::Raw, *time) + 1 == job.part);
    let tail = match fresh {
        Some(tail) => Some(tail),
        None => super::super::history::tail(conn, series, job.part)?.or(known),
    };
    Ok(About { kind, tail })
}

/// Reads what there is of a group in a part.
fn begin(conn: &Connection, tier: Tier, part: i64, group: u32, damages: &DamageLog) -> Inner<Merge> {
    let mut all = sources(conn, (tier, part, group), BLOCK, damages)?;
    all.extend(sources(conn, (tier, part, group), SEGMENT, damages)?);
    let rolled = match tier {
        Tier::Raw => Some(rolled_key(Tier::Raw, Tier::Minute, part, group)),
        Tier::Minute => Some(rolled_key(Tier::Minute, Tier::Hour, part, group)),
        Tier::Hour => None,
    };
    Ok(Merge::begin(tier, key::block(part, group), Effort::Small, all, i64::MIN, rolled))
}

/// The block, or the segments, of a group in a part. What can't be read is noted and left out.
fn sources(
    conn: &Connection,
    (tier, part, group): (Tier, i64, u32),
    what: &'static str,
    damages: &DamageLog,
) -> Inner<Vec<Source>> {
    let tables = Tables::of(tier);
    let mut select = conn.prepare_cached(if what == BLOCK { tables.block } else { tables.segments })?;
    let mut rows = select.query([key::block(part, group), key::last_segment(part, group)])?;
    let mut sources = Vec::new();
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        match Source::read(what, key, row.get(1)?) {
            Ok(source) => sources.push(source),
            Err(damage) => damages.note(what, key, damage),
        }
    }
    Ok(sources)
}

/// Notes the columns that could not be read.
fn note(merge: &Merge, damages: &DamageLog) {
    for (what, key, damage) in &merge.damaged {
        damages.note(what, *key, *damage);
    }
}

/// Where the roll-ups of a part go: the same part always to the same place, so that they replace those of before.
fn rolled_key(tier: Tier, coarser: Tier, part: i64, group: u32) -> i64 {
    let start = key::part_start(tier, part);
    let coarse = key::part(coarser, start);
    let number = (start - key::part_start(coarser, coarse)) / key::part_width(tier);
    key::segment(coarse, group, number)
}

/// Writes a block in the place of what it was made of, and its roll-ups.
fn finish(
    conn: &Connection,
    (tier, part, group): (Tier, i64, u32),
    merge: Merge,
    damages: &DamageLog,
) -> Inner<Vec<(u32, Tail)>> {
    let tables = Tables::of(tier);
    note(&merge, damages);
    let (block, rolled, tails) = merge.finish();
    let whole = [key::block(part, group), key::last_segment(part, group)];
    match block {
        Some(Blob { key, count, data }) => {
            conn.prepare_cached(tables.put_block)?.execute(params![key, count as i64, data])?;
        }
        None => drop(conn.prepare_cached(tables.delete_blocks)?.execute(whole)?),
    }
    conn.prepare_cached(tables.delete_segments)?.execute(whole)?;
    if let Some(Blob { key, count, data }) = rolled {
        let coarser = if tier == Tier::Raw { Tier::Minute } else { Tier::Hour };
        conn.prepare_cached(Tables::of(coarser).put_segment)?.execute(params![key, count as i64, data])?;
    }
    Ok(tails)
}
