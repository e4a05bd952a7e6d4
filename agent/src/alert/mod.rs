//! Alert rules: which are pending, which fire. Each series of a rule goes inactive → pending → firing on its own.
//!
//! Values are compared unrounded. A value that is missing (stale, unavailable, its series ended) neither fires nor
//! resolves: the state is kept for [`KEPT_WITHOUT_VALUE`], then ends with the reason `no_data`; at once where its machine was
//! stopped or destroyed, with that reason.

mod message;
mod state;
mod step;

pub use state::{Firing, Moment, State};

use crate::{
    config::AlertRule,
    inventory::Machines,
    model::{Labels, Severity, Timestamp},
};
use std::time::Duration;

/// How long a state is kept while its series has no value.
pub const KEPT_WITHOUT_VALUE: Duration = Duration::from_secs(300);

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// The comparison holds, but not yet for as long as the rule asks.
    Pending,
    /// The rule has fired.
    Firing,
}

impl AlertState {
    /// The word that the API uses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert {
    /// The rule's name.
    pub rule: String,
    /// The labels of the series; none for the host's views.
    pub labels: Labels,
    /// The number of the machine that it is about.
    pub vm_id: Option<i64>,
    /// The name of that machine.
    pub vm_name: Option<String>,
    /// Where it stands.
    pub state: AlertState,
    /// How much it matters.
    pub severity: Severity,
    /// The last value that was compared, unrounded.
    pub value: f64,
    /// What it was compared with.
    pub threshold: f64,
    /// Since when the comparison holds.
    pub since: Timestamp,
    /// For people: `⚠️ High CPU usage: 92.5%`.
    pub text: String,
}

/// The alerts that are pending or firing: the old system's four in its order, then the others by name.
pub fn active(state: &State, machines: &Machines) -> Vec<ActiveAlert> {
    let mut alerts: Vec<ActiveAlert> = state.each_active(machines).collect();
    alerts.sort_by(|a, b| {
        let key =
            |alert: &ActiveAlert| (message::rank(&alert.rule), alert.rule.clone(), alert.labels.clone());
        key(a).cmp(&key(b))
    });
    alerts
}

/// Whether two rules watch the same values: what fired by the one may go on by the other.
fn watch_the_same(a: &AlertRule, b: &AlertRule) -> bool {
    a.metric == b.metric && a.labels == b.labels
}

#[cfg(test)]
mod tests;
