//! Gathers what one tick brought, so that the writer is woken once.

use super::job::Outcome;
use crate::model::{Batch, Event, Gap, GapReason, GapScope, Round};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Takes a round, or gives it back where the writer is behind. Never blocks.
pub type Output = Box<dyn Fn(Round) -> Result<(), Round> + Send + Sync>;

/// While the writer is behind, samples of more batches than this are dropped, oldest first.
const MOST_BATCHES: usize = 1024;

pub(super) struct Outbox {
    round: Round,
    output: Output,
    /// Rounds that were handed over since the start.
    handed_over: u64,
    /// Batches whose samples were dropped since the start.
    pub(super) dropped: Arc<AtomicU64>,
}

impl Outbox {
    pub(super) fn new(output: Output) -> Self {
        Self { round: Round::default(), output, handed_over: 0, dropped: Arc::default() }
    }

    /// All that one run of a job brought.
    pub(super) fn batch_of(&mut self, outcome: Outcome) {
        self.round.batches.extend(outcome.batch);
        self.round.gaps.extend(outcome.gap);
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
        self.flush();
        self.round.clock_stepped = true;
    }

    /// Hands the round over. Where the writer is behind it waits here, within bounds.
    pub(super) fn flush(&mut self) {
        if self.round.is_empty() {
            return;
        }
        match (self.output)(std::mem::take(&mut self.round)) {
            Ok(()) => self.handed_over += 1,
            Err(mut round) => {
                self.shed(&mut round);
                self.round = round;
            }
        }
    }

    /// How many rounds will have been handed over with what waits here now.
    pub(super) fn rounds(&self) -> u64 {
        self.handed_over + u64::from(!self.round.is_empty())
    }

    /// Drops samples, keeps what else the batches say: without the registrations later samples would be nameless.
    fn shed(&self, round: &mut Round) {
        let surplus = round.batches.len().saturating_sub(MOST_BATCHES);
        let full = round.batches.iter_mut().filter(|batch| !batch.samples.is_empty());
        for batch in full.take(surplus) {
            batch.samples = Vec::new();
            self.dropped.fetch_add(1, Ordering::Relaxed);
            // names are known to the writer alone: the gap of everything says it well enough
            let gap =
                Gap { scope: GapScope::Agent, from: batch.time, to: batch.time, reason: GapReason::Overrun };
            round.gaps.push(gap);
        }
        let bare = |batch: &Batch| {
            batch.samples.is_empty() && batch.registered.is_empty() && batch.retired.is_empty()
        };
        round.batches.retain(|batch| !bare(batch) || !batch.absent.is_empty());
        round.gaps.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CollectorId, Sample, Timestamp};
    use std::sync::Mutex;

    fn batch(second: i64) -> Batch {
        let mut batch = Batch::new(CollectorId(0));
        batch.time = Timestamp::from_millis(second * 1000);
        batch.samples.push(Sample { series: 0, reset: false, value: 1.0 });
        batch
    }

    #[test]
    fn a_slow_writer_costs_the_oldest_samples_only() {
        let ready = Arc::new(Mutex::new(false));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (open, into) = (Arc::clone(&ready), Arc::clone(&taken));
        let mut outbox = Outbox::new(Box::new(move |round| {
            if !*open.lock().unwrap() {
                return Err(round);
            }
            into.lock().unwrap().push(round);
            Ok(())
        }));
        for second in 0..MOST_BATCHES as i64 + 10 {
            outbox.batch_of(Outcome { batch: Some(batch(second)), ..Outcome::default() });
            outbox.flush();
        }
        assert_eq!(outbox.dropped.load(Ordering::Relaxed), 10);
        *ready.lock().unwrap() = true;
        outbox.flush();
        let rounds = taken.lock().unwrap();
        assert_eq!(rounds.len(), 1);
        assert_eq!(rounds[0].batches.len(), MOST_BATCHES);
        assert_eq!(rounds[0].batches[0].time, Timestamp::from_millis(10_000));
        assert_eq!(rounds[0].gaps.len(), 10);
    }
}
