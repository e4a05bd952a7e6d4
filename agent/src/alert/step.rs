//! The state machine of one series of one rule. Times are of the monotonic clock: a step of the wall clock neither
//! fires nor delays an alert.

use super::KEPT_WITHOUT_VALUE;
use std::time::Duration;

/// Where a series stands that is not inactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The comparison holds since this time.
    Pending(Duration),
    /// Has fired.
    Firing,
}

/// What a new look at the value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Stays, or becomes, inactive without having fired.
    Inactive,
    /// Goes on in this phase.
    Stays(Phase),
    /// Fires now.
    Fires,
    /// Fired before, and ends now.
    Ends(Ending),
}

/// Why an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The comparison holds no more.
    Recovered,
    /// There was no value for too long.
    NoData,
    /// The machine that the value was of was switched off.
    MachineStopped,
    /// The machine that the value was of was switched off by a fault.
    MachineCrashed,
    /// The machine that the value was of is no more.
    MachineDestroyed,
    /// The rule was removed, or watches something else now.
    RuleRemoved,
}

impl Ending {
    /// The word in the event's details.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::NoData => "no_data",
            Self::MachineStopped => "machine_stopped",
            Self::MachineCrashed => "machine_crashed",
            Self::MachineDestroyed => "machine_destroyed",
            Self::RuleRemoved => "rule_removed",
        }
    }
}

/// What comes of a value that is there: whether the comparison `holds`, which must last for `hold` until the rule fires.
pub(super) fn with_value(phase: Option<Phase>, holds: bool, hold: Duration, now: Duration) -> Outcome {
    match (phase, holds) {
        (Some(Phase::Firing), true) => Outcome::Stays(Phase::Firing),
        (Some(Phase::Firing), false) => Outcome::Ends(Ending::Recovered),
        (None | Some(Phase::Pending(_)), false) => Outcome::Inactive,
        (None, true) if hold.is_zero() => Outcome::Fires,
        (None, true) => Outcome::Stays(Phase::Pending(now)),
        (Some(Phase::Pending(since)), true) if now.saturating_sub(since) >= hold => Outcome::Fires,
        (Some(pending), true) => Outcome::Stays(pending),
    }
}

/// What comes of a missing value; `seen` is when there was one last.
pub(super) fn without_value(phase: Phase, seen: Duration, now: Duration) -> Outcome {
    match phase {
        _ if now.saturating_sub(seen) <= KEPT_WITHOUT_VALUE => Outcome::Stays(phase),
        Phase::Pending(_) => Outcome::Inactive,
        Phase::Firing => Outcome::Ends(Ending::NoData),
    }
}
