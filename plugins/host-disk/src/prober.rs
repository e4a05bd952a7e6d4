//! Asks mounts for their space by a crew of threads, because statvfs(2) on a dead server or a failing disk may not return
//! for hours.
//!
//! One thread asks all mounts in turn, woken once per collection. There is at most one call in flight per path, also where
//! the mount that it asked is gone meanwhile.

use crate::space::{Failure, Probe, Space};
use std::{
    ffi::CStr,
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::crew::{self, Crew, Rank, Seen, Task};

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

/// A mount's place in the crew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(usize);

impl SlotId {
    #[cfg(test)]
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

type Answer = Result<Space, Failure>;

/// Asks one mount.
struct Ask {
    probe: Arc<dyn Probe>,
    path: Arc<CStr>,
    remote: bool,
    answer: Option<Answer>,
}

impl Task for Ask {
    fn work(&mut self) {
        self.answer = Some(self.probe.space(&self.path));
    }

    /// Those that may not answer come last. A local one that was slow stays apart from these: they may be many that hang,
    /// and then none of their rank is begun.
    fn rank(&self, _slow: bool) -> Rank {
        if self.remote { Rank::Usual } else { Rank::First }
    }
}

/// The collector's end.
pub(crate) struct Prober {
    probe: Arc<dyn Probe>,
    timing: Timing,
    crew: Crew<Ask>,
    /// By their places in the crew.
    slots: Vec<Option<Slot>>,
    round_ends: Instant,
    /// Some calls were not back at the end of the last round, or had been asked of mounts that are gone.
    some_are_away: bool,
}

struct Slot {
    path: Arc<CStr>,
    remote: bool,
    /// An answer that came too late for its round.
    late: Option<Answer>,
    /// The mount is gone; the place is free once its call returns.
    removed: bool,
    /// The call in flight asked a mount that is gone: its answer is of no use.
    outdated: bool,
}

impl Prober {
    pub(crate) fn new(probe: Arc<dyn Probe>, timing: Timing) -> Self {
        let of_crew = crew::Timing { handover: timing.handover, slow: timing.patience };
        let crew = Crew::new("host-disk-probe", of_crew);
        Self { probe, timing, crew, slots: Vec::new(), round_ends: Instant::now(), some_are_away: false }
    }

    /// A mount to ask from the next round on.
    pub(crate) fn add(&mut self, path: Arc<CStr>, remote: bool) -> SlotId {
        // a call that is still in flight on this path goes on in its old place: never two on one path
        let mut slots = self.slots.iter_mut().enumerate();
        let again = slots.find_map(|(at, slot)| {
            let slot = slot.as_mut().filter(|slot| slot.removed && slot.path == path)?;
            (slot.removed, slot.remote) = (false, remote);
            Some(SlotId(at))
        });
        if let Some(again) = again {
            return again;
        }
        let probe = Arc::clone(&self.probe);
        let at = self.crew.add(Ask { probe, path: Arc::clone(&path), remote, answer: None });
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.slots[at] = Some(Slot { path, remote, late: None, removed: false, outdated: false });
        SlotId(at)
    }

    /// A mount that is gone.
    pub(crate) fn remove(&mut self, SlotId(at): SlotId) {
        let is_back = self.crew.with(at, |_| ()).is_some();
        match self.slots.get_mut(at).and_then(Option::as_mut) {
            Some(slot) if !is_back => {
                (slot.removed, slot.outdated, slot.late) = (true, true, None);
            }
            Some(_) => self.free(at),
            None => {}
        }
    }

    fn free(&mut self, at: usize) {
        self.crew.remove(at);
        self.slots[at] = None;
    }

    /// Begins a round: all mounts without a call in flight are asked.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        self.round_ends = Instant::now() + self.timing.patience;
        if self.some_are_away {
            self.take_late_answers();
        }
        let slots = &self.slots;
        self.crew.begin(|at| matches!(slots.get(at), Some(Some(slot)) if !slot.removed))
    }

    /// Takes what came after its round, before it is asked anew; frees the places of mounts that are gone.
    fn take_late_answers(&mut self) {
        let slots = &mut self.slots;
        let mut gone = None;
        self.crew.each(|at, seen| {
            if let (Seen::Idle(ask), Some(Some(slot))) = (seen, slots.get_mut(at)) {
                let answer = ask.answer.take();
                ask.remote = slot.remote;
                if slot.removed {
                    gone = Some(at);
                } else if !std::mem::take(&mut slot.outdated) && answer.is_some() {
                    slot.late = answer;
                }
            }
        });
        // of several, the others in later rounds
        if let Some(at) = gone {
            self.free(at);
        }
    }

    /// Ends a round: waits for its answers, but no longer than the patience allows, and gives `take` what is known of
    /// every mount.
    ///
    /// # Errors
    /// Where no thread could be made to take over; what is known is given all the same.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(SlotId, Reading)) -> io::Result<()> {
        let outcome = self.crew.wait(self.round_ends);
        let (slots, deadline) = (&mut self.slots, self.timing.deadline);
        let mut away = false;
        self.crew.each(|at, seen| {
            let slot = slots.get_mut(at).and_then(Option::as_mut);
            away |= !matches!(seen, Seen::Idle(_)) || slot.as_ref().is_some_and(|slot| slot.removed);
            let Some(slot) = slot.filter(|slot| !slot.removed) else { return };
            let (now, since) = match seen {
                Seen::Idle(ask) => (ask.answer.take().filter(|_| !std::mem::take(&mut slot.outdated)), None),
                Seen::Queued => (None, None),
                Seen::Working(since) => (None, Some(since)),
            };
            let reading = match (now.or(slot.late), since) {
                (Some(Ok(space)), _) => Reading::Space(space),
                (Some(Err(failure)), _) => Reading::Failed(failure),
                (None, Some(since)) if since.elapsed() >= deadline => Reading::Stuck,
                (None, _) => Reading::Late,
            };
            slot.late = None;
            take(SlotId(at), reading);
        });
        self.some_are_away = away;
        outcome
    }

    /// How many threads there are.
    #[cfg(test)]
    pub(crate) fn threads(&self) -> usize {
        self.crew.threads()
    }

    /// Waits until no more than `threads` are left.
    #[cfg(test)]
    pub(crate) fn wait_for_threads(&self, threads: usize) {
        let bound = Instant::now() + Duration::from_secs(60);
        while self.threads() > threads {
            assert!(Instant::now() < bound, "{} threads are left", self.threads());
            std::thread::yield_now();
        }
    }
}
