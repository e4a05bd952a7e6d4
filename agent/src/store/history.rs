//! Reading samples: from the newest row backwards, hour by hour. An hour none of whose layouts has a wanted series is
//! not read at all.

use super::{
    codec::{Damage, Row, read_layout},
    error::Inner,
    key,
    reader::DamageLog,
    types::{Point, Range},
};
use crate::model::{SeriesId, Timestamp};
use rusqlite::Connection;

/// The newest `limit` points of each series within the range, newest first.
pub(super) fn newest(
    conn: &Connection,
    series: &[SeriesId],
    range: Range,
    limit: usize,
    damages: &DamageLog,
) -> Inner<Vec<Vec<Point>>> {
    let mut wanted: Vec<u32> = series.iter().map(|series| series.0).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut walk = Walk {
        conn,
        damages,
        from: key::storable(range.from),
        to: key::storable(range.to),
        found: wanted.iter().map(|_| Newest { limit, points: Vec::new() }).collect(),
    };
    if limit > 0 && range.from <= range.to && !wanted.is_empty() {
        walk.hours(&wanted)?;
    }
    let mut found = walk.found;
    // a series that is asked for twice is answered twice
    let twice = wanted.len() < series.len();
    let points = |series: &SeriesId| match wanted.binary_search(&series.0) {
        Ok(slot) if twice => found[slot].points.clone(),
        Ok(slot) => std::mem::take(&mut found[slot].points),
        Err(_) => Vec::new(),
    };
    Ok(series.iter().map(points).collect())
}

/// The time within which all samples lie, or a little more.
pub(super) fn extent(conn: &Connection) -> Inner<Option<Range>> {
    // two statements: SQLite answers each from the edge of the tree, but one for both by reading all of it
    let end = |sql| -> Inner<Option<i64>> { Ok(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    let (oldest, newest) = (end("SELECT min(key) FROM journal")?, end("SELECT max(key) FROM journal")?);
    Ok(oldest.zip(newest).map(|(oldest, newest)| Range {
        from: Timestamp::from_millis(key::millis(oldest) - key::SPREAD - key::BUMP),
        to: Timestamp::from_millis(key::millis(newest)),
    }))
}

/// A layout with wanted series.
struct Hit {
    layout: u32,
    /// Position in the layout, ascending, and the index of the wanted series.
    places: Vec<(usize, usize)>,
}

struct Walk<'a> {
    conn: &'a Connection,
    damages: &'a DamageLog,
    from: i64,
    to: i64,
    found: Vec<Newest>,
}

impl Walk<'_> {
    /// Walks the hours, the newest first, until each series has its points.
    fn hours(&mut self, wanted: &[u32]) -> Inner<()> {
        // rows and the layouts that they name must be of one state of the file
        let transaction = self.conn.unchecked_transaction()?;
        let mut select =
            transaction.prepare_cached("SELECT max(key) FROM layout WHERE key BETWEEN ?1 AND ?2")?;
        let first = key::layout(key::hour(self.from), 0);
        let mut last = key::layout(key::hour(self.to + key::SPREAD + key::BUMP), key::LAST_LAYOUT);
        while let Some(newest) = select.query_row([first, last], |row| row.get::<_, Option<i64>>(0))? {
            let (hour, _) = key::layout_parts(newest);
            let hits = self.hits(hour, wanted)?;
            if !hits.is_empty() && self.rows(hour, &hits)? {
                break;
            }
            last = key::layout(hour, 0) - 1;
        }
        Ok(())
    }

    /// The layouts of an hour that have wanted series, by number.
    fn hits(&self, hour: i64, wanted: &[u32]) -> Inner<Vec<Hit>> {
        let mut select = self
            .conn
            .prepare_cached("SELECT key, data FROM layout WHERE key BETWEEN ?1 AND ?2 ORDER BY key")?;
        let mut layouts = select.query([key::layout(hour, 0), key::layout(hour, key::LAST_LAYOUT)])?;
        let (mut hits, mut ids) = (Vec::new(), Vec::new());
        while let Some(row) = layouts.next()? {
            let layout_key = row.get(0)?;
            let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if let Err(damage) = read_layout(data, layout_key, &mut ids) {
                self.damages.note("layout", layout_key, damage);
                continue;
            }
            let place = |(slot, id)| Some((ids.binary_search(id).ok()?, slot));
            let places: Vec<(usize, usize)> = wanted.iter().enumerate().filter_map(place).collect();
            if !places.is_empty() {
                hits.push(Hit { layout: key::layout_parts(layout_key).1, places });
            }
        }
        Ok(hits)
    }

    /// Walks the rows of an hour, the newest first. Whether each series has its points.
    fn rows(&mut self, hour: i64, hits: &[Hit]) -> Inner<bool> {
        let first = key::first(self.from.max(key::hour_start(hour)));
        let last = key::last((self.to + key::SPREAD + key::BUMP).min(key::hour_start(hour + 1) - 1));
        let mut select = self
            .conn
            .prepare_cached("SELECT key, data FROM journal WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC")?;
        let mut rows = select.query([first, last])?;
        while let Some(row) = rows.next()? {
            let row_key = row.get(0)?;
            if self.found.iter().all(|newest| newest.is_complete(key::millis(row_key))) {
                return Ok(true);
            }
            let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if let Err(damage) = self.row(row_key, data, hits) {
                self.damages.note("journal row", row_key, damage);
            }
        }
        Ok(false)
    }

    fn row(&mut self, row_key: i64, data: &[u8], hits: &[Hit]) -> Result<(), Damage> {
        let row = Row::open(data, row_key)?;
        let run = row.run;
        for batch in row {
            let batch = batch?;
            let millis = batch.time(key::millis(row_key));
            let Ok(hit) = hits.binary_search_by_key(&batch.layout, |hit| hit.layout) else { continue };
            if !(self.from..=self.to).contains(&millis) {
                continue;
            }
            let places = &hits[hit].places;
            let time = Timestamp::from_millis(millis);
            batch.values_at(places.iter().map(|(position, _)| *position), |index, value, reset| {
                self.found[places[index].1].offer(Point { time, value, reset, run });
            })?;
        }
        Ok(())
    }
}

/// The newest points of one series, newest first.
struct Newest {
    limit: usize,
    points: Vec<Point>,
}

impl Newest {
    /// Takes a point, unless there are enough newer ones. Of points of one time, the one of the later run is newer.
    fn offer(&mut self, point: Point) {
        let older = |known: &Point| (known.time, known.run) < (point.time, point.run);
        if !self.points.last().is_some_and(older) {
            if self.points.len() < self.limit {
                self.points.push(point);
            }
            return;
        }
        let at = self.points.partition_point(|known| !older(known));
        self.points.insert(at, point);
        self.points.truncate(self.limit);
    }

    /// Whether no row of this time or before can add a point: none is newer than its row.
    fn is_complete(&self, row_millis: i64) -> bool {
        self.points.len() >= self.limit
            && self.points.last().is_some_and(|oldest| oldest.time.as_millis() > row_millis)
    }
}
