//! Who is asked what: the machines with an id by the desks of their providers, and the answers back to each.

use super::{DeskKey, Roster, Source, Tracked};
use crate::{
    machine::Machine,
    provider::{Answer, Notes, Outcome, Seat},
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use twarga_plugin_api::Level;

/// What is asked of one desk, and whose places among the tracked the answers are of.
pub(super) struct Asked {
    pub(super) machines: Arc<Vec<Machine>>,
    pub(super) of: Vec<usize>,
}

impl Roster {
    /// Has the providers asked for the machines that are known already, in the crew's next round, whoever waits for that:
    /// as long as the machines stay the same, [`Roster::ask`] need not wake a thread once more.
    pub(crate) fn prepare(&mut self, deadline: Instant) {
        for (key, seat) in &mut self.seats {
            if let Some(Asked { machines, .. }) = self.asked.get(key) {
                seat.prepare(machines, deadline);
            }
        }
    }

    /// What the providers say, of each that is tracked.
    pub(super) fn answers(&mut self, deadline: Instant, notes: &mut Notes) -> Vec<Option<Answer>> {
        if self.asked.is_empty() {
            let mut lists: BTreeMap<DeskKey, (Vec<Machine>, Vec<usize>)> = BTreeMap::new();
            for (at, tracked) in self.tracked.iter().enumerate() {
                if tracked.machine.id.is_some() {
                    let list = lists.entry(tracked.desk()).or_default();
                    list.0.push(tracked.machine.clone());
                    list.1.push(at);
                }
            }
            let asked = |(machines, of)| Asked { machines: Arc::new(machines), of };
            self.asked = lists.into_iter().map(|(key, list)| (key, asked(list))).collect();
        }
        self.seats.retain(|key, _| self.asked.contains_key(key));
        let mut answers = vec![None; self.tracked.len()];
        let mut round = Vec::new();
        for (key, Asked { machines, of }) in &self.asked {
            let source = key.0;
            if !source.is_enabled(&self.config) {
                let reason = format!("{} is disabled in the configuration", source.name());
                for at in of {
                    answers[*at] = Some(Answer::unknown(reason.clone()));
                }
                continue;
            }
            let seat = self.seats.entry(*key);
            let seat = seat.or_insert_with(|| Seat::open(&self.crew, (self.open)(source, &self.config)));
            if seat.ask(machines, deadline) {
                round.push(*key);
            }
        }
        if !round.is_empty() {
            let seats = &self.seats;
            let asked = |at: usize| round.iter().any(|key| seats.get(key).is_some_and(|seat| seat.is_at(at)));
            if let Err(error) = self.crew.round(deadline, asked) {
                notes.say(Level::Error, "providers", format!("no thread: {error}"));
            } else {
                notes.over("providers");
            }
        }
        let keys: Vec<DeskKey> = self.seats.keys().copied().collect();
        for key in keys {
            self.take(key, notes, &mut answers);
        }
        answers
    }

    /// Takes the answers of one desk, or the reason why there are none.
    fn take(&mut self, key: DeskKey, notes: &mut Notes, answers: &mut [Option<Answer>]) {
        let subject = subject(key);
        let (Some(Asked { of, .. }), Some(seat)) = (self.asked.get(&key), self.seats.get_mut(&key)) else {
            return;
        };
        let name = key.0.name();
        let reason = match seat.outcome(notes) {
            Outcome::Answers(told) => {
                for (at, answer) in of.iter().zip(told) {
                    answers[*at] = Some(answer);
                }
                notes.over(subject);
                return;
            }
            Outcome::Late => {
                notes.say(Level::Warn, subject, "does not answer");
                format!("{name} does not answer")
            }
            Outcome::Failed => {
                self.seats.remove(&key);
                notes.say(Level::Error, subject, "it failed, it is started anew");
                format!("{name} failed")
            }
        };
        for at in of {
            answers[*at] = Some(Answer::unknown(reason.clone()));
        }
    }
}

impl Tracked {
    fn desk(&self) -> DeskKey {
        (Source::of(&self.machine.provider), self.claim.layer.unwrap_or_default())
    }
}

/// What the log calls a desk.
fn subject((source, layer): DeskKey) -> String {
    match layer {
        0 => format!("provider {}", source.name()),
        more => format!("provider {} (machines of one id, {})", source.name(), more + 1),
    }
}
