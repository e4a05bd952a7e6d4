//! Follows the machines from round to round.

use super::{Info, Machine, Machines, State};
use crate::model::{Catalog, CollectorId, Event, Kind, Severity, Snapshot, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

/// What the inventory needs of the store. The error is for the log.
pub trait Registry {
    /// Why it could not be done now.
    type Error: std::fmt::Display;
    /// The known number of a machine, or the next one.
    fn vm_id(&mut self, vm: &str) -> Result<i64, Self::Error>;
    /// All known machines.
    fn vms(&self) -> Result<Vec<(i64, String)>, Self::Error>;
    /// A value that was put under this key, also before a restart.
    fn meta(&self, key: &str) -> Result<Option<String>, Self::Error>;
}

/// What of a machine outlives a restart, as JSON under `machine/<vm_id>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    #[serde(flatten)]
    info: Info,
    state: State,
    /// The collector that told of it, by the key of its table.
    collector: String,
    last_seen: Option<i64>,
}

/// What is followed of a machine beside what readers see; at the index of [`Machines::all`].
#[derive(Clone, Debug)]
struct Track {
    /// Its series `vm_state` that are alive, with their states.
    states: Vec<(usize, State)>,
    /// Its series `vm_info` that are alive.
    infos: Vec<usize>,
    /// The `vm_info` that [`Machine::info`] was read from.
    read_from: Option<usize>,
    collector: Arc<str>,
    /// It had series in the catalog before.
    lived: bool,
    /// Its series ended, or none was seen since the start: how many collections its collector had brought by then.
    /// Destroyed, once its collector goes on without it.
    gone_since: Option<u64>,
    /// The last state that was known, for events.
    known: State,
    /// Has to be kept anew.
    changed: bool,
}

/// The machines, from round to round. Used by the writer alone.
#[derive(Debug, Default)]
pub struct Inventory {
    machines: Machines,
    tracks: Vec<Track>,
    catalog: Weak<Catalog>,
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
        let mut inventory = Self::default();
        for (vm_id, vm) in known {
            let text = registry.meta(&key(vm_id))?;
            // a record that can't be read is as good as none: the machine keeps its number
            let record: Record = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let info = Arc::new(Info { vm, ..record.info });
            let last_seen = record.last_seen.map(Timestamp::from_millis);
            inventory.machines.list.push(Machine { vm_id, info, state: record.state, last_seen });
            let track = Track { gone_since: Some(0), ..Track::new(&record.collector, record.state) };
            inventory.tracks.push(track);
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
        for (machine, track) in self.machines.list.iter_mut().zip(&mut self.tracks) {
            track.follow_info(machine, snapshot);
            track.follow_state(machine, snapshot, now, &collections);
            events.extend(track.transition(machine, now));
        }
    }

