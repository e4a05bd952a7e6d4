//! Threads for calls that may hang: a stat on a network file system, a socket, a hypervisor. They may not answer for hours.
//!
//! A collector that makes such a call itself misses its deadline, and all of its samples with it. A [`Crew`] makes it in
//! its place. One thread does all [tasks](Task), once per round: waking one costs as much as a dozen system calls. A task
//! that hangs keeps its thread and nothing else: another thread takes over the rest. No task is done twice at the same time,
//! so there are never more threads than tasks; when a hanging one comes back, its thread ends and the task is well again.
//! A round in which nothing changes allocates nothing.
//!
//! ```
//! use std::{fs, io, path::PathBuf, time::{Duration, Instant}};
//! use twarga_plugin_api::crew::{Crew, Seen, Task, Timing};
//!
//! /// How long a file is, though its file system may be out of reach.
//! struct Length {
//!     path: PathBuf,
//!     found: Option<io::Result<u64>>,
//! }
//!
//! impl Task for Length {
//!     fn work(&mut self) {
//!         self.found = Some(fs::metadata(&self.path).map(|about| about.len()));
//!     }
//! }
//!
//! // once, in `Collector::new`
//! let crew = Crew::new("lengths", Timing::default());
//! for path in ["/etc/passwd", "/nowhere"] {
//!     crew.add(Length { path: path.into(), found: None });
//! }
//! // in `collect`: half a second for all of them
//! crew.round(Instant::now() + Duration::from_millis(500), |_| true)?;
//! let mut told = Vec::new();
//! crew.each(|_, seen| told.push(match seen {
//!     Seen::Idle(length) => match length.found.take() {
//!         Some(Ok(bytes)) => format!("{bytes} bytes"),
//!         Some(Err(error)) => error.kind().to_string(),
//!         None => "not looked at yet".into(),
//!     },
//!     Seen::Queued => "no time".into(),
//!     Seen::Working(since) => format!("no answer for {} s", since.elapsed().as_secs()),
//! }));
//! assert!(told[0].ends_with(" bytes") && told[1] == "entity not found", "{told:?}");
//! # Ok::<(), io::Error>(())
//! ```

mod state;

use state::{Phase, Queue, Slot, State};
use std::{
    collections::VecDeque,
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// What std gives a thread, so that code that works elsewhere works in a task. The part that is not used takes no memory.
const STACK_BYTES: usize = 2 << 20;

/// What is to be done again and again.
pub trait Task: Send + 'static {
    /// Does it, on a thread with a stack of 2 MiB. What comes of it is kept in the task, until it is asked for by
    /// [`Crew::with`] or [`Crew::each`]. After a panic the task is as it was left, and done again in the next round.
    fn work(&mut self);

    /// Its place among the tasks of a round, asked while the [`Crew`] is locked. `slow` is one that took longer than
    /// [`Timing::slow`] the last time.
    fn rank(&self, slow: bool) -> Rank {
        let _ = slow;
        Rank::Usual
    }

    /// Whether there is something to do, asked while the [`Crew`] is locked.
    fn is_due(&self) -> bool {
        true
    }
}

/// In what order tasks are done. Within a rank, the slow ones come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// What others build on, or what must have its turn however many of the others hang. The slow ones are done after the
    /// usual tasks, but before them once something hangs. Threads have 64 of this rank at the same time at the most.
    First,
    /// There may be any number of these, and all may hang: once one does, the other ranks go before them. Threads have 64
    /// of this rank at the same time at the most; the rest are begun as those come back.
    Usual,
    /// What takes long as a rule. It is done after the other ranks, so that no other thread need be woken meanwhile.
    /// However long it took before, it is waited for; not while a thread has it since an earlier round. Those that wait
    /// for their turn longer than the handover get a thread each, so that neither another one nor many usual ones take
    /// their time.
    Long,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// After so long without any task done another thread takes over those that were not begun; after so long at all,
    /// those that take long.
    pub handover: Duration,
    /// A task that took longer is not waited for in later rounds: what it brought is taken one round later.
    pub slow: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { handover: Duration::from_millis(50), slow: Duration::from_millis(200) }
    }
}

