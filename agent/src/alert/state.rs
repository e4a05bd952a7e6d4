//! The states of all rules, evaluated once a round.

use super::{
    ActiveAlert, AlertState,
    message::{self, Resolution},
    step::{self, Ending, Outcome, Phase},
    watch_the_same,
};
use crate::{
    config::AlertRule,
    inventory::{self, Machines},
    model::{Event, Labels, Missing, Snapshot, Timestamp},
    views::{self, View, ViewContext},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The states of all rules. Used by the writer alone; readers get [`active`](super::active).
#[derive(Debug, Default)]
pub struct State {
    rules: Vec<Tracked>,
    /// Firing ones whose rule is gone: they end with the next evaluation.
    orphans: Vec<Firing>,
    changed: bool,
}

/// A rule and those of its series that are not inactive.
#[derive(Debug)]
struct Tracked {
    rule: AlertRule,
    view: Option<&'static View>,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    phase: Phase,
    /// The last value.
    value: f64,
    /// When there was one last, on the monotonic clock.
    seen: Duration,
    /// Since when the comparison holds, on the wall clock.
    since: Timestamp,
    /// Has a value in this round.
    visited: bool,
    /// In this round the plugin said that there is no value.
    unavailable: bool,
}

/// A firing alert as it outlives a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    rule: String,
    metric: String,
    /// As [`Labels`] are displayed.
    labels: String,
    value: f64,
    /// Milliseconds since 1970.
    since: i64,
}

/// When and over what rules are evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The latest values.
    pub snapshot: &'a Snapshot,
    /// The machines, as of the same round.
    pub machines: &'a Machines,
    /// For views, and the wall clock's time.
    pub context: ViewContext<'a>,
    /// The monotonic clock's time.
    pub monotonic: Duration,
}

impl State {
    /// Of these rules; `remembered` is what [`remember`](State::remember) gave before a restart. `now` is the monotonic
    /// clock's time.
    pub fn new(rules: Vec<AlertRule>, remembered: Option<&str>, now: Duration) -> Self {
        // what can't be read is as good as nothing remembered: the worst is an event logged twice
        let orphans = remembered.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let mut state = Self { orphans, ..Self::default() };
        state.set_rules(rules, now);
        state
    }

    /// Replaces the rules. A rule that watches what one of the same name watched before goes on with its states.
    pub fn set_rules(&mut self, rules: Vec<AlertRule>, now: Duration) {
        let mut before = std::mem::take(&mut self.rules);
        for rule in rules {
            let known =
                before.iter().position(|old| old.rule.name == rule.name && watch_the_same(&old.rule, &rule));
            let mut series = known.map(|at| before.swap_remove(at).series).unwrap_or_default();
            self.orphans.retain(|firing| {
                let adopted = firing.rule == rule.name && firing.metric == rule.metric;
                if adopted {
                    series.extend(Series::restored(firing, now));
                }
                !adopted
            });
            self.rules.push(Tracked { view: views::find(&rule.metric), rule, series });
        }
        for gone in before {
            let firing = gone.series.iter().filter(|series| series.phase == Phase::Firing);
            self.orphans.extend(firing.map(|series| series.kept(&gone.rule)));
        }
    }

    /// Looks at every rule. Adds one event for each transition into firing, and one for each resolution.
    pub fn evaluate(&mut self, moment: &Moment<'_>, events: &mut Vec<Event>) {
        let before = events.len();
        let now = moment.context.now;
        for orphan in self.orphans.drain(..) {
            let labels = Labels::parse(&orphan.labels).unwrap_or_default();
            let resolution = Resolution {
                rule: &orphan.rule,
                metric: &orphan.metric,
                labels: &labels,
                since: Timestamp::from_millis(orphan.since),
                ending: Ending::RuleRemoved,
                value: orphan.value,
                definition: None,
            };
            events.push(message::resolved(&resolution, now, moment.machines));
        }
        for tracked in &mut self.rules {
            tracked.evaluate(moment, events);
        }
        self.changed |= events.len() > before;
    }

    /// What to keep for the next start, if it changed since [`remembered`](State::remembered) was called.
    pub fn remember(&self) -> Option<String> {
        if !self.changed {
            return None;
        }
        let firing = self.rules.iter().flat_map(|tracked| {
            let series = tracked.series.iter().filter(|series| series.phase == Phase::Firing);
            series.map(|series| series.kept(&tracked.rule))
        });
        serde_json::to_string(&firing.chain(self.orphans.iter().cloned()).collect::<Vec<_>>()).ok()
    }

    /// What [`remember`](State::remember) gave was kept.
    pub fn remembered(&mut self) {
        self.changed = false;
    }

    /// Whether any rule is pending or firing.
    pub fn is_active(&self) -> bool {
        self.rules.iter().any(|tracked| !tracked.series.is_empty())
    }

    pub(super) fn each_active<'a>(
        &'a self,
        machines: &'a Machines,
    ) -> impl Iterator<Item = ActiveAlert> + 'a {
        self.rules.iter().flat_map(move |tracked| {
            tracked.series.iter().map(move |series| {
                let machine = message::machine(machines, &series.labels);
                ActiveAlert {
                    rule: tracked.rule.name.clone(),
                    labels: series.labels.clone(),
                    vm_id: machine.map(|machine| machine.vm_id),
                    vm_name: machine.and_then(|machine| machine.info.name.clone()),
                    state: match series.phase {
                        Phase::Pending(_) => AlertState::Pending,
                        Phase::Firing => AlertState::Firing,
                    },
                    severity: tracked.rule.severity,
                    value: series.value,
                    threshold: tracked.rule.threshold,
                    since: series.since,
                    text: message::text(&tracked.rule, &series.labels, series.value, machines),
                }
            })
        })
    }
}

