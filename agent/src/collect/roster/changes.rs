//! Collectors that come, change and go while the others run.

use super::{Idle, MISSING_NOTE, Roster, Running, Trigger, Waiting, spread, until};
use crate::{
    collect::{
        Factory,
        job::{Job, Next, Times, Upgrade, let_go},
        lanes::CollectError,
    },
    model::{CollectorId, Gap, GapReason, GapScope, Timestamp},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// So many calls of one collector may be left behind for another one to be started: a plugin whose every call hangs
/// must not take a thread at each attempt.
const MOST_LEFT_BEHIND: usize = 1;

/// What becomes of a collector.
pub struct Change {
    /// Its times from now on.
    pub times: Times,
    /// Makes it anew, at once; nothing where only its times change.
    pub factory: Option<Box<dyn Factory>>,
}

/// Why a change was not made; it is given back.
pub enum Unchanged {
    /// There is no such collector, or it has ended: it can be added.
    NotThere(Change),
    /// Its call does not come back: it can be removed, and added.
    Stuck(Change),
}

/// What waits for the end of a call.
pub(super) enum Pending {
    Change(Change),
    Upgrade(Upgrade),
}

impl Roster {
    /// Adds a collector, which is due now. Its number and name may be those of one that was removed.
    pub(in crate::collect) fn add(&mut self, job: Job) -> Result<(), CollectError> {
        let left = self.running.iter().filter(|running| running.left_behind && running.job == job.id).count();
        if left > MOST_LEFT_BEHIND {
            return Err(CollectError::Stuck);
        }
        self.outbox.know(job.id, job.scope());
        self.set_idle(&job.name, None);
        let now = Instant::now();
        self.waiting.push(Waiting { due: now, trigger: Trigger::Priming, job, paused: false, look: now });
        Ok(())
    }

    /// Removes a collector; its series end now. A call that lasts is left to itself, and what it brings is dropped.
    pub(in crate::collect) fn remove(&mut self, id: CollectorId, name: &Arc<str>, reason: Option<GapReason>) {
        for Waiting { mut job, .. } in self.waiting.extract_if(.., |waiting| waiting.job.id == id) {
            self.outbox.gap(job.coverage.missing_up_to(Timestamp::now()));
            let_go(job);
        }
        for running in self.running.iter_mut().filter(|running| running.job == id) {
            running.left_behind = true;
        }
        for (_, answer) in self.asked.extract_if(.., |(asked, _)| *asked == id) {
            answer(Err(CollectError::NotRunning));
        }
        self.outbox.vacate(id);
        self.set_idle(name, reason);
    }

    /// Why a collector that is configured has no samples from now on; nothing where it has, or is no longer configured.
    pub(in crate::collect) fn set_idle(&mut self, name: &Arc<str>, reason: Option<GapReason>) {
        let scope = GapScope::Collector(Arc::clone(name));
        let now = Timestamp::now();
        for idle in self.idle.extract_if(.., |idle| idle.scope == scope) {
            let Idle { reason, until: from, .. } = idle;
            self.outbox.gap((from < now).then(|| Gap { scope: scope.clone(), from, to: now, reason }));
        }
        if let Some(reason) = reason {
            self.idle.push(Idle { look: Instant::now() + MISSING_NOTE, ..Idle::new(scope, reason) });
        }
    }

    /// Changes a collector between two calls; one that is in a call, when that comes back.
    pub(in crate::collect) fn change(&mut self, id: CollectorId, change: Change) -> Result<(), Unchanged> {
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.job.id == id) {
            let mut waiting = self.waiting.swap_remove(at);
            self.apply(&mut waiting, change);
            self.waiting.push(waiting);
            return Ok(());
        }
        match self.in_call_mut(id) {
            Some(running) if change.factory.is_some() && running.is_stuck() => Err(Unchanged::Stuck(change)),
            Some(running) => {
                running.pending.push(Pending::Change(change));
                Ok(())
            }
            None => Err(Unchanged::NotThere(change)),
        }
    }

    /// Lets another version of its plugin take over with the collector's next collection; whether there will be one. One
    /// that is left alone because it fails is collected at once.
    pub(in crate::collect) fn upgrade(&mut self, id: CollectorId, upgrade: Upgrade) -> bool {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.job.id == id) {
            waiting.job.set_upgrade(upgrade);
            if std::mem::take(&mut waiting.paused) {
                (waiting.due, waiting.trigger) = (Instant::now(), Trigger::Priming);
            }
        } else if let Some(running) = self.in_call_mut(id).filter(|running| !running.is_stuck()) {
            running.pending.push(Pending::Upgrade(upgrade));
        } else {
            return false;
        }
        true
    }

    /// Whether a collector has shown since it was added or made anew whether it works: also where it has ended, or its
    /// first call does not come back.
    pub(in crate::collect) fn begun(&self, id: CollectorId) -> bool {
        let anew = |pending: &Pending| matches!(pending, Pending::Change(Change { factory: Some(_), .. }));
        match self.in_call(id) {
            // its status says so by then
            Some(running) if running.noted.is_some() => true,
            Some(running) => running.begun && !running.pending.iter().any(anew),
            None => self.waiting.iter().all(|waiting| waiting.job.id != id || waiting.job.begun()),
        }
    }

    /// A collector's call that counts.
    pub(super) fn in_call(&self, id: CollectorId) -> Option<&Running> {
        self.running.iter().find(|running| running.job == id && !running.left_behind)
    }

    fn in_call_mut(&mut self, id: CollectorId) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.job == id && !running.left_behind)
    }

    fn apply(&mut self, waiting: &mut Waiting, Change { times, factory }: Change) {
        let (wall, now) = (Timestamp::now(), Instant::now());
        let Waiting { due, trigger, job, paused, .. } = waiting;
        self.outbox.gap(job.set_times(times, wall));
        if let Some(factory) = factory {
            job.renew(factory);
            (*due, *trigger, *paused) = (now, Trigger::Priming, false);
        } else if let Trigger::Tick(tick) = trigger {
            // one that fails is left alone for as long as before
            let pause = if *paused { due.saturating_duration_since(now) } else { Duration::ZERO };
            *tick = job.cadence.next(wall.plus(pause), job.last_tick.filter(|_| !*paused));
            *due = now + until(wall, *tick) + spread(job.jitter);
        }
    }

    /// Makes the changes that waited for a call; when the collector runs next.
    pub(super) fn make_pending(&mut self, job: &mut Job, pending: Vec<Pending>, mut next: Next) -> Next {
        for pending in pending {
            match pending {
                Pending::Upgrade(upgrade) => {
                    job.set_upgrade(upgrade);
                    // one that ended, or is left alone because it fails, is replaced at once
                    if !matches!(next, Next::In(_) | Next::TickAfter(Duration::ZERO)) {
                        next = Next::In(Duration::ZERO);
                    }
                }
                Pending::Change(Change { times, factory }) => {
                    self.outbox.gap(job.set_times(times, Timestamp::now()));
                    if let Some(factory) = factory {
                        job.renew(factory);
                        next = Next::In(Duration::ZERO);
                    }
                }
            }
        }
        next
    }
}
