//! Which events a change of state makes.

use super::{Machine, Machines, State};
use crate::model::{Event, Severity, Timestamp};
use serde_json::json;

/// What happened to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    Created,
    Started,
    Paused,
    Resumed,
    Stopped,
    Crashed,
    Destroyed,
}

impl Transition {
    /// The type of the event.
    const fn kind(self) -> &'static str {
        match self {
            Self::Created => "vm_created",
            Self::Started => "vm_started",
            Self::Paused => "vm_paused",
            Self::Resumed => "vm_resumed",
            Self::Stopped => "vm_stopped",
            Self::Crashed => "vm_crashed",
            Self::Destroyed => "vm_destroyed",
        }
    }

    /// For messages.
    const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::Destroyed => "destroyed",
        }
    }

    /// The event of a machine that went from the state `from` to its present one.
    pub(super) fn event(self, machine: &Machine, machines: &Machines, from: State, time: Timestamp) -> Event {
        let to = machine.state;
        let now = if to.word() == self.word() { String::new() } else { format!("{}, ", to.word()) };
        Event {
            kind: self.kind().into(),
            severity: if self == Self::Crashed { Severity::Warning } else { Severity::Info },
            message: format!("{}: {} ({now}was {})", machines.title(machine), self.word(), from.word()),
            details: json!({
                "vm_id": machine.vm_id,
                "vm": machine.info.vm,
                "name": machine.info.name,
                "from": from.word(),
                "to": to.word(),
            }),
            time,
            vm_id: Some(machine.vm_id),
        }
    }
}

/// What happened to a machine between two looks at it, in this order. Nothing where one of the two is unknown.
pub(super) fn between(from: State, to: State) -> Vec<Transition> {
    use State::{Crashed, Paused, Running, Saved, Shutoff};
    if from == to || from == State::Unknown || to == State::Unknown {
        return Vec::new();
    }
    match (exists(from), exists(to)) {
        (false, false) => Vec::new(),
        (true, false) => vec![Transition::Destroyed],
        (false, true) => {
            let then = match to {
                Running => Some(Transition::Started),
                Crashed => Some(Transition::Crashed),
                _ => None,
            };
            std::iter::once(Transition::Created).chain(then).collect()
        }
        (true, true) => match (from, to) {
            (Paused, Running) => vec![Transition::Resumed],
            (_, Running) => vec![Transition::Started],
            (_, Paused) => vec![Transition::Paused],
            (_, Crashed) => vec![Transition::Crashed],
            (Running | Paused, Shutoff | Saved) => vec![Transition::Stopped],
            // one way of being off for another
            _ => Vec::new(),
        },
    }
}

/// Whether a machine in this state is there, running or not.
const fn exists(state: State) -> bool {
    matches!(state, State::Running | State::Paused | State::Shutoff | State::Saved | State::Crashed)
}
