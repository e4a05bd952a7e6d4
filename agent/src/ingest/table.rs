//! The live table: which collector's series is which of the store's, and the latest value of each.

mod collector;
mod series;

use super::{
    absence::{self, OpenGap},
    stats::Stats,
    storage::Storage,
};
use crate::{
    model::{
        Absence, Batch, Catalog, CollectorId, CollectorInfo, Gap, GapScope, Live, LocalSeries, Missing,
        Previous, Sample, SeriesId, Snapshot, Timestamp,
    },
    store::StoredSample,
};
use collector::Collector;
use std::{collections::HashMap, sync::Arc};

/// The reason with which a plugin says that a rate needs two readings; no gap worth keeping.
const FIRST_READING: &str = "first_reading";
/// Two samples closer than this make no rate: a collection on demand just beside a tick.
const LEAST_SPAN: i64 = 50;
/// Room for fewer series than this is never given back.
const SPACIOUS: usize = 1024;

/// What the writer keeps of a series beside what readers see.
#[derive(Debug)]
struct Slot {
    live: Live,
    /// The collector's number.
    local: LocalSeries,
    alive: bool,
    /// As the metric says, kept here: looking there for each sample would reach for two more lines of memory.
    counter: bool,
    /// The last raw value of a counter, also from before a gap: to see a fall.
    raw: Option<f64>,
    /// The collection that brought the last sample; nothing where the next one must not be paired with it.
    collection: Option<u64>,
    absence: Option<OpenGap>,
    /// A sample was dropped that began the counter anew: the next one does.
    reset: bool,
}

/// The live table. After [`settle`](Table::settle), slots, [`Snapshot::latest`] and the catalog agree.
#[derive(Debug, Default)]
pub(super) struct Table {
    snapshot: Snapshot,
    slots: Vec<Slot>,
    collectors: Vec<Collector>,
    infos: Vec<CollectorInfo>,
    by_id: HashMap<SeriesId, u32>,
    changed: bool,
    /// Series that ended since they were last asked for.
    ended: Vec<SeriesId>,
}

/// Where the samples of a batch go.
pub(super) struct Taken<'a> {
    /// The samples, under the store's numbers.
    pub(super) samples: &'a mut Vec<StoredSample>,
    /// Absences that ended.
    pub(super) gaps: &'a mut Vec<Gap>,
    /// What is dropped is counted here.
    pub(super) stats: &'a Stats,
}

impl Table {
    /// Of these collectors, without series.
    pub(super) fn new(infos: Vec<CollectorInfo>) -> Self {
        let mut table = Self::default();
        table.set_collectors(infos, &mut Vec::new());
        table.settle();
        table
    }

    /// The latest values; in step with the catalog after [`settle`](Table::settle).
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How many collectors there are.
    pub(super) fn collectors(&self) -> usize {
        self.infos.len()
    }

    /// How many collections of a collector went well; 0 where there is none of this name, or it was stopped. What a
    /// failed one does not mention may still be there.
    pub(super) fn collections(&self, name: &str) -> u64 {
        let at = self.infos.iter().position(|info| *info.name == *name);
        at.and_then(|at| self.collectors.get(at)).map_or(0, |collector| collector.complete)
    }

    /// Replaces what is known of the collectors. A number that means another collector now loses its series.
    pub(super) fn set_collectors(&mut self, infos: Vec<CollectorInfo>, gaps: &mut Vec<Gap>) {
        for at in 0..self.infos.len() {
            let before = self.infos.get(at).map(|info| &info.name);
            if before != infos.get(at).map(|info| &info.name) {
                self.vacate(CollectorId(at as u32), gaps);
            }
        }
        self.collectors.resize_with(infos.len(), Collector::default);
        self.infos = infos;
        self.changed = true;
    }

    /// A collector was stopped: its series are no longer alive.
    pub(super) fn vacate(&mut self, id: CollectorId, gaps: &mut Vec<Gap>) {
        if let Some(collector) = self.collectors.get_mut(id.0 as usize) {
            *collector = Collector::default();
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.alive && slot.live.collector == id) {
            slot.end(gaps);
            self.by_id.remove(&slot.live.id);
            self.changed = true;
        }
    }

    /// Samples before and after must not be paired: the wall clock was stepped, by so many milliseconds. What was fresh
    /// by the old clock is as fresh by the new one.
    pub(super) fn begin_run(&mut self, step: i64, gaps: &mut Vec<Gap>) {
        for slot in &mut self.slots {
            slot.collection = None;
            absence::close(&mut slot.absence, slot.live.id, gaps);
        }
        for latest in &mut self.snapshot.latest {
            latest.previous = None;
            latest.time = Timestamp::from_millis(latest.time.as_millis().saturating_add(step));
        }
        for collector in &mut self.collectors {
            (collector.last, collector.gaps) = (None, None);
        }
    }

