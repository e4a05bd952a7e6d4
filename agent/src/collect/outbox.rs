//! Gathers what one tick brought, so that the writer is woken once.

use super::job::Outcome;
use crate::model::{
    Batch, CollectorId, Event, Gap, GapReason, GapScope, LocalSeries, Resets, Round, Timestamp,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Takes a round, or gives it back where the writer is behind. Never blocks.
pub type Output = Box<dyn Fn(Round) -> Result<(), Round> + Send + Sync>;

/// While the writer is behind, samples of more batches than this are dropped, oldest first.
const MOST_BATCHES: usize = 1024;
/// Likewise of events and gaps, which are few.
const MOST_EVENTS: usize = 1024;
/// See [`MOST_EVENTS`].
const MOST_GAPS: usize = 4096;

pub(super) struct Outbox {
    /// Rounds that the writer did not take, oldest first; between two of them the clock was stepped.
    waiting: VecDeque<Round>,
    /// What comes now.
    round: Round,
    output: Output,
    /// The collectors by their numbers.
    scopes: Vec<GapScope>,
    /// Rounds that were handed over since the start.
    handed_over: u64,
    /// Batches whose samples were dropped since the start.
    dropped: Arc<AtomicU64>,
    /// Resets in dropped samples, for the next ones of their series.
    resets: Resets<(CollectorId, LocalSeries)>,
}

impl Outbox {
    pub(super) fn new(output: Output, dropped: Arc<AtomicU64>) -> Self {
        Self {
            waiting: VecDeque::new(),
            round: Round::default(),
            output,
            scopes: Vec::new(),
            handed_over: 0,
            dropped,
            resets: Resets::default(),
        }
    }

    /// A collector of this number and scope may come.
    pub(super) fn know(&mut self, id: CollectorId, scope: GapScope) {
        let at = id.0 as usize;
        if at >= self.scopes.len() {
            self.scopes.resize(at + 1, GapScope::Agent);
        }
        if let Some(known) = self.scopes.get_mut(at) {
            *known = scope;
        }
    }

    /// A collector was stopped. What it brought before comes before that, what its successor brings after it.
    pub(super) fn vacate(&mut self, id: CollectorId) {
        if !self.flush() && !self.round.is_empty() {
            self.waiting.push_back(std::mem::take(&mut self.round));
        }
        self.round.vacated.push(id);
        self.resets.forget_all(|(collector, _)| *collector == id);
    }

    /// All that one run of a job brought.
    pub(super) fn batch_of(&mut self, outcome: Outcome) {
        self.round.batches.extend(outcome.batch);
        self.round.gaps.extend(outcome.gaps);
        self.round.events.extend(outcome.events);
    }

    pub(super) fn gap(&mut self, gap: impl IntoIterator<Item = Gap>) {
        self.round.gaps.extend(gap);
    }

    pub(super) fn event(&mut self, event: Event) {
        self.round.events.push(event);
    }

    /// Samples put from now on belong to another time than those before.
    pub(super) fn clock_stepped(&mut self) {
        if !self.flush() && !self.round.is_empty() {
            self.waiting.push_back(std::mem::take(&mut self.round));
        }
        self.round.clock_stepped = true;
    }

    /// Hands over what there is; whether all of it was taken. Where the writer is behind it waits here, within bounds.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(round) = self.waiting.pop_front() {
            if let Err(round) = self.hand_over(round) {
                self.waiting.push_front(round);
                self.shed();
                return false;
            }
            self.handed_over += 1;
        }
        if self.round.is_empty() {
            return true;
        }
        let round = std::mem::take(&mut self.round);
        match self.hand_over(round) {
            Ok(()) => {
                self.handed_over += 1;
                true
            }
            Err(round) => {
                self.round = round;
                self.shed();
                false
            }
        }
    }

    fn hand_over(&mut self, mut round: Round) -> Result<(), Round> {
        if !self.resets.is_empty() {
            for batch in &mut round.batches {
                for sample in &mut batch.samples {
                    sample.reset |= self.resets.take((batch.collector, sample.series));
                }
                for series in &batch.retired {
                    self.resets.forget((batch.collector, *series));
                }
            }
        }
        (self.output)(round)
    }

    /// How many rounds will have been handed over with what waits here now.
    pub(super) fn rounds(&self) -> u64 {
        self.handed_over + self.waiting.len() as u64 + u64::from(!self.round.is_empty())
    }

    /// Drops samples and absences, oldest first, and keeps what else the batches say: without the registrations later
    /// samples would be nameless.
    fn shed(&mut self) {
        let rounds = || self.waiting.iter().chain([&self.round]);
        let mut surplus =
            rounds().map(|round| round.batches.len()).sum::<usize>().saturating_sub(MOST_BATCHES);
        for round in self.waiting.iter_mut().chain([&mut self.round]) {
            let full = round
                .batches
                .iter_mut()
                .filter(|batch| !batch.samples.is_empty() || !batch.absent.is_empty());
            for batch in full.take(surplus) {
                surplus -= 1;
                let resets = batch.samples.iter().filter(|sample| sample.reset);
                self.resets.keep(resets.map(|sample| (batch.collector, sample.series)));
                (batch.samples, batch.absent) = (Vec::new(), Vec::new());
                self.dropped.fetch_add(1, Ordering::Relaxed);
                let scope = self.scopes.get(batch.collector.0 as usize).cloned().unwrap_or(GapScope::Agent);
                extend(&mut round.gaps, scope, batch.time);
            }
            round.batches.retain(|batch| !is_bare(batch));
            let surplus = round.events.len().saturating_sub(MOST_EVENTS);
            round.events.drain(..surplus);
            let surplus = round.gaps.len().saturating_sub(MOST_GAPS);
            round.gaps.drain(..surplus);
        }
    }
}

