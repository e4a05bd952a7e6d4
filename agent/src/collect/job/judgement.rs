//! What follows from how a collection went: the state of the collector, and when it runs next.

use super::{Job, Next, Outcome, Trigger};
use crate::{
    collect::{health::Retry, lanes::PRIMING_PAUSE, roster::spread},
    model::{Batch, GapReason, PluginState, Severity, Timestamp},
};
use std::time::Duration;
use twarga_plugin_api::{Error, ErrorKind};

/// How a collection failed, beside its error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// It took longer than its deadline.
    pub(super) late: bool,
    /// What it was for.
    pub(super) trigger: Trigger,
    /// The tick it was for, or the last one before it.
    pub(super) tick: Timestamp,
}

impl Job {
    /// Samples that took longer than the deadline are not fresh: they don't count.
    pub(super) fn too_late(&mut self, batch: &mut Batch, took: Duration) -> Error {
        let resets = batch.samples.iter().filter(|sample| sample.reset);
        self.resets.keep(resets.map(|sample| sample.series));
        batch.samples.clear();
        let (took, deadline) = (took.as_secs_f64(), self.deadline.as_secs_f64());
        Error::transient(format_args!("took {took:.1} s, its deadline is {deadline:.1} s"))
    }

    pub(super) fn succeeded(&mut self, outcome: &mut Outcome) -> Next {
        self.health.succeeded();
        {
            let mut status = self.status();
            status.reason.clone_from(&self.over);
            status.state = PluginState::Running;
        }
        if std::mem::take(&mut self.told) {
            tracing::info!("collects again");
            outcome.events.push(self.event("plugin_recovered", Severity::Info, "collects again"));
        }
        if self.primings > 0 { Next::In(PRIMING_PAUSE) } else { Next::Following }
    }

    pub(super) fn failed(
        &mut self,
        error: &Error,
        failure: Failure,
        batch: &Batch,
        outcome: &mut Outcome,
    ) -> Next {
        self.primings = 0;
        let (state, next, reason) = self.judge(error, failure);
        match failure.trigger {
            // who asked hears of it; the history is about ticks
            Trigger::Manual => {}
            Trigger::Tick(_) | Trigger::Priming if batch.samples.is_empty() => {
                outcome.gaps.push(self.coverage.missed(failure.tick, batch.time, reason));
            }
            // partial results are kept: then nothing is missing but what the plugin itself said; and where the process
            // ended between two ticks, only those from now on may be
            _ => self.coverage.partly(failure.tick, reason),
        }
        let changed = {
            let mut status = self.status();
            let changed = status.state != state || status.last_error.as_deref() != Some(&error.to_string());
            status.state = state;
            status.reason =
                if state == PluginState::Running { self.over.clone() } else { Some(error.to_string()) };
            status.last_error = Some(error.to_string());
            status.last_error_at = Some(Timestamp::now());
            changed
        };
        if changed {
            tracing::warn!(state = state.word(), "{error}");
        }
        if state != PluginState::Running && !std::mem::replace(&mut self.told, true) {
            outcome.events.push(self.event("plugin_failed", Severity::Warning, &error.to_string()));
        }
        next
    }

    fn judge(&mut self, error: &Error, failure: Failure) -> (PluginState, Next, GapReason) {
        let failed = if failure.late { GapReason::Timeout } else { GapReason::Failed(error.to_string()) };
        if self.source.is_none() && matches!(error.kind(), ErrorKind::Config | ErrorKind::Unsupported) {
            return (PluginState::Refused, Next::Never, failed);
        }
        // who asks often must not drive a collector into quarantine
        let retry = match failure.trigger {
            Trigger::Manual => self.health.retry(self.interval),
            _ => self.health.failed(self.interval),
        };
        match retry {
            // what outlasts its deadline is not called again without a pause
            Retry::NextTick if failure.late => {
                (PluginState::Running, Next::TickAfter(Duration::ZERO), failed)
            }
            Retry::NextTick => (PluginState::Running, Next::Following, failed),
            // spread, so that collectors that fail together don't come back together
            Retry::BackOff(pause) => {
                (PluginState::BackingOff, Next::TickAfter(pause + spread(pause / 4)), failed)
            }
            Retry::Quarantine(pause) => {
                (PluginState::Quarantined, Next::TickAfter(pause), GapReason::Quarantined)
            }
        }
    }
}
