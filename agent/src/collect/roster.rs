//! Who waits for which tick, who is in a call, who does not run at all; and what their history says meanwhile.

mod changes;

pub use changes::{Change, Unchanged};

use super::{
    clock::{ClockReading, ClockWatch, Steps},
    job::{Job, Next, Outcome, Trigger, let_go},
    lanes::{Answer, CollectError},
    outbox::Outbox,
};
use crate::model::{
    CollectorId, Event, Gap, GapReason, GapScope, PluginState, PluginStatus, Severity, Timestamp,
};
use changes::Pending;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often the gap of a collector that is stuck or fails is brought up to date.
const MISSING_NOTE: Duration = Duration::from_secs(10);
/// And of one that does not run at all.
const IDLE_NOTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A collector between two calls.
pub(super) struct Waiting {
    pub(super) due: Instant,
    pub(super) trigger: Trigger,
    pub(super) job: Job,
    /// Waits for longer than its interval because it fails.
    paused: bool,
    /// When to tell again what it misses.
    look: Instant,
}

/// A collector in a call.
pub(super) struct Running {
    job: CollectorId,
    pub(super) lane: u64,
    pub(super) since: Instant,
    /// The wall clock at its begin.
    began: Timestamp,
    /// The time of the samples that it owes.
    time: Timestamp,
    deadline: Duration,
    status: Arc<Mutex<PluginStatus>>,
    scope: GapScope,
    primed: bool,
    begun: bool,
    /// When to look again; the first time is the deadline.
    pub(super) look: Instant,
    /// Up to here its gap was told.
    noted: Option<Timestamp>,
    /// What becomes of it when the call comes back.
    pending: Vec<Pending>,
    /// Removed during the call: what that brings is nobody's.
    left_behind: bool,
}

/// A collector that does not run, and why.
struct Idle {
    scope: GapScope,
    reason: GapReason,
    /// Up to here it was told.
    until: Timestamp,
    look: Instant,
}

/// All collectors.
pub(super) struct Roster {
    pub(super) waiting: Vec<Waiting>,
    pub(super) running: Vec<Running>,
    idle: Vec<Idle>,
    asked: Vec<(CollectorId, Answer)>,
    pub(super) outbox: Outbox,
    clocks: ClockWatch,
    /// The wall clock at the last call.
    last_call: Option<Timestamp>,
    /// Steps of the clock so far.
    steps: u64,
}

impl Roster {
    /// All of these are due now.
    pub(super) fn new(jobs: Vec<Job>, idle: Vec<(Arc<str>, GapReason)>, outbox: Outbox) -> Self {
        let now = Instant::now();
        let waiting = |job| Waiting { due: now, trigger: Trigger::Priming, job, paused: false, look: now };
        let idle = idle.into_iter().map(|(name, reason)| Idle::new(GapScope::Collector(name), reason));
        Self {
            waiting: jobs.into_iter().map(waiting).collect(),
            running: Vec::new(),
            idle: idle.collect(),
            asked: Vec::new(),
            outbox,
            clocks: ClockWatch::new(ClockReading::now()),
            last_call: None,
            steps: 0,
        }
    }

    /// Whether each collector has been primed, failed, or is stuck.
    pub(super) fn primed(&self) -> bool {
        let running = |running: &Running| running.primed || running.left_behind || running.is_stuck();
        self.waiting.iter().all(|waiting| waiting.job.primed()) && self.running.iter().all(running)
    }

    /// Asks for a collection now; the answer comes when its batch has been handed over.
    pub(super) fn ask(&mut self, id: CollectorId, answer: Answer) {
        match self.in_call(id).map(Running::is_stuck) {
            Some(true) => return answer(Err(CollectError::Stuck)),
            Some(false) => {}
            None => match self.waiting.iter_mut().find(|waiting| waiting.job.id == id) {
                Some(waiting) => (waiting.due, waiting.trigger) = (Instant::now(), Trigger::Manual),
                None => return answer(Err(CollectError::NotRunning)),
            },
        }
        self.asked.push((id, answer));
    }

