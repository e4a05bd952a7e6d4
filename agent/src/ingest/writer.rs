//! What is done with each round: mapped, evaluated, committed, published.

use super::{
    Options,
    backlog::{Backlog, Notes, Now},
    clock::{Clock, Trust},
    parcel::{Parcel, Pool},
    published::{Published, Publisher},
    space::Space,
    stats::Stats,
    storage::Storage,
    table::{Table, Taken},
};
use crate::{
    alert::{self, ActiveAlert, Moment},
    config::{AlertRule, TimestampStyle},
    inventory::Inventory,
    model::{CollectorInfo, Gap, GapReason, GapScope, Round, Timestamp},
    store::{self, Deleted, StoredBatch},
    views::ViewContext,
};
use arc_swap::ArcSwap;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Under this name the store keeps which alerts fire.
const FIRING: &str = "alerts.firing";
/// How often retention is applied and lasting absences are written.
const MINUTE: Duration = Duration::from_secs(60);

/// The writer: everything that the thread owns.
pub(super) struct Writer<S: Storage, C: Clock> {
    store: S,
    clock: C,
    table: Table,
    inventory: Inventory,
    alerts: alert::State,
    active: Arc<[ActiveAlert]>,
    disk: Arc<str>,
    trust: Trust,
    /// Both clocks at the last round.
    clocks: Now,
    backlog: Backlog,
    parcel: Parcel,
    pool: Pool,
    notes: Notes,
    space: Space,
    publisher: Publisher,
    stats: Arc<Stats>,
    rounds: u64,
    /// The last commit before this start, until the first batch tells how long the agent was down.
    down_since: Option<Timestamp>,
    last_minute: Duration,
    /// A call of the store beside commits failed and was logged.
    complained: bool,
}

impl<S: Storage, C: Clock> Writer<S, C> {
    pub(super) fn new(store: S, clock: C, options: Options, stats: Arc<Stats>) -> Self {
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        let down_since = store.last_commit();
        let remembered = logged(store.meta(FIRING)).flatten();
        let inventory = logged(Inventory::load(&store)).unwrap_or_default();
        stats.set_collectors(options.collectors.len());
        let mut writer = Self {
            clock,
            table: Table::new(options.collectors),
            inventory,
            alerts: alert::State::new(options.rules, remembered.as_deref(), monotonic),
            active: Arc::default(),
            disk: options.disk,
            trust: Trust::new(down_since, wall, monotonic),
            clocks: Now { wall, monotonic },
            backlog: Backlog::default(),
            parcel: Parcel::default(),
            pool: Pool::default(),
            notes: Notes::default(),
            space: Space::default(),
            publisher: Publisher::default(),
            stats,
            rounds: 0,
            down_since,
            last_minute: monotonic,
            complained: false,
            store,
        };
        writer.publish();
        writer
    }

    /// Where readers look.
    pub(super) fn published(&self) -> Arc<ArcSwap<Published>> {
        self.publisher.current()
    }

    /// Takes a round: one transaction, one publication.
    pub(super) fn round(&mut self, round: &mut Round) {
        self.stats.rounds.add(1);
        self.rounds += 1;
        let now = self.now();
        self.trust.observe(now.wall, now.monotonic);
        let step = now.step_since(std::mem::replace(&mut self.clocks, now));
        self.take_gaps(round, step);
        for collector in round.vacated.drain(..) {
            self.table.vacate(collector, &mut self.parcel.commit.gaps);
        }
        self.take_batches(round);
        self.parcel.commit.events.append(&mut round.events);
        self.finish(now);
    }

    /// Nothing came for a while: values grow stale all the same.
    pub(super) fn idle(&mut self) {
        self.finish(self.now());
    }

    /// Replaces what is known of the collectors.
    pub(super) fn set_collectors(&mut self, infos: Vec<CollectorInfo>) {
        self.table.set_collectors(infos, &mut self.parcel.commit.gaps);
        self.stats.set_collectors(self.table.collectors());
        self.finish(self.now());
    }

    /// Replaces the alert rules.
    pub(super) fn set_rules(&mut self, rules: Vec<AlertRule>) {
        let now = self.now();
        self.alerts.set_rules(rules, now.monotonic);
        self.finish(now);
    }

    /// Replaces the mount point of the disk views.
    pub(super) fn set_disk(&mut self, disk: Arc<str>) {
        self.disk = disk;
    }

    /// How much of the history is kept from now on.
    pub(super) fn set_storage(&mut self, options: &store::Options) {
        self.store.set_options(options);
    }

    /// Deletes what is strictly older, also of what waits for the store.
    pub(super) fn delete_before(&mut self, before: Timestamp) -> Result<Deleted, S::Error> {
        let mut deleted = self.store.delete_before(before)?;
        deleted.samples += self.backlog.delete_before(before);
        Ok(deleted)
    }

