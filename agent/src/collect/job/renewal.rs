//! How a collector changes while the agent runs: other times, a fresh start, another version of its plugin.

use super::{Health, Job, Outcome, PRIMINGS};
use crate::{
    collect::{Cadence, Factory, Source, budget::Budget, cost::Meter},
    model::{Batch, Event, Gap, LocalSeries, PluginState, Resets, Timestamp},
};
use std::{mem::ManuallyDrop, thread, time::Duration};
use twarga_plugin_api::Error;

/// When a collector collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When its ticks are.
    pub cadence: Cadence,
    /// The time between them.
    pub interval: Duration,
    /// The time that a collection may take.
    pub deadline: Duration,
    /// Ticks are spread over this much time.
    pub jitter: Duration,
}

/// Called once with how the takeover went, on a lane: must not block. Its event is stored.
pub type UpgradeTold = Box<dyn FnOnce(Result<(), NotTaken>) -> Event + Send>;

/// Why another version did not take over.
#[derive(Debug)]
pub struct NotTaken {
    /// What its first collection in its place answered.
    pub error: Error,
    /// It was ended at its deadline.
    pub overran: bool,
}

/// Another version of a collector's plugin, which was tried out and takes over with the next collection. Where that goes
/// wrong, the old one stays.
pub struct Upgrade {
    /// The collector that was tried out.
    pub successor: Successor,
    /// Makes the collector from then on.
    pub factory: Box<dyn Factory>,
    /// Hears how it went.
    pub told: UpgradeTold,
}

/// A collector that was tried out, with series of its own. Not one that is made anew: what was proved is what takes over.
pub struct Successor {
    source: Option<Box<dyn Source>>,
    /// Resets in samples that were dropped, for the next ones of their series.
    resets: Resets<LocalSeries>,
}

impl Successor {
    /// Of one that has collected; what it brought was dropped, but for these resets.
    pub fn new(source: Box<dyn Source>, resets: Resets<LocalSeries>) -> Self {
        Self { source: Some(source), resets }
    }

    /// For its place: its series are numbered anew.
    fn numbered(mut self, base: LocalSeries) -> Option<Box<dyn Source>> {
        let mut source = self.source.take()?;
        source.renumber(base, &mut self.resets);
        Some(source)
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(source) = self.source.take() {
            let_go(source);
        }
    }
}

impl Job {
    /// Its ticks from now on; the gap up to now by the old ones, where samples are known to be missing.
    pub(in crate::collect) fn set_times(&mut self, times: Times, now: Timestamp) -> Option<Gap> {
        let missing = self.coverage.missing_up_to(now);
        (self.cadence, self.interval) = (times.cadence, times.interval);
        (self.deadline, self.jitter) = (times.deadline, times.jitter);
        self.configured = (times.cadence, times.interval);
        self.budget = self.budget.take().map(|budget| Budget::new(budget.most, times.interval));
        self.coverage.begin_cadence(times.cadence, now);
        let mut status = self.status();
        (status.interval, status.deadline) = (times.interval, times.deadline);
        status.configured_interval = times.interval;
        if status.state == PluginState::Running {
            status.reason = None;
        }
        drop(status);
        self.over = None; // it is judged anew
        missing
    }

    /// Begins anew: the next collection makes another source, with whose first batch the series of the old one end.
    /// Failures of before don't count.
    pub(in crate::collect) fn renew(&mut self, factory: Box<dyn Factory>) {
        if let Some(source) = self.lose_source() {
            let_go(source);
        }
        let_go(std::mem::replace(&mut self.factory, factory));
        self.meter = Meter::from(self.factory.threads());
        self.upgrade = None;
        self.health = Health::default();
        self.limit_untold = Some(self.refused_series);
        self.primings = PRIMINGS;
        let mut status = self.status();
        (status.state, status.reason) = (PluginState::Running, None);
    }

    /// This takes over with the next collection.
    pub(in crate::collect) fn set_upgrade(&mut self, upgrade: Upgrade) {
        self.upgrade = Some(upgrade);
    }

    /// Lets the next version collect, where there is one, and take over if that went well: the series of the old one end
    /// with the batch that brings the new ones. If not, the old one stays, also one that is to be made anew, and nothing of
    /// the new one is told. Nothing is given where the old one is to collect, into a batch that is to be stamped.
    pub(super) fn take_over(
        &mut self,
        batch: &mut Batch,
        outcome: &mut Outcome,
    ) -> Option<Result<(), Error>> {
        let Upgrade { successor, mut factory, told } = self.upgrade.take()?;
        let mut source = successor.numbered(self.base)?;
        // the rest is for the old one, should this one hang
        source.shorten_next(self.deadline.min(self.interval) * 3 / 4);
        let result = source.collect(batch);
        if let Err(error) = result {
            let overran = source.overran();
            let_go((source, factory));
            *batch = Batch::new(self.id);
            outcome.events.push(told(Err(NotTaken { error, overran })));
            return None;
        }
        if let Some(old) = self.lose_source() {
            let_go(old);
        }
        batch.retired.append(&mut self.orphans);
        self.source = Some(source);
        std::mem::swap(&mut self.factory, &mut factory);
        let_go(factory); // the old one
        self.meter.restarted();
        self.health = Health::default();
        self.limit_untold = Some(self.refused_series);
        self.made = true;
        self.status().restarts += 1;
        self.collected(&result);
        outcome.events.push(told(Ok(())));
        Some(result)
    }

    /// Parts from the source but for what it leaves behind.
    pub(super) fn lose_source(&mut self) -> Option<Box<dyn Source>> {
        let source = self.source.take()?;
        self.orphans.extend(source.live_ids());
        self.refused += source.refused();
        self.refused_series += source.refused_series();
        Some(source)
    }
}

/// Drops what belongs to a plugin on a thread of its own: that runs the plugin's code, which may take its time, and no
/// lane must wait for it. Without a thread it is left behind.
pub(in crate::collect) fn let_go(thing: impl Send + 'static) {
    let thing = ManuallyDrop::new(thing);
    let thread = thread::Builder::new().name("let-go".into());
    let spawned = thread.spawn(move || drop(ManuallyDrop::into_inner(thing)));
    if let Err(error) = spawned {
        tracing::warn!("no thread to end a collector on, so it is left behind: {error}");
    }
}
