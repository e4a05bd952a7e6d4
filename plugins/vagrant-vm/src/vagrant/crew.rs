//! Threads that work through tasks in turn, because a file system may not answer for hours.
//!
//! One thread does all tasks, once per round. A task that hangs keeps its thread and nothing else: another thread takes
//! over the rest. No task is done twice at the same time, so there are never more threads than tasks; when a hanging one
//! comes back, its thread ends and the task is well again.

use std::{
    collections::VecDeque,
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The most threads, whatever the number of tasks.
const MAX_THREADS: usize = 64;
const STACK_BYTES: usize = 256 << 10;

/// What is to be done again and again.
pub(crate) trait Task: Send + 'static {
    fn work(&mut self);
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// After so long without any task done another thread takes over those that were not begun.
    pub(crate) handover: Duration,
    /// A task that took longer is not waited for in later rounds: what it brought is taken one round later.
    pub(crate) slow: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { handover: Duration::from_millis(50), slow: Duration::from_millis(200) }
    }
}

/// The owner's end. Dropped, it lets all threads go, those that hang as soon as they come back.
pub(crate) struct Crew<T: Task> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    timing: Timing,
    state: Mutex<State<T>>,
    /// There is something in the queue, or the end has come.
    work: Condvar,
    /// All awaited tasks are done.
    done: Condvar,
}

struct State<T> {
    slots: Vec<Slot<T>>,
    queue: VecDeque<usize>,
    awaited: usize,
    /// Threads in all, and those of them without work.
    threads: usize,
    idle: usize,
    /// Counts the tasks done, to tell a slow round from a stuck one.
    finished: usize,
    waiting: bool,
    closing: bool,
}

struct Slot<T> {
    /// None while a thread has it.
    task: Option<T>,
    phase: Phase,
    /// It is of no use any more.
    removed: bool,
    slow: bool,
    awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Queued,
    Working,
}

impl<T: Task> Crew<T> {
    pub(crate) fn new(timing: Timing) -> Self {
        let state = State {
            slots: Vec::new(),
            queue: VecDeque::new(),
            awaited: 0,
            threads: 0,
            idle: 0,
            finished: 0,
            waiting: false,
            closing: false,
        };
        let (work, done) = (Condvar::new(), Condvar::new());
        Self { shared: Arc::new(Shared { timing, state: Mutex::new(state), work, done }) }
    }

    /// A task for the next rounds, and its place.
    pub(crate) fn add(&self, task: T) -> usize {
        let mut state = self.shared.lock();
        let slot = Slot { task: Some(task), phase: Phase::Idle, removed: false, slow: false, awaited: false };
        let free = state.slots.iter().position(|slot| slot.removed && slot.phase == Phase::Idle);
        match free {
            Some(at) => {
                state.slots[at] = slot;
                at
            }
            None => {
                state.slots.push(slot);
                state.slots.len() - 1
            }
        }
    }

    /// A task that is not to be done again. Its place may become another's.
    pub(crate) fn remove(&self, at: usize) {
        let mut state = self.shared.lock();
        state.queue.retain(|queued| *queued != at);
        let slot = &mut state.slots[at];
        slot.removed = true;
        if slot.phase != Phase::Working {
            (slot.phase, slot.task) = (Phase::Idle, None);
        }
    }

