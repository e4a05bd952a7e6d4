//! Folding the samples of one series into one value a step. Knows nothing of the file: samples and roll-ups are pushed
//! in, oldest first.

use super::types::{Aggregate, AggregateQuery, LeftOut, Point, Steps, Tier};
use crate::model::Timestamp;
use std::{fmt, str::FromStr};

/// Samples of one step that are ranked for a quantile at most: 8 MiB.
const MOST_RANKED: usize = 1 << 20;
/// Runs whose last sample is remembered. Only where a clock was stepped back do times of several runs mix.
const MOST_RUNS: usize = 16;
/// Samples farther apart than this are not paired, in milliseconds: what a counter did in a day of silence is not known
/// to the hour, and a pair must be found again without reading all history.
pub(super) const LONGEST_PAIR: i64 = 24 * 3_600_000;

impl Aggregate {
    /// Whether only a counter has it.
    pub const fn of_counters_only(self) -> bool {
        matches!(self, Self::Rate | Self::Increase)
    }

    /// Whether it can be had of samples only: no roll-up of such a series has what it takes.
    pub const fn needs_samples(self, is_counter: bool) -> bool {
        match self {
            Self::Quantile(_) => true,
            Self::Avg | Self::Min | Self::Max | Self::Sum => is_counter,
            Self::Last | Self::Count | Self::Rate | Self::Increase => false,
        }
    }
}

/// As the API and the command line write it: `avg`, `rate`, `p95`, `p99.9` …
impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantile(share) => write!(f, "p{}", (share * 1e8).round() / 1e6),
            word => f.write_str(WORDS.iter().find(|(known, _)| known == word).map_or("", |(_, text)| text)),
        }
    }
}

const WORDS: [(Aggregate, &str); 8] = [
    (Aggregate::Avg, "avg"),
    (Aggregate::Min, "min"),
    (Aggregate::Max, "max"),
    (Aggregate::Last, "last"),
    (Aggregate::Sum, "sum"),
    (Aggregate::Count, "count"),
    (Aggregate::Rate, "rate"),
    (Aggregate::Increase, "increase"),
];

/// A word that names no aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("avg, min, max, last, sum, count, rate, increase, or a percentile such as p95 or p99.9")]
pub struct BadAggregate;

/// Reads what [`Display`](fmt::Display) writes: percentiles from `p0` to `p100`.
impl FromStr for Aggregate {
    type Err = BadAggregate;

    fn from_str(text: &str) -> Result<Self, BadAggregate> {
        if let Some((aggregate, _)) = WORDS.iter().find(|(_, word)| *word == text) {
            return Ok(*aggregate);
        }
        let digits = text.strip_prefix('p').ok_or(BadAggregate)?;
        // neither a sign nor an exponent, and no more decimals than are written back
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let numeric = |part: &str| (1..=6).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if !numeric(whole) || !numeric(decimals) {
            return Err(BadAggregate);
        }
        let percent: f64 = digits.parse().map_err(|_| BadAggregate)?;
        // over whole numbers, so that p99.9 is the number nearest to 0.999
        let share = (percent * 1e6).round() / 1e8;
        if share <= 1.0 { Ok(Self::Quantile(share)) } else { Err(BadAggregate) }
    }
}

/// What is known of the samples of some time: all aggregates but quantiles can be made of it, and two of them can be
/// made one. A roll-up is one that was stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// How many samples.
    pub count: u64,
    /// Their sum. A roll-up of a counter has none: it is not looked at.
    pub sum: f64,
    /// The smallest. Not looked at in a roll-up of a counter.
    pub min: f64,
    /// The largest. Not looked at in a roll-up of a counter.
    pub max: f64,
    /// The newest.
    pub last: f64,
    /// By how much a counter grew, over all pairs whose later sample is one of these. A gauge has none.
    pub increase: f64,
    /// The time between the samples of these pairs, in milliseconds.
    pub covered_ms: i64,
}

impl Bucket {
    /// Of no samples.
    pub const EMPTY: Self = Self {
        count: 0,
        sum: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        last: 0.0,
        increase: 0.0,
        covered_ms: 0,
    };

