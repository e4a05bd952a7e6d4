//! Which tasks there are, and what becomes of each: what the lock guards.

use super::{Rank, Task};
use std::{collections::VecDeque, thread::Thread, time::Instant};

/// The most threads with tasks of one rank, but for [`Rank::Long`], however many there are.
pub(super) const MAX_THREADS: usize = 64;

/// A rank, of which the first one's slow tasks wait apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    First,
    SlowFirst,
    Usual,
    Long,
}

impl Queue {
    /// As long as nothing hangs, nobody waits for a slow task. Once something does, the usual ones may be many that do.
    const CALM: [Self; 4] = [Self::First, Self::Usual, Self::SlowFirst, Self::Long];
    const HANGING: [Self; 4] = [Self::First, Self::SlowFirst, Self::Long, Self::Usual];

    fn of(rank: Rank, slow: bool) -> Self {
        match rank {
            Rank::First if slow => Self::SlowFirst,
            Rank::First => Self::First,
            Rank::Usual => Self::Usual,
            Rank::Long => Self::Long,
        }
    }

    fn rank(self) -> Rank {
        match self {
            Self::First | Self::SlowFirst => Rank::First,
            Self::Usual => Rank::Usual,
            Self::Long => Rank::Long,
        }
    }
}

pub(super) struct State<T> {
    pub(super) slots: Vec<Slot<T>>,
    /// By [`Queue`].
    pub(super) queues: [VecDeque<usize>; 4],
    /// How many of each rank threads have.
    pub(super) busy: [usize; 3],
    /// Something hangs in this round, or there is no time to wait for the usual ones.
    pub(super) hangs: bool,
    pub(super) awaited: usize,
    pub(super) threads: usize,
    /// The one of them that is parked for want of work. Who wakes it takes it out.
    pub(super) idle: Option<Thread>,
    /// Counts the tasks done, to tell a slow round from a stuck one.
    pub(super) finished: usize,
    /// How many threads wait for the others' work.
    pub(super) waiting: usize,
    /// A thread without work stays for the next round.
    pub(super) lasting: bool,
    pub(super) closing: bool,
}

pub(super) struct Slot<T> {
    /// None while a thread has it.
    pub(super) task: Option<T>,
    pub(super) rank: Rank,
    pub(super) phase: Phase,
    /// It is of no use any more.
    pub(super) removed: bool,
    pub(super) slow: bool,
    pub(super) awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Queued,
    Working(Instant),
}

impl<T: Task> State<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            queues: Default::default(),
            busy: [0; 3],
            hangs: false,
            awaited: 0,
            threads: 0,
            idle: None,
            finished: 0,
            waiting: 0,
            lasting: true,
            closing: false,
        }
    }

    pub(super) fn enqueue(&mut self, slow: bool, wants: &impl Fn(usize) -> bool) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let due = slot.task.as_ref().filter(|task| task.is_due());
            let (Some(task), false) = (due, slot.removed || slot.slow != slow || !wants(at)) else {
                continue;
            };
            if slot.phase == Phase::Idle {
                slot.rank = task.rank(slow); // first: after a panic in it, nothing has changed
                slot.phase = Phase::Queued;
                self.queues[Queue::of(slot.rank, slow) as usize].push_back(at);
            }
            if slot.phase == Phase::Queued && !slow && !slot.awaited {
                slot.awaited = true;
                self.awaited += 1;
            }
        }
    }

    /// Whether a thread may lie down.
    pub(super) fn is_at_rest(&self) -> bool {
        self.lasting && !self.closing && self.idle.is_none() && !self.has_work()
    }

    pub(super) fn has_work(&self) -> bool {
        Queue::CALM.into_iter().any(|queue| self.may_begin(queue))
    }

    /// Whether there is a task in this queue, and a thread may be left to it.
    fn may_begin(&self, queue: Queue) -> bool {
        let at_work = self.busy[queue.rank() as usize];
        !self.queues[queue as usize].is_empty() && (queue == Queue::Long || at_work < MAX_THREADS)
    }

    /// The task that is to be done next.
    pub(super) fn next(&mut self) -> Option<usize> {
        let order = if self.hangs { Queue::HANGING } else { Queue::CALM };
        let queue = order.into_iter().find(|queue| self.may_begin(*queue))?;
        self.queues[queue as usize].pop_front()
    }

    /// Takes a task back, or none for one that was removed. Tells whether it was the last one that was awaited.
    pub(super) fn finish(&mut self, at: usize, task: Option<T>, slow: bool) -> bool {
        self.finished = self.finished.wrapping_add(1);
        let slot = &mut self.slots[at];
        (slot.phase, slot.slow) = (Phase::Idle, slow && slot.rank != Rank::Long);
        self.busy[slot.rank as usize] -= 1;
        slot.task = task;
        if !std::mem::take(&mut slot.awaited) {
            return false;
        }
        self.awaited -= 1;
        self.awaited == 0
    }

    pub(super) fn stop_waiting(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.awaited) {
            slot.awaited = false;
            // one that was not begun yet is not to blame
            slot.slow = matches!(slot.phase, Phase::Working(_)) && slot.rank != Rank::Long;
        }
        self.awaited = 0;
    }

    pub(super) fn working(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot.phase, Phase::Working(_))).count()
    }
}

impl<T> Slot<T> {
    pub(super) fn new(task: T) -> Self {
        Self {
            task: Some(task),
            rank: Rank::Usual,
            phase: Phase::Idle,
            removed: false,
            slow: false,
            awaited: false,
        }
    }
}