    /// Samples around a gap must not be paired.
    pub(super) fn note_gap(&mut self, gap: &Gap) {
        for (collector, info) in self.collectors.iter_mut().zip(&self.infos) {
            let concerned = match &gap.scope {
                GapScope::Agent => true,
                GapScope::Collector(name) => *name == info.name,
                GapScope::Series(_) => false,
            };
            if concerned {
                let (from, to) = collector.gaps.unwrap_or((gap.from, gap.to));
                collector.gaps = Some((from.min(gap.from), to.max(gap.to)));
            }
        }
    }

    /// Writes the absences that go on.
    pub(super) fn write_absences(&mut self, gaps: &mut Vec<Gap>) {
        for slot in &mut self.slots {
            absence::write(&mut slot.absence, slot.live.id, gaps);
        }
    }

    /// Takes a batch: new series, samples, absences, series that ended, in this order. A number that stood for another
    /// series before stands for the new one from here on.
    pub(super) fn take<S: Storage>(&mut self, batch: &Batch, store: &mut S, taken: &mut Taken<'_>) {
        let id = batch.collector;
        let Some(collector) = self.collectors.get_mut(id.0 as usize) else {
            return taken.stats.dropped_unknown.add(batch.samples.len());
        };
        collector.count(batch.time);
        collector.complete += u64::from(batch.complete);
        if std::mem::replace(&mut collector.stretch, batch.stretch).max(1) != batch.stretch.max(1) {
            self.changed = true; // its values stay fresh for longer, or no longer
        }
        let collection = collector.collections;
        let waiting = std::mem::take(&mut collector.unregistered);
        let reused = |collector: &Collector, local| collector.place(local).is_some();
        let reused: Vec<LocalSeries> =
            batch.retired.iter().copied().filter(|local| reused(collector, *local)).collect();
        let replaced = |local| batch.registered.iter().any(|(new, _)| *new == local);
        let waiting = waiting.iter().filter(|(local, _)| !replaced(*local));
        for (local, def) in waiting.chain(&batch.registered) {
            self.register(id, *local, def, batch.time, store, taken);
        }
        for sample in &batch.samples {
            self.sample(id, *sample, batch.time, collection, taken);
        }
        for absence in &batch.absent {
            self.absent(id, absence, batch.time, collection, taken.gaps);
        }
        for local in &batch.retired {
            // a number that was registered anew in this batch: what ended is the series that it stood for before
            if !(replaced(*local) && reused.contains(local)) {
                self.retire(id, *local, taken.gaps);
            }
        }
    }

