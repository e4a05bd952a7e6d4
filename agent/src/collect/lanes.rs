//! The threads that run collectors.
//!
//! One lane leads: it sleeps until the next tick and runs all due collectors one after the other, which costs one
//! wake-up a tick however many plugins there are. A second lane stands by: where the leader stays in one call for
//! longer than [`GRACE`], it takes the lead, so a hanging collector delays the others once and by no more than that.
//! A collector known to be slow gives the lead away before its call. A lane that comes back finds another one leading,
//! delivers, and stands by or ends. See `docs/adr/0003-collecting-lanes.md`.

pub use super::outbox::Output;
use super::{
    clock::{ClockReading, ClockWatch, Steps},
    job::{Job, JobOptions, Next, Trigger},
    outbox::Outbox,
};
use crate::model::{
    CollectorId, Event, Gap, GapReason, GapScope, PluginState, PluginStatus, Severity, Timestamp,
};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    thread,
    time::{Duration, Instant},
};

/// Between the two collections at the start, which make rates possible within a second.
pub const PRIMING_PAUSE: Duration = Duration::from_millis(250);
/// How long a call may keep the lead.
const GRACE: Duration = Duration::from_millis(25);
/// How often the gap of a stuck collector is brought up to date.
const STUCK_NOTE: Duration = Duration::from_secs(10);
/// And of one that does not run at all.
const IDLE_NOTE: Duration = Duration::from_secs(60);
/// Lanes kept for collectors that are always slow: starting a thread each time would cost more.
const MOST_IN_LINE: usize = 1;
/// A sleep that only a notification ends.
const LONG: Duration = Duration::from_secs(3600);

/// A collection that was asked for did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// The last call has not come back.
    #[error("stuck: its last collection has not come back")]
    Stuck,
    /// It is not there, or can't work until something changes.
    #[error("not running")]
    NotRunning,
    /// It ran, and failed.
    #[error("{0}")]
    Failed(String),
}

/// The running collectors.
pub struct Collecting {
    shared: Arc<Shared>,
    statuses: Vec<Arc<Mutex<PluginStatus>>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct Waiting {
    due: Instant,
    trigger: Trigger,
    job: Job,
    /// Waits for longer than its interval because it fails.
    paused: bool,
    /// When to tell again what it misses.
    look: Instant,
}

/// A collector that does not run, and why: its history says so too.
struct Idle {
    scope: GapScope,
    reason: GapReason,
    /// Up to here it was told.
    until: Timestamp,
    look: Instant,
}

struct Running {
    job: CollectorId,
    lane: u64,
    since: Instant,
    tick: Timestamp,
    deadline: Duration,
    status: Arc<Mutex<PluginStatus>>,
    scope: GapScope,
    primed: bool,
    /// When to look again; the first time is the deadline.
    look: Instant,
    /// Up to here its gap was told.
    noted: Option<Timestamp>,
}

/// Called once with how a collection went, on a lane: must not block.
pub type Answer = Box<dyn FnOnce(Result<(), CollectError>) + Send>;

struct State {
    waiting: Vec<Waiting>,
    running: Vec<Running>,
    /// Collectors that can't work until something changes.
    ended: Vec<CollectorId>,
    idle: Vec<Idle>,
    asked: Vec<(CollectorId, Answer)>,
    outbox: Outbox,
    clocks: ClockWatch,
    last_tick: Option<Timestamp>,
    /// Steps of the clock so far.
    steps: u64,
    leader: Option<u64>,
    /// No thread could be started to stand by.
    alone: bool,
    /// One lane watches the leader.
    watched: bool,
    /// Further lanes wait for their turn.
    in_line: usize,
    lanes: u64,
    alive: usize,
    stopping: bool,
}

impl Collecting {
    /// Starts the lanes; each collector is primed at once. `idle` names the collectors that are configured and do not
    /// run, and why; `dropped` counts the batches whose samples are dropped because the writer is behind.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(
        jobs: Vec<JobOptions>,
        idle: Vec<(Arc<str>, GapReason)>,
        output: Output,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let statuses = jobs.iter().map(|job| Arc::clone(&job.status)).collect();
        let scopes = jobs.iter().map(|job| GapScope::Collector(Arc::clone(&job.name))).collect();
        let waiting = jobs.into_iter().map(|options| Waiting {
            due: now,
            trigger: Trigger::Priming,
            job: Job::new(options),
            paused: false,
            look: now,
        });
        let idle = idle.into_iter().map(|(name, reason)| Idle::new(GapScope::Collector(name), reason));
        let state = State {
            waiting: waiting.collect(),
            running: Vec::new(),
            ended: Vec::new(),
            idle: idle.collect(),
            asked: Vec::new(),
            outbox: Outbox::new(output, scopes, dropped),
            clocks: ClockWatch::new(ClockReading::now()),
            last_tick: None,
            steps: 0,
            leader: None,
            alone: false,
            watched: false,
            in_line: 0,
            lanes: 0,
            alive: 0,
            stopping: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        shared.spawn(&mut shared.lock())?; // it leads, and starts the one that stands by
        Ok(Self { shared, statuses })
    }