    /// Adds a sample that is newer than the others, and what [`Pairs`] say of it.
    pub fn add(&mut self, value: f64, growth: Option<Growth>) {
        let growth = growth.unwrap_or_default();
        self.merge(&Self {
            count: 1,
            sum: value,
            min: value,
            max: value,
            last: value,
            increase: growth.increase,
            covered_ms: growth.covered_ms,
        });
    }

    /// Adds the samples of another time that is newer.
    pub fn merge(&mut self, newer: &Self) {
        if newer.count == 0 {
            return;
        }
        self.count = self.count.saturating_add(newer.count);
        self.sum += newer.sum;
        self.min = self.min.min(newer.min);
        self.max = self.max.max(newer.max);
        self.last = newer.last;
        self.increase += newer.increase;
        self.covered_ms = self.covered_ms.saturating_add(newer.covered_ms);
    }

    /// An aggregate; nothing where there is none, or no finite number is it.
    fn value(&self, aggregate: Aggregate) -> Option<f64> {
        let value = match aggregate {
            _ if self.count == 0 => return None,
            Aggregate::Avg => self.sum / self.count as f64,
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
            Aggregate::Last => self.last,
            Aggregate::Sum => self.sum,
            Aggregate::Count => self.count as f64,
            Aggregate::Rate | Aggregate::Increase if self.covered_ms <= 0 => return None,
            Aggregate::Rate => self.increase / (self.covered_ms as f64 / 1000.0),
            Aggregate::Increase => self.increase,
            Aggregate::Quantile(_) => return None,
        };
        value.is_finite().then_some(value)
    }
}

/// By how much a counter grew from one sample to the next of the same run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    /// At least 0.
    pub increase: f64,
    /// The time between the two, in milliseconds.
    pub covered_ms: i64,
}

/// Pairs each sample of a counter with the one before it in the same run.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// The last sample of each run, the run that was met last at the end.
    last: Vec<Point>,
}

impl Pairs {
    /// The growth up to this sample; nothing where it is the first of its run, or the first for more than a day. After a
    /// reset, or where the value fell, the counter began at zero.
    pub fn next(&mut self, later: &Point) -> Option<Growth> {
        let known = self.last.iter().rposition(|known| known.run == later.run);
        let earlier = known.map(|at| self.last.remove(at));
        if self.last.len() >= MOST_RUNS {
            self.last.remove(0);
        }
        self.last.push(*later);
        let near = |earlier: &Point| later.time.millis_since(earlier.time) <= LONGEST_PAIR;
        let earlier = earlier.filter(near)?;
        let anew = later.reset || later.value < earlier.value;
        let increase = if anew { later.value.max(0.0) } else { later.value - earlier.value };
        Some(Growth { increase, covered_ms: later.time.millis_since(earlier.time).max(0) })
    }
}

/// Folds the samples and roll-ups of one series, oldest first, into the steps of a query. Holds one step at a time, of
/// which it keeps the samples only where a quantile is asked for.
#[derive(Debug)]
pub struct Folder {
    aggregate: Aggregate,
    is_counter: bool,
    step: i64,
    /// The beginnings of the first and of the last step.
    first: i64,
    last: i64,
    pairs: Pairs,
    open: Option<Open>,
    /// Steps that begin here or before, and are not finished yet, have no value that is theirs.
    spoiled: Option<i64>,
    steps: Steps,
}

/// The step that is being filled.
#[derive(Debug)]
struct Open {
    start: i64,
    bucket: Bucket,
    /// For a quantile.
    values: Vec<f64>,
    left_out: Option<LeftOut>,
}

impl Folder {
    /// For the steps of a query, of a counter or of anything else.
    pub fn new(query: &AggregateQuery, is_counter: bool) -> Self {
        let step = query.step.max(1);
        Self {
            aggregate: query.aggregate,
            is_counter,
            step,
            first: step_of(query.range.from.as_millis(), step),
            last: step_of(query.range.to.as_millis(), step),
            pairs: Pairs::default(),
            open: None,
            spoiled: None,
            steps: Steps::default(),
        }
    }

    /// Takes a sample. One before the first step only serves as the earlier one of the first pair.
    pub fn push(&mut self, point: &Point) {
        let growth = self.pair(point);
        let Some(open) = self.open(point.time.as_millis()) else { return };
        open.bucket.add(point.value, growth);
        if let Aggregate::Quantile(_) = self.aggregate {
            self.rank(point.value);
        }
        self.read(Tier::Raw);
    }

