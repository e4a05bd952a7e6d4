//! A recording of a real, busy machine, replayed without end: what benches and tests store in place of made-up values.
//!
//! The set is 200 series: 178 derived from `/proc` and rounded as an agent stores them (four of them totals of the
//! network), and 22 raw counters. More series are replicas of it, each some minutes apart; longer spans go to and fro, and
//! the counters go on. Played forwards each time, the same hour would lie twice in one block of another store, whose
//! compressor might find it: no real history is like that.

mod derive;
mod table;

pub(crate) use table::BadRecording;

use std::path::Path;
use table::Table;

/// How many series the set has.
pub(crate) const SERIES: usize = 200;
/// How many of them are derived: gauges but for four totals.
pub(crate) const GAUGES: usize = 178;
/// How many seconds a replica is ahead of the one before it.
const SHIFT: usize = 97;
const DEFAULT: &[u8] = include_bytes!("../data/host-1s.tsv.gz");

/// A series of the set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recorded {
    /// As in a Prometheus exposition, without labels.
    pub(crate) name: String,
    /// Whether it only grows.
    pub(crate) counter: bool,
    /// By how much a counter is larger after each lap.
    lap: f64,
    /// Its first value and its last, added: less a value, the same increase backwards.
    ends: f64,
}

/// The set and its values, one row a second.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    series: Vec<Recorded>,
    rows: Vec<Vec<f64>>,
}

impl Recording {
    /// The recording of this file (tab-separated, gzip), or the one that lies beside the benches.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, BadRecording> {
        match path {
            None => Self::parse(DEFAULT),
            Some(path) => Self::parse(&std::fs::read(path)?),
        }
    }

    /// The set that can be derived from a compressed table.
    pub(crate) fn parse(compressed: &[u8]) -> Result<Self, BadRecording> {
        let table = Table::parse(compressed)?;
        let mut columns = derive::gauges(&table);
        columns.truncate(GAUGES);
        columns.extend(derive::counters(&table));
        columns.truncate(SERIES);
        if columns.len() < SERIES {
            return Err(BadRecording::FewSeries { found: columns.len(), wanted: SERIES });
        }
        let row = |at: usize| columns.iter().map(|column| column.values[at]).collect();
        Ok(Self {
            rows: (0..columns[0].values.len()).map(row).collect(),
            series: columns.into_iter().map(derive::Column::into_recorded).collect(),
        })
    }

    /// The set, in the order of the values.
    pub(crate) fn series(&self) -> &[Recorded] {
        &self.series
    }

    /// How many seconds it lasts before it begins anew.
    #[allow(dead_code, reason = "of those who replay it, the store's bench doesn't ask")]
    pub(crate) fn seconds(&self) -> usize {
        self.rows.len()
    }

    /// The values of a replica at a second, in the order of the series.
    pub(crate) fn values(&self, second: usize, replica: usize) -> impl Iterator<Item = f64> {
        let (lap, at) = {
            let at = second + replica * SHIFT;
            (at / self.rows.len(), at % self.rows.len())
        };
        let backwards = lap % 2 == 1;
        let row = &self.rows[if backwards { self.rows.len() - 1 - at } else { at }];
        row.iter().zip(&self.series).map(move |(value, series)| {
            let value = if backwards && series.counter { series.ends - value } else { *value };
            value + lap as f64 * series.lap
        })
    }
}
