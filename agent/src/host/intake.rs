//! What a collector said in one call, on its way into a batch: the same checks in process and isolated.

use super::{
    entries::Entry,
    instance::InstanceOptions,
    metadata::Metadata,
    series_table::{Said, SeriesTable, cut},
};
use crate::model::{Batch, LocalSeries, Sample, Timestamp};
use abi_stable::std_types::RString;
use std::{sync::Arc, time::Duration};
use twarga_plugin_api::{
    Error,
    abi::{self, RawError, glue},
};

/// A batch time of the plugin further from the host's than this is ignored.
const MAX_TIME_SHIFT: Duration = Duration::from_secs(24 * 3600);

/// The longest message of a plugin's error, and the longest place, in bytes.
const MAX_MESSAGE: usize = 500;

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

/// The host's side of a collector: its series, and what was refused of it.
pub(super) struct Intake {
    /// In a box: plugins in process know its address for the length of a call.
    pub(super) table: Box<SeriesTable>,
    collection: u64,
    refused: Refused,
    falls: u64,
}

impl Intake {
    /// With a number for its first series.
    pub(super) fn new(metadata: &Metadata, options: &InstanceOptions, base: LocalSeries) -> Self {
        let (instance, claims) = (options.instance.clone(), Arc::clone(&options.claims));
        let table = SeriesTable::new(metadata, instance, claims, base, options.max_series);
        Self { table: Box::new(table), collection: 0, refused: Refused::default(), falls: 0 }
    }

    /// Begins a call.
    pub(super) fn begin(&mut self) {
        self.collection += 1;
    }

    /// Samples refused since it was made.
    pub(super) fn refused(&self) -> Refused {
        self.refused
    }

    /// How often a counter fell without the plugin's word that it began anew.
    pub(super) fn falls(&self) -> u64 {
        self.falls
    }

    /// Moves the plugin's samples into the batch, leaving out what it may not say.
    pub(super) fn take_samples(&mut self, samples: impl Iterator<Item = abi::Sample>, batch: &mut Batch) {
        let Self { table, collection, refused, falls } = self;
        // not more than a sound plugin can fill
        batch.samples.reserve(samples.size_hint().0.min(table.live()));
        let take = |sample: abi::Sample, entry: Option<&mut Entry>| {
            let Some(entry) = entry else {
                refused.unknown_series += 1;
                return;
            };
            let reset = sample.flags & abi::Sample::RESET != 0;
            if !sample.value.is_finite() {
                entry.reset |= reset;
                refused.not_finite += 1;
                return;
            }
            if entry.seen == *collection {
                entry.reset |= reset;
                refused.duplicates += 1;
                return;
            }
            entry.seen = *collection;
            let fell = entry.counter & (sample.value < entry.last); // never than NaN
            entry.last = sample.value;
            let marked = entry.reset | reset;
            // rare: nothing is written for it at any other sample
            if fell | marked {
                entry.reset = false;
                *falls += u64::from(!marked);
            }
            batch.samples.push(Sample { series: entry.local, reset: fell | marked, value: sample.value });
        };
        table.entries.visit(samples, |sample| sample.series, take);
    }

    /// Moves what it said beside its samples, and ends the call.
    pub(super) fn take_said(&mut self, batch: &mut Batch) {
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

/// A plugin's error. Its message is stored with a gap and shown to consumers: cut, without control characters.
pub(super) fn error_of(mut raw: RawError) -> Error {
    raw.message = RString::from(&*cut(raw.message.as_str(), MAX_MESSAGE));
    raw.location = RString::from(&*cut(raw.location.as_str(), MAX_MESSAGE));
    glue::from_raw(raw)
}

/// Writes a plugin's lines to the log, whose span names it.
pub(super) fn log_lines(said: &mut Said) {
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
