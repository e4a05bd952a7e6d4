//! Follows the machines from round to round.

use super::{
    Info, Machine, Machines, State,
    indexes::{self, Indexes},
    track::{Record, Track},
};
use crate::model::{Catalog, CollectorId, Event, Kind, Snapshot, Timestamp};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Weak},
};

/// Under this name the store keeps which collectors ever brought a collection, as a JSON list.
const SEEN: &str = "machines.collectors";

/// What the inventory needs of the store. The error is for the log.
pub trait Registry {
    /// Why it could not be done now.
    type Error: std::fmt::Display;
    /// The known number of a machine, or the next one.
    fn vm_id(&mut self, vm: &str) -> Result<i64, Self::Error>;
    /// Gives the number of a machine to another UUID, which no machine has.
    fn rename_vm(&mut self, vm_id: i64, vm: &str) -> Result<(), Self::Error>;
    /// All known machines.
    fn vms(&self) -> Result<Vec<(i64, String)>, Self::Error>;
    /// A value that was put under this key, also before a restart.
    fn meta(&self, key: &str) -> Result<Option<String>, Self::Error>;
}

/// The machines, from round to round. Used by the writer alone.
#[derive(Debug, Default)]
pub struct Inventory {
    machines: Machines,
    tracks: Vec<Track>,
    catalog: Weak<Catalog>,
    /// The collectors that ever brought a collection: what they tell of for the first time was not there before.
    seen: BTreeSet<String>,
    /// [`seen`](Self::seen) has to be kept anew.
    seen_changed: bool,
    /// Which lists of machines were read.
    indexes: Indexes,
    /// A machine of the catalog has no number yet: the store failed.
    incomplete: bool,
}

impl Inventory {
    /// What the store remembers.
    ///
    /// # Errors
    /// Those of the store.
    pub fn load<R: Registry>(registry: &R) -> Result<Self, R::Error> {
        let mut known = registry.vms()?;
        known.sort();
        let seen = registry.meta(SEEN)?.and_then(|text| serde_json::from_str(&text).ok());
        let indexes = Indexes::load(registry.meta(indexes::KEPT)?.as_deref());
        let mut inventory = Self { seen: seen.unwrap_or_default(), indexes, ..Self::default() };
        for (vm_id, vm) in known {
            let text = registry.meta(&key(vm_id))?;
            // a record that can't be read is as good as none: the machine keeps its number
            let record: Option<Record> = text.and_then(|text| serde_json::from_str(&text).ok());
            let known = record.as_ref().map(|record| record.known.unwrap_or(record.state));
            let record = record.unwrap_or_default();
            let info = Arc::new(Info { vm, ..record.info });
            let last_seen = record.last_seen.map(Timestamp::from_millis);
            inventory.machines.list.push(Machine { vm_id, info, state: record.state, last_seen });
            let track = Track { gone_since: Some(0), ..Track::new(&record.collector, known) };
            inventory.tracks.push(track);
            if !record.collector.is_empty() {
                inventory.seen.insert(record.collector);
            }
        }
        inventory.index();
        Ok(inventory)
    }

    /// The machines as of the last [`update`](Inventory::update).
    pub fn machines(&self) -> &Machines {
        &self.machines
    }

    /// Reads the machines out of the snapshot. `collections` tells how many collections a collector has brought since
    /// its start, by its name; 0 where it does not run.
    pub fn update<R: Registry>(
        &mut self,
        snapshot: &Snapshot,
        now: Timestamp,
        registry: &mut R,
        collections: impl Fn(&str) -> u64,
        events: &mut Vec<Event>,
    ) {
        if self.incomplete || !std::ptr::eq(self.catalog.as_ptr(), Arc::as_ptr(&snapshot.catalog)) {
            self.resolve(&snapshot.catalog, registry, &collections);
            self.catalog = Arc::downgrade(&snapshot.catalog);
        }
        self.indexes.follow(snapshot, now);
        for (machine, track) in self.machines.list.iter_mut().zip(&mut self.tracks) {
            track.follow_info(machine, snapshot);
            track.follow_state(machine, snapshot, now, &collections, &self.indexes);
        }
        for (machine, track) in self.machines.list.iter().zip(&mut self.tracks) {
            track.transition(machine, &self.machines, now, events);
        }
        if !self.incomplete {
            self.note_collectors(&snapshot.catalog, &collections);
        }
    }