    /// Has all tasks done that `wants` is true of and that no thread has, and waits for them until `deadline`. The slow
    /// ones come last, and are not waited for.
    ///
    /// # Errors
    /// Where no thread can be made; what is done is done all the same.
    pub(crate) fn round(&self, deadline: Instant, wants: impl Fn(usize) -> bool) -> io::Result<()> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        for slow in [false, true] {
            state.enqueue(slow, &wants);
        }
        let staffed = self.staff(&mut state);
        if matches!(staffed, Ok(true)) {
            // not while the lock is held: who is woken then sleeps at once again
            drop(state);
            shared.work.notify_one();
            state = shared.lock();
        }
        let mut outcome = staffed.map(drop);
        while state.awaited > 0 && outcome.is_ok() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let finished = state.finished;
            let timed_out;
            (state, timed_out) = shared.wait_for_done(state, left.min(shared.timing.handover));
            if timed_out && state.finished == finished {
                outcome = self.staff(&mut state).map(|wakes| {
                    if wakes {
                        shared.work.notify_one();
                    }
                });
            }
        }
        state.stop_waiting();
        outcome
    }

    /// Gives `see` every task that is done, and none for those that wait or that a thread has.
    pub(crate) fn each(&self, mut see: impl FnMut(usize, Option<&mut T>)) {
        let mut state = self.shared.lock();
        for (at, slot) in state.slots.iter_mut().enumerate() {
            if !slot.removed {
                see(at, slot.task.as_mut().filter(|_| slot.phase == Phase::Idle));
            }
        }
    }

    /// Sees to it that a thread takes the queue: makes one, or tells that one is to be woken.
    fn staff(&self, state: &mut State<T>) -> io::Result<bool> {
        if state.queue.is_empty() {
            return Ok(false);
        }
        if state.idle > 0 {
            return Ok(true);
        }
        if state.threads >= MAX_THREADS.min(state.slots.len()) {
            return Ok(false);
        }
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("vm-vagrant".into()).stack_size(STACK_BYTES);
        thread.spawn(move || shared.work_in_turn())?;
        state.threads += 1;
        Ok(false)
    }

    /// How many threads there are.
    #[cfg(test)]
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }
}

impl<T: Task> Drop for Crew<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.queue.clear();
        self.shared.work.notify_all();
        // Those without work end at once: the plugin's code must not be unloaded before. The others, who knows when.
        let end = Instant::now() + self.shared.timing.slow;
        while state.threads > state.working() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wait_for_done(state, left).0;
        }
    }
}

impl<T: Task> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // nothing that holds the lock leaves the state half changed
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until `done` is told, or the time is over, which the answer says.
    fn wait_for_done<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        time: Duration,
    ) -> (MutexGuard<'a, State<T>>, bool) {
        state.waiting = true;
        let (mut state, waited) = self.done.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
        state.waiting = false;
        (state, waited.timed_out())
    }

    /// The life of a thread.
    fn work_in_turn(&self) {
        let mut state = self.lock();
        while !state.closing {
            if let Some(at) = state.queue.pop_front() {
                let slot = &mut state.slots[at];
                let Some(mut task) = slot.task.take() else { continue };
                slot.phase = Phase::Working;
                drop(state);
                let started = Instant::now();
                // a task that panics is as it was left, and done again in the next round
                let _ = panic::catch_unwind(AssertUnwindSafe(|| task.work()));
                let slow = started.elapsed() > self.timing.slow;
                state = self.lock();
                if state.finish(at, task, slow) && state.waiting {
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

impl<T: Task> State<T> {
    fn enqueue(&mut self, slow: bool, wants: &impl Fn(usize) -> bool) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.removed || slot.slow != slow || !wants(at) {
                continue;
            }
            if slot.phase == Phase::Idle {
                slot.phase = Phase::Queued;
                self.queue.push_back(at);
            }
            if slot.phase == Phase::Queued && !slow && !slot.awaited {
                slot.awaited = true;
                self.awaited += 1;
            }
        }
    }

    /// Takes a task back. Tells whether it was the last one that was awaited.
    fn finish(&mut self, at: usize, task: T, slow: bool) -> bool {
        self.finished = self.finished.wrapping_add(1);
        let slot = &mut self.slots[at];
        (slot.phase, slot.slow) = (Phase::Idle, slow);
        slot.task = (!slot.removed).then_some(task);
        if !std::mem::take(&mut slot.awaited) {
            return false;
        }
        self.awaited -= 1;
        self.awaited == 0
    }

    fn stop_waiting(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.awaited) {
            slot.awaited = false;
            // one that was not begun yet is not to blame
            slot.slow = slot.phase == Phase::Working;
        }
        self.awaited = 0;
    }

    fn working(&self) -> usize {
        self.slots.iter().filter(|slot| slot.phase == Phase::Working).count()
    }
}

#[cfg(test)]
#[path = "crew_tests.rs"]
mod tests;