    /// The index and time of whoever is due first.
    pub(super) fn first_due(&self) -> Option<(usize, Instant)> {
        let dues = self.waiting.iter().map(|waiting| waiting.due).enumerate();
        dues.min_by_key(|(_, due)| *due)
    }

    /// Takes a collector out for its call.
    pub(super) fn begin(&mut self, index: usize, lane: u64) -> (Job, Trigger) {
        let Waiting { mut job, trigger, .. } = self.waiting.swap_remove(index);
        let (wall, since) = (Timestamp::now(), Instant::now());
        self.last_call = Some(wall);
        let time = match trigger {
            Trigger::Tick(tick) => {
                job.last_tick = Some(job.cadence.served(tick, wall));
                job.cadence.stamp(tick, wall)
            }
            Trigger::Manual | Trigger::Priming | Trigger::Ended => wall,
        };
        self.running.push(Running {
            job: job.id,
            lane,
            since,
            began: wall,
            time,
            deadline: job.deadline,
            status: Arc::clone(&job.status),
            scope: job.scope(),
            primed: job.primed(),
            begun: job.begun(),
            look: since + job.deadline,
            noted: None,
            pending: Vec::new(),
            left_behind: false,
        });
        (job, trigger)
    }

    /// Takes a collector back after its call.
    pub(super) fn end(&mut self, lane: u64, mut job: Job, mut outcome: Outcome, next: Next) {
        let ran = self.running.extract_if(.., |running| running.lane == lane).next();
        let Some(Running { noted, pending, left_behind, .. }) = ran else { return let_go(job) };
        if left_behind {
            return let_go(job);
        }
        if let Some(noted) = noted {
            // the time of the call was told while it lasted, and so was the failure
            let now = Timestamp::now();
            outcome.gaps.retain(|gap| gap.reason != GapReason::Timeout || gap.from < gap.to);
            outcome.gaps.extend(timeout(job.scope(), noted, now));
            outcome.events.retain(|event| event.kind != "plugin_failed");
            job.coverage.told_up_to(now);
            job.told = true;
        }
        let result = match (next, outcome.error.take()) {
            (_, Some(error)) => Err(CollectError::Failed(error)),
            (Next::Never, None) => Err(CollectError::NotRunning),
            (_, None) => Ok(()),
        };
        let asked: Vec<_> = self.asked.extract_if(.., |(id, _)| *id == job.id).collect();
        self.outbox.batch_of(outcome);
        if !asked.is_empty() {
            self.outbox.flush();
        }
        for (_, answer) in asked {
            answer(result.clone());
        }
        let next = self.make_pending(&mut job, pending, next);
        self.reschedule(job, next);
    }

    fn reschedule(&mut self, mut job: Job, next: Next) {
        let (wall, now) = (Timestamp::now(), Instant::now());
        if std::mem::replace(&mut job.steps, self.steps) != self.steps {
            // the clock was stepped during its call
            job.coverage.restart(job.cadence.at_or_before(wall));
            job.last_tick = None;
        }
        let mut paused = false;
        let (due, trigger) = match next {
            Next::Never => {
                let reason = job.status().last_error.clone().unwrap_or_default();
                self.idle.push(Idle::new(job.scope(), GapReason::Failed(reason)));
                return let_go(job);
            }
            Next::In(pause) => (now + pause, Trigger::Priming),
            Next::Following => {
                let tick = match job.last_tick {
                    Some(last) => job.cadence.following(wall, last),
                    None => job.cadence.next(wall, None),
                };
                (now + until(wall, tick) + spread(job.jitter), Trigger::Tick(tick))
            }
            Next::TickAfter(pause) => {
                paused = !pause.is_zero();
                let tick = job.cadence.next(wall.plus(pause), job.last_tick.filter(|_| !paused));
                (now + until(wall, tick) + spread(job.jitter), Trigger::Tick(tick))
            }
        };
        let mut waiting = Waiting { due, trigger, job, paused, look: now + MISSING_NOTE };
        waiting.look_for_end(now);
        self.waiting.push(waiting);
    }

