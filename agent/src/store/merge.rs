//! Several blobs of one group become one block: rows in their order, each once; of a sample that two blobs have, the later
//! blob's. What a part of a finer tier holds is rolled up for the coarser one on the way.
//!
//! Works column by column, so that a block of many samples takes little memory and can be made in several steps.

mod rollups;
mod rows;
mod samples;

pub(super) use rollups::{read_body as read_rollups, replaced, union as union_rollups};
use rows::{RowMap, Union};

use super::{
    codec::{BlockHead, BlockWriter, ColumnEncoder, Content, Damage, Effort, Rows, Samples, rollup::Rollups},
    types::Tier,
};
use crate::model::Kind;
use std::collections::BTreeSet;

/// A blob that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) head: BlockHead,
    pub(super) blob: Vec<u8>,
}

impl Source {
    /// Reads the head of a blob; its columns are checked when they are used.
    pub(super) fn read(key: i64, blob: Vec<u8>) -> Result<Self, Damage> {
        Ok(Self { head: BlockHead::read(&blob, blob.len(), key)?, blob })
    }

    /// Of which runs each series has samples. A column that can't be read has none.
    pub(super) fn runs(&self) -> BTreeSet<(u32, u32)> {
        let rows = &self.head.rows;
        let mut samples = Samples::default();
        let mut found = BTreeSet::new();
        for column in &self.head.columns {
            let body = self.head.body(column, &self.blob);
            if body.and_then(|body| samples.decode(body, rows.len(), column.count as usize)).is_ok() {
                found.extend(samples.iter().map(|(row, ..)| (column.series, run_of(rows.runs[row]))));
            }
        }
        found
    }
}

/// The last sample of a run: time, run, value.
pub(super) type Tail = (i64, u32, f64);

/// The last samples of each series, one a run.
pub(super) type Tails = Vec<(u32, Vec<Tail>)>;

/// A block in the making.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) tier: Tier,
    /// The key that the block will have.
    key: i64,
    effort: Effort,
    sources: Vec<Source>,
    union: Union,
    series: Vec<u32>,
    next: usize,
    block: BlockWriter,
    /// The roll-ups for the coarser tier.
    rolled: Option<Rolled>,
    /// The last sample of each run of each counter.
    tails: Tails,
    /// Columns that could not be read.
    pub(super) damaged: Vec<(u32, Damage)>,
    scratch: samples::Scratch,
}

/// The roll-ups of the coarser tier in the making.
#[derive(Debug)]
struct Rolled {
    key: i64,
    /// What the coarser tier has of the group already.
    known: Vec<Source>,
    width: i64,
    rows: Rows,
    block: BlockWriter,
}

/// What is to be known of a series for its roll-ups.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) kind: Kind,
    /// The last sample of each run before this part, oldest first.
    pub(super) tails: Vec<Tail>,
}

impl About {
    /// Where no roll-ups are made, or none that are of pairs.
    pub(super) const NOTHING: Self = Self { kind: Kind::Gauge, tails: Vec::new() };
}

/// Where roll-ups go.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) key: i64,
    /// Blobs of that group which may have roll-ups of the same time, the later of which win.
    pub(super) known: Vec<Source>,
}

/// A finished blob.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) key: i64,
    /// How many samples or roll-ups.
    pub(super) count: u64,
    pub(super) data: Vec<u8>,
}

impl Merge {
    /// Begins a block of these sources, the later of which win. Rows before `from` are left out. `rolled`: where the
    /// roll-ups will go, if any are wanted. Where one of more samples is known there, none is made: the samples of that
    /// one are gone, and these came late.
    pub(super) fn begin(
        tier: Tier,
        key: i64,
        effort: Effort,
        sources: Vec<Source>,
        from: i64,
        rolled: Option<Destination>,
    ) -> Self {
        let union = Union::of(&sources, from);
        let mut series: Vec<u32> = sources
            .iter()
            .flat_map(|source| source.head.columns.iter().map(|column| column.series))
            .collect();
        series.sort_unstable();
        series.dedup();
        let width = tier.coarser().and_then(Tier::width);
        let rolled = rolled.zip(width).map(|(Destination { key, known }, width)| {
            let rows = rows::buckets(&union.rows, width);
            Rolled { key, known, width, rows, block: BlockWriter::default() }
        });
        Self {
            tier,
            key,
            effort,
            sources,
            union,
            series,
            next: 0,
            block: BlockWriter::default(),
            rolled,
            tails: Vec::new(),
            damaged: Vec::new(),
            scratch: samples::Scratch::default(),
        }
    }

    /// The series whose column comes next; nothing when all are made.
    pub(super) fn next_series(&self) -> Option<u32> {
        self.series.get(self.next).copied()
    }

    /// The runs of all rows.
    pub(super) fn runs(&self) -> Vec<u32> {
        let mut runs: Vec<u32> = self.union.rows.runs.iter().map(|run| run_of(*run)).collect();
        runs.sort_unstable();
        runs.dedup();
        runs
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.union.rows.len()
    }

    /// Makes the column of the next series.
    pub(super) fn advance(&mut self, about: About, encoder: &mut ColumnEncoder) {
        let Some(series) = self.next_series() else { return };
        self.next += 1;
        match self.tier {
            Tier::Raw => self.samples(series, about, encoder),
            Tier::Minute | Tier::Hour => self.rollups(series, encoder),
        }
    }

