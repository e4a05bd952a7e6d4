//! Transactions that the store refused, kept in order and tried again each round. Bounded in time and bytes: beyond, the
//! oldest samples are dropped, counted, and the time is recorded as a gap.

use super::{
    parcel::{Parcel, Pool},
    stats::Stats,
    storage::{Fault, Storage},
};
use crate::model::{Event, Gap, GapReason, GapScope, Resets, SeriesId, Severity, Timestamp};
use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

/// The oldest transaction that is kept.
pub(super) const MAX_AGE: Duration = Duration::from_secs(600);
/// The most bytes of all that are kept.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// The most events, and the most gaps, that outlive the samples of their transaction.
const MAX_NOTES: usize = 1000;
/// How long a busy file is not worth an event: somebody reads or copies it, and it passes.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most time to work off a backlog in one round.
const BUDGET: Duration = Duration::from_millis(250);

/// Transactions that wait for the store, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    held: VecDeque<Held>,
    bytes: usize,
    trouble: Option<Trouble>,
    /// Resets in dropped samples, for the next ones of their series.
    resets: Resets<SeriesId>,
}

#[derive(Debug)]
struct Held {
    parcel: Parcel,
    bytes: usize,
    at: Duration,
}

/// A time in which the store fails.
#[derive(Debug)]
struct Trouble {
    since: Duration,
    announced: bool,
    dropped: usize,
    lost: Option<(Timestamp, Timestamp)>,
}

/// The time of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) monotonic: Duration,
}

impl Now {
    /// By how many milliseconds the wall clock was stepped between the two.
    pub(super) fn step_since(&self, earlier: Now) -> i64 {
        let passed = self.monotonic.saturating_sub(earlier.monotonic);
        self.wall.millis_since(earlier.wall.plus(passed))
    }
}

impl Backlog {
    /// Whether all is in the store.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Commits what waits, the oldest first, then `parcel`, which is empty afterwards. What the store refuses waits for
    /// the next round. Adds what is worth telling to `events` and `gaps`, for the next transaction.
    pub(super) fn commit<S: Storage>(
        &mut self,
        parcel: &mut Parcel,
        store: &mut S,
        pool: &mut Pool,
        stats: &Stats,
        now: Now,
        notes: &mut Notes,
    ) {
        let mut again = !self.held.is_empty();
        if !again {
            if parcel.is_empty() {
                return;
            }
            parcel.hand_on(&mut self.resets);
            match write(parcel, store, stats) {
                Ok(()) => return pool.recycle(parcel),
                Err(error) if S::fault(&error) == Fault::Refused => again = true,
                Err(error) => self.fails::<S>(&error, now, notes),
            }
        }
        if !parcel.is_empty() {
            self.hold(std::mem::take(parcel), now);
        }
        if again {
            self.work_off(store, pool, stats, now, notes);
        }
        self.bound(now, stats);
        stats.backlog_commits.set(self.held.len());
        stats.backlog_bytes.set(self.bytes);
        if self.held.is_empty() {
            self.recovers(now, notes);
        }
    }

    /// Drops waiting samples that are strictly older; their number.
    pub(super) fn delete_before(&mut self, before: Timestamp) -> u64 {
        let mut deleted = 0;
        for held in &mut self.held {
            let Parcel { commit, owners } = &mut held.parcel;
            let mut keep = commit.batches.iter().map(|batch| batch.time >= before);
            owners.retain(|_| keep.next().unwrap_or(true));
            commit.batches.retain(|batch| {
                let kept = batch.time >= before;
                if !kept {
                    deleted += batch.samples.len() as u64;
                }
                kept
            });
        }
        deleted
    }

    /// The samples that wait.
    pub(super) fn samples(&self) -> usize {
        self.held.iter().map(|held| held.parcel.samples()).sum()
    }

    fn work_off<S: Storage>(
        &mut self,
        store: &mut S,
        pool: &mut Pool,
        stats: &Stats,
        now: Now,
        notes: &mut Notes,
    ) {
        let started = Instant::now();
        while let Some(held) = self.held.front_mut() {
            held.parcel.hand_on(&mut self.resets);
            match write(&held.parcel, store, stats) {
                Err(error) if S::fault(&error) == Fault::Refused => {
                    tracing::error!(%error, "the store can never take this transaction");
                    self.resets.keep(held.parcel.resets());
                    give_up(&mut held.parcel, stats, notes);
                }
                Err(error) => return self.fails::<S>(&error, now, notes),
                Ok(()) => pool.recycle(&mut held.parcel),
            }
            if held.parcel.is_empty()
                && let Some(held) = self.held.pop_front()
            {
                self.bytes -= held.bytes;
            }
            if started.elapsed() > BUDGET {
                return;
            }
        }
    }

    fn hold(&mut self, parcel: Parcel, now: Now) {
        let bytes = parcel.bytes();
        self.bytes += bytes;
        self.held.push_back(Held { parcel, bytes, at: now.monotonic });
    }

