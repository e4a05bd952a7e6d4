//! What goes into the store and what comes out of it.

use super::matcher::Matcher;
use crate::model::{Event, Gap, Labels, SeriesDef, SeriesId, Timestamp};
use std::{fmt, path::PathBuf, time::Duration};

/// How a store is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The database file.
    pub file: PathBuf,
    /// How long samples and roll-ups are kept.
    pub retention: Retention,
    /// The most history that a power cut may cost: a commit at least this long after the last synced one is synced.
    pub max_loss: Duration,
    /// The most bytes that the file may take.
    pub max_size: u64,
}

/// How long each tier is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Samples as they were collected.
    pub raw: Duration,
    /// Roll-ups of a minute.
    pub minute: Duration,
    /// Roll-ups of an hour.
    pub hour: Duration,
}

impl Default for Retention {
    /// A week, 90 days, two years.
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self { raw: days(7), minute: days(90), hour: days(730) }
    }
}

/// How fine stored data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Samples as they were collected.
    Raw,
    /// Roll-ups of a minute.
    Minute,
    /// Roll-ups of an hour.
    Hour,
}

impl Tier {
    /// All, the finest first.
    pub const ALL: [Tier; 3] = [Tier::Raw, Tier::Minute, Tier::Hour];

    /// The width of a roll-up in milliseconds; nothing for samples.
    pub const fn width(self) -> Option<i64> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(60_000),
            Self::Hour => Some(3_600_000),
        }
    }

    /// The tier that is made of this one's roll-ups.
    pub const fn coarser(self) -> Option<Self> {
        match self {
            Self::Raw => Some(Self::Minute),
            Self::Minute => Some(Self::Hour),
            Self::Hour => None,
        }
    }

    /// The tier that this one is made of.
    pub const fn finer(self) -> Option<Self> {
        match self {
            Self::Raw => None,
            Self::Minute => Some(Self::Raw),
            Self::Hour => Some(Self::Minute),
        }
    }

    /// `raw`, `1m` or `1h`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "1m",
            Self::Hour => "1h",
        }
    }
}

/// A sample on its way into the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredSample {
    /// The series.
    pub series: SeriesId,
    /// The counter started anew since the sample before.
    pub reset: bool,
    /// The value, finite.
    pub value: f64,
}

/// The samples of one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredBatch {
    /// When they were true.
    pub time: Timestamp,
    /// In any order; each series at most once.
    pub samples: Vec<StoredSample>,
}

/// What one transaction writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// The samples.
    pub batches: Vec<StoredBatch>,
    /// Gaps that ended or grew.
    pub gaps: Vec<Gap>,
    /// What happened.
    pub events: Vec<Event>,
    /// Small named values, as [`Store::put_meta`](super::Store::put_meta) stores them; in the transaction of the
    /// samples, so that a cursor never says more, or less, than what is there.
    pub meta: Vec<(String, String)>,
    /// Samples before and after this commit must not be paired into rates (clock step); the store begins a new run.
    pub new_run: bool,
}

/// A sample as it is read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When the value was true.
    pub time: Timestamp,
    /// The value.
    pub value: f64,
    /// The counter started anew since the sample before.
    pub reset: bool,
    /// The run it was written in: a new one begins with each start of the agent and each step of the clock. Two points
    /// of different runs must not be paired into a rate.
    pub run: u32,
}

/// A series that the store knows, alive or not.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSeries {
    /// Its number.
    pub id: SeriesId,
    /// Its metric and labels.
    pub def: SeriesDef,
}

/// Which series are meant: a metric, and what its labels must be.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// All must hold.
    pub matchers: Vec<Matcher>,
}

impl Selector {
    /// The series of a metric whose labels have these values.
    pub fn with_labels(metric: impl Into<String>, labels: &Labels) -> Self {
        let matchers = labels.iter().map(|(label, value)| Matcher::equal(label, value)).collect();
        Self { metric: metric.into(), matchers }
    }
}

impl fmt::Display for Selector {
    /// As PromQL writes it: `host_load1{device="eth0"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        for (at, matcher) in self.matchers.iter().enumerate() {
            write!(f, "{}{matcher}", if at == 0 { '{' } else { ',' })?;
        }
        f.write_str(if self.matchers.is_empty() { "" } else { "}" })
    }
}

/// A time range; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The earliest time.
    pub from: Timestamp,
    /// The latest time.
    pub to: Timestamp,
}

impl Range {
    /// All time.
    pub const ALL: Range =
        Range { from: Timestamp::from_millis(i64::MIN), to: Timestamp::from_millis(i64::MAX) };
}

/// How the samples of a step become one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// The mean of the samples.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The newest.
    Last,
    /// Their sum.
    Sum,
    /// How many there are.
    Count,
    /// The increase of a counter per second, over the time that was observed.
    Rate,
    /// By how much a counter grew, resets taken into account.
    Increase,
    /// The value below which this share (0 to 1) of the samples lies, interpolated; of raw samples only.
    Quantile(f64),
}

impl Aggregate {
    /// Each once; of the quantiles the median.
    pub const ALL: [Self; 9] = [
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Last,
        Self::Sum,
        Self::Count,
        Self::Rate,
        Self::Increase,
        Self::Quantile(0.5),
    ];
}

/// A question for one value a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggregateQuery {
    /// The time asked for. A step belongs to it if its beginning does; it begins with the step that holds `from`.
    pub range: Range,
    /// The length of a step in milliseconds, at least 1. Steps begin at multiples of it since 1970 UTC.
    pub step: i64,
    /// What becomes of the samples of a step.
    pub aggregate: Aggregate,
}

/// One value a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// The beginning of the step and its value, oldest first. Steps without samples are left out.
    pub values: Vec<(Timestamp, f64)>,
    /// The coarsest tier that was read; nothing where there was no data.
    pub tier: Option<Tier>,
    /// Why some steps that have samples are left out; nothing where all were told of.
    pub left_out: Option<LeftOut>,
}

/// Why a step that has samples has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Only roll-ups of this tier are left of it, which don't have what the aggregate needs.
    RolledUp(Tier),
    /// Only roll-ups of this tier are left of it, one of which is of more than this step.
    TooCoarse(Tier),
    /// It has too many samples for a quantile.
    TooMany,
}

/// Which events are asked for, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Only of this type.
    pub kind: Option<String>,
    /// Only of this severity (its word).
    pub severity: Option<String>,
    /// Only events with a smaller id: the cursor of the page before.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// An event with its number.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its number; later events have larger ones.
    pub id: i64,
    /// The event.
    pub event: Event,
}

/// What a cleaning deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Raw samples.
    pub samples: u64,
}
