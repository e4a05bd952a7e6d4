//! How a long history is read in pieces that fit into memory.

use crate::{
    model::{SeriesId, Timestamp},
    store::{Range, Reader, Result},
};
use std::time::Duration;

/// Points of a piece, at most (more only where one millisecond has more).
const MOST: usize = 200_000;
/// The length of the first piece that is tried, in milliseconds.
const FIRST: i64 = 60_000;
/// Longer ones are not tried.
const LONGEST: i64 = 30 * 24 * 3_600_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// The pieces of the history of some series.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// The oldest first; without what lies between and has no points.
    pub(super) ranges: Vec<Range>,
    /// How many points there are.
    pub(super) points: u64,
    /// The series that have any.
    pub(super) series: Vec<SeriesId>,
}

impl Windows {
    /// Looks through the history, the newest first, as only its end is known. Memory: a few dozen bytes a piece.
    pub(super) fn plan(reader: &Reader, series: &[SeriesId], range: Range) -> Result<Self> {
        let mut plan = Self::default();
        let mut newest = newest_of(reader, series, range)?;
        plan.series = newest.iter().map(|(id, _)| *id).collect();
        plan.series.sort_unstable();
        let mut width = FIRST;
        while let Some(to) = newest.iter().map(|(_, time)| *time).max() {
            let start = |width: i64| to.as_millis().saturating_sub(width - 1).max(range.from.as_millis());
            let (from, ids, count) = loop {
                let from = Timestamp::from_millis(start(width));
                let ids: Vec<SeriesId> =
                    newest.iter().filter(|(_, time)| *time >= from).map(|(id, _)| *id).collect();
                let limit = MOST / ids.len().max(1) + 1;
                let points = reader.last_of_many(&ids, Range { from, to }, limit)?;
                if width > 1 && points.iter().any(|points| points.len() >= limit) {
                    width = (width / 4).max(1);
                    continue;
                }
                break (from, ids, points.iter().map(Vec::len).sum::<usize>());
            };
            if count < MOST / 4 {
                width = (width * 2).min(LONGEST);
            }
            plan.ranges.push(Range { from, to });
            plan.points += count as u64;
            newest.retain(|(_, time)| *time < from);
            newest.extend(newest_of(reader, &ids, Range { from: range.from, to: from.minus(MILLISECOND) })?);
        }
        plan.ranges.reverse();
        Ok(plan)
    }
}

/// The newest time of each series that has points in the range.
fn newest_of(reader: &Reader, series: &[SeriesId], range: Range) -> Result<Vec<(SeriesId, Timestamp)>> {
    if range.from > range.to {
        return Ok(Vec::new());
    }
    let found = reader.last_of_many(series, range, 1)?;
    Ok(series.iter().zip(found).filter_map(|(id, points)| Some((*id, points.first()?.time))).collect())
}