    /// Takes a sample whose own time a roll-up has told, or will tell, of: it only serves as the earlier one of a pair.
    pub fn prime(&mut self, point: &Point) {
        self.pair(point);
    }

    /// The next sample has no earlier one, until [`prime`](Folder::prime) tells of one.
    pub fn unpair(&mut self) {
        self.pairs = Pairs::default();
    }

    /// Takes a roll-up of a tier, which begins at `start`. Where it has not what is asked for, or is of more than one
    /// step, these steps are left out.
    pub fn push_rolled(&mut self, tier: Tier, start: Timestamp, bucket: &Bucket) {
        let start = start.as_millis();
        let end = start.saturating_add(tier.width().unwrap_or(1) - 1);
        let last_touched = step_of(end, self.step);
        if bucket.count == 0 || last_touched < self.first || step_of(start, self.step) > self.last {
            return;
        }
        let needs_samples = self.aggregate.needs_samples(self.is_counter);
        let too_wide = last_touched != step_of(start, self.step);
        if too_wide {
            self.leave_out(LeftOut::TooCoarse(tier));
            self.spoiled = self.spoiled.max(Some(last_touched));
        }
        self.read(tier);
        let Some(open) = self.open(start) else { return };
        open.bucket.merge(bucket);
        if needs_samples {
            open.left_out = Some(LeftOut::RolledUp(tier));
        }
    }

    /// The steps that have a value.
    pub fn finish(mut self) -> Steps {
        self.close();
        self.steps
    }

    fn pair(&mut self, point: &Point) -> Option<Growth> {
        if self.is_counter { self.pairs.next(point) } else { None }
    }

    /// Notes that a tier was read.
    fn read(&mut self, tier: Tier) {
        self.steps.tier = self.steps.tier.max(Some(tier));
    }

    fn leave_out(&mut self, why: LeftOut) {
        self.steps.left_out.get_or_insert(why);
    }

    /// The step of a time, if it is asked for; closes the one before.
    fn open(&mut self, millis: i64) -> Option<&mut Open> {
        let start = step_of(millis, self.step);
        if !(self.first..=self.last).contains(&start) {
            return None;
        }
        if self.open.as_ref().is_some_and(|open| open.start != start) {
            debug_assert!(self.open.as_ref().is_some_and(|open| open.start < start), "oldest first");
            self.close();
        }
        Some(self.open.get_or_insert_with(|| Open {
            start,
            bucket: Bucket::EMPTY,
            values: Vec::new(),
            left_out: None,
        }))
    }

    fn rank(&mut self, value: f64) {
        let Some(open) = &mut self.open else { return };
        if open.values.len() < MOST_RANKED {
            open.values.push(value);
        } else {
            open.left_out.get_or_insert(LeftOut::TooMany);
        }
    }

    fn close(&mut self) {
        let Some(Open { start, bucket, values, left_out }) = self.open.take() else { return };
        if let Some(why) = left_out {
            return self.leave_out(why);
        }
        if self.spoiled.is_some_and(|until| start <= until) {
            return;
        }
        let value = match self.aggregate {
            Aggregate::Quantile(share) => quantile(share, values),
            other => bucket.value(other),
        };
        self.steps.values.extend(value.map(|value| (Timestamp::from_millis(start), value)));
    }
}

/// The beginning of the step that a time belongs to.
pub(crate) const fn step_of(millis: i64, step: i64) -> i64 {
    millis.saturating_sub(millis.rem_euclid(step))
}

/// The value below which this share of the values lies, interpolated between the two nearest; nothing of none.
fn quantile(share: f64, mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let rank = share.clamp(0.0, 1.0) * values.len().checked_sub(1)? as f64;
    let (below, part) = (values.get(rank.floor() as usize)?, rank.fract());
    let above = values.get(rank.ceil() as usize)?;
    // not `below + (above − below) × part`: the difference of two finite numbers may be infinite
    Some((below * (1.0 - part) + above * part).clamp(*below, *above))
}

#[cfg(test)]
mod tests;