    /// Drops the samples of the oldest transactions while there is too much. Their events and gaps go on with the next
    /// one, and so does the beginning of a run.
    fn bound(&mut self, now: Now, stats: &Stats) {
        while let Some(oldest) = self.held.front() {
            let too_old = now.monotonic.saturating_sub(oldest.at) > MAX_AGE;
            if self.held.len() < 2 || !(too_old || self.bytes > MAX_BYTES) {
                return;
            }
            let Some(Held { parcel, bytes, .. }) = self.held.pop_front() else { return };
            self.bytes -= bytes;
            if let Some(trouble) = &mut self.trouble {
                trouble.dropped += parcel.samples();
                trouble.lost = join(trouble.lost, parcel.span());
            }
            stats.dropped_backlog.add(parcel.samples());
            self.resets.keep(parcel.resets());
            if let Some(next) = self.held.front_mut() {
                let before = next.bytes;
                let commit = &mut next.parcel.commit;
                commit.new_run |= parcel.commit.new_run;
                stats.dropped_events.add(prepend(&mut commit.events, parcel.commit.events));
                prepend(&mut commit.gaps, parcel.commit.gaps);
                prepend_meta(&mut commit.meta, parcel.commit.meta);
                next.bytes = next.parcel.bytes();
                self.bytes = self.bytes + next.bytes - before;
            }
        }
    }

    fn fails<S: Storage>(&mut self, error: &S::Error, now: Now, notes: &mut Notes) {
        let fault = S::fault(error);
        let trouble = self.trouble.get_or_insert_with(|| {
            tracing::debug!(%error, fault = fault.word(), "a commit failed, trying again");
            Trouble { since: now.monotonic, announced: false, dropped: 0, lost: None }
        });
        let lasting = now.monotonic.saturating_sub(trouble.since) >= PATIENCE;
        if !trouble.announced && (fault != Fault::Busy || lasting) {
            trouble.announced = true;
            tracing::error!(%error, fault = fault.word(), "the store fails; samples wait in memory");
            notes.events.push(Event {
                kind: "storage_failed".into(),
                severity: Severity::Critical,
                message: format!("The store fails, samples wait in memory: {error}"),
                details: serde_json::json!({ "source": "ingest", "fault": fault.word(), "error": error.to_string() }),
                time: now.wall,
                vm_id: None,
            });
        }
    }

    fn recovers(&mut self, now: Now, notes: &mut Notes) {
        let Some(trouble) = self.trouble.take() else { return };
        let seconds = now.monotonic.saturating_sub(trouble.since).as_secs();
        if let Some((from, to)) = trouble.lost {
            notes.gaps.push(Gap { scope: GapScope::Agent, from, to, reason: GapReason::Overrun });
        }
        if trouble.announced || trouble.dropped > 0 {
            tracing::info!(seconds, dropped = trouble.dropped, "the store works again");
            notes.events.push(Event {
                kind: "storage_recovered".into(),
                severity: if trouble.dropped > 0 { Severity::Warning } else { Severity::Info },
                message: format!(
                    "The store works again after {seconds} s; {} samples were lost",
                    trouble.dropped
                ),
                details: serde_json::json!({
                    "source": "ingest",
                    "seconds": seconds,
                    "dropped_samples": trouble.dropped,
                }),
                time: now.wall,
                vm_id: None,
            });
        }
    }
}

/// What the next transaction is to tell.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) events: Vec<Event>,
    pub(super) gaps: Vec<Gap>,
}

/// Makes a transaction that can never be written smaller, so that those behind it are: drops its samples; if it has none,
/// its events; if it has none either, the rest.
fn give_up(parcel: &mut Parcel, stats: &Stats, notes: &mut Notes) {
    if let Some((from, to)) = parcel.span() {
        stats.dropped_refused.add(parcel.samples());
        notes.gaps.push(Gap { scope: GapScope::Agent, from, to, reason: GapReason::Overrun });
        parcel.commit.batches.clear();
        parcel.owners.clear();
    } else if parcel.commit.events.is_empty() {
        *parcel = Parcel::default();
    } else {
        stats.dropped_events.add(parcel.commit.events.len());
        parcel.commit.events.clear();
    }
}

fn write<S: Storage>(parcel: &Parcel, store: &mut S, stats: &Stats) -> Result<(), S::Error> {
    let started = Instant::now();
    let written = store.commit(&parcel.commit);
    stats.add_commit_time(started.elapsed());
    match written {
        Ok(bytes) => {
            stats.commits.add(1);
            stats.add_journal(bytes, &parcel.owners);
            Ok(())
        }
        Err(error) => {
            stats.commit_errors.add(1);
            Err(error)
        }
    }
}

fn join(
    a: Option<(Timestamp, Timestamp)>,
    b: Option<(Timestamp, Timestamp)>,
) -> Option<(Timestamp, Timestamp)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Puts the values before later ones, less those that these replace.
fn prepend_meta(later: &mut Vec<(String, String)>, mut earlier: Vec<(String, String)>) {
    let newer: HashSet<&str> = later.iter().map(|(key, _)| key.as_str()).collect();
    earlier.retain(|(key, _)| !newer.contains(key.as_str()));
    earlier.append(later);
    *later = earlier;
}

/// Puts `earlier` before `later`; of too many the earliest are dropped: how many.
fn prepend<T>(later: &mut Vec<T>, mut earlier: Vec<T>) -> usize {
    earlier.append(later);
    let dropped = earlier.len().saturating_sub(MAX_NOTES);
    earlier.drain(..dropped);
    *later = earlier;
    dropped
}