/// One gap a collector, that grows.
fn extend(gaps: &mut Vec<Gap>, scope: GapScope, time: Timestamp) {
    let same = |gap: &&mut Gap| gap.scope == scope && gap.reason == GapReason::Overrun && gap.to <= time;
    match gaps.iter_mut().rev().find(same) {
        Some(gap) => (gap.from, gap.to) = (gap.from.min(time), gap.to.max(time)),
        None => gaps.push(Gap { scope, from: time, to: time, reason: GapReason::Overrun }),
    }
}

/// Whether nothing is left that the writer must hear of.
fn is_bare(batch: &Batch) -> bool {
    batch.samples.is_empty()
        && batch.registered.is_empty()
        && batch.retired.is_empty()
        && batch.absent.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sample;
    use std::sync::Mutex;

    fn batch(second: i64) -> Batch {
        let mut batch = Batch::new(CollectorId(0));
        batch.time = Timestamp::from_millis(second * 1000);
        batch.samples.push(Sample { series: 0, reset: false, value: 1.0 });
        batch
    }

    type Taken = Arc<Mutex<Vec<Round>>>;

    /// An outbox whose writer takes nothing until it is ready.
    fn behind() -> (Outbox, Arc<Mutex<bool>>, Taken) {
        let (ready, taken) = (Arc::new(Mutex::new(false)), Taken::default());
        let (open, into) = (Arc::clone(&ready), Arc::clone(&taken));
        let output = move |round| {
            if !*open.lock().unwrap() {
                return Err(round);
            }
            into.lock().unwrap().push(round);
            Ok(())
        };
        let mut outbox = Outbox::new(Box::new(output), Arc::default());
        outbox.know(CollectorId(0), GapScope::Collector("a".into()));
        (outbox, ready, taken)
    }

    fn put(outbox: &mut Outbox, second: i64) {
        outbox.batch_of(Outcome { batch: Some(batch(second)), ..Outcome::default() });
    }

    #[test]
    fn a_slow_writer_costs_the_oldest_samples_only() {
        let (mut outbox, ready, taken) = behind();
        for second in 0..MOST_BATCHES as i64 + 10 {
            put(&mut outbox, second);
            assert!(!outbox.flush());
        }
        assert_eq!(outbox.dropped.load(Ordering::Relaxed), 10);
        *ready.lock().unwrap() = true;
        assert!(outbox.flush());
        let rounds = taken.lock().unwrap();
        assert_eq!(rounds.len(), 1);
        assert_eq!(rounds[0].batches.len(), MOST_BATCHES);
        assert_eq!(rounds[0].batches[0].time, Timestamp::from_millis(10_000));
        let gap = &rounds[0].gaps[0];
        assert_eq!((gap.from, gap.to), (Timestamp::default(), Timestamp::from_millis(9_000)));
        assert_eq!((rounds[0].gaps.len(), &gap.scope), (1, &GapScope::Collector("a".into())));
    }

    #[test]
    fn the_reset_of_a_dropped_sample_goes_on_with_the_next_one() {
        let (mut outbox, ready, taken) = behind();
        for second in 0..MOST_BATCHES as i64 + 3 {
            let mut batch = batch(second);
            batch.samples[0].reset = second == 1;
            outbox.batch_of(Outcome { batch: Some(batch), ..Outcome::default() });
            assert!(!outbox.flush());
        }
        *ready.lock().unwrap() = true;
        assert!(outbox.flush());
        let rounds = taken.lock().unwrap();
        let resets = |batch: &Batch| batch.samples[0].reset.then_some(batch.time);
        let resets: Vec<_> = rounds[0].batches.iter().filter_map(resets).collect();
        assert_eq!(resets, [Timestamp::from_millis(3000)]);
    }

    #[test]
    fn a_step_of_the_clock_keeps_rounds_apart_while_the_writer_is_behind() {
        let (mut outbox, ready, taken) = behind();
        put(&mut outbox, 1);
        outbox.clock_stepped();
        put(&mut outbox, 2);
        assert!(!outbox.flush());
        *ready.lock().unwrap() = true;
        assert!(outbox.flush());
        let rounds = taken.lock().unwrap();
        let told: Vec<_> = rounds.iter().map(|round| (round.clock_stepped, round.batches.len())).collect();
        assert_eq!(told, [(false, 1), (true, 1)]);
    }
}
