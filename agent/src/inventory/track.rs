//! What is followed of one machine.

use super::{Info, Machine, Machines, State, indexes::Indexes, transition};
use crate::model::{Event, Missing, Snapshot, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What of a machine outlives a restart, as JSON under `machine/<vm_id>`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) info: Info,
    pub(super) state: State,
    /// The last state that was known; `state`, where there is none.
    pub(super) known: Option<State>,
    /// The collector that told of it, by the key of its table.
    pub(super) collector: String,
    pub(super) last_seen: Option<i64>,
}

/// What is followed of a machine beside what readers see; at the index of [`Machines::all`].
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// Its series `vm_state` that are alive, with their states.
    pub(super) states: Vec<(usize, State)>,
    /// Its series `vm_info` that are alive.
    pub(super) infos: Vec<usize>,
    /// The `vm_info` that [`Machine::info`] was read from.
    pub(super) read_from: Option<usize>,
    pub(super) collector: Arc<str>,
    /// It had series in the catalog before.
    pub(super) lived: bool,
    /// It had series since its collector's start.
    pub(super) met: bool,
    /// Its series ended, or none was seen since the start: how many collections its collector had brought by then.
    /// Destroyed, once its collector goes on without it.
    pub(super) gone_since: Option<u64>,
    /// The last state that was known, for events; nothing of a machine that has a number, but of which nothing was kept.
    pub(super) known: Option<State>,
    /// Has to be kept anew.
    pub(super) changed: bool,
}

impl Track {
    pub(super) fn new(collector: &str, known: Option<State>) -> Self {
        Self {
            states: Vec::new(),
            infos: Vec::new(),
            read_from: None,
            collector: collector.into(),
            lived: false,
            met: false,
            gone_since: None,
            known,
            changed: false,
        }
    }

    pub(super) fn lives(&self) -> bool {
        !self.states.is_empty() || !self.infos.is_empty()
    }

    /// Its series ended, or none was seen since the start, and it is not yet said to be destroyed.
    pub(super) fn is_missed(&self) -> bool {
        !self.lives() && (self.lived || self.gone_since.is_some())
    }

    /// As it outlives a restart.
    pub(super) fn record(&self, machine: &Machine) -> Record {
        Record {
            info: Info::clone(&machine.info),
            state: machine.state,
            known: self.known,
            collector: self.collector.as_ref().into(),
            last_seen: machine.last_seen.map(Timestamp::as_millis),
        }
    }

    /// Reads the newest `vm_info` of the machine, where it is another than before.
    pub(super) fn follow_info(&mut self, machine: &mut Machine, snapshot: &Snapshot) {
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

    /// Reads the state of the machine. One of which nothing is said, or was for too long, keeps its own.
    pub(super) fn follow_state(
        &mut self,
        machine: &mut Machine,
        snapshot: &Snapshot,
        now: Timestamp,
        collections: &impl Fn(&str) -> u64,
        indexes: &Indexes,
    ) {
        let state = match self.gone_since {
            // nobody has read of it since the start, and where it would stand was not read
            Some(_) if !self.met && indexes.may_hide(&self.collector, machine.info.owner.as_deref()) => {
                return;
            }
            // its collector went on without it
            Some(then) if collections(&self.collector) > then => {
                self.gone_since = None;
                State::Destroyed
            }
            _ => {
                let told = self.states.iter().filter_map(|(index, _)| snapshot.latest.get(*index));
                let times = told.filter(|latest| latest.value.is_ok()).map(|latest| latest.time);
                machine.last_seen = times.max().or(machine.last_seen);
                let Some(state) = self.told(snapshot, now) else { return };
                state
            }
        };
        self.changed |= machine.state != state;
        machine.state = state;
    }

    /// What the series say at present, also that they can't tell; nothing where they say nothing: none is alive, or the
    /// collector that is stopped, hangs or was set aside has not spoken for too long.
    fn told(&self, snapshot: &Snapshot, now: Timestamp) -> Option<State> {
        let mut told = None;
        for (index, state) in &self.states {
            match snapshot.value(*index, now) {
                Ok(1.0) => return Some(*state),
                Err(Missing::Stale | Missing::NotCollected) => {}
                _ => told = Some(State::Unknown),
            }
        }
        told
    }

    /// The events of what happened since the last known state.
    pub(super) fn transition(
        &mut self,
        machine: &Machine,
        machines: &Machines,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let (known, to) = (self.known, machine.state);
        if to == State::Unknown || known == Some(to) {
            return;
        }
        self.known = Some(to);
        self.changed = true;
        let from = known.unwrap_or_default();
        let happened = transition::between(from, to).into_iter();
        events.extend(happened.map(|transition| transition.event(machine, machines, from, now)));
    }
}
