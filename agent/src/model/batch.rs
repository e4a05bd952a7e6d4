//! What travels from `collect` to `ingest`.

use super::{Event, Gap, SeriesDef, Timestamp};
use std::sync::Arc;

/// The number of a collector (an instance of a plugin). It goes with the name of the collector's table for as long as
/// the agent runs, also while that is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectorId(pub u32);

/// A collector's own number of a series; `ingest` maps it to the store's.
pub type LocalSeries = u32;

/// A collector may number its series up to here: the tables by these numbers are vectors. Numbers of series that ended are
/// used again, from the next batch on.
pub const MAX_LOCAL_SERIES: LocalSeries = 1 << 20;

/// One value of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The collector's number of the series.
    pub series: LocalSeries,
    /// The counter started anew since the sample before.
    pub reset: bool,
    /// In the metric's base unit; always finite.
    pub value: f64,
}

/// A series without a value this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The collector's number of the series.
    pub series: LocalSeries,
    /// Why, in few words.
    pub reason: Box<str>,
}

/// What one collection of one collector brought. Reused: [`Batch::clear`] keeps the room.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Whose.
    pub collector: CollectorId,
    /// When the samples were true.
    pub time: Timestamp,
    /// The samples; each series at most once.
    pub samples: Vec<Sample>,
    /// Series that are new with this batch.
    pub registered: Vec<(LocalSeries, Arc<SeriesDef>)>,
    /// Series that ended with this batch.
    pub retired: Vec<LocalSeries>,
    /// Series that have no value this time, with the reason.
    pub absent: Vec<Absence>,
    /// The interval is so many times the configured one: the next batch comes so much later.
    pub stretch: u32,
    /// The collection went well: what it does not mention is not there.
    pub complete: bool,
}

impl Batch {
    /// An empty one.
    pub fn new(collector: CollectorId) -> Self {
        Self {
            collector,
            time: Timestamp::default(),
            samples: Vec::new(),
            registered: Vec::new(),
            retired: Vec::new(),
            absent: Vec::new(),
            stretch: 1,
            complete: false,
        }
    }

    /// Empties it for the next collection.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.registered.clear();
        self.retired.clear();
        self.absent.clear();
        self.complete = false;
    }
}

/// All that arrived for one commit: the batches of one tick, and what else is worth keeping.
#[derive(Debug, Default)]
pub struct Round {
    /// In the order in which they were collected.
    pub batches: Vec<Batch>,
    /// Times without samples, and why.
    pub gaps: Vec<Gap>,
    /// What happened.
    pub events: Vec<Event>,
    /// The wall clock was stepped (either way) before this round: samples before and after must not be paired.
    pub clock_stepped: bool,
    /// Collectors that were stopped: their series ended before this round.
    pub vacated: Vec<CollectorId>,
}

impl Round {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.gaps.is_empty() && self.events.is_empty() && self.vacated.is_empty()
    }
}
