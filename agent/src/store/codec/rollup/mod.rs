//! Roll-ups of one series: what the samples of a bucket of time come to, one column a property.

use super::{
    Damage,
    column::{ColumnEncoder, Effort, decode_column, decode_integers},
    varint::{Cursor, put},
};

mod combine;

pub use combine::on_grid;

/// A bucket of a gauge. Its samples are at least one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// How many samples.
    pub count: u32,
    /// Of all samples, in the metric's unit.
    pub sum: f64,
    /// The smallest sample.
    pub min: f64,
    /// The largest sample.
    pub max: f64,
    /// The newest sample.
    pub last: f64,
}

/// A bucket of a counter. Its samples are at least one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counter {
    /// How many samples.
    pub count: u32,
    /// By how much the counter grew, over its resets.
    pub increase: f64,
    /// Milliseconds between the samples that `increase` is of.
    pub covered: u32,
    /// The newest sample.
    pub last: f64,
}

/// Buckets of a gauge, oldest first, one vector a property; all have the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// See [`Gauge::count`].
    pub count: Vec<u32>,
    /// See [`Gauge::sum`].
    pub sum: Vec<f64>,
    /// See [`Gauge::min`].
    pub min: Vec<f64>,
    /// See [`Gauge::max`].
    pub max: Vec<f64>,
    /// See [`Gauge::last`].
    pub last: Vec<f64>,
}

/// Buckets of a counter, oldest first, one vector a property; all have the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// See [`Counter::count`].
    pub count: Vec<u32>,
    /// See [`Counter::increase`].
    pub increase: Vec<f64>,
    /// See [`Counter::covered`].
    pub covered: Vec<u32>,
    /// See [`Counter::last`].
    pub last: Vec<f64>,
}

/// The roll-ups of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Rollups {
    /// Of a gauge.
    Gauges(Gauges),
    /// Of a counter.
    Counters(Counters),
}

impl Gauges {
    /// How many buckets.
    pub fn len(&self) -> usize {
        self.count.len()
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.count.is_empty()
    }

    /// Appends a bucket.
    pub fn push(&mut self, bucket: Gauge) {
        self.count.push(bucket.count);
        self.sum.push(bucket.sum);
        self.min.push(bucket.min);
        self.max.push(bucket.max);
        self.last.push(bucket.last);
    }

    /// The bucket at an index.
    pub fn get(&self, at: usize) -> Option<Gauge> {
        Some(Gauge {
            count: *self.count.get(at)?,
            sum: *self.sum.get(at)?,
            min: *self.min.get(at)?,
            max: *self.max.get(at)?,
            last: *self.last.get(at)?,
        })
    }
}

impl Counters {
    /// How many buckets.
    pub fn len(&self) -> usize {
        self.count.len()
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.count.is_empty()
    }

    /// Appends a bucket.
    pub fn push(&mut self, bucket: Counter) {
        self.count.push(bucket.count);
        self.increase.push(bucket.increase);
        self.covered.push(bucket.covered);
        self.last.push(bucket.last);
    }

    /// The bucket at an index.
    pub fn get(&self, at: usize) -> Option<Counter> {
        Some(Counter {
            count: *self.count.get(at)?,
            increase: *self.increase.get(at)?,
            covered: *self.covered.get(at)?,
            last: *self.last.get(at)?,
        })
    }
}

impl Rollups {
    /// How many buckets.
    pub fn len(&self) -> usize {
        match self {
            Rollups::Gauges(gauges) => gauges.len(),
            Rollups::Counters(counters) => counters.len(),
        }
    }

    /// Whether there is no bucket.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const GAUGES: u8 = 0;
const COUNTERS: u8 = 1;

/// Appends the roll-ups. Every bit of every value comes back.
pub fn encode_rollups(encoder: &mut ColumnEncoder, rollups: &Rollups, effort: Effort, out: &mut Vec<u8>) {
    let (form, counts, columns): (_, [&[u32]; 2], [&[f64]; 4]) = match rollups {
        Rollups::Gauges(of) => (GAUGES, [&of.count, &[]], [&of.sum, &of.min, &of.max, &of.last]),
        Rollups::Counters(of) => (COUNTERS, [&of.count, &of.covered], [&of.increase, &of.last, &[], &[]]),
    };
    out.push(form);
    let mut column = Vec::new();
    for counts in counts {
        let counts: Vec<i64> = counts.iter().map(|count| i64::from(*count)).collect();
        column.clear();
        encoder.encode_integers(&counts, effort, &mut column);
        put(out, column.len() as u64);
        out.extend_from_slice(&column);
    }
    for values in columns {
        column.clear();
        encoder.encode(values, effort, &mut column);
        put(out, column.len() as u64);
        out.extend_from_slice(&column);
    }
}

/// Reads the roll-ups of exactly `count` buckets; every byte must be used.
pub fn decode_rollups(bytes: &[u8], count: usize) -> Result<Rollups, Damage> {
    let mut cursor = Cursor(bytes);
    let form = cursor.byte()?;
    let lengths = match form {
        GAUGES => [count, 0, count, count, count, count],
        COUNTERS => [count, count, count, count, 0, 0],
        _ => return Err(Damage::Malformed("the form of roll-ups")),
    };
    let mut part = || -> Result<&[u8], Damage> {
        let length = cursor.number32()?;
        cursor.bytes(length as usize)
    };
    let whole = |bytes: &[u8], count| -> Result<Vec<u32>, Damage> {
        let values = decode_integers(bytes, count)?;
        let narrow = |value: i64| u32::try_from(value).map_err(|_| Damage::Malformed("a count"));
        values.into_iter().map(narrow).collect()
    };
    let floats = |bytes: &[u8], count| -> Result<Vec<f64>, Damage> {
        let mut values = Vec::new();
        decode_column(bytes, count, &mut values).map(|()| values)
    };
    let first = whole(part()?, lengths[0])?;
    let second = whole(part()?, lengths[1])?;
    let a = floats(part()?, lengths[2])?;
    let b = floats(part()?, lengths[3])?;
    let c = floats(part()?, lengths[4])?;
    let d = floats(part()?, lengths[5])?;
    cursor.end()?;
    Ok(if form == GAUGES {
        Rollups::Gauges(Gauges { count: first, sum: a, min: b, max: c, last: d })
    } else {
        Rollups::Counters(Counters { count: first, covered: second, increase: a, last: b })
    })
}