    fn samples(&mut self, series: u32, about: About, encoder: &mut ColumnEncoder) {
        let Self { scratch, sources, union, damaged, .. } = self;
        scratch.begin(union.rows.len());
        each_column(sources, union, series, damaged, |body, rows, count, map| {
            scratch.take(body, rows, count, map)
        });
        let merged = scratch.finish();
        if merged.values.is_empty() {
            return;
        }
        let count = u32::try_from(merged.values.len()).unwrap_or(u32::MAX);
        let mut body = Vec::new();
        merged.encode(self.union.rows.len(), encoder, self.effort, &mut body);
        self.block.push(self.key, series, count, &body);
        if let Some(rolled) = &mut self.rolled {
            let points = merged.iter().map(|(row, value, reset)| {
                let (time, run, _) = self.union.rows.place(row);
                rollups::Sample { time, run: run_of(run), value, reset }
            });
            if about.kind == Kind::Counter {
                self.tails.push((series, last_of_runs(points.clone())));
            }
            let (starts, rollups) = rollups::of_samples(points, rolled.width, about);
            rolled.push(series, starts, rollups, self.effort, encoder);
        }
    }

    fn rollups(&mut self, series: u32, encoder: &mut ColumnEncoder) {
        let mut merged = rollups::Merged::default();
        let Self { sources, union, damaged, .. } = self;
        each_column(sources, union, series, damaged, |body, rows, count, map| {
            merged.take(body, rows, count, map)
        });
        let (rows, rollups) = merged.finish();
        if rows.is_empty() {
            return;
        }
        let times: Vec<i64> = rows.iter().map(|row| self.union.rows.times[*row]).collect();
        let body = rollups::body(&rows, self.union.rows.len(), &rollups, self.effort, encoder);
        self.block.push(self.key, series, rollups.len() as u32, &body);
        if let Some(rolled) = &mut self.rolled {
            let (starts, coarser) = rollups::of_rollups(&times, &rollups, rolled.width);
            rolled.push(series, starts, coarser, self.effort, encoder);
        }
    }

    /// Makes all columns, of which no roll-ups are wanted, and the block; nothing where there are no samples.
    pub(super) fn at_once(mut self, encoder: &mut ColumnEncoder) -> Option<Blob> {
        while self.next_series().is_some() {
            self.advance(About::NOTHING, encoder);
        }
        self.finish().0
    }

    /// The block and its roll-ups, once all columns are made; nothing where there are no samples. And the last sample of
    /// each run of each counter that was rolled up.
    pub(super) fn finish(mut self) -> (Option<Blob>, Option<Blob>, Tails) {
        let content = match self.tier {
            Tier::Raw => Content::Samples,
            Tier::Minute | Tier::Hour => Content::Rollups,
        };
        let block = finished(&mut self.block, self.key, content, &self.union.rows);
        let rolled = self
            .rolled
            .and_then(|mut rolled| finished(&mut rolled.block, rolled.key, Content::Rollups, &rolled.rows));
        (block, rolled, self.tails)
    }
}

/// Gives each column of a series: its bytes, the rows of its blob, how many it has, and where these rows are among all.
fn each_column(
    sources: &[Source],
    union: &Union,
    series: u32,
    damaged: &mut Vec<(u32, Damage)>,
    mut give: impl FnMut(&[u8], usize, usize, &RowMap) -> Result<(), Damage>,
) {
    for (Source { head, blob }, map) in sources.iter().zip(&union.maps) {
        let Some(column) = head.find(series) else { continue };
        let body = head.body(column, blob);
        if let Err(damage) = body.and_then(|body| give(body, head.rows.len(), column.count as usize, map)) {
            damaged.push((series, damage));
        }
    }
}

impl Rolled {
    fn push(
        &mut self,
        series: u32,
        starts: Vec<i64>,
        rollups: Rollups,
        effort: Effort,
        encoder: &mut ColumnEncoder,
    ) {
        let (starts, rollups) = &rollups::without_fewer(starts, rollups, self.known(series));
        // each begins a row: the rows are those of all samples
        let rows: Vec<usize> =
            starts.iter().map(|start| self.rows.times.partition_point(|row| row < start)).collect();
        if !rows.is_empty() {
            let body = rollups::body(&rows, self.rows.len(), rollups, effort, encoder);
            self.block.push(self.key, series, rollups.len() as u32, &body);
        }
    }

    /// What is known already of a series; what can't be read is not.
    fn known(&self, series: u32) -> Option<(Vec<i64>, Rollups)> {
        let read = |source: &Source| {
            let column = source.head.find(series)?;
            let body = source.head.body(column, &source.blob).ok()?;
            let (rows, rollups) = read_rollups(body, source.head.rows.len(), column.count as usize).ok()?;
            Some((rows.into_iter().map(|row| source.head.rows.times[row]).collect(), rollups))
        };
        replaced(self.known.iter().filter_map(read).collect())
    }
}

/// The run of a row.
fn run_of(run: i64) -> u32 {
    u32::try_from(run).unwrap_or(u32::MAX)
}

/// The last sample of each run, oldest first.
fn last_of_runs(samples: impl Iterator<Item = rollups::Sample>) -> Vec<Tail> {
    let mut tails: Vec<Tail> = Vec::new();
    for rollups::Sample { time, run, value, .. } in samples {
        match tails.last_mut() {
            Some(last) if last.1 == run => *last = (time, run, value),
            _ => {
                tails.retain(|(_, known, _)| *known != run);
                tails.push((time, run, value));
            }
        }
    }
    tails
}

fn finished(writer: &mut BlockWriter, key: i64, content: Content, rows: &Rows) -> Option<Blob> {
    let count = writer.count();
    (count > 0).then(|| Blob { key, count, data: writer.finish(key, content, rows) })
}