    /// Brings catalog and latest values in step again after series came or went.
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut alive = self.slots.iter().map(|slot| slot.alive);
        self.snapshot.latest.retain(|_| alive.next().unwrap_or(false));
        self.ended.extend(self.slots.iter().filter(|slot| !slot.alive).map(|slot| slot.live.id));
        self.slots.retain(|slot| slot.alive);
        self.by_id.clear();
        self.begin_places();
        self.shrink();
        for (place, slot) in self.slots.iter().enumerate() {
            self.by_id.insert(slot.live.id, place as u32);
            if let Some(collector) = self.collectors.get_mut(slot.live.collector.0 as usize) {
                collector.set_place(slot.local, place as u32);
            }
        }
        let series = self.slots.iter().map(|slot| slot.live.clone()).collect();
        self.snapshot.catalog = Arc::new(Catalog::new(series, self.infos().collect()));
    }

    /// What is known of the collectors. A value lasts for longer where the next one comes later.
    fn infos(&self) -> impl Iterator<Item = CollectorInfo> {
        self.infos.iter().zip(&self.collectors).map(|(info, collector)| CollectorInfo {
            name: Arc::clone(&info.name),
            stale_after: info.stale_after * collector.stretch.max(1),
        })
    }

    /// All places are to be given anew: those of a collector begin with its lowest number.
    fn begin_places(&mut self) {
        let mut first: Vec<Option<LocalSeries>> = vec![None; self.collectors.len()];
        for slot in &self.slots {
            if let Some(first) = first.get_mut(slot.live.collector.0 as usize) {
                *first = Some(first.map_or(slot.local, |first| first.min(slot.local)));
            }
        }
        for (collector, first) in self.collectors.iter_mut().zip(first) {
            collector.begin_places(first.unwrap_or_default());
        }
    }

    /// Gives back what thousands of series left behind that have ended since.
    fn shrink(&mut self) {
        let alive = self.slots.len();
        if self.slots.capacity() > SPACIOUS.max(4 * alive) {
            self.slots.shrink_to(2 * alive);
            self.snapshot.latest.shrink_to(2 * alive);
            self.by_id.shrink_to(2 * alive);
            for collector in &mut self.collectors {
                collector.shrink();
            }
        }
    }

    /// The series that ended since this was last called, and have not come back. After [`settle`](Table::settle).
    pub(super) fn ended(&mut self) -> impl Iterator<Item = SeriesId> + '_ {
        let Self { ended, by_id, .. } = self;
        ended.drain(..).filter(|id| !by_id.contains_key(id))
    }

    /// How many series there is room for: those in the table, and in its indexes.
    #[cfg(test)]
    pub(super) fn room(&self) -> [usize; 4] {
        let places = self.collectors.iter().map(Collector::room).sum();
        [self.slots.capacity(), self.snapshot.latest.capacity(), self.by_id.capacity(), places]
    }

    /// The newest batch of the round was collected at `time`. A slow collector's batch may be older than what is there;
    /// only a step of the clock leads back.
    pub(super) fn set_time(&mut self, time: Timestamp, stepped: bool) {
        let known = self.snapshot.time.filter(|_| !stepped);
        self.snapshot.time = Some(known.map_or(time, |known| known.max(time)));
    }

    fn sample(
        &mut self,
        id: CollectorId,
        sample: Sample,
        time: Timestamp,
        collection: u64,
        taken: &mut Taken<'_>,
    ) {
        let stats = taken.stats;
        let Some(collector) = self.collectors.get(id.0 as usize) else { return };
        let place = collector.place(sample.series);
        let found =
            place.and_then(|place| self.slots.get_mut(place).zip(self.snapshot.latest.get_mut(place)));
        let Some((slot, latest)) = found else {
            let waits = collector.unregistered.iter().any(|(local, _)| *local == sample.series);
            let count = if waits { &stats.dropped_unregistered } else { &stats.dropped_unknown };
            return count.add(1);
        };
        if !sample.value.is_finite() {
            slot.reset |= sample.reset;
            return stats.dropped_not_finite.add(1);
        }
        if slot.collection == Some(collection) {
            slot.reset |= sample.reset;
            return stats.dropped_duplicate.add(1);
        }
        let fell = slot.raw.is_some_and(|raw| sample.value < raw) && !sample.reset;
        if fell {
            stats.falls.add(1);
        }
        if slot.counter {
            slot.raw = Some(sample.value);
        }
        let reset = std::mem::take(&mut slot.reset) | sample.reset | fell;
        let neighbours = slot.collection.is_some_and(|last| last + 1 == collection);
        latest.previous = match latest.value {
            Ok(_) if neighbours && !reset && (1..LEAST_SPAN).contains(&time.millis_since(latest.time)) => {
                latest.previous
            }
            Ok(value) if neighbours && !reset && time > latest.time => {
                Some(Previous { time: latest.time, value })
            }
            _ => None,
        };
        latest.time = time;
        latest.value = Ok(sample.value);
        slot.collection = Some(collection);
        absence::close(&mut slot.absence, slot.live.id, taken.gaps);
        taken.samples.push(StoredSample { series: slot.live.id, reset, value: sample.value });
    }

    fn absent(
        &mut self,
        id: CollectorId,
        absence: &Absence,
        time: Timestamp,
        collection: u64,
        gaps: &mut Vec<Gap>,
    ) {
        let place = self.collectors.get(id.0 as usize).and_then(|collector| collector.place(absence.series));
        let found =
            place.and_then(|place| self.slots.get_mut(place).zip(self.snapshot.latest.get_mut(place)));
        let Some((slot, latest)) = found else { return };
        if slot.collection == Some(collection) {
            return; // has a value after all
        }
        (slot.collection, latest.previous, latest.time) = (None, None, time);
        if *absence.reason == *FIRST_READING {
            latest.value = Err(Missing::FirstReading);
            return;
        }
        let reason = match &latest.value {
            Err(Missing::Unavailable(known)) if **known == *absence.reason => Arc::clone(known),
            _ => absence.reason.as_ref().into(),
        };
        absence::extend(&mut slot.absence, slot.live.id, time, &reason, gaps);
        latest.value = Err(Missing::Unavailable(reason));
    }
}

impl Slot {
    fn end(&mut self, gaps: &mut Vec<Gap>) {
        self.alive = false;
        absence::close(&mut self.absence, self.live.id, gaps);
    }
}
