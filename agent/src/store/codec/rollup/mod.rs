//! Roll-ups of one series: what the samples of a bucket of time come to, one column a property.

use super::{
    Damage,
    column::{ColumnEncoder, Effort, decode_column, decode_integers},
    varint::{Cursor, put},
};

mod combine;
mod relative;
#[cfg(test)]
mod tests;

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

/// Properties each as a column of its own.
const PLAIN_GAUGES: u8 = 0;
const PLAIN_COUNTERS: u8 = 1;
/// Properties coded relative to one another.
const GAUGES: u8 = 2;
const COUNTERS: u8 = 3;

/// Appends the roll-ups. Every bit of every value comes back.
pub fn encode_rollups(encoder: &mut ColumnEncoder, rollups: &Rollups, effort: Effort, out: &mut Vec<u8>) {
    let mut parts = PartWriter { encoder, effort, part: Vec::new(), out };
    let (plain, form) = match rollups {
        Rollups::Gauges(_) => (PLAIN_GAUGES, GAUGES),
        Rollups::Counters(_) => (PLAIN_COUNTERS, COUNTERS),
    };
    match relative::Digits::of(rollups) {
        Some(digits) => {
            parts.out.push(form);
            digits.write(rollups, &mut parts);
        }
        None => {
            parts.out.push(plain);
            write_plain(rollups, &mut parts);
        }
    }
}

/// Reads the roll-ups of exactly `count` buckets; every byte must be used. No input makes it panic or take more memory
/// than `count` buckets justify.
pub fn decode_rollups(bytes: &[u8], count: usize) -> Result<Rollups, Damage> {
    let mut cursor = Cursor(bytes);
    let form = cursor.byte()?;
    let mut parts = PartReader(cursor);
    let rollups = match form {
        PLAIN_GAUGES => Rollups::Gauges(Gauges {
            count: parts.counts(count)?,
            sum: parts.values(count)?,
            min: parts.values(count)?,
            max: parts.values(count)?,
            last: parts.values(count)?,
        }),
        PLAIN_COUNTERS => Rollups::Counters(Counters {
            count: parts.counts(count)?,
            covered: parts.counts(count)?,
            increase: parts.values(count)?,
            last: parts.values(count)?,
        }),
        GAUGES => Rollups::Gauges(relative::read_gauges(&mut parts, count)?),
        COUNTERS => Rollups::Counters(relative::read_counters(&mut parts, count)?),
        _ => return Err(Damage::Malformed("the form of roll-ups")),
    };
    parts.0.end()?;
    Ok(rollups)
}

fn write_plain(rollups: &Rollups, parts: &mut PartWriter<'_>) {
    match rollups {
        Rollups::Gauges(of) => {
            parts.counts(&of.count);
            for values in [&of.sum, &of.min, &of.max, &of.last] {
                parts.values(values);
            }
        }
        Rollups::Counters(of) => {
            parts.counts(&of.count);
            parts.counts(&of.covered);
            for values in [&of.increase, &of.last] {
                parts.values(values);
            }
        }
    }
}

/// Writes columns one behind the other, each with its length before it.
struct PartWriter<'a> {
    encoder: &'a mut ColumnEncoder,
    effort: Effort,
    part: Vec<u8>,
    out: &'a mut Vec<u8>,
}

impl PartWriter<'_> {
    fn counts(&mut self, counts: &[u32]) {
        let counts: Vec<i64> = counts.iter().map(|count| i64::from(*count)).collect();
        self.integers(&counts);
    }

    fn integers(&mut self, values: &[i64]) {
        self.part.clear();
        self.encoder.encode_integers(values, self.effort, &mut self.part);
        self.append();
    }

    fn values(&mut self, values: &[f64]) {
        self.part.clear();
        self.encoder.encode(values, self.effort, &mut self.part);
        self.append();
    }

    fn append(&mut self) {
        put(self.out, self.part.len() as u64);
        self.out.extend_from_slice(&self.part);
    }
}

struct PartReader<'a>(Cursor<'a>);

impl<'a> PartReader<'a> {
    fn next(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.0.number32()?;
        self.0.bytes(length as usize)
    }

    fn counts(&mut self, count: usize) -> Result<Vec<u32>, Damage> {
        let narrow = |value| u32::try_from(value).map_err(|_| Damage::Malformed("a count"));
        self.integers(count)?.into_iter().map(narrow).collect()
    }

    fn integers(&mut self, count: usize) -> Result<Vec<i64>, Damage> {
        decode_integers(self.next()?, count)
    }

    fn values(&mut self, count: usize) -> Result<Vec<f64>, Damage> {
        let mut values = Vec::new();
        decode_column(self.next()?, count, &mut values)?;
        Ok(values)
    }
}
