//! The threads that run the collectors of the roster.
//!
//! One lane leads: it sleeps until the next tick and runs all due collectors one after the other, which costs one
//! wake-up a tick however many plugins there are. A second lane stands by: where the leader stays in one call for
//! longer than [`GRACE`], it takes the lead, so a hanging collector delays the others once and by no more than that.
//! A collector known to be slow gives the lead away before its call. A lane that comes back finds another one leading,
//! delivers, and stands by or ends. See `docs/adr/0003-collecting-lanes.md`.

mod commands;

pub use super::outbox::Output;
use super::{
    job::{Job, JobOptions},
    outbox::Outbox,
    roster::Roster,
};
use crate::model::{CollectorId, GapReason, PluginStatus};
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
/// How long the writer may take for the last rounds.
const HANDING_OVER: Duration = Duration::from_millis(500);
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
    statuses: Mutex<Vec<(CollectorId, Arc<Mutex<PluginStatus>>)>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Called once with how a collection went, on a lane: must not block.
pub type Answer = Box<dyn FnOnce(Result<(), CollectError>) + Send>;

struct State {
    roster: Roster,
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
        let statuses = jobs.iter().map(|job| (job.id, Arc::clone(&job.status))).collect();
        let mut outbox = Outbox::new(output, dropped);
        let jobs: Vec<Job> = jobs.into_iter().map(Job::new).collect();
        for job in &jobs {
            outbox.know(job.id, job.scope());
        }
        let state = State {
            roster: Roster::new(jobs, idle, outbox),
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
        Ok(Self { shared, statuses: Mutex::new(statuses) })
    }

    /// What is told of each collector, also of those that were removed, in the order in which they came.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        let read =
            |status: &Mutex<PluginStatus>| status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        statuses.iter().map(|(_, status)| read(status)).collect()
    }

    /// Whether each collector has been primed, failed, or is stuck.
    pub fn primed(&self) -> bool {
        self.shared.lock().roster.primed()
    }

    /// How many rounds will have been handed over with all that was collected up to now.
    pub fn rounds(&self) -> u64 {
        self.shared.lock().roster.outbox.rounds()
    }

    /// Collects now, and answers when the batch has been handed over.
    pub fn collect(&self, id: CollectorId, answer: Answer) {
        let mut state = self.shared.lock();
        if state.stopping {
            return answer(Err(CollectError::NotRunning));
        }
        state.roster.ask(id, answer);
        self.shared.changed.notify_all();
    }

    /// Ends all lanes that are not in a call, and waits for those that are, at most so long. Whatever was collected
    /// is then handed over, which may take half a second more. Returns how many calls were left behind.
    pub fn stop(&self, patience: Duration) -> usize {
        let mut state = self.shared.lock();
        state.stopping = true;
        self.shared.changed.notify_all();
        let until = Instant::now() + patience;
        while state.alive > 0 {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            state = wait(&self.shared.changed, state, left);
        }
        state.roster.tell_all_missing();
        // the writer takes rounds as fast as it can
        let until = Instant::now() + HANDING_OVER;
        while !state.roster.outbox.flush() {
            if Instant::now() > until {
                tracing::error!("the writer did not take the last samples");
                break;
            }
            state = wait(&self.shared.changed, state, Duration::from_millis(5));
        }
        state.roster.running.len()
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
        if state.alone {
            self.find_company(&mut state);
        }
        let now = Instant::now();
        let first = state.roster.first_due();
        match first.map(|(index, due)| (index, due.saturating_duration_since(now))) {
            Some((index, Duration::ZERO)) => {
                // after a step of the clock others may be due
                if state.roster.look_at_clocks() { state } else { self.run(state, index, me) }
            }
            later => {
                state.roster.outbox.flush();
                wait(&self.changed, state, later.map_or(LONG, |(_, left)| left))
            }
        }
    }

    fn run<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        index: usize,
        me: u64,
    ) -> MutexGuard<'a, State> {
        let (mut job, trigger) = state.roster.begin(index, me);
        if job.slow {
            state.leader = None;
            self.changed.notify_all();
        }
        drop(state);
        let began = Instant::now();
        let (outcome, next) = job.run(trigger);
        job.slow = began.elapsed() > GRACE;
        let mut state = self.lock();
        state.roster.end(me, job, outcome, next);
        if state.leader != Some(me) {
            state.roster.outbox.flush();
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
        state.roster.tell_missing(now);
        let (leader, roster) = (state.leader, &state.roster);
        let leading = roster.running.iter().find(|running| Some(running.lane) == leader);
        let grace = leading.map(|running| running.since + GRACE);
        if grace.is_some_and(|grace| now >= grace) {
            self.take_lead(&mut state, me);
            return state;
        }
        let tick = roster.first_due().map(|(_, due)| due.max(now) + GRACE);
        let looks = roster.running.iter().map(|running| running.look);
        let until = looks.chain(grace.or(tick)).min().unwrap_or(now + LONG);
        state.watched = true;
        let mut state = wait(&self.changed, state, until.saturating_duration_since(now));
        state.watched = false;
        state
    }
}

fn wait<'a>(changed: &Condvar, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