    /// Adds what changed to what the next transaction keeps, by name; all, when the agent stops, since the time of the
    /// last sight changes with each round.
    pub fn persist(&mut self, all: bool, kept: &mut Vec<(String, String)>) {
        for (machine, track) in self.machines.list.iter().zip(&mut self.tracks) {
            if track.changed || (all && track.lives()) {
                // of texts and numbers alone: can always be written as JSON
                if let Ok(text) = serde_json::to_string(&track.record(machine)) {
                    kept.push((key(machine.vm_id), text));
                }
                track.changed = false;
            }
        }
        if std::mem::take(&mut self.seen_changed)
            && let Ok(text) = serde_json::to_string(&self.seen)
        {
            kept.push((SEEN.into(), text));
        }
        kept.extend(self.indexes.take_changes(all).map(|text| (indexes::KEPT.into(), text)));
    }

    /// Remembers which collectors have told what there is.
    fn note_collectors(&mut self, catalog: &Catalog, collections: &impl Fn(&str) -> u64) {
        for info in &catalog.collectors {
            if !self.seen.contains(&*info.name) && collections(&info.name) > 0 {
                self.seen.insert(info.name.as_ref().into());
                self.seen_changed = true;
            }
        }
    }

    /// Finds the series of each machine in a new catalog.
    fn resolve<R: Registry>(
        &mut self,
        catalog: &Catalog,
        registry: &mut R,
        collections: &impl Fn(&str) -> u64,
    ) {
        let warned = std::mem::take(&mut self.incomplete);
        for track in &mut self.tracks {
            track.lived = track.lives();
            track.states.clear();
            track.infos.clear();
            track.read_from = None;
        }
        // those that have a number first: then it is known which of them are gone, whose number a new one may take over
        let (known, new): (Vec<_>, Vec<_>) =
            told(catalog).partition(|told| self.machines.by_uuid.contains_key(told.vm));
        for told in known.into_iter().chain(new) {
            if let Err(error) = self.attach(&told, catalog, registry) {
                if !warned && !self.incomplete {
                    tracing::warn!(vm = told.vm, %error, "no number for a machine yet, trying again");
                }
                self.incomplete = true;
            }
        }
        let told_of: BTreeSet<Arc<str>> = self
            .tracks
            .iter()
            .filter(|track| track.lives())
            .map(|track| Arc::clone(&track.collector))
            .collect();
        for track in &mut self.tracks {
            // one that tells of nothing any more may have ended; its successor has to meet them anew
            track.met &= told_of.contains(&track.collector);
            if track.lives() {
                (track.gone_since, track.met) = (None, true);
            } else if track.lived {
                track.gone_since = Some(collections(&track.collector));
            }
        }
    }

    /// Adds a series to its machine.
    fn attach<R: Registry>(
        &mut self,
        told: &Told<'_>,
        catalog: &Catalog,
        registry: &mut R,
    ) -> Result<(), R::Error> {
        let at = match self.machines.by_uuid.get(told.vm) {
            Some(at) => *at,
            None => self.place(told, catalog, registry)?,
        };
        let seen = self.seen.contains(&*told.collector);
        let Some(track) = self.tracks.get_mut(at) else { return Ok(()) };
        track.collector = Arc::clone(&told.collector);
        // its number was made in the moment before a crash: it is as new as if it had none
        track.known = track.known.or(Some(before_the_first_sight(seen)));
        match told.state {
            Some(state) => track.states.push((told.index, state)),
            None => track.infos.push(told.index),
        }
        Ok(())
    }