/// Tasks and the threads that do them: the owner's end. Dropped, it lets all threads go, those that hang as soon as they come
/// back.
///
/// Rounds are one thread's: two at the same time are one round, in which each waits for the tasks of both. Meanwhile any
/// thread may add and remove tasks and look at them.
///
/// The crew is locked while it runs what it was given to see or choose tasks with, and [`Task::rank`] and [`Task::is_due`]:
/// a call of the same crew from there never returns. [`Task::work`] and the drop of a task run without the lock.
pub struct Crew<T: Task> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    name: &'static str,
    timing: Timing,
    state: Mutex<State<T>>,
    /// All awaited tasks are done.
    done: Condvar,
}

/// What a [`Crew`] knows of a task between rounds.
#[derive(Debug)]
pub enum Seen<'a, T> {
    /// It is done, or was never wanted.
    Idle(&'a mut T),
    /// No thread has come to it.
    Queued,
    /// A thread has it, since then. What it brought before that is not to be seen now.
    Working(Instant),
}

impl<T: Task> Crew<T> {
    /// Without a thread as yet. `name` is what its threads will be called: 15 bytes of it are shown.
    pub fn new(name: &'static str, timing: Timing) -> Self {
        Self {
            shared: Arc::new(Shared { name, timing, state: Mutex::new(State::new()), done: Condvar::new() }),
        }
    }

    /// A task for the next rounds, and its place.
    pub fn add(&self, task: T) -> usize {
        let mut state = self.shared.lock();
        let slot = Slot::new(task);
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

    /// Whether a thread stays between rounds, or each round makes one: rounds may be few.
    pub fn set_lasting(&self, lasting: bool) {
        let mut state = self.shared.lock();
        state.lasting = lasting;
        let idle = state.idle.take_if(|_| !lasting);
        drop(state);
        idle.iter().for_each(Thread::unpark);
    }

    /// A task that is not to be done again. Its place may become another's; a thread that has it drops it when it comes back.
    pub fn remove(&self, at: usize) {
        let mut state = self.shared.lock();
        state.queues.iter_mut().for_each(|queue| queue.retain(|queued| *queued != at));
        let Some(slot) = state.slots.get_mut(at) else { return };
        slot.removed = true;
        if std::mem::take(&mut slot.awaited) {
            state.awaited -= 1;
            self.shared.tell_if_done(&state);
        }
        let slot = &mut state.slots[at];
        if !matches!(slot.phase, Phase::Working(_)) {
            slot.phase = Phase::Idle;
            let gone = slot.task.take();
            drop(state);
            drop(gone);
        }
    }

    /// What this says of a task, unless a thread has it.
    pub fn with<R>(&self, at: usize, see: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut state = self.shared.lock();
        state.slots.get_mut(at)?.task.as_mut().map(see)
    }

    /// Has all tasks done that are due, that `wants` is true of and that no thread has, and waits for them until `deadline`,
    /// but for slow ones.
    ///
    /// # Errors
    /// Where no thread can be made; what is done is done all the same.
    pub fn round(&self, deadline: Instant, wants: impl Fn(usize) -> bool) -> io::Result<()> {
        self.begin(wants)?;
        self.wait(deadline)
    }

    /// The first half of a [round](Crew::round), for an owner who has something else to do meanwhile.
    ///
    /// # Errors
    /// Where no thread can be made: then there is nothing to wait for.
    pub fn begin(&self, wants: impl Fn(usize) -> bool) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.hangs = false;
        for slow in [false, true] {
            state.enqueue(slow, &wants);
        }
        match self.staff(&mut state) {
            Ok(idle) => {
                // not while the lock is held: who is woken then sleeps at once again
                drop(state);
                idle.iter().for_each(Thread::unpark);
                Ok(())
            }
            Err(error) => {
                state.stop_waiting();
                self.shared.tell_if_done(&state);
                Err(error)
            }
        }
    }

