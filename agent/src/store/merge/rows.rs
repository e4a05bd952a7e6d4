//! The rows of several blobs in one order.

use super::{super::codec::Rows, Source};

/// Where the rows of a source are among all rows.
#[derive(Debug)]
pub(in super::super) enum RowMap {
    /// One after the other, from this one on.
    From(usize),
    /// Each by itself; a row that is left out is [`RowMap::OUT`].
    Each(Vec<u32>),
}

impl RowMap {
    const OUT: u32 = u32::MAX;

    /// Where a row of the source is; nothing where it is left out.
    #[inline]
    pub(in super::super) fn of(&self, row: usize) -> Option<usize> {
        match self {
            Self::From(first) => Some(first + row),
            Self::Each(rows) => rows.get(row).filter(|at| **at != Self::OUT).map(|at| *at as usize),
        }
    }
}

/// All rows of several sources.
#[derive(Debug, Default)]
pub(in super::super) struct Union {
    pub(in super::super) rows: Rows,
    /// One a source.
    pub(in super::super) maps: Vec<RowMap>,
}

impl Union {
    /// The rows of these sources that are not before `from`.
    pub(in super::super) fn of(sources: &[Source], from: i64) -> Self {
        let all: Vec<&Rows> = sources.iter().map(|source| &source.head.rows).collect();
        Self::in_order(&all, from).unwrap_or_else(|| Self::sorted(&all, from))
    }

    /// Where each source follows the one before, as nearly always.
    fn in_order(all: &[&Rows], from: i64) -> Option<Self> {
        let mut union = Self::default();
        let mut before: Option<(i64, i64, i64)> = None;
        for rows in all {
            if rows.len() == 0 {
                union.maps.push(RowMap::From(union.rows.len()));
                continue;
            }
            if rows.times[0] < from || before.is_some_and(|before| rows.place(0) <= before) {
                return None;
            }
            before = Some(rows.place(rows.len() - 1));
            union.maps.push(RowMap::From(union.rows.len()));
            union.rows.times.extend_from_slice(&rows.times);
            union.rows.runs.extend_from_slice(&rows.runs);
            union.rows.numbers.extend_from_slice(&rows.numbers);
        }
        Some(union)
    }

    fn sorted(all: &[&Rows], from: i64) -> Self {
        let mut places: Vec<(i64, i64, i64)> =
            all.iter().flat_map(|rows| (0..rows.len()).map(|row| rows.place(row))).collect();
        places.retain(|(time, ..)| *time >= from);
        places.sort_unstable();
        places.dedup();
        let at = |place| places.binary_search(&place).map_or(RowMap::OUT, |at| at as u32);
        let map = |rows: &&Rows| RowMap::Each((0..rows.len()).map(|row| at(rows.place(row))).collect());
        let maps = all.iter().map(map).collect();
        let mut rows = Rows::default();
        for place in places {
            rows.push(place);
        }
        Self { rows, maps }
    }
}

/// The beginnings of the roll-ups that hold these rows.
pub(super) fn buckets(rows: &Rows, width: i64) -> Rows {
    let mut times: Vec<i64> = rows.times.iter().map(|time| time.div_euclid(width) * width).collect();
    times.dedup();
    Rows { times, ..Rows::default() }
}
