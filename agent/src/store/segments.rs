//! The segments of one group in an open part, read once for all its series: for the newest points few columns of them
//! need be decoded.

use super::{
    blobs,
    codec::Samples,
    error::Inner,
    history::{InHead, Numbered, in_order, take},
    key,
    merge::Source,
    reader::DamageLog,
    tables::Tables,
    types::Tier,
};
use crate::model::SeriesId;
use rusqlite::{Connection, OptionalExtension};
use std::ops::RangeInclusive;

/// Reads the newest points of open parts.
pub(super) struct Segments<'a> {
    conn: &'a Connection,
    damages: &'a DamageLog,
    /// Which part and group were read.
    at: Option<(i64, u32)>,
    is_sealed: bool,
    /// With the time of the newest row; the newest first.
    sources: Vec<(i64, Source)>,
    samples: Samples,
}

impl<'a> Segments<'a> {
    pub(super) fn new(conn: &'a Connection, damages: &'a DamageLog) -> Self {
        Self { conn, damages, at: None, is_sealed: false, sources: Vec::new(), samples: Samples::default() }
    }

    /// The newest points of a series in a part, at least `limit` where there are so many, in order, into `points`. Whether
    /// the file has anything of it; nothing where the part has a block: then this is not the way.
    pub(super) fn newest(
        &mut self,
        (part, group): (i64, u32),
        series: SeriesId,
        head: &InHead,
        (range, limit): (&RangeInclusive<i64>, usize),
        points: &mut Vec<Numbered>,
    ) -> Inner<Option<bool>> {
        self.read(part, group)?;
        if self.is_sealed {
            return Ok(None);
        }
        points.clear();
        points.extend_from_slice(head.of_part(part));
        let Self { sources, samples, damages, .. } = self;
        for (newest, Source { head, blob }) in sources.iter() {
            in_order(points);
            let newer =
                |(point, _): &&Numbered| (newest + 1..=*range.end()).contains(&point.time.as_millis());
            if points.iter().rev().filter(newer).take(limit).count() == limit {
                break;
            }
            let Some(column) = head.find(series.0) else { continue };
            let taken = head.body(column, blob).and_then(|body| take(head, column, body, samples, points));
            if let Err(damage) = taken {
                damages.note("segment", head.key(), damage);
            }
        }
        in_order(points);
        Ok(Some(!self.sources.is_empty()))
    }

    fn read(&mut self, part: i64, group: u32) -> Inner<()> {
        if self.at == Some((part, group)) {
            return Ok(());
        }
        self.at = None;
        self.sources.clear();
        let first = key::block(part, group);
        let mut block = self.conn.prepare_cached(Tables::of(Tier::Raw).block_length)?;
        self.is_sealed = block.query_row([first], |row| row.get::<_, i64>(0)).optional()?.is_some();
        if !self.is_sealed {
            let range = [first, key::last_segment(part, group)];
            for source in blobs::segments(self.conn, Tier::Raw, range, self.damages)? {
                let newest = source.head.rows.times.iter().copied().max().unwrap_or(i64::MIN);
                self.sources.push((newest, source));
            }
            self.sources.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        }
        self.at = Some((part, group));
        Ok(())
    }
}