    /// The second half of a round: waits for what was begun.
    ///
    /// # Errors
    /// Where no thread could be made to take over.
    pub fn wait(&self, deadline: Instant) -> io::Result<()> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        let mut outcome = Ok(());
        while state.awaited > 0 && outcome.is_ok() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let finished = state.finished;
            // who waits for the last one need not look after it
            let patience = if state.has_work() { left.min(shared.timing.handover) } else { left };
            let timed_out;
            (state, timed_out) = shared.wait_for_done(state, patience);
            if timed_out {
                let stuck = state.finished == finished;
                let long = state.queues[Queue::Long as usize].len();
                state.hangs |= stuck || long > 0;
                for _ in 0..long.max(usize::from(stuck)) {
                    outcome =
                        outcome.and(self.staff(&mut state).map(|idle| idle.iter().for_each(Thread::unpark)));
                }
            }
        }
        // where others wait as well, the last one gives up what is not done
        if state.waiting == 0 {
            state.stop_waiting();
        }
        outcome
    }

    /// Gives `see` every task, by its place.
    pub fn each(&self, mut see: impl FnMut(usize, Seen<'_, T>)) {
        let mut state = self.shared.lock();
        for (at, slot) in state.slots.iter_mut().enumerate().filter(|(_, slot)| !slot.removed) {
            match (slot.phase, &mut slot.task) {
                (Phase::Working(since), _) => see(at, Seen::Working(since)),
                (Phase::Idle, Some(task)) => see(at, Seen::Idle(task)),
                _ => see(at, Seen::Queued),
            }
        }
    }

    /// Sees to it that a thread takes the queue: makes one, or tells which one is to be woken.
    fn staff(&self, state: &mut State<T>) -> io::Result<Option<Thread>> {
        if !state.has_work() {
            return Ok(None);
        }
        if let Some(idle) = state.idle.take() {
            return Ok(Some(idle));
        }
        if state.threads >= state.slots.len() {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(self.shared.name.into()).stack_size(STACK_BYTES);
        thread.spawn(move || shared.work_in_turn())?;
        state.threads += 1;
        Ok(None)
    }

    /// How many threads there are, at work and at rest.
    pub fn threads(&self) -> usize {
        self.shared.lock().threads
    }
}

impl<T: Task> Drop for Crew<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.queues.iter_mut().for_each(VecDeque::clear);
        if let Some(idle) = state.idle.take() {
            idle.unpark();
        }
        // Those without work end at once: the plugin's code must not be unloaded before. The others, who knows when.
        let end = Instant::now() + self.shared.timing.slow;
        while state.threads > state.working() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wait_for_done(state, left).0;
        }
        // not when the last of those that hang comes back: some hold connections
        let gone: Vec<T> = state.slots.iter_mut().filter_map(|slot| slot.task.take()).collect();
        drop(state);
        drop(gone);
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
        state.waiting += 1;
        let (mut state, waited) = self.done.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        (state, waited.timed_out())
    }

    /// Wakes those that wait, where nothing is left to wait for.
    fn tell_if_done(&self, state: &State<T>) {
        if state.awaited == 0 && state.waiting > 0 {
            self.done.notify_all();
        }
    }

    /// Waits for work. Who waits for what was done is told so when the lock is free and stays so: to wake somebody who then
    /// waits for a lock costs two more wake-ups.
    fn rest<'a>(&'a self, mut state: MutexGuard<'a, State<T>>, tell: bool) -> MutexGuard<'a, State<T>> {
        let own = thread::current();
        state.idle = Some(own.clone());
        drop(state);
        if tell {
            self.done.notify_all();
        }
        loop {
            thread::park();
            let state = self.lock();
            if state.idle.as_ref().is_none_or(|idle| idle.id() != own.id()) {
                return state;
            }
        }
    }

    /// The life of a thread.
    fn work_in_turn(&self) {
        let mut state = self.lock();
        while !state.closing {
            if let Some(at) = state.next() {
                let slot = &mut state.slots[at];
                let Some(mut task) = slot.task.take() else { continue };
                let started = Instant::now();
                slot.phase = Phase::Working(started);
                let rank = slot.rank as usize;
                state.busy[rank] += 1;
                drop(state);
                // a task that panics is as it was left, and done again in the next round
                let _ = panic::catch_unwind(AssertUnwindSafe(|| task.work()));
                let mut task = Some(task);
                let slow = started.elapsed() > self.timing.slow;
                state = self.lock();
                if state.slots[at].removed {
                    // it may hold what hangs when it is closed: until that has returned, its place and thread are its own
                    drop(state);
                    let gone = task.take();
                    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(gone)));
                    state = self.lock();
                }
                if state.finish(at, task, slow) && state.waiting > 0 {
                    if state.is_at_rest() {
                        state = self.rest(state, true);
                    } else {
                        self.done.notify_all();
                    }
                }
            } else if state.idle.is_some() || !state.lasting {
                break; // another one waits for work already, or none is to
            } else {
                state = self.rest(state, false);
            }
        }
        state.threads -= 1;
        if state.waiting > 0 {
            self.done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
