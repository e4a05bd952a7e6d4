//! Sealing: the segments of a group in a part of time become one block, and are rolled up for the coarser tier. In steps,
//! so that no commit waits long.

use super::super::{
    aggregate::LONGEST_PAIR,
    blobs,
    codec::{ColumnEncoder, Effort},
    error::Inner,
    history::{self, PAIR_PARTS},
    key,
    merge::{About, Blob, Destination, Merge, Source, Tail, Tails},
    reader::DamageLog,
    tables::Tables,
    types::Tier,
};
use crate::model::Kind;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeSet, HashMap};

/// Samples (or roll-ups) that are encoded in one step, about: a few milliseconds.
const STEP: usize = 60_000;

/// What seals.
#[derive(Debug, Default)]
pub(super) struct Sealer {
    job: Option<Job>,
    /// Parts of the finest tier below this are sealed; nothing while none needs it.
    below: Option<i64>,
    /// Of each counter the part that was sealed last, and the last sample of each run up to its end.
    tails: HashMap<u32, (i64, Vec<Tail>)>,
    /// Parts and groups whose roll-ups are to be made again, as samples were added right before them.
    again: BTreeSet<(i64, u32)>,
    encoder: ColumnEncoder,
}

/// A block in the making.
#[derive(Debug)]
struct Job {
    tier: Tier,
    part: i64,
    group: u32,
    merge: Merge,
    /// The runs of its rows.
    runs: Vec<u32>,
    /// All columns are made.
    ready: bool,
}

impl Sealer {
    /// Has all parts before this one sealed.
    pub(super) fn seal_below(&mut self, part: i64) {
        self.below = Some(self.below.map_or(part, |below| below.max(part)));
    }

    /// A segment was added: a block of it in the making lacks it.
    pub(super) fn segment_added(&mut self, part: i64, group: u32) {
        self.job.take_if(|job| job.tier == Tier::Raw && (job.part, job.group) == (part, group));
    }

    /// Drops what is in the making.
    pub(super) fn restart(&mut self) {
        self.job = None;
    }

    /// Whether a block is in the making.
    #[cfg(test)]
    pub(super) fn has_job(&self) -> bool {
        self.job.is_some()
    }