    /// Whether all that was taken is in the store.
    pub(super) fn is_stored(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Writes all that is left, and closes the store; gives up what can't be written by `deadline`. The number of samples
    /// that were lost.
    pub(super) fn stop(mut self, deadline: Instant) -> Result<usize, S::Error> {
        self.table.write_absences(&mut self.parcel.commit.gaps);
        self.inventory.persist(true, &mut self.parcel.commit.meta);
        self.finish(self.now());
        // a second time: what the first commit had to tell, and a backlog that is worked off in parts
        loop {
            self.commit(self.now());
            let told = self.notes.events.is_empty() && self.notes.gaps.is_empty();
            if (told && self.backlog.is_empty()) || Instant::now() >= deadline {
                break;
            }
            if !self.backlog.is_empty() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let lost = self.backlog.samples();
        self.store.close().map(|()| lost)
    }

    /// How many series the table has room for.
    #[cfg(test)]
    pub(super) fn room(&self) -> [usize; 4] {
        self.table.room()
    }

    fn now(&self) -> Now {
        Now { wall: self.clock.wall(), monotonic: self.clock.monotonic() }
    }

    fn take_gaps(&mut self, round: &mut Round, step: i64) {
        let commit = &mut self.parcel.commit;
        if round.clock_stepped {
            commit.new_run = true;
            self.table.begin_run(step, &mut commit.gaps);
        }
        if let Some(first) = round.batches.iter().map(|batch| batch.time).min()
            && let Some(last) = self.down_since.take()
        {
            commit.gaps.extend(agent_down(last, first));
        }
        for gap in &round.gaps {
            self.table.note_gap(gap);
        }
        commit.gaps.append(&mut round.gaps);
    }

    fn take_batches(&mut self, round: &Round) {
        let Parcel { commit, owners } = &mut self.parcel;
        for batch in &round.batches {
            let mut samples = self.pool.samples();
            let mut taken = Taken { samples: &mut samples, gaps: &mut commit.gaps, stats: &self.stats };
            self.table.take(batch, &mut self.store, &mut taken);
            if samples.is_empty() {
                self.pool.give(samples);
            } else {
                self.stats.samples.add(samples.len());
                owners.push((batch.collector, samples.len()));
                commit.batches.push(StoredBatch { time: batch.time, samples });
            }
        }
        let brought = round.batches.iter().filter(|batch| batch.complete || !batch.samples.is_empty());
        if let Some(newest) = brought.map(|batch| batch.time).max() {
            self.table.set_time(newest, round.clock_stepped);
        }
    }

    /// Everything after the batches.
    fn finish(&mut self, now: Now) {
        self.table.settle();
        self.stats.live_series.set(self.table.snapshot().latest.len());
        self.look(now);
        self.remember();
        let minute = now.monotonic.saturating_sub(self.last_minute) >= MINUTE;
        if minute {
            self.last_minute = now.monotonic;
            self.table.write_absences(&mut self.parcel.commit.gaps);
        }
        self.commit(now);
        for series in self.table.ended() {
            self.store.forget(series);
        }
        self.publish();
        if minute {
            self.expire(now);
        }
    }

    /// Machines and alerts.
    fn look(&mut self, now: Now) {
        let events = &mut self.parcel.commit.events;
        let table = &self.table;
        let snapshot = table.snapshot();
        let collections = |name: &str| table.collections(name);
        self.inventory.update(snapshot, now.wall, &mut self.store, collections, events);
        let context = ViewContext { disk: &self.disk, now: now.wall, timestamps: TimestampStyle::Rfc3339 };
        let machines = self.inventory.machines();
        let moment = Moment { snapshot, machines, context, monotonic: now.monotonic };
        self.alerts.evaluate(&moment, events);
        if self.alerts.is_active() {
            self.active = alert::active(&self.alerts, machines).into();
        } else if !self.active.is_empty() {
            self.active = Arc::default();
        }
    }

    fn commit(&mut self, now: Now) {
        self.parcel.commit.events.append(&mut self.notes.events);
        self.parcel.commit.gaps.append(&mut self.notes.gaps);
        let Self { backlog, parcel, store, pool, stats, notes, .. } = self;
        backlog.commit(parcel, store, pool, stats, now, notes);
        self.space.look(self.store.disk_full(), now, &self.stats, &mut self.notes);
    }

    fn publish(&mut self) {
        self.publisher.publish(
            self.rounds,
            self.backlog.is_empty(),
            self.table.snapshot(),
            self.inventory.machines(),
            Arc::clone(&self.active),
        );
    }

    /// Keeps what has to outlive a restart in the transaction of the events that go with it: after a crash neither is
    /// there without the other, so that no event is lost or told twice.
    fn remember(&mut self) {
        let kept = &mut self.parcel.commit.meta;
        if let Some(text) = self.alerts.remember() {
            kept.push((FIRING.into(), text));
            self.alerts.remembered();
        }
        self.inventory.persist(false, kept);
    }

    fn expire(&mut self, now: Now) {
        let trusted = self.trust.holds(now.monotonic);
        let expired = self.store.expire(now.wall, trusted);
        let expired = expired.map(|deleted| self.stats.expired.add(deleted.samples as usize));
        self.note_result(expired, "retention failed");
    }

    /// Counts a failure, and logs the first of several.
    fn note_result(&mut self, result: Result<(), S::Error>, what: &str) {
        if let Err(error) = result {
            self.stats.store_errors.add(1);
            if !std::mem::replace(&mut self.complained, true) {
                tracing::error!(%error, "{what}");
            }
        } else {
            self.complained = false;
        }
    }
}

/// The gap from the last commit before the start to the first batch after it.
fn agent_down(last: Timestamp, first: Timestamp) -> Option<Gap> {
    let millisecond = Duration::from_millis(1);
    let (from, to) = (last.plus(millisecond), first.minus(millisecond));
    (from <= to).then_some(Gap { scope: GapScope::Agent, from, to, reason: GapReason::AgentDown })
}

fn logged<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|error| tracing::error!(%error, "the store could not be read at the start")).ok()
}