    /// What is told of each collector, in the order of the start.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        let read =
            |status: &Arc<Mutex<PluginStatus>>| status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.statuses.iter().map(read).collect()
    }

    /// Whether each collector has been primed, failed, or is stuck.
    pub fn primed(&self) -> bool {
        let state = self.shared.lock();
        let waiting = state.waiting.iter().all(|waiting| waiting.job.primed());
        let running = |running: &Running| running.primed || running.since.elapsed() > running.deadline;
        waiting && state.running.iter().all(running)
    }

    /// How many rounds will have been handed over with all that was collected up to now.
    pub fn rounds(&self) -> u64 {
        self.shared.lock().outbox.rounds()
    }

    /// Collects now, and answers when the batch has been handed over.
    pub fn collect(&self, id: CollectorId, answer: Answer) {
        let mut state = self.shared.lock();
        let stuck = |running: &Running| running.job == id && running.since.elapsed() > running.deadline;
        let refused = if state.running.iter().any(stuck) {
            Some(CollectError::Stuck)
        } else if state.stopping || state.ended.contains(&id) {
            Some(CollectError::NotRunning)
        } else {
            None
        };
        match refused {
            Some(error) => answer(Err(error)),
            None => {
                if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.job.id == id) {
                    waiting.due = Instant::now();
                    waiting.trigger = Trigger::Manual;
                }
                state.asked.push((id, answer));
                self.shared.changed.notify_all();
            }
        }
    }

    /// Ends all lanes that are not in a call, and waits for those that are, at most so long. Whatever was collected
    /// has then been handed over. Returns how many calls were left behind.
    pub fn stop(&self, patience: Duration) -> usize {
        let mut state = self.shared.lock();
        state.stopping = true;
        self.shared.changed.notify_all();
        let until = Instant::now() + patience;
        while state.alive > 0 {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            state = wait(&self.shared.changed, state, left);
        }
        state.tell_missing(Instant::now() + LONG);
        // the writer takes rounds as fast as it can
        while !state.outbox.flush() && Instant::now() < until {
            state = wait(&self.shared.changed, state, Duration::from_millis(5));
        }
        state.running.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let (shared, lane) = (Arc::clone(self), state.lanes);
        thread::Builder::new().name(format!("collect-{lane}")).spawn(move || shared.lane(lane))?;
        state.lanes += 1;
        state.alive += 1;
        Ok(())
    }

    fn lane(self: &Arc<Self>, me: u64) {
        let mut state = self.lock();
        while !state.stopping {
            state = match state.leader {
                Some(leader) if leader == me => self.lead(state, me),
                None => {
                    self.take_lead(&mut state, me);
                    state
                }
                Some(_) if state.watched && state.in_line >= MOST_IN_LINE => break,
                Some(_) => self.stand_by(state, me),
            };
        }
        state.alive -= 1;
        self.changed.notify_all();
    }

    /// Whoever leads has somebody behind it.
    fn take_lead(self: &Arc<Self>, state: &mut State, me: u64) {
        state.leader = Some(me);
        if state.watched || state.in_line > 0 {
            self.changed.notify_all();
        } else {
            self.find_company(state);
        }
    }

    fn find_company(self: &Arc<Self>, state: &mut State) {
        let spawned = self.spawn(state);
        if let Err(error) = &spawned
            && !state.alone
        {
            tracing::error!("can't start a thread to stand by, trying again: {error}");
        }
        state.alone = spawned.is_err();
    }

    /// Sleeps until something is due, or runs what is due.
    fn lead<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>, me: u64) -> MutexGuard<'a, State> {
        let now = Instant::now();
        if state.alone {
            self.find_company(&mut state);
        }
        let first = (0..state.waiting.len()).min_by_key(|index| state.waiting[*index].due);
        let due = first.map(|index| state.waiting[index].due);
        match (first, due.and_then(|due| due.checked_duration_since(now)).filter(|left| !left.is_zero())) {
            (Some(index), None) => {
                let waiting = state.waiting.swap_remove(index);
                self.run(state, waiting, me)
            }
            (_, left) => {
                state.outbox.flush();
                wait(&self.changed, state, left.unwrap_or(LONG))
            }
        }
    }

    fn run<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        waiting: Waiting,
        me: u64,
    ) -> MutexGuard<'a, State> {
        let Waiting { mut job, mut trigger, .. } = waiting;
        state.look_at_clocks();
        let since = Instant::now();
        if std::mem::replace(&mut job.steps, state.steps) != state.steps {
            job.coverage.forget();
            if let Trigger::Tick(tick) = &mut trigger {
                *tick = job.cadence.at_or_before(Timestamp::now()); // it was due by the old clock
            }
        }
        let tick = match trigger {
            Trigger::Tick(tick) => tick,
            Trigger::Manual | Trigger::Priming => Timestamp::now(),
        };
        if let Trigger::Tick(tick) = trigger {
            state.last_tick = Some(tick);
            job.last_tick = Some(tick);
        }
        state.running.push(Running {
            job: job.id,
            lane: me,
            since,
            tick,
            deadline: job.deadline,
            status: Arc::clone(&job.status),
            scope: job.scope(),
            primed: job.primed(),
            noted: None,
            look: since + job.deadline,
        });
        if job.slow {
            state.leader = None;
            self.changed.notify_all();
        }
        drop(state);
        let (outcome, next) = job.run(trigger);
        job.slow = since.elapsed() > GRACE;
        let mut state = self.lock();
        if let Some(ran) = state.running.extract_if(.., |running| running.lane == me).next()
            && let Some(noted) = ran.noted
        {
            job.coverage.told_up_to(noted);
            job.told = true;
        }
        let result = match (next, outcome.error.clone()) {
            (_, Some(error)) => Err(CollectError::Failed(error)),
            (Next::Never, None) => Err(CollectError::NotRunning),
            (_, None) => Ok(()),
        };
        state.outbox.batch_of(outcome);
        state.answer(job.id, &result);
        state.reschedule(job, next);
        if state.leader != Some(me) {
            state.outbox.flush();
            self.changed.notify_all(); // the leader sleeps until a time that it knew without this job
        }
        state
    }

    /// Sleeps until the leader has had its grace, a deadline has passed, or the lead is free. One lane watches so; a
    /// further one only waits for its turn.
    fn stand_by<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>, me: u64) -> MutexGuard<'a, State> {
        if state.watched {
            state.in_line += 1;
            let mut state = wait(&self.changed, state, LONG);
            state.in_line -= 1;
            return state;
        }
        let now = Instant::now();
        state.note_stuck(now);
        state.tell_missing(now);
        let leader = state.leader;
        let leading = state.running.iter().find(|running| Some(running.lane) == leader);
        if leading.is_some_and(|running| now >= running.since + GRACE) {
            self.take_lead(&mut state, me);
            return state;
        }
        let grace = leading.map(|running| running.since + GRACE);
        let tick = state.waiting.iter().map(|waiting| waiting.due).min().map(|due| due.max(now) + GRACE);
        let looks = state.running.iter().map(|running| running.look);
        let until = looks.chain(grace.or(tick)).min().unwrap_or(now + LONG);
        state.watched = true;
        let mut state = wait(&self.changed, state, until.saturating_duration_since(now));
        state.watched = false;
        state
    }
}