    /// Adds what changed to what the next transaction keeps, by name; all, when the agent stops, since the time of the
    /// last sight changes with each round.
    pub fn persist(&mut self, all: bool, kept: &mut Vec<(String, String)>) {
        for (machine, track) in self.machines.list.iter().zip(&mut self.tracks) {
            if track.changed || (all && track.lives()) {
                let record = Record {
                    info: Info::clone(&machine.info),
                    state: machine.state,
                    collector: track.collector.as_ref().into(),
                    last_seen: machine.last_seen.map(Timestamp::as_millis),
                };
                // of texts and numbers alone: can always be written as JSON
                if let Ok(text) = serde_json::to_string(&record) {
                    kept.push((key(machine.vm_id), text));
                }
                track.changed = false;
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
        for (metric, kind) in [("vm_state", Kind::StateSet), ("vm_info", Kind::Info)] {
            for &index in catalog.of_metric(metric) {
                let Some(live) = catalog.series.get(index) else { continue };
                let vm = live.def.labels.get("vm");
                if live.def.metric.kind != kind || vm.is_empty() {
                    continue;
                }
                let collector = collector_name(catalog, live.collector);
                let at = match self.place(vm, &collector, registry) {
                    Ok(at) => at,
                    Err(error) => {
                        if !warned && !self.incomplete {
                            tracing::warn!(vm, %error, "no number for a machine yet, trying again");
                        }
                        self.incomplete = true;
                        continue;
                    }
                };
                let Some(track) = self.tracks.get_mut(at) else { continue };
                track.collector = collector;
                match kind {
                    Kind::StateSet => {
                        track.states.push((index, State::from_word(live.def.labels.get("state"))));
                    }
                    _ => track.infos.push(index),
                }
            }
        }
        for track in &mut self.tracks {
            if track.lives() {
                track.gone_since = None;
            } else if track.lived {
                track.gone_since = Some(collections(&track.collector));
            }
        }
    }

    /// The place of a machine; a new one gets its number from the store.
    fn place<R: Registry>(
        &mut self,
        vm: &str,
        collector: &Arc<str>,
        registry: &mut R,
    ) -> Result<usize, R::Error> {
        if let Some(&at) = self.machines.by_uuid.get(vm) {
            return Ok(at);
        }
        let vm_id = registry.vm_id(vm)?;
        let info = Arc::new(Info { vm: vm.into(), ..Info::default() });
        let machine = Machine { vm_id, info, state: State::Unknown, last_seen: None };
        let at = self.machines.list.partition_point(|known| known.vm_id < vm_id);
        self.machines.list.insert(at, machine);
        self.tracks.insert(at, Track { changed: true, ..Track::new(collector, State::Unknown) });
        if at + 1 == self.tracks.len() {
            Arc::make_mut(&mut self.machines.by_uuid).insert(vm.into(), at);
        } else {
            self.index();
        }
        Ok(at)
    }

    fn index(&mut self) {
        let places = self.machines.list.iter().enumerate();
        let by_uuid: HashMap<_, _> = places.map(|(at, machine)| (machine.info.vm.clone(), at)).collect();
        self.machines.by_uuid = Arc::new(by_uuid);
    }
}

fn key(vm_id: i64) -> String {
    format!("machine/{vm_id}")
}

fn collector_name(catalog: &Catalog, id: CollectorId) -> Arc<str> {
    catalog.collectors.get(id.0 as usize).map_or_else(|| "".into(), |info| Arc::clone(&info.name))
}

impl Track {
    fn new(collector: &str, known: State) -> Self {
        Self {
            states: Vec::new(),
            infos: Vec::new(),
            read_from: None,
            collector: collector.into(),
            lived: false,
            gone_since: None,
            known,
            changed: false,
        }
    }

    fn lives(&self) -> bool {
        !self.states.is_empty() || !self.infos.is_empty()
    }

    /// Reads the newest `vm_info` of the machine, where it is another than before.
    fn follow_info(&mut self, machine: &mut Machine, snapshot: &Snapshot) {
        let told = self.infos.iter().copied().filter_map(|index| {
            let latest = snapshot.latest.get(index)?;
            latest.value.is_ok().then_some((latest.time, index))
        });
        let Some((time, index)) = told.max() else { return };
        machine.last_seen = Some(time);
        if self.read_from == Some(index) {
            return;
        }
        self.read_from = Some(index);
        if let Some(live) = snapshot.catalog.series.get(index) {
            let info = Info::of(&live.def.labels);
            if info != *machine.info {
                machine.info = Arc::new(info);
                self.changed = true;
            }
        }
    }

    fn follow_state(
        &mut self,
        machine: &mut Machine,
        snapshot: &Snapshot,
        now: Timestamp,
        collections: &impl Fn(&str) -> u64,
    ) {
        let state = match self.gone_since {
            // its collector went on without it
            Some(then) if collections(&self.collector) > then => {
                self.gone_since = None;
                State::Destroyed
            }
            // a collector that is stopped says nothing of its machines: the last known state stays
            _ if self.states.is_empty() => return,
            _ => {
                let told = self.states.iter().filter_map(|(index, _)| snapshot.latest.get(*index));
                let times = told.filter(|latest| latest.value.is_ok()).map(|latest| latest.time);
                machine.last_seen = times.max().or(machine.last_seen);
                let present = self.states.iter().find(|(index, _)| snapshot.value(*index, now) == Ok(1.0));
                present.map_or(State::Unknown, |(_, state)| *state)
            }
        };
        self.changed |= machine.state != state;
        machine.state = state;
    }

    /// An event, where the state became another that is known.
    fn transition(&mut self, machine: &Machine, now: Timestamp) -> Option<Event> {
        let (from, to) = (self.known, machine.state);
        if to == State::Unknown || to == from {
            return None;
        }
        self.known = to;
        (from != State::Unknown).then(|| Event {
            kind: "vm_state_changed".into(),
            severity: if to == State::Crashed { Severity::Warning } else { Severity::Info },
            message: format!("{}: {} (was {})", machine.info.title(), to.word(), from.word()),
            details: serde_json::json!({
                "vm": machine.info.vm,
                "name": machine.info.name,
                "from": from.word(),
                "to": to.word(),
            }),
            time: now,
            vm_id: Some(machine.vm_id),
        })
    }
}