    /// Whether there is something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.below.is_some() || !self.again.is_empty()
    }

    /// Leaves the work until [`Sealer::seal_below`] asks again: what can't be sealed must not keep new samples out.
    pub(super) fn put_off(&mut self) {
        self.job = None;
        self.below = None;
        self.again.clear();
    }

    /// Does a step of the work, which writes nothing.
    pub(super) fn step(&mut self, conn: &Connection, damages: &DamageLog) -> Inner<()> {
        if self.job.is_none() {
            self.job = self.begin(conn, damages)?;
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
        note(&mut job.merge, key::block(job.part, job.group), damages);
        job.ready = job.merge.next_series().is_none();
        Ok(())
    }

    /// The next block to be made.
    fn begin(&mut self, conn: &Connection, damages: &DamageLog) -> Inner<Option<Job>> {
        if let Some((part, group)) = self.again.first().copied() {
            return Ok(Some(Job::begin(conn, Tier::Raw, part, group, damages)?));
        }
        let Some(below) = self.below else { return Ok(None) };
        let mut start = key::part_start(Tier::Raw, below);
        // from the finest on
        for tier in Tier::ALL {
            let part = key::part(tier, start);
            // a part of a coarser tier is whole once all finer parts in it are sealed
            start = key::part_start(tier, part);
            let mut select = conn.prepare_cached(Tables::of(tier).first_segment)?;
            let next: Option<i64> = select.query_row([key::block(part, 0)], |row| row.get(0)).optional()?;
            if let Some(next) = next {
                let (part, group) = key::part_and_group(next);
                let job = Job::begin(conn, tier, part, group, damages)?;
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// Writes a block that is ready.
    pub(super) fn write(&mut self, conn: &Connection) -> Inner<()> {
        let Some(job) = self.job.take_if(|job| job.ready) else { return Ok(()) };
        // should the transaction fail, the segments are still there and it all begins again
        let tails = finish(conn, job.tier, job.part, job.group, job.merge)?;
        let again = job.tier == Tier::Raw && self.again.remove(&(job.part, job.group));
        // late samples may be the earlier ones of pairs that are rolled up already
        if job.tier == Tier::Raw && !again {
            self.again.extend(followers(conn, job.part, job.group, &tails)?);
        }
        for (series, tails) in tails {
            self.carry(series, job.part, tails);
        }
        Ok(())
    }

    /// Notes the last samples of a counter in a part; those of before stay, of runs that it has no samples of.
    fn carry(&mut self, series: u32, part: i64, tails: Vec<Tail>) {
        let known = self.tails.remove(&series).filter(|(of, _)| (part - 1..=part).contains(of));
        let mut all = known.map(|(_, known)| known).unwrap_or_default();
        let oldest = key::part_start(Tier::Raw, part) - LONGEST_PAIR;
        all.retain(|(time, run, _)| *time >= oldest && tails.iter().all(|(_, of, _)| of != run));
        all.extend(tails);
        self.tails.insert(series, (part, all));
    }

    /// Makes a block at once, without the rows before `from`, and its roll-ups of what is left. The first of these have no
    /// earlier sample to be paired with.
    pub(super) fn rewrite(
        &mut self,
        conn: &Connection,
        (tier, part, group): (Tier, i64, u32),
        from: i64,
        damages: &DamageLog,
    ) -> Inner<()> {
        let mut merge = begin(conn, (tier, part, group), from, damages)?;
        while let Some(series) = merge.next_series() {
            let kind = match tier {
                Tier::Raw => super::super::series::kind(conn, series)?,
                Tier::Minute | Tier::Hour => Kind::Gauge,
            };
            merge.advance(About { kind, ..About::NOTHING }, &mut self.encoder);
        }
        note(&mut merge, key::block(part, group), damages);
        finish(conn, tier, part, group, merge)?;
        Ok(())
    }

    /// Forgets what it knows of samples, as some are deleted.
    pub(super) fn forget(&mut self) {
        self.job = None;
        self.tails.clear();
    }

    /// Of how many series it knows the last samples.
    pub(super) fn remembered(&self) -> usize {
        self.tails.len()
    }

    /// Forgets the tails of all but these many newest: they are looked up again.
    pub(super) fn tidy(&mut self, living: usize) {
        if self.tails.len() > 2 * living + 1000 {
            self.tails.clear();
        }
    }
}

impl Job {
    fn begin(conn: &Connection, tier: Tier, part: i64, group: u32, damages: &DamageLog) -> Inner<Self> {
        let merge = begin(conn, (tier, part, group), i64::MIN, damages)?;
        let runs = if tier == Tier::Raw { merge.runs() } else { Vec::new() };
        Ok(Self { tier, part, group, merge, runs, ready: false })
    }
}

fn about(conn: &Connection, series: u32, known: &HashMap<u32, (i64, Vec<Tail>)>, job: &Job) -> Inner<About> {
    if job.tier != Tier::Raw {
        return Ok(About::NOTHING);
    }
    let kind = super::super::series::kind(conn, series)?;
    if kind != Kind::Counter {
        return Ok(About { kind, ..About::NOTHING });
    }
    // else it is of a later start of the agent, or a part that is sealed again
    let known = known.get(&series).filter(|(part, _)| part + 1 == job.part).map(|(_, tails)| tails);
    let has_all = |tails: &&Vec<Tail>| job.runs.iter().all(|run| tails.iter().any(|(_, of, _)| of == run));
    let tails = match known.filter(has_all) {
        Some(tails) => tails.clone(),
        None => history::tails(conn, series, job.part, &job.runs)?,
    };
    Ok(About { kind, tails })
}

/// The parts after this one that have pairs with these last samples, and that were sealed already.
fn followers(conn: &Connection, part: i64, group: u32, tails: &[(u32, Vec<Tail>)]) -> Inner<Vec<(i64, u32)>> {
    let runs_of = |(series, tails): &(u32, Vec<Tail>)| {
        let series = *series;
        tails.iter().map(move |(_, run, _)| (series, *run)).collect::<Vec<_>>()
    };
    let mut open: BTreeSet<(u32, u32)> = tails.iter().flat_map(runs_of).collect();
    let mut found = Vec::new();
    for part in part + 1..=part + PAIR_PARTS {
        if open.is_empty() {
            break;
        }
        let mut select = conn.prepare_cached(Tables::of(Tier::Raw).block)?;
        let key = key::block(part, group);
        let blob: Option<Vec<u8>> = select.query_row([key, key], |row| row.get(1)).optional()?;
        // a damaged one is noted when it is read for its samples
        let Some(Ok(source)) = blob.map(|blob| Source::read(key, blob)) else { continue };
        let before = open.len();
        for known in source.runs() {
            open.remove(&known);
        }
        if open.len() < before {
            found.push((part, group));
        }
    }
    Ok(found)
}

/// Begins a block of what there is of a group in a part, without the rows before `from`.
fn begin(
    conn: &Connection,
    (tier, part, group): (Tier, i64, u32),
    from: i64,
    damages: &DamageLog,
) -> Inner<Merge> {
    let sources = blobs::of_group(conn, tier, part, group, damages)?;
    let rolled = destination(conn, tier, part, group, damages)?;
    Ok(Merge::begin(tier, key::block(part, group), Effort::Small, sources, from, rolled))
}

/// Where the roll-ups of a part go, and what is there already: nothing, unless the part is sealed again.
fn destination(
    conn: &Connection,
    tier: Tier,
    part: i64,
    group: u32,
    damages: &DamageLog,
) -> Inner<Option<Destination>> {
    let Some(coarser) = tier.coarser() else { return Ok(None) };
    let rolled = rolled_key(tier, coarser, part, group);
    let (coarse, _) = key::part_and_group(rolled);
    let block = key::block(coarse, group);
    let mut known = blobs::blocks(conn, coarser, [block, block], damages)?;
    known.extend(blobs::segments(conn, coarser, [rolled, rolled], damages)?);
    Ok(Some(Destination { key: rolled, known }))
}

/// Where the roll-ups of a part go: the same part always to the same place, so that they replace those of before.
fn rolled_key(tier: Tier, coarser: Tier, part: i64, group: u32) -> i64 {
    let start = key::part_start(tier, part);
    let coarse = key::part(coarser, start);
    let number = (start - key::part_start(coarser, coarse)) / key::part_width(tier);
    key::segment(coarse, group, number)
}

/// Counts and tells of columns that could not be read, under the key of the block that lacks them.
fn note(merge: &mut Merge, key: i64, damages: &DamageLog) {
    for (series, damage) in merge.damaged.drain(..) {
        tracing::warn!(series, "a column of the store is lost: {damage}");
        damages.note("block", key, damage);
    }
}

/// Writes a block in the place of what it was made of, and its roll-ups.
fn finish(conn: &Connection, tier: Tier, part: i64, group: u32, merge: Merge) -> Inner<Tails> {
    let tables = Tables::of(tier);
    let (block, rolled, tails) = merge.finish();
    let whole = [key::block(part, group), key::last_segment(part, group)];
    // first, so that the block takes their pages: others would have to be linked and unlinked, too
    conn.prepare_cached(tables.delete_segments)?.execute(whole)?;
    match block {
        Some(Blob { key, count, data }) => {
            conn.prepare_cached(tables.put_block)?.execute(params![key, count as i64, data])?;
        }
        None => drop(conn.prepare_cached(tables.delete_blocks)?.execute(whole)?),
    }
    if let (Some(rolled), Some(coarser)) = (rolled, tier.coarser()) {
        let Blob { key, count, data } = with_known(conn, coarser, rolled)?;
        conn.prepare_cached(Tables::of(coarser).put_segment)?.execute(params![key, count as i64, data])?;
    }
    Ok(tails)
}

/// Roll-ups, and those that the segment in their place has beside them: of samples that are gone.
fn with_known(conn: &Connection, tier: Tier, rolled: Blob) -> Inner<Blob> {
    let key = rolled.key;
    let mut sources = blobs::segments(conn, tier, [key, key], &DamageLog::default())?;
    let Some(Ok(new)) = (!sources.is_empty()).then(|| Source::read(key, rolled.data.clone())) else {
        return Ok(rolled);
    };
    sources.push(new);
    let merge = Merge::begin(tier, key, Effort::Small, sources, i64::MIN, None);
    Ok(merge.at_once(&mut ColumnEncoder::default()).unwrap_or(rolled))
}