impl State {
    fn look_at_clocks(&mut self) {
        let steps = self.clocks.observe(ClockReading::now());
        if steps == Steps::default() {
            return;
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
        if let Some(last) = self.last_tick.filter(|last| *last < now) {
            let from = last.plus(Duration::from_millis(1));
            let to = now.minus(Duration::from_millis(1)).max(from);
            self.outbox.gap([Gap { scope: GapScope::Agent, from, to, reason }]);
        }
        let details = serde_json::json!({ "source": "agent" });
        let (kind, severity) = ("clock_step".into(), Severity::Info);
        self.outbox.event(Event { kind, severity, message, details, time: now, vm_id: None });
        self.realign(now);
    }

    /// Ticks lie on the wall clock: after a step they are at other moments. What is due already stays due.
    fn realign(&mut self, wall: Timestamp) {
        let now = Instant::now();
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.due > now + GRACE && !waiting.paused)
        {
            if let Trigger::Tick(tick) = &mut waiting.trigger {
                *tick = waiting.job.cadence.next(wall, None);
                waiting.due = now + until(wall, *tick);
                waiting.job.last_tick = None;
            }
        }
    }

    /// Tells the gaps of collectors that fail or do not run, up to now.
    fn tell_missing(&mut self, now: Instant) {
        let wall = Timestamp::now();
        for waiting in self.waiting.iter_mut().filter(|waiting| now >= waiting.look) {
            waiting.look = now + STUCK_NOTE;
            self.outbox.gap(waiting.job.coverage.missing_up_to(wall));
        }
        for idle in self.idle.iter_mut().filter(|idle| now >= idle.look) {
            idle.look = now + IDLE_NOTE;
            let from = std::mem::replace(&mut idle.until, wall);
            if from < wall {
                let (scope, reason) = (idle.scope.clone(), idle.reason.clone());
                self.outbox.gap([Gap { scope, from, to: wall, reason }]);
            }
        }
    }

