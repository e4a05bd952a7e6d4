//! The latest value of every series that is alive. Published by `ingest`, read by everyone, locked by nobody.

use super::{CollectorId, SeriesDef, SeriesId, Timestamp};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// A series that is alive: registered by a running collector and not retired.
#[derive(Clone, Debug)]
pub struct Live {
    /// The store's number.
    pub id: SeriesId,
    /// Its metric and labels.
    pub def: Arc<SeriesDef>,
    /// Whose it is.
    pub collector: CollectorId,
}

/// What is known of a collector where its samples are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorInfo {
    /// The key of its table in the configuration.
    pub name: Arc<str>,
    /// A value older than this is no longer the present one.
    pub stale_after: Duration,
}

/// Which series are alive. Replaced as a whole when that changes, which is seldom.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The live series; [`Snapshot::latest`] has their values at the same index.
    pub series: Vec<Live>,
    /// The collectors, by [`CollectorId`].
    pub collectors: Vec<CollectorInfo>,
    by_metric: HashMap<Box<str>, Vec<usize>>,
}

impl Catalog {
    /// Of these series and collectors.
    pub fn new(series: Vec<Live>, collectors: Vec<CollectorInfo>) -> Self {
        let mut by_metric: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (index, live) in series.iter().enumerate() {
            by_metric.entry(live.def.metric.name.clone()).or_default().push(index);
        }
        Self { series, collectors, by_metric }
    }

    /// The indices of the live series of a metric.
    pub fn of_metric(&self, name: &str) -> &[usize] {
        self.by_metric.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Why a series has no value now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing was collected yet.
    NotCollected,
    /// There is no such series.
    NoSeries,
    /// The plugin said so.
    Unavailable(Arc<str>),
    /// The last value is too old to be the present one.
    Stale,
    /// A rate needs two readings.
    FirstReading,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotCollected => "not_collected",
            Self::NoSeries => "no_series",
            Self::Unavailable(why) => why,
            Self::Stale => "stale",
            Self::FirstReading => "first_reading",
        })
    }
}

/// The sample before the latest, for rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Previous {
    /// When.
    pub time: Timestamp,
    /// The value.
    pub value: f64,
}

/// The newest of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// When the value was true.
    pub time: Timestamp,
    /// The value, or why there is none.
    pub value: Result<f64, Missing>,
    /// The sample before, where no reset, clock step or gap lies between: else a rate would lie.
    pub previous: Option<Previous>,
}

/// The latest values, as of one commit.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When the newest batch was collected; nothing before the first.
    pub time: Option<Timestamp>,
    /// Which series are alive.
    pub catalog: Arc<Catalog>,
    /// Their latest values, at the index of [`Catalog::series`].
    pub latest: Vec<Latest>,
}

impl Snapshot {
    /// The value of the series at `index`, if it is still the present one at `now`.
    pub fn value(&self, index: usize, now: Timestamp) -> Result<f64, Missing> {
        let value = self.fresh(index, now)?.value.clone()?;
        Ok(value)
    }

    /// The rate of the counter at `index` per second, over its last two samples.
    pub fn rate(&self, index: usize, now: Timestamp) -> Result<f64, Missing> {
        let latest = self.fresh(index, now)?;
        let value = latest.value.clone()?;
        let previous = latest.previous.ok_or(Missing::FirstReading)?;
        let millis = latest.time.millis_since(previous.time);
        if millis <= 0 || value < previous.value {
            return Err(Missing::FirstReading);
        }
        Ok((value - previous.value) / (millis as f64 / 1000.0))
    }

    fn fresh(&self, index: usize, now: Timestamp) -> Result<&Latest, Missing> {
        let (latest, live) =
            self.latest.get(index).zip(self.catalog.series.get(index)).ok_or(Missing::NoSeries)?;
        let stale_after = self.catalog.collectors.get(live.collector.0 as usize).map(|info| info.stale_after);
        match stale_after {
            // a clock that was stepped back makes no value stale
            Some(limit) if now.minus(limit) > latest.time => Err(Missing::Stale),
            _ => Ok(latest),
        }
    }
}
