//! Roll-ups of decimal fractions: the properties as whole numbers of one grid, each less what the others tell of it.

use super::{
    super::{
        Damage,
        column::decimal::{Exceptions, scale, unscale},
    },
    Counters, Gauges, PartReader, PartWriter, Rollups,
};

/// A steady bucket, whose samples are all the same, is told by its range alone.
const STEADY: u8 = 0x10;

/// All values of roll-ups as whole numbers, property after property.
pub(super) struct Digits {
    exponent: u8,
    digits: Vec<i64>,
    exceptions: Exceptions,
}

impl Digits {
    /// If the values are decimal fractions (there may be exceptions) of one exponent.
    pub(super) fn of(rollups: &Rollups) -> Option<Self> {
        let values = match rollups {
            Rollups::Gauges(of) => [&of.min[..], &of.max, &of.last, &of.sum].concat(),
            Rollups::Counters(of) => [&of.increase[..], &of.last].concat(),
        };
        let (mut digits, mut exceptions) = (Vec::new(), Exceptions::default());
        let exponent = scale(&values, &mut digits, &mut exceptions)?;
        Some(Self { exponent, digits, exceptions })
    }

    pub(super) fn write(&self, rollups: &Rollups, parts: &mut PartWriter<'_>) {
        let count = rollups.len();
        match rollups {
            Rollups::Gauges(of) => {
                let (min, rest) = self.digits.split_at(count);
                let (max, rest) = rest.split_at(count);
                let (last, sum) = rest.split_at(count);
                self.write_gauges(&of.count, min, max, last, sum, parts);
            }
            Rollups::Counters(of) => {
                let (increase, last) = self.digits.split_at(count);
                self.begin(0, parts);
                parts.counts(&of.count);
                parts.counts(&of.covered);
                parts.integers(increase);
                parts.integers(&unexplained(increase, last));
            }
        }
    }

    fn write_gauges(
        &self,
        counts: &[u32],
        min: &[i64],
        max: &[i64],
        last: &[i64],
        sum: &[i64],
        parts: &mut PartWriter<'_>,
    ) {
        let range: Vec<i64> = max.iter().zip(min).map(|(max, min)| max.wrapping_sub(*min)).collect();
        let above = |at: usize| sum[at].wrapping_sub(min[at].wrapping_mul(i64::from(counts[at])));
        let steady = (0..range.len()).all(|at| range[at] != 0 || (last[at] == min[at] && above(at) == 0));
        self.begin(if steady { STEADY } else { 0 }, parts);
        parts.counts(counts);
        parts.integers(min);
        parts.integers(&range);
        let kept = kept(&range, steady);
        let last: Vec<i64> = kept.iter().map(|&at| last[at].wrapping_sub(min[at])).collect();
        parts.integers(&last);
        let sum: Vec<i64> = kept.iter().map(|&at| above(at)).collect();
        parts.integers(&sum);
    }

    fn begin(&self, flags: u8, parts: &mut PartWriter<'_>) {
        parts.out.push(self.exponent | flags);
        self.exceptions.write(parts.out);
    }
}

/// The buckets that more is told of than the smallest sample and the range, by ascending range: what is told of them
/// grows with it, so that neighbours are of a size.
fn kept(range: &[i64], steady: bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..range.len()).filter(|at| !steady || range[*at] != 0).collect();
    kept.sort_by_key(|&at| range[at]);
    kept
}

/// What the increases don't explain of the newest samples: nothing, as long as the counter isn't reset.
fn unexplained(increase: &[i64], last: &[i64]) -> Vec<i64> {
    let mut before = 0_i64;
    let rest = |(increase, last): (&i64, &i64)| {
        let rest = last.wrapping_sub(before).wrapping_sub(*increase);
        before = *last;
        rest
    };
    increase.iter().zip(last).map(rest).collect()
}

pub(super) fn read_counters(parts: &mut PartReader<'_>, count: usize) -> Result<Counters, Damage> {
    let opening = Opening::read(parts, count, 2)?;
    if opening.steady {
        return Err(Damage::Malformed("the form of roll-ups"));
    }
    let counts = parts.counts(count)?;
    let covered = parts.counts(count)?;
    let mut digits = parts.integers(count)?;
    let mut before = 0_i64;
    for (at, rest) in parts.integers(count)?.into_iter().enumerate() {
        before = before.wrapping_add(digits[at]).wrapping_add(rest);
        digits.push(before);
    }
    let [increase, last] = opening.values(&digits, count)?;
    Ok(Counters { count: counts, increase, covered, last })
}

pub(super) fn read_gauges(parts: &mut PartReader<'_>, count: usize) -> Result<Gauges, Damage> {
    let opening = Opening::read(parts, count, 4)?;
    let counts = parts.counts(count)?;
    let min = parts.integers(count)?;
    let range = parts.integers(count)?;
    let kept = kept(&range, opening.steady);
    let newest = parts.integers(kept.len())?;
    let above = parts.integers(kept.len())?;
    let max: Vec<i64> = min.iter().zip(&range).map(|(min, range)| min.wrapping_add(*range)).collect();
    let mut last = min.clone();
    let mut sum: Vec<i64> =
        min.iter().zip(&counts).map(|(min, count)| min.wrapping_mul(i64::from(*count))).collect();
    for (&at, (newest, above)) in kept.iter().zip(newest.iter().zip(&above)) {
        last[at] = last[at].wrapping_add(*newest);
        sum[at] = sum[at].wrapping_add(*above);
    }
    let [min, max, last, sum] = opening.values(&[min, max, last, sum].concat(), count)?;
    Ok(Gauges { count: counts, sum, min, max, last })
}

/// What comes before the parts.
struct Opening {
    exponent: u8,
    steady: bool,
    exceptions: Exceptions,
}

impl Opening {
    fn read(parts: &mut PartReader<'_>, count: usize, properties: usize) -> Result<Self, Damage> {
        let first = parts.0.byte()?;
        let values = count.checked_mul(properties).ok_or(Damage::Malformed("a number of buckets"))?;
        let exceptions = Exceptions::read(&mut parts.0, values)?;
        Ok(Self { exponent: first & !STEADY, steady: first & STEADY != 0, exceptions })
    }

    /// The values of these digits, property after property.
    fn values<const N: usize>(&self, digits: &[i64], count: usize) -> Result<[Vec<f64>; N], Damage> {
        let mut values = Vec::new();
        unscale(digits, self.exponent, &mut values)?;
        self.exceptions.restore(&mut values)?;
        Ok(std::array::from_fn(|property| values[property * count..(property + 1) * count].to_vec()))
    }
}