    /// The place of a machine of which nothing is known; its number is new, or that of what it was before it was created.
    fn place<R: Registry>(
        &mut self,
        told: &Told<'_>,
        catalog: &Catalog,
        registry: &mut R,
    ) -> Result<usize, R::Error> {
        if let Some(at) = self.before_creation(told, catalog)
            && let (Some(machine), Some(track)) = (self.machines.list.get_mut(at), self.tracks.get_mut(at))
        {
            registry.rename_vm(machine.vm_id, told.vm)?;
            machine.info = Arc::new(Info { vm: told.vm.into(), ..Info::clone(&machine.info) });
            track.changed = true;
            self.index();
            return Ok(at);
        }
        let vm_id = registry.vm_id(told.vm)?;
        let info = Arc::new(Info { vm: told.vm.into(), ..Info::default() });
        let machine = Machine { vm_id, info, state: State::Unknown, last_seen: None };
        let at = self.machines.list.partition_point(|known| known.vm_id < vm_id);
        self.machines.list.insert(at, machine);
        self.tracks.insert(at, Track { changed: true, ..Track::new(&told.collector, None) });
        if at + 1 == self.tracks.len() {
            Arc::make_mut(&mut self.machines.by_uuid).insert(told.vm.into(), at);
        } else {
            self.index();
        }
        Ok(at)
    }

    /// A machine that is configured but not created has another identity than the one that it gets when it is created.
    /// Finds what a new machine was before: of the same collector, name, project, owner and provider, not created, and
    /// missed since just now.
    fn before_creation(&self, told: &Told<'_>, catalog: &Catalog) -> Option<usize> {
        let mut infos = catalog
            .of_metric("vm_info")
            .iter()
            .filter_map(|index| catalog.series.get(*index))
            .filter(|live| live.def.metric.kind == Kind::Info && live.def.labels.get("vm") == told.vm);
        let new = Info::of(&infos.next()?.def.labels);
        let was_it = |(machine, track): (&Machine, &Track)| {
            let old = &*machine.info;
            track.known == Some(State::NotCreated)
                && track.is_missed()
                && track.collector == told.collector
                && old.name.is_some()
                && (&old.name, &old.project, &old.owner, &old.provider)
                    == (&new.name, &new.project, &new.owner, &new.provider)
        };
        self.machines.list.iter().zip(&self.tracks).position(was_it)
    }

    fn index(&mut self) {
        let places = self.machines.list.iter().enumerate();
        let by_uuid: HashMap<_, _> = places.map(|(at, machine)| (machine.info.vm.clone(), at)).collect();
        self.machines.by_uuid = Arc::new(by_uuid);
    }
}

/// A series that tells of a machine.
struct Told<'a> {
    vm: &'a str,
    /// Of `vm_state`; nothing of `vm_info`.
    state: Option<State>,
    /// Its place in the catalog.
    index: usize,
    collector: Arc<str>,
}

/// All series of a catalog that tell of machines.
fn told(catalog: &Catalog) -> impl Iterator<Item = Told<'_>> {
    [("vm_state", Kind::StateSet), ("vm_info", Kind::Info)].into_iter().flat_map(move |(metric, kind)| {
        catalog.of_metric(metric).iter().filter_map(move |&index| {
            let live = catalog.series.get(index)?;
            let vm = live.def.labels.get("vm");
            let state = (kind == Kind::StateSet).then(|| State::from_word(live.def.labels.get("state")));
            let collector = collector_name(catalog, live.collector);
            let tells = live.def.metric.kind == kind && !vm.is_empty();
            tells.then_some(Told { vm, state, index, collector })
        })
    })
}

/// What a machine was before it was told of for the first time: not created where its collector had told what there is;
/// where that is the collector's first time too, nobody knows.
const fn before_the_first_sight(collector_seen: bool) -> State {
    if collector_seen { State::NotCreated } else { State::Unknown }
}

fn key(vm_id: i64) -> String {
    format!("machine/{vm_id}")
}

fn collector_name(catalog: &Catalog, id: CollectorId) -> Arc<str> {
    catalog.collectors.get(id.0 as usize).map_or_else(|| "".into(), |info| Arc::clone(&info.name))
}
