//! One transaction on its way to the store, and whose samples it carries.

use crate::{
    model::{CollectorId, Timestamp},
    store::{Commit, StoredBatch, StoredSample},
};

/// Bytes that a batch, a gap and an event take in the backlog beside their samples, roughly.
const BATCH: usize = 64;
const GAP: usize = 128;
const EVENT: usize = 1024;
/// Vectors kept for the next rounds.
const MOST_SPARE: usize = 64;

/// One transaction, and whose samples it carries.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    /// What to write.
    pub(super) commit: Commit,
    /// The collector and the number of samples of each of its batches.
    pub(super) owners: Vec<(CollectorId, usize)>,
}

impl Parcel {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        let commit = &self.commit;
        commit.batches.is_empty() && commit.gaps.is_empty() && commit.events.is_empty() && !commit.new_run
    }

    /// Its samples.
    pub(super) fn samples(&self) -> usize {
        self.commit.batches.iter().map(|batch| batch.samples.len()).sum()
    }

    /// The bytes it takes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        let Commit { batches, gaps, events, .. } = &self.commit;
        let samples = self.samples() * size_of::<StoredSample>();
        samples + batches.len() * BATCH + gaps.len() * GAP + events.len() * EVENT
    }

    /// The earliest and the latest time of its batches.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.commit.batches.iter().map(|batch| batch.time);
        times().min().zip(times().max())
    }
}

/// Vectors of written batches, for the next ones.
#[derive(Debug, Default)]
pub(super) struct Pool(Vec<Vec<StoredSample>>);

impl Pool {
    /// An empty vector.
    pub(super) fn samples(&mut self) -> Vec<StoredSample> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes a vector back.
    pub(super) fn give(&mut self, mut samples: Vec<StoredSample>) {
        if self.0.len() < MOST_SPARE && samples.capacity() > 0 {
            samples.clear();
            self.0.push(samples);
        }
    }

    /// Empties a written parcel for the next round.
    pub(super) fn recycle(&mut self, parcel: &mut Parcel) {
        let Commit { batches, gaps, events, new_run, meta } = &mut parcel.commit;
        for StoredBatch { samples, .. } in batches.drain(..) {
            self.give(samples);
        }
        gaps.clear();
        events.clear();
        meta.clear();
        *new_run = false;
        parcel.owners.clear();
    }
}