impl Tracked {
    fn evaluate(&mut self, moment: &Moment<'_>, events: &mut Vec<Event>) {
        let Self { rule, view, series } = self;
        for known in series.iter_mut() {
            (known.visited, known.unavailable) = (false, false);
        }
        // a missing value is none: a state that is not visited has to do without
        let mut take = |labels: &Labels, value: Result<f64, Missing>| match value {
            Ok(value) => present(rule, series, labels, value, moment, events),
            Err(Missing::Unavailable(_)) => {
                let known = series.iter_mut().filter(|known| known.labels == *labels);
                known.for_each(|known| known.unavailable = true);
            }
            Err(_) => {}
        };
        let fits = |labels: &Labels| chooses(rule, labels, moment.machines);
        match view {
            Some(view) => view.each(moment.snapshot, &moment.context, |labels, value| {
                if fits(labels) {
                    take(labels, value);
                }
            }),
            None => {
                for &index in moment.snapshot.catalog.of_metric(&rule.metric) {
                    let Some(live) = moment.snapshot.catalog.series.get(index) else { continue };
                    if fits(&live.def.labels) {
                        take(&live.def.labels, moment.snapshot.value(index, moment.context.now));
                    }
                }
            }
        }
        series.retain_mut(|known| known.visited || absent(rule, known, moment, events));
    }
}

/// Takes a value into account.
fn present(
    rule: &AlertRule,
    series: &mut Vec<Series>,
    labels: &Labels,
    value: f64,
    moment: &Moment<'_>,
    events: &mut Vec<Event>,
) {
    let holds = rule.op.holds(value, rule.threshold);
    let at = series.iter().position(|known| known.labels == *labels);
    let phase = at.and_then(|at| series.get(at)).map(|known| known.phase);
    let now = moment.context.now;
    let outcome = step::with_value(phase, holds, rule.hold, moment.monotonic);
    let phase = match outcome {
        Outcome::Stays(phase) => phase,
        Outcome::Fires => {
            events.push(message::fired(rule, labels, value, now, moment.machines));
            Phase::Firing
        }
        Outcome::Inactive | Outcome::Ends(_) => {
            let known = at.map(|at| series.swap_remove(at));
            if let (Outcome::Ends(ending), Some(known)) = (outcome, known) {
                events.push(known.resolved(rule, ending, value, moment));
            }
            return;
        }
    };
    let since = at.and_then(|at| series.get(at)).map_or(now, |known| known.since);
    let new = Series {
        labels: labels.clone(),
        phase,
        value,
        seen: moment.monotonic,
        since,
        visited: true,
        unavailable: false,
    };
    match at.and_then(|at| series.get_mut(at)) {
        Some(known) => *known = new,
        None => series.push(new),
    }
}

/// Takes into account that there is no value; whether the state goes on.
fn absent(rule: &AlertRule, known: &mut Series, moment: &Moment<'_>, events: &mut Vec<Event>) -> bool {
    let outcome = match machine_ended(known, moment.machines) {
        Some(ending) if known.phase == Phase::Firing => Outcome::Ends(ending),
        Some(_) => Outcome::Inactive,
        None => step::without_value(known.phase, known.seen, moment.monotonic),
    };
    match outcome {
        Outcome::Stays(_) => true,
        Outcome::Ends(ending) => {
            events.push(known.resolved(rule, ending, known.value, moment));
            false
        }
        Outcome::Inactive | Outcome::Fires => false,
    }
}

/// Whether a rule is about the series with these labels. Its machine may be given by name.
fn chooses(rule: &AlertRule, labels: &Labels, machines: &Machines) -> bool {
    let is_named = |name: &str| {
        message::machine(machines, labels).is_some_and(|it| it.info.name.as_deref() == Some(name))
    };
    rule.labels.iter().all(|(key, value)| labels.get(key) == value || (key == "vm" && is_named(value)))
}

/// Where a value is missing because its machine does not run: nothing to wait for. That a machine is off says nothing of
/// values that were not collected yet, so the plugin has to have said that there is none.
fn machine_ended(known: &Series, machines: &Machines) -> Option<Ending> {
    use inventory::State::{Crashed, Destroyed, NotCreated, Saved, Shutoff};
    match message::machine(machines, &known.labels)?.state {
        Destroyed => Some(Ending::MachineDestroyed),
        Crashed if known.unavailable => Some(Ending::MachineCrashed),
        Shutoff | Saved | NotCreated if known.unavailable => Some(Ending::MachineStopped),
        _ => None,
    }
}

impl Series {
    /// As it was before a restart.
    fn restored(firing: &Firing, now: Duration) -> Option<Self> {
        Some(Self {
            labels: Labels::parse(&firing.labels)?,
            phase: Phase::Firing,
            value: firing.value,
            seen: now,
            since: Timestamp::from_millis(firing.since),
            visited: false,
            unavailable: false,
        })
    }

    /// As it outlives a restart.
    fn kept(&self, rule: &AlertRule) -> Firing {
        Firing {
            rule: rule.name.clone(),
            metric: rule.metric.clone(),
            labels: self.labels.to_string(),
            value: self.value,
            since: self.since.as_millis(),
        }
    }

    fn resolved(&self, rule: &AlertRule, ending: Ending, value: f64, moment: &Moment<'_>) -> Event {
        let resolution = Resolution {
            rule: &rule.name,
            metric: &rule.metric,
            labels: &self.labels,
            since: self.since,
            ending,
            value,
            definition: Some(rule),
        };
        message::resolved(&resolution, moment.context.now, moment.machines)
    }
}
