//! A collector that runs in the agent's own process.

use super::{
    claims::Claims,
    library::Library,
    series_table::{Said, SeriesTable, cut},
};
use crate::{
    collect::Source,
    model::{Batch, LocalSeries, Sample, Timestamp},
};
use abi_stable::std_types::{RString, RVec};
use std::{sync::Arc, time::Duration};
use twarga_plugin_api::{
    Error,
    abi::{self, RawCollectorBox, RawError, glue, services},
};

/// A batch time of the plugin further from the host's than this is ignored.
const MAX_TIME_SHIFT: Duration = Duration::from_secs(24 * 3600);

/// The longest message of a plugin's error, and the longest place, in bytes.
const MAX_MESSAGE: usize = 500;

/// How a collector is made.
#[derive(Clone)]
pub struct InstanceOptions {
    /// Its configuration table as JSON text.
    pub config: String,
    /// The value of the `instance` label, where there are several of the plugin.
    pub instance: Option<String>,
    /// The most series that it may have.
    pub max_series: usize,
    /// The metrics of all plugins.
    pub claims: Arc<Claims>,
}

/// What was refused of a collector's samples, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Ids that the plugin was never given, or retired.
    pub unknown_series: u64,
    /// NaN and infinities.
    pub not_finite: u64,
    /// A second sample of a series in one collection.
    pub duplicates: u64,
}

impl Refused {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.unknown_series + self.not_finite + self.duplicates
    }
}

/// A collector of an in-process plugin.
pub struct Instance {
    // dropped before the table that it may still call
    collector: RawCollectorBox,
    table: Box<SeriesTable>,
    buffer: RVec<abi::Sample>,
    collection: u64,
    refused: Refused,
    falls: u64,
}

impl Instance {
    /// Makes the collector; `base` is the first number for its series.
    ///
    /// # Errors
    /// What the plugin's `new` answers, with what it logged before.
    pub fn new(library: &Library, options: &InstanceOptions, base: LocalSeries) -> Result<Self, Error> {
        let mut table = Box::new(SeriesTable::new(
            library.module,
            library.metadata.namespaces.clone(),
            options.instance.clone(),
            Arc::clone(&options.claims),
            base,
            options.max_series,
        ));
        let handle = services::handle(&mut *table);
        let created = library.module.create()(options.config.as_str().into(), handle).into_result();
        log_lines(&mut table.said);
        let collector = created.map_err(error_of)?;
        Ok(Self {
            collector,
            table,
            buffer: RVec::new(),
            collection: 0,
            refused: Refused::default(),
            falls: 0,
        })
    }

    /// What was refused of its samples, by kind.
    pub fn refusals(&self) -> Refused {
        self.refused
    }

    /// How often a counter fell without the plugin's word that it began anew. The host takes it for a reset.
    pub fn unmarked_falls(&self) -> u64 {
        self.falls
    }

    /// Moves the plugin's samples into the batch, leaving out what it may not say.
    fn take_samples(&mut self, batch: &mut Batch) {
        for sample in &self.buffer {
            let Some((series, entry)) = self.table.entry(sample.series) else {
                self.refused.unknown_series += 1;
                continue;
            };
            let reset = sample.flags & abi::Sample::RESET != 0;
            if !sample.value.is_finite() {
                entry.reset |= reset;
                self.refused.not_finite += 1;
                continue;
            }
            if entry.seen == self.collection {
                entry.reset |= reset;
                self.refused.duplicates += 1;
                continue;
            }
            entry.seen = self.collection;
            let fell = entry.counter && entry.last.is_some_and(|last| sample.value < last);
            entry.last = Some(sample.value);
            let marked = std::mem::take(&mut entry.reset) | reset;
            self.falls += u64::from(fell && !marked);
            let reset = fell | marked;
            batch.samples.push(Sample { series, reset, value: sample.value });
        }
    }

    fn take_said(&mut self, batch: &mut Batch) {
        self.table.end_call();
        let said = &mut self.table.said;
        batch.registered.append(&mut said.registered);
        batch.retired.append(&mut said.retired);
        batch.absent.append(&mut said.absent);
        if let Some(time) = said.time.take().map(Timestamp::from_millis)
            && batch.time.minus(MAX_TIME_SHIFT) <= time
            && time <= batch.time.plus(MAX_TIME_SHIFT)
        {
            batch.time = time;
        }
        log_lines(said);
    }
}

impl Source for Instance {
    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.collection += 1;
        self.buffer.clear();
        let handle = services::handle(&mut *self.table);
        let answer = self.collector.collect(&mut self.buffer, handle).into_result();
        self.take_samples(batch);
        self.take_said(batch);
        answer.map_err(error_of)
    }

    fn live_series(&self) -> usize {
        self.table.live()
    }

    fn live_ids(&self) -> Vec<LocalSeries> {
        self.table.live_ids().collect()
    }

    fn next_base(&self) -> LocalSeries {
        self.table.next_base()
    }

    fn refused(&self) -> u64 {
        self.refused.total()
    }

    fn refused_series(&self) -> u64 {
        self.table.refused
    }
}

/// A plugin's error. Its message is stored with a gap and shown to consumers: cut, without control characters.
fn error_of(mut raw: RawError) -> Error {
    raw.message = RString::from(&*cut(raw.message.as_str(), MAX_MESSAGE));
    raw.location = RString::from(&*cut(raw.location.as_str(), MAX_MESSAGE));
    glue::from_raw(raw)
}

fn log_lines(said: &mut Said) {
    for (level, line) in said.logged.drain(..) {
        match level {
            0 => tracing::error!("{line}"),
            1 => tracing::warn!("{line}"),
            2 => tracing::info!("{line}"),
            _ => tracing::debug!("{line}"),
        }
    }
    let more = std::mem::take(&mut said.unlogged);
    if more > 0 {
        tracing::warn!("{more} more lines in one call are left out");
    }
}
