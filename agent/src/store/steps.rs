//! Reading samples in steps: hour by hour, the oldest first, so that a long time takes no more memory than a short one.

use super::{
    aggregate::{Folder, step_of},
    error::Inner,
    history, key,
    reader::DamageLog,
    series,
    types::{AggregateQuery, Point, Range, Steps},
};
use crate::model::{SeriesId, Timestamp};
use rusqlite::Connection;

/// How far before the first step the sample is looked for that its first pair takes, in milliseconds.
const LOOK_BACK: i64 = 3_600_000;

/// The steps of each series.
pub(super) fn aggregate(
    conn: &Connection,
    series: &[SeriesId],
    query: &AggregateQuery,
    damages: &DamageLog,
) -> Inner<Vec<Steps>> {
    let mut folders = Vec::new();
    for id in series {
        folders.push(Folder::new(query, series::is_counter(conn, *id)?));
    }
    let step = query.step.max(1);
    let first = step_of(query.range.from.as_millis(), step);
    let last = step_of(query.range.to.as_millis(), step).saturating_add(step - 1);
    let mut read = |from: i64, to: i64, limit: usize| -> Inner<()> {
        let range = Range { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) };
        let found = history::newest(conn, series, range, limit, damages)?;
        for (folder, points) in folders.iter_mut().zip(found) {
            points.iter().rev().for_each(|point: &Point| folder.push(point));
        }
        Ok(())
    };
    if first > -key::FARTHEST {
        read(first.saturating_sub(LOOK_BACK), first - 1, 1)?;
    }
    let mut hours = conn.prepare_cached("SELECT min(key) FROM layout WHERE key >= ?1")?;
    let mut from = first;
    while from <= last {
        let since = key::layout(key::hour(key::storable(Timestamp::from_millis(from))), 0);
        let Some(found) = hours.query_row([since], |row| row.get::<_, Option<i64>>(0))? else { break };
        let (hour, _) = key::layout_parts(found);
        // rows of an hour tell of times a little before it, too
        let begin = from.max(key::hour_start(hour) - key::SPREAD - key::BUMP);
        let end = key::hour_start(hour + 1) - 1;
        if end < from {
            break; // beyond all times that can be stored
        }
        if begin <= last {
            read(begin, end.min(last), usize::MAX)?;
        }
        from = end.saturating_add(1);
    }
    Ok(folders.into_iter().map(Folder::finish).collect())
}
