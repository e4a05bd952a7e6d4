//! Series come and go.

use super::{Slot, Table, Taken};
use crate::{
    ingest::storage::Storage,
    model::{
        CollectorId, Gap, Kind, Latest, Live, LocalSeries, MAX_LOCAL_SERIES, Missing, SeriesDef, Timestamp,
    },
};
use std::sync::Arc;

impl Table {
    pub(super) fn register<S: Storage>(
        &mut self,
        id: CollectorId,
        local: LocalSeries,
        def: &Arc<SeriesDef>,
        time: Timestamp,
        store: &mut S,
        taken: &mut Taken<'_>,
    ) {
        let (Some(collector), Some(info)) =
            (self.collectors.get_mut(id.0 as usize), self.infos.get(id.0 as usize))
        else {
            return;
        };
        if local >= MAX_LOCAL_SERIES {
            return; // its samples are dropped and counted as unknown
        }
        let series = match store.series(def, &info.name) {
            Ok(series) => series,
            Err(error) => {
                tracing::debug!(%error, series = %def, "no number for a series yet, trying again");
                taken.stats.store_errors.add(1);
                collector.unregistered.push((local, Arc::clone(def)));
                return;
            }
        };
        self.changed = true;
        let owner = self.by_id.get(&series).copied();
        if let Some(before) = collector.place(local).filter(|before| Some(*before as u32) != owner) {
            self.end(before, taken.gaps);
        }
        // a series that is alive already goes over to its newest number: it was announced again, or renumbered
        let place = match owner {
            Some(place) => self.hand_over(place as usize, id, local),
            None => self.add(Live { id: series, def: Arc::clone(def), collector: id }, local, time),
        };
        if let Some(collector) = self.collectors.get_mut(id.0 as usize) {
            collector.set_place(local, place);
        }
    }

    /// Gives a series that is alive to another number, or another collector.
    fn hand_over(&mut self, place: usize, id: CollectorId, local: LocalSeries) -> u32 {
        if let Some(slot) = self.slots.get_mut(place) {
            let before = self.collectors.get_mut(slot.live.collector.0 as usize);
            if let Some(before) = before {
                before.clear_place(slot.local);
            }
            slot.live.collector = id;
            slot.local = local;
            slot.collection = None;
        }
        place as u32
    }

    fn add(&mut self, live: Live, local: LocalSeries, time: Timestamp) -> u32 {
        let place = self.slots.len() as u32;
        self.by_id.insert(live.id, place);
        let counter = live.def.metric.kind == Kind::Counter;
        self.slots.push(Slot {
            live,
            local,
            alive: true,
            counter,
            raw: None,
            collection: None,
            absence: None,
            reset: false,
        });
        self.snapshot.latest.push(Latest { time, value: Err(Missing::NotCollected), previous: None });
        place
    }

    pub(super) fn retire(&mut self, id: CollectorId, local: LocalSeries, gaps: &mut Vec<Gap>) {
        let Some(collector) = self.collectors.get_mut(id.0 as usize) else { return };
        collector.unregistered.retain(|(waiting, _)| *waiting != local);
        if let Some(place) = collector.place(local) {
            collector.clear_place(local);
            self.end(place, gaps);
        }
    }

    fn end(&mut self, place: usize, gaps: &mut Vec<Gap>) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.end(gaps);
            self.by_id.remove(&slot.live.id);
            self.changed = true;
        }
    }
}