    /// Somebody's process has ended: whoever it was is due now, to tell why and to be made anew.
    pub(super) fn look_for_ends(&mut self) {
        let now = Instant::now();
        self.waiting.iter_mut().for_each(|waiting| waiting.look_for_end(now));
    }

    /// Looks whether the wall clock was stepped, or the machine slept, since the last look; before every call.
    pub(super) fn look_at_clocks(&mut self) -> bool {
        let steps = self.clocks.observe(ClockReading::now());
        if steps == Steps::default() {
            return false;
        }
        self.steps += 1;
        self.outbox.clock_stepped();
        let now = Timestamp::now();
        let (reason, message) = match steps {
            Steps { stepped: None, suspended: Some(slept) } => {
                (GapReason::Suspended, format!("the machine slept for {:.0} s", slept.as_secs_f64()))
            }
            Steps { stepped, .. } => {
                let seconds = stepped.unwrap_or_default() as f64 / 1000.0;
                (GapReason::ClockStep, format!("the wall clock was stepped by {seconds:+.1} s"))
            }
        };
        tracing::warn!("{message}");
        if let Some(last) = self.last_call.filter(|last| *last < now) {
            let from = last.plus(MILLISECOND);
            let to = now.minus(MILLISECOND).max(from);
            self.outbox.gap([Gap { scope: GapScope::Agent, from, to, reason }]);
        }
        let details = serde_json::json!({ "source": "agent" });
        let (kind, severity) = ("clock_step".into(), Severity::Info);
        self.outbox.event(Event { kind, severity, message, details, time: now, vm_id: None });
        self.realign(now);
        true
    }

    /// Ticks lie on the wall clock: after a step they are at other moments. What is due by the old clock or by the new
    /// one stays due, so that no step, and no sleep, keeps a collector from its turn for ever.
    fn realign(&mut self, wall: Timestamp) {
        let now = Instant::now();
        for Waiting { due, trigger, job, paused, .. } in &mut self.waiting {
            job.steps = self.steps;
            job.last_tick = None;
            job.coverage.restart(job.cadence.at_or_before(wall));
            let Trigger::Tick(tick) = trigger else { continue };
            if *paused {
                *tick = job.cadence.at_or_before(wall.plus(due.saturating_duration_since(now)));
            } else if *tick <= wall || *due <= now {
                (*tick, *due) = (job.cadence.at_or_before(wall), now);
            } else {
                *tick = job.cadence.next(wall, None);
                *due = now + until(wall, *tick) + spread(job.jitter);
            }
        }
        for running in self.running.iter_mut().filter(|running| running.time > wall) {
            running.time = wall;
        }
        for noted in self.running.iter_mut().filter_map(|running| running.noted.as_mut()) {
            *noted = (*noted).min(wall);
        }
        for idle in &mut self.idle {
            idle.until = idle.until.min(wall);
        }
    }

    /// Tells the gaps of collectors that fail, are stuck, or do not run, as far as it is time to.
    pub(super) fn tell_missing(&mut self, now: Instant) {
        let wall = Timestamp::now();
        for waiting in self.waiting.iter_mut().filter(|waiting| now >= waiting.look) {
            waiting.look = now + MISSING_NOTE;
            // a tick that is still to come is not missing
            let up_to = match waiting.trigger {
                Trigger::Tick(tick) => wall.min(tick.minus(MILLISECOND)),
                Trigger::Manual | Trigger::Priming | Trigger::Ended => wall,
            };
            self.outbox.gap(waiting.job.coverage.missing_up_to(up_to));
        }
        for idle in self.idle.iter_mut().filter(|idle| now >= idle.look) {
            idle.look = now + IDLE_NOTE;
            let from = std::mem::replace(&mut idle.until, wall);
            if from < wall {
                let (scope, reason) = (idle.scope.clone(), idle.reason.clone());
                self.outbox.gap([Gap { scope, from, to: wall, reason }]);
            }
        }
        for index in 0..self.running.len() {
            if now >= self.running[index].look {
                self.tell_stuck(index, now, wall);
            }
        }
    }

