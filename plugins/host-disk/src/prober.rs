//! Asks mounts for their space on threads of their own, because statvfs(2) on a dead server or a failing disk may not
//! return for hours.
//!
//! One thread asks all mounts in turn, woken once per collection. A mount that does not answer keeps its thread and
//! nothing else: another thread takes over the rest. There is at most one call in flight per mount, so never more
//! threads than mounts; when a stuck call returns, its thread ends and the mount is well again.

use crate::space::{Failure, Probe, Space};
use std::{
    collections::VecDeque,
    ffi::CStr,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The most threads, whatever the number of mounts.
const MAX_THREADS: usize = 64;
const STACK_BYTES: usize = 128 * 1024;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// After so long without any answer another thread takes over the mounts that were not asked yet.
    pub(crate) handover: Duration,
    /// A collection waits at most this long for its answers; a mount that took longer is not waited for again until
    /// it answers in less.
    pub(crate) patience: Duration,
    /// A call in flight for so long is stuck.
    pub(crate) deadline: Duration,
}

impl Timing {
    pub(crate) fn with_deadline(deadline: Duration) -> Self {
        let patience = Duration::from_millis(200).min(deadline);
        Self { handover: patience / 4, patience, deadline }
    }
}

/// What is known of a mount at the end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// An answer of this round, or one that came too late for the round before.
    Space(Space),
    /// statvfs failed.
    Failed(Failure),
    /// No answer yet, and the deadline is not over.
    Late,
    /// In flight for longer than the deadline.
    Stuck,
}

/// A mount's place in the prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(usize);

impl SlotId {
    #[cfg(test)]
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// The collector's end. Dropped, it lets all threads go that are not stuck.
pub(crate) struct Prober {
    shared: Arc<Shared>,
}

struct Shared {
    probe: Arc<dyn Probe>,
    timing: Timing,
    state: Mutex<State>,
    /// There is something in the queue, or the end has come.
    work: Condvar,
    /// All awaited answers are there, or a thread has ended.
    done: Condvar,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    queue: VecDeque<usize>,
    /// How many slots the collector waits for.
    awaited: usize,
    /// Threads in all, and those of them without work.
    threads: usize,
    idle: usize,
    /// Counts the answers, to tell a slow round from a stuck one.
    answers: usize,
    round_ends: Option<Instant>,
    /// Someone waits for `done`: telling no one costs a system call, too.
    waiting: bool,
    closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Queued,
    InFlight(Instant),
}

struct Slot {
    path: Arc<CStr>,
    remote: bool,
    phase: Phase,
    answer: Option<Result<Space, Failure>>,
    /// The mount is gone; the slot is free once its call returns.
    removed: bool,
    /// The call in flight asked a mount that is gone: its answer is of no use.
    outdated: bool,
    slow: bool,
    awaited: bool,
}

impl Prober {
    pub(crate) fn new(probe: Arc<dyn Probe>, timing: Timing) -> Self {
        let (work, done) = (Condvar::new(), Condvar::new());
        Self { shared: Arc::new(Shared { probe, timing, state: Mutex::default(), work, done }) }
    }

    /// A mount to ask from the next round on.
    pub(crate) fn add(&self, path: Arc<CStr>, remote: bool) -> SlotId {
        let mut state = self.shared.lock();
        let free = |slot: &Slot| slot.removed && slot.phase == Phase::Idle;
        // A call that is still in flight on this path goes on in the new slot: never two on one path.
        let again = state.slots.iter().position(|slot| slot.removed && slot.path == path);
        let index = again.or_else(|| state.slots.iter().position(free));
        match index {
            Some(index) if state.slots[index].phase == Phase::Idle => {
                state.slots[index] = Slot::new(path, remote);
                SlotId(index)
            }
            Some(index) => {
                let slot = &mut state.slots[index];
                (slot.removed, slot.remote) = (false, remote);
                SlotId(index)
            }
            None => {
                state.slots.push(Slot::new(path, remote));
                SlotId(state.slots.len() - 1)
            }
        }
    }

    /// A mount that is gone.
    pub(crate) fn remove(&self, SlotId(index): SlotId) {
        let mut state = self.shared.lock();
        state.queue.retain(|queued| *queued != index);
        let slot = &mut state.slots[index];
        if slot.phase == Phase::Queued {
            slot.phase = Phase::Idle;
        }
        (slot.removed, slot.outdated, slot.answer) = (true, true, None);
    }

