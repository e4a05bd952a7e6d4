//! Asks the services of libvirt, each for the machines that it has or may have, and none for longer than its share of the
//! time.

use super::{
    Key, Libvirt,
    call_error::CallError,
    place::{self, Survey, Wanted},
    subject::Subject,
};
use crate::{machine::Reason, provider::Notes};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};
use twarga_plugin_api::Level;

/// A user's own service gets this part of a poll's time, whatever it does; so much is also left by the system's.
pub(super) const SHARE: u32 = 4;

/// What came of asking the places for one machine.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) told: Option<(Key, place::Told)>,
    /// The places that answered, and don't have it.
    pub(super) without: Vec<Key>,
    /// Those that did not answer, and why.
    pub(super) failed: Vec<(Key, Reason, bool)>,
}

impl Heard {
    fn asked(&self, key: Key) -> bool {
        self.without.contains(&key) || self.failed.iter().any(|(failed, ..)| *failed == key)
    }
}

impl Libvirt {
    /// Asks all places, each for the machines that it has or may have.
    pub(super) fn survey(
        &mut self,
        subjects: &[Subject],
        deadline: Instant,
        notes: &mut Notes,
    ) -> Vec<Heard> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let mut heard: Vec<Heard> = subjects.iter().map(|_| Heard::default()).collect();
        let candidates: Vec<Vec<Key>> = subjects.iter().map(|subject| self.places_of(subject.uid)).collect();
        let order = self.order();
        self.places.values_mut().for_each(|place| place.spent = Duration::ZERO);
        // in the second round a machine is looked for where it was not before
        for round in 0..2 {
            for key in &order {
                let wanted: Vec<usize> = (0..subjects.len())
                    .filter(|at| {
                        let heard = &heard[*at];
                        let unsure = *key == Key::System && !subjects[*at].not_the_systems;
                        let at_home =
                            subjects[*at].home.is_none_or(|home| home == *key || unsure || round > 0);
                        // its own place keeps a machine until it says that it has it no more
                        let at_large =
                            round == 0 || subjects[*at].home.is_none_or(|home| heard.without.contains(&home));
                        subjects[*at].uuid.is_some() && heard.told.is_none() && at_home && at_large
                    })
                    .filter(|at| candidates[*at].contains(key) && !heard[*at].asked(*key))
                    .collect();
                if !wanted.is_empty() {
                    let others = subjects.iter().any(|subject| subject.home != Some(Key::System));
                    let until = self.until(*key, others, patience, deadline);
                    self.ask(*key, &wanted, subjects, &mut heard, until, notes);
                }
            }
        }
        heard
    }

    /// The system's service comes first, then the quick ones.
    pub(super) fn order(&self) -> Vec<Key> {
        let mut order: Vec<Key> = self.places.keys().copied().collect();
        order.sort_by_key(|key| (key.uid().is_some(), self.places[key].took));
        order
    }

    /// Until when a place may be asked: no user's service takes the time of others, nor does the system's where there
    /// may be others.
    pub(super) fn until(&self, key: Key, others: bool, patience: Duration, deadline: Instant) -> Instant {
        let share = match key {
            Key::Session(_) => patience / SHARE,
            Key::System if others => patience - patience / SHARE,
            Key::System | Key::Configured(_) => return deadline,
        };
        let spent = self.places.get(&key).map_or(Duration::ZERO, |place| place.spent);
        deadline.min(Instant::now() + share.saturating_sub(spent))
    }

    fn ask(
        &mut self,
        key: Key,
        wanted: &[usize],
        subjects: &[Subject],
        heard: &mut [Heard],
        deadline: Instant,
        notes: &mut Notes,
    ) {
        let Some(place) = self.places.get_mut(&key) else { return };
        // several users may name one machine
        let mut listed = HashSet::with_capacity(wanted.len());
        let machines = wanted.iter().filter_map(|at| subjects[*at].wanted());
        let machines: Vec<Wanted<'_>> = machines.filter(|wanted| listed.insert(wanted.domain.uuid)).collect();
        let started = Instant::now();
        let outcome = place.survey(&machines, deadline);
        let took = started.elapsed();
        place.spent += took;
        // one that is slow now and then is a slow one
        place.took = took.max(place.took * 7 / 8);
        let note = place.subject();
        match outcome {
            Ok(Survey { told, late }) => {
                notes.over(note);
                let mut told: HashMap<[u8; 16], place::Told> =
                    told.into_iter().map(|told| (told.uuid, told)).collect();
                for at in wanted {
                    let Some(uuid) = subjects[*at].uuid else { continue };
                    let last = listed.len() == wanted.len();
                    match if last { told.remove(&uuid) } else { told.get(&uuid).cloned() } {
                        Some(told) => heard[*at].told = Some((key, told)),
                        None if late.contains(&uuid) => {
                            heard[*at].failed.push((key, CallError::Late.to_string().into(), false));
                        }
                        None => heard[*at].without.push(key),
                    }
                }
            }
            Err(error) => {
                let absent = matches!(error, CallError::Absent);
                let reason = if absent && !self.host.has_libvirt() {
                    "libvirt is not installed".to_owned()
                } else {
                    error.to_string()
                };
                match (absent, key) {
                    // most users have none
                    (true, Key::Session(_)) => notes.over(note),
                    (true, _) => notes.say(Level::Info, note, reason.clone()),
                    (false, _) => notes.say(Level::Warn, note, reason.clone()),
                }
                for at in wanted {
                    heard[*at].failed.push((key, reason.clone().into(), absent));
                }
            }
        }
    }
}
