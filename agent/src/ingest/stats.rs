//! What the writer counts of itself. Read by others at any time.

use crate::model::CollectorId;
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A number that only the writer changes.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    pub(super) fn set(&self, n: usize) {
        self.0.store(n as u64, Relaxed);
    }
}

/// What the writer counts of itself since the start; gauges are named so.
#[derive(Debug, Default)]
pub struct Stats {
    /// Rounds taken.
    pub rounds: Count,
    /// Samples taken, whether they are stored already or wait in the backlog.
    pub samples: Count,
    /// Samples dropped: nobody registered their series, or the collector is unknown.
    pub dropped_unknown: Count,
    /// Samples dropped: the store could not give their series a number yet.
    pub dropped_unregistered: Count,
    /// Samples dropped: a second value of a series in one batch.
    pub dropped_duplicate: Count,
    /// Samples dropped: not a finite number.
    pub dropped_not_finite: Count,
    /// Samples dropped: the store failed for longer than the backlog has room.
    pub dropped_backlog: Count,
    /// Samples dropped: the store can never take their transaction.
    pub dropped_refused: Count,
    /// Events dropped for one of the last two reasons.
    pub dropped_events: Count,
    /// Counters that fell without their plugin saying so.
    pub falls: Count,
    /// Transactions.
    pub commits: Count,
    /// Transactions that failed.
    pub commit_errors: Count,
    /// Other calls of the store that failed: retention, series, machines, states of alerts.
    pub store_errors: Count,
    /// Raw samples that retention deleted.
    pub expired: Count,
    /// Gauge: series that are alive.
    pub live_series: Count,
    /// Gauge: commits that wait for the store.
    pub backlog_commits: Count,
    /// Gauge: bytes that they take.
    pub backlog_bytes: Count,
    /// Gauge: 1 while the disk is full and the oldest history is deleted for it, else 0.
    pub disk_full: Count,
    commit_nanos: AtomicU64,
    journal: ArcSwap<Vec<Arc<Count>>>,
}

impl Stats {
    /// Time spent in commits.
    pub fn commit_time(&self) -> Duration {
        Duration::from_nanos(self.commit_nanos.load(Relaxed))
    }

    /// Bytes of the journal that a collector's samples took.
    pub fn journal_bytes(&self, collector: CollectorId) -> u64 {
        self.journal.load().get(collector.0 as usize).map_or(0, |count| count.get())
    }

    pub(super) fn add_commit_time(&self, time: Duration) {
        self.commit_nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Makes room for so many collectors.
    pub(super) fn set_collectors(&self, collectors: usize) {
        let mut journal = Vec::clone(&self.journal.load());
        journal.resize_with(collectors, Arc::default);
        self.journal.store(Arc::new(journal));
    }

    /// Shares the bytes of a commit out to its collectors, by their samples.
    pub(super) fn add_journal(&self, bytes: usize, samples: &[(CollectorId, usize)]) {
        let all: usize = samples.iter().map(|(_, samples)| samples).sum();
        let journal = self.journal.load();
        for (collector, samples) in samples {
            if let Some(count) = journal.get(collector.0 as usize) {
                count.add((bytes * samples).checked_div(all).unwrap_or(0));
            }
        }
    }
}