    /// The same for all of them, at the end.
    pub(super) fn tell_all_missing(&mut self) {
        let now = Instant::now();
        let of_stuck = self.running.iter_mut().filter(|running| running.noted.is_some());
        let looks = of_stuck.map(|running| &mut running.look);
        let looks = looks.chain(self.waiting.iter_mut().map(|waiting| &mut waiting.look));
        looks.chain(self.idle.iter_mut().map(|idle| &mut idle.look)).for_each(|look| *look = now);
        self.tell_missing(now);
    }

    /// A call has outlasted its deadline, or still lasts.
    fn tell_stuck(&mut self, index: usize, now: Instant, wall: Timestamp) {
        let running = &mut self.running[index];
        if running.left_behind {
            running.look = now + IDLE_NOTE; // its name is another one's
            return;
        }
        running.look = now + MISSING_NOTE;
        let from = running.noted.unwrap_or(running.time);
        if let Some(gap) = timeout(running.scope.clone(), from, wall.max(from)) {
            running.noted = Some(gap.to);
            self.outbox.gap([gap]);
        }
        let event = {
            let mut status = running.status.lock().unwrap_or_else(PoisonError::into_inner);
            if status.state == PluginState::Stuck {
                return;
            }
            status.state = PluginState::Stuck;
            status.missed_deadlines += 1;
            let limit = running.deadline.as_secs_f64();
            let advice = match status.mode {
                "isolated" => "its process is being killed",
                _ => {
                    "restart the plugin if it never does, and set mode = \"isolated\" in its table: then it is killed"
                }
            };
            let reason =
                format!("a collection has not come back within its deadline of {limit:.1} s; {advice}");
            tracing::error!(plugin = status.name, "{reason}");
            status.last_error = Some(reason.clone());
            (status.last_run, status.last_error_at) = (Some(running.began), Some(wall));
            status.reason = Some(reason.clone());
            Event {
                kind: "plugin_failed".into(),
                severity: Severity::Warning,
                message: format!("plugin {}: {reason}", status.name),
                details: serde_json::json!({ "source": "agent", "plugin": status.name }),
                time: wall,
                vm_id: None,
            }
        };
        let job = running.job;
        self.outbox.event(event);
        for (_, answer) in self.asked.extract_if(.., |(id, _)| *id == job) {
            answer(Err(CollectError::Stuck));
        }
    }
}

impl Waiting {
    fn look_for_end(&mut self, now: Instant) {
        if self.job.ended() {
            (self.due, self.trigger) = (now, Trigger::Ended);
        }
    }
}

impl Running {
    /// Its call has outlasted its deadline.
    fn is_stuck(&self) -> bool {
        self.since.elapsed() > self.deadline
    }
}

impl Idle {
    fn new(scope: GapScope, reason: GapReason) -> Self {
        Self { scope, reason, until: Timestamp::now(), look: Instant::now() + IDLE_NOTE }
    }
}

fn timeout(scope: GapScope, from: Timestamp, to: Timestamp) -> Option<Gap> {
    (from <= to).then_some(Gap { scope, from, to, reason: GapReason::Timeout })
}

/// The time from `wall` to `tick`.
fn until(wall: Timestamp, tick: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(tick.millis_since(wall)).unwrap_or(0))
}

/// A random part of a jitter.
pub(super) fn spread(jitter: Duration) -> Duration {
    if jitter.is_zero() {
        return jitter;
    }
    let part = getrandom::u32().unwrap_or_default();
    jitter.mul_f64(f64::from(part) / f64::from(u32::MAX))
}
