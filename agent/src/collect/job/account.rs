//! What a collection leaves in the collector's account and status.

use super::Job;
use crate::{
    collect::cost::Spent,
    model::{Batch, Event, PluginState, Severity, Timestamp},
};
use std::time::Duration;
use twarga_plugin_api::Error;

impl Job {
    /// What the collection cost, that took so much of this thread.
    pub(super) fn cost(&mut self, thread: Duration) -> Spent {
        let resident = self.usage.filter(|_| self.source.is_some()).map(|usage| usage.resident);
        self.status().cost.rss_bytes = resident.filter(|resident| *resident > 0);
        self.meter.cost(thread, self.usage, self.threads)
    }

    pub(super) fn count(
        &self,
        started: Timestamp,
        took: Duration,
        spent: Spent,
        batch: &Batch,
        result: &Result<(), Error>,
        late: bool,
    ) {
        let mut status = self.status();
        status.collections += 1;
        status.last_run = Some(started);
        status.cost.cpu_seconds += spent.call.as_secs_f64();
        if let Some(threads) = self.threads {
            status.cost.of_threads(threads);
        }
        status.cost.wall_seconds += took.as_secs_f64();
        if !late {
            status.cost.samples += batch.samples.len() as u64;
        }
        status.refused_samples = self.refused + self.source.as_ref().map_or(0, |source| source.refused());
        status.refused_series =
            self.refused_series + self.source.as_ref().map_or(0, |source| source.refused_series());
        status.series = self.source.as_ref().map_or(0, |source| source.live_series());
        if late || self.overran {
            status.missed_deadlines += u64::from(status.state != PluginState::Stuck);
        }
        if late || result.is_err() {
            status.failures += 1;
        } else {
            status.last_success = Some(started);
        }
    }

    /// An event, the first time that a series is refused because the collector has as many as it may.
    pub(super) fn series_limit(&mut self) -> Option<Event> {
        let (refused, series) = {
            let status = self.status();
            (status.refused_series, status.series)
        };
        self.limit_untold.take_if(|told_up_to| refused > *told_up_to)?;
        let what = format!("has {series} series, as many as it may; raise plugins.{}.max_series", self.name);
        tracing::warn!("{what}");
        Some(self.event("series_limit", Severity::Warning, &what))
    }
}