    /// Marks collectors whose deadline has passed, and keeps their gaps up to date.
    fn note_stuck(&mut self, now: Instant) {
        for running in self.running.iter_mut().filter(|running| now >= running.look) {
            let mut status = running.status.lock().unwrap_or_else(PoisonError::into_inner);
            if status.state != PluginState::Stuck {
                status.state = PluginState::Stuck;
                status.missed_deadlines += 1;
                let limit = running.deadline.as_secs_f64();
                let reason = format!(
                    "a collection has not come back within its deadline of {limit:.1} s; restart the agent if it \
                     never does, or run the plugin isolated once this agent can"
                );
                tracing::error!(plugin = status.name, "{reason}");
                self.outbox.event(Event {
                    kind: "plugin_failed".into(),
                    severity: Severity::Warning,
                    message: format!("plugin {}: {reason}", status.name),
                    details: serde_json::json!({ "source": "agent", "plugin": status.name }),
                    time: Timestamp::now(),
                    vm_id: None,
                });
                status.last_error = Some(reason.clone());
                status.reason = Some(reason);
            }
            running.look = now + STUCK_NOTE;
            let (scope, from) = (running.scope.clone(), running.noted.unwrap_or(running.tick));
            let to = Timestamp::now().max(from);
            running.noted = Some(to);
            self.outbox.gap([Gap { scope, from, to, reason: GapReason::Timeout }]);
        }
    }

    /// Tells those who asked for this collection, after its batch was handed over.
    fn answer(&mut self, job: CollectorId, result: &Result<(), CollectError>) {
        let asked: Vec<_> = self.asked.extract_if(.., |(id, _)| *id == job).collect();
        if !asked.is_empty() {
            self.outbox.flush();
        }
        for (_, answer) in asked {
            answer(result.clone());
        }
    }

    fn reschedule(&mut self, job: Job, next: Next) {
        let (wall, now) = (Timestamp::now(), Instant::now());
        let mut paused = false;
        let (due, trigger) = match next {
            Next::Never => {
                self.ended.push(job.id);
                let reason = job.status().last_error.clone().unwrap_or_default();
                self.idle.push(Idle::new(job.scope(), GapReason::Failed(reason)));
                return;
            }
            Next::In(pause) => (now + pause, Trigger::Priming),
            Next::TickAfter(pause) => {
                let tick = job.cadence.next(wall.plus(pause), job.last_tick.filter(|_| pause.is_zero()));
                paused = !pause.is_zero();
                (now + until(wall, tick) + spread(job.jitter), Trigger::Tick(tick))
            }
        };
        self.waiting.push(Waiting { due, trigger, job, paused, look: now + STUCK_NOTE });
    }
}

impl Idle {
    fn new(scope: GapScope, reason: GapReason) -> Self {
        Self { scope, reason, until: Timestamp::now(), look: Instant::now() + IDLE_NOTE }
    }
}

/// The time from `wall` to `tick`.
fn until(wall: Timestamp, tick: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(tick.millis_since(wall)).unwrap_or(0))
}

/// A random part of a jitter.
fn spread(jitter: Duration) -> Duration {
    if jitter.is_zero() {
        return jitter;
    }
    let part = getrandom::u32().unwrap_or_default();
    jitter.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

fn wait<'a>(changed: &Condvar, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