    /// Begins a round: all mounts without a call in flight are asked, those that may not answer last.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub(crate) fn start(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.round_ends = Some(Instant::now() + self.shared.timing.patience);
        for class in 0..3 {
            state.enqueue(class);
        }
        let wakes = self.staff(&mut state)?;
        // only now: a thread that is woken while the lock is held sleeps at once again
        drop(state);
        if wakes {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Ends a round: waits for its answers, but no longer than the patience allows, and gives `take` what is known of
    /// every slot.
    ///
    /// # Errors
    /// Where no thread could be made to take over; what is known is given all the same.
    pub(crate) fn finish(&self, mut take: impl FnMut(SlotId, Reading)) -> io::Result<()> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let mut outcome = Ok(());
        while state.awaited > 0 && outcome.is_ok() {
            let now = Instant::now();
            let left = state.round_ends.map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
            if left.is_zero() {
                break;
            }
            let answers = state.answers;
            let step = left.min(shared.timing.handover);
            let timed_out;
            (state, timed_out) = shared.wait_for_done(state, step);
            if timed_out && state.answers == answers {
                outcome = self.staff(&mut state).map(|wakes| {
                    if wakes {
                        shared.work.notify_one();
                    }
                });
            }
        }
        state.stop_waiting();
        for index in 0..state.slots.len() {
            let slot = &mut state.slots[index];
            if !slot.removed {
                take(SlotId(index), slot.reading(shared.timing.deadline));
            }
        }
        outcome
    }

    /// Sees to it that a thread takes the queue: makes one, or tells that one is to be woken.
    fn staff(&self, state: &mut MutexGuard<'_, State>) -> io::Result<bool> {
        if state.queue.is_empty() {
            return Ok(false);
        }
        if state.idle > 0 {
            return Ok(true);
        }
        // the slots of removed mounts count, too, while they keep a thread
        if state.threads >= MAX_THREADS.min(state.slots.len()) {
            return Ok(false);
        }
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("host-disk-probe".into()).stack_size(STACK_BYTES);
        thread.spawn(move || shared.ask_in_turn())?;
        state.threads += 1;
        Ok(false)
    }

    /// How many threads there are.
    #[cfg(test)]
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }

    /// Waits until no more than `threads` are left.
    #[cfg(test)]
    pub(crate) fn wait_for_threads(&self, threads: usize) {
        let mut state = self.shared.lock();
        while state.threads > threads {
            state = self.shared.wait_for_done(state, Duration::from_secs(60)).0;
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.queue.clear();
        self.shared.work.notify_all();
        // Those without a call in flight end at once. The others end when it returns; who knows when.
        let end = Instant::now() + self.shared.timing.patience;
        while state.threads > state.in_flight() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wait_for_done(state, left).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // nothing that holds the lock leaves the state half changed
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until `done` is told, or the time is over, which the answer says.
    fn wait_for_done<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        time: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        state.waiting = true;
        let (mut state, waited) = self.done.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
        state.waiting = false;
        (state, waited.timed_out())
    }

    /// The life of a thread.
    fn ask_in_turn(&self) {
        let mut state = self.lock();
        while !state.closing {
            if let Some(index) = state.queue.pop_front() {
                let started = Instant::now();
                state.slots[index].phase = Phase::InFlight(started);
                let path = Arc::clone(&state.slots[index].path);
                drop(state);
                let answer = self.probe.space(&path);
                let slow = started.elapsed() > self.timing.patience;
                state = self.lock();
                if state.answered(index, answer, slow) && state.waiting {
                    self.done.notify_all();
                }
            } else if state.idle > 0 {
                break; // another one waits for work already
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
        state.threads -= 1;
        if state.waiting {
            self.done.notify_all();
        }
    }
}

impl State {
    /// Queues the slots of a class: 0 local, 1 remote, 2 slow ones.
    fn enqueue(&mut self, class: u8) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.removed || slot.class() != class {
                continue;
            }
            if slot.phase == Phase::Idle {
                slot.phase = Phase::Queued;
                self.queue.push_back(index);
            }
            if slot.phase == Phase::Queued && !slot.slow && !slot.awaited {
                slot.awaited = true;
                self.awaited += 1;
            }
        }
    }

    /// Takes an answer. Tells whether it was the last one that was awaited.
    fn answered(&mut self, index: usize, answer: Result<Space, Failure>, slow: bool) -> bool {
        self.answers = self.answers.wrapping_add(1);
        let slot = &mut self.slots[index];
        slot.phase = Phase::Idle;
        slot.slow = slow;
        if !std::mem::take(&mut slot.outdated) {
            slot.answer = Some(answer);
        }
        if !std::mem::take(&mut slot.awaited) {
            return false;
        }
        self.awaited -= 1;
        self.awaited == 0
    }

    fn stop_waiting(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.awaited) {
            slot.awaited = false;
            // one that was not asked yet is not to blame
            slot.slow = matches!(slot.phase, Phase::InFlight(_));
        }
        self.awaited = 0;
    }

    fn in_flight(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot.phase, Phase::InFlight(_))).count()
    }
}

impl Slot {
    fn new(path: Arc<CStr>, remote: bool) -> Self {
        let (phase, answer) = (Phase::Idle, None);
        Self { path, remote, phase, answer, removed: false, outdated: false, slow: false, awaited: false }
    }

    fn class(&self) -> u8 {
        if self.slow { 2 } else { u8::from(self.remote) }
    }

    fn reading(&mut self, deadline: Duration) -> Reading {
        match (self.answer.take(), self.phase) {
            (Some(Ok(space)), _) => Reading::Space(space),
            (Some(Err(failure)), _) => Reading::Failed(failure),
            (None, Phase::InFlight(since)) if since.elapsed() >= deadline => Reading::Stuck,
            (None, _) => Reading::Late,
        }
    }
}
