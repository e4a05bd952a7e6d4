//! What goes into the store and what comes out of it.

use crate::model::{Event, Gap, Labels, SeriesDef, SeriesId, Timestamp};
use std::{path::PathBuf, time::Duration};

/// How a store is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The database file.
    pub file: PathBuf,
    /// How long raw samples are kept.
    pub retention: Duration,
    /// The most history that a power cut may cost: a commit at least this long after the last synced one is synced.
    pub max_loss: Duration,
    /// The most bytes that the file may take.
    pub max_size: u64,
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

/// Which series are meant: a metric, and the values that some labels must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// The values that these labels must have.
    pub labels: Labels,
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
