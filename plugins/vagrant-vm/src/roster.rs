//! Which machines there are, and what their providers say of them.
//!
//! A machine stays until its provider says that it is gone: one that only left the index (a project that was moved, an
//! index that was lost) is still read as long as its hypervisor has it.
//!
//! Indexes are written by users, who may name whatever they like: see `claims` for machines that several of them claim,
//! and `admission` for how many one of them may bring.

mod admission;
mod asking;
mod claims;
mod source;

use crate::{
    config::Config,
    job::Job,
    machine::{Machine, Reading, State, Values},
    provider::{Answer, Notes, Provider, Seat},
};
use admission::Admission;
use asking::Asked;
use claims::{Claim, Claims, DeskKey, LeftOut, Taken};
use source::Source;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::crew::Crew;

/// A machine that vanished from its provider, or lost its id, while it stands in the index may be on its way out:
/// `vagrant destroy` removes one after the other. Only after so long it is taken for one that was not created.
const SETTLED: Duration = Duration::from_secs(60);

/// A machine and what is true of it now.
pub(crate) struct Told<'a> {
    /// The label `vm`.
    pub(crate) vm: &'a str,
    pub(crate) machine: &'a Machine,
    pub(crate) reading: Reading,
}

/// A machine from round to round.
struct Tracked {
    machine: Machine,
    /// It stands in the index.
    listed: bool,
    /// It is in the index without an id, and had this one before: since when.
    unlinked: Option<Instant>,
    /// Its provider does not know it: since when.
    gone: Option<Instant>,
    claim: Claim,
}

/// Makes a source.
type Opener = Box<dyn FnMut(Source, &Config) -> Box<dyn Provider> + Send>;

/// See the [module](self).
pub(crate) struct Roster {
    config: Config,
    open: Opener,
    crew: Arc<Crew<Job>>,
    settled: Duration,
    scanned: Arc<Vec<Machine>>,
    tracked: Vec<Tracked>,
    /// The places of those that have the same id, where there is more than one.
    rivals: Vec<Vec<usize>>,
    admission: Admission,
    /// Why machines are left out, by owner.
    left_out: LeftOut,
    /// Owners some of whose machines were not admitted.
    crowded: BTreeSet<String>,
    /// The machines with an id, by desk, as they were handed out; made anew after a change.
    asked: BTreeMap<DeskKey, Asked>,
    seats: BTreeMap<DeskKey, Seat>,
}

impl Roster {
    pub(crate) fn new(config: Config, crew: Arc<Crew<Job>>) -> Self {
        Self::opening(config, crew, SETTLED, Box::new(Source::open))
    }

    fn opening(config: Config, crew: Arc<Crew<Job>>, settled: Duration, open: Opener) -> Self {
        Self {
            config,
            open,
            crew,
            settled,
            scanned: Arc::default(),
            tracked: Vec::new(),
            rivals: Vec::new(),
            admission: Admission::default(),
            left_out: LeftOut::default(),
            crowded: BTreeSet::new(),
            asked: BTreeMap::new(),
            seats: BTreeMap::new(),
        }
    }

    /// Whether no machine is on its way in or out: all stand in an index, and their providers have them.
    pub(crate) fn is_settled(&self) -> bool {
        // what was gone for long may stand in the index for ever
        let just_gone = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() < self.settled);
        let on_its_way =
            |tracked: &Tracked| !tracked.listed || tracked.unlinked.is_some() || just_gone(tracked.gone);
        !self.tracked.iter().any(on_its_way)
    }

    /// Asks all providers, unless they were just asked, and waits for them until `deadline`. A machine that is not among
    /// the answers is no more.
    pub(crate) fn ask(
        &mut self,
        machines: &Arc<Vec<Machine>>,
        deadline: Instant,
        notes: &mut Notes,
    ) -> Vec<Told<'_>> {
        self.follow(machines);
        let mut answers = self.answers(deadline, notes);
        self.settle_claims(&answers);
        self.note_gone(&mut answers);
        self.left_out.say(&self.tracked, notes);
        self.told(answers)
    }

    /// Whether all machines that were found in this user's index are followed.
    pub(crate) fn follows_all_of(&self, owner: &str) -> bool {
        !self.crowded.contains(owner)
    }

    /// Takes over what the indexes say.
    fn follow(&mut self, machines: &Arc<Vec<Machine>>) {
        let settled = self.settled;
        let expired = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() >= settled);
        let unlinked = self.tracked.iter().any(|tracked| expired(tracked.unlinked));
        let now = Instant::now();
        if Arc::ptr_eq(machines, &self.scanned) && !unlinked && !self.admission.is_worth_asking(now) {
            return;
        }
        self.scanned = Arc::clone(machines);
        self.asked.clear();
        let before = std::mem::take(&mut self.tracked);
        let by_index: HashMap<(u32, &str), &Tracked> =
            before.iter().map(|known| ((known.machine.owner.uid, &*known.machine.index_id), known)).collect();
        let mut claims = Claims::of(&before);
        let mut round = self.admission.round(now);
        self.left_out.clear();
        self.crowded.clear();
        let mut new = Vec::new();
        for listed in machines.iter() {
            let known = by_index.get(&(listed.owner.uid, &*listed.index_id));
            let mut machine = listed.clone();
            let mut unlinked = None;
            if machine.id.is_none()
                && let Some(known) = known
                && known.machine.id.is_some()
                && !expired(known.unlinked)
            {
                unlinked = known.unlinked.or(Some(now));
                machine.id.clone_from(&known.machine.id);
            }
            let tracked = Tracked { machine, listed: true, unlinked, gone: None, claim: Claim::default() };
            match claims.take(&tracked.machine) {
                Taken::Known(claim, gone) => {
                    round.counts(tracked.machine.owner.uid);
                    self.tracked.push(Tracked { claim, gone, ..tracked });
                }
                Taken::Twice => self.left_out.add(&tracked.machine, claims::TWICE),
                // the machine that is no more leaves one that was not created, which is no other
                Taken::New => {
                    let is_met = known.is_some_and(|known| known.machine.index_id == tracked.machine.vm());
                    new.push((tracked, is_met));
                }
            }
        }
        // who is tracked already is served first
        for (tracked, is_met) in new {
            let is_met = is_met || claims.knows(tracked.machine.vm());
            match round.admit(tracked.machine.owner.uid, is_met) {
                Ok(()) => self.tracked.push(tracked),
                Err(why) => {
                    self.left_out.add(&tracked.machine, why);
                    self.crowded.insert(tracked.machine.owner.name);
                }
            }
        }
        drop(by_index);
        // what left the index: its provider has the last word, unless another entry of its owner has taken it over
        let entries: HashSet<(u32, &str)> =
            machines.iter().map(|machine| (machine.owner.uid, &*machine.index_id)).collect();
        for mut known in before {
            if known.machine.id.is_some()
                && known.gone.is_none()
                && known.claim.shown
                && !entries.contains(&(known.machine.owner.uid, &*known.machine.index_id))
                && claims.is_free(&known.machine)
            {
                known.listed = false;
                self.tracked.push(known);
            }
        }
        self.in_order();
        self.rivals = claims::rivals(&mut self.tracked, &mut self.left_out);
    }

    /// The order of the indexes; at the end, what left them.
    fn in_order(&mut self) {
        let places: HashMap<(u32, &str), usize> = self
            .scanned
            .iter()
            .enumerate()
            .map(|(at, machine)| ((machine.owner.uid, &*machine.index_id), at))
            .collect();
        let place = |tracked: &Tracked| match tracked.listed {
            true => places.get(&(tracked.machine.owner.uid, &*tracked.machine.index_id)).copied(),
            false => None,
        };
        self.tracked.sort_by_cached_key(|tracked| place(tracked).unwrap_or(usize::MAX));
    }

    /// Decides, where there are several, which machine is the one of its id.
    fn settle_claims(&mut self, answers: &[Option<Answer>]) {
        for (tracked, answer) in self.tracked.iter_mut().zip(answers) {
            tracked.claim.hears(Source::of(&tracked.machine.provider), answer.as_ref());
        }
        claims::settle(&self.rivals, &mut self.tracked);
    }

    /// Notes who is gone, and forgets those that are gone from the index, too.
    fn note_gone(&mut self, answers: &mut Vec<Option<Answer>>) {
        for (tracked, answer) in self.tracked.iter_mut().zip(&*answers) {
            match answer {
                Some(Answer::Gone) => tracked.gone = tracked.gone.or_else(|| Some(Instant::now())),
                // processes are all that tells of these: without one, the index has the last word
                Some(Answer::Reading(reading))
                    if !tracked.listed
                        && Source::of(&tracked.machine.provider) == Source::Qemu
                        && !reading.state.lives() =>
                {
                    tracked.gone = Some(Instant::now());
                }
                Some(Answer::Reading(_)) => tracked.gone = None,
                None => {}
            }
        }
        let stays = |tracked: &Tracked| tracked.listed || (tracked.gone.is_none() && tracked.claim.shown);
        if self.tracked.iter().all(stays) {
            return;
        }
        let mut kept = Vec::with_capacity(answers.len());
        let mut told = answers.drain(..);
        self.tracked.retain(|tracked| {
            let answer = told.next().flatten();
            let stays = stays(tracked);
            if stays {
                kept.push(answer);
            }
            stays
        });
        drop(told);
        *answers = kept;
        self.asked.clear();
        self.rivals = claims::rivals(&mut self.tracked, &mut self.left_out);
    }

    fn told(&self, answers: Vec<Option<Answer>>) -> Vec<Told<'_>> {
        let mut all = Vec::with_capacity(self.tracked.len());
        let mut destroyed = Vec::new();
        for (tracked, answer) in self.tracked.iter().zip(answers) {
            let Tracked { machine, gone, claim, .. } = tracked;
            if !claim.shown {
                continue;
            }
            let reading = match answer {
                Some(Answer::Reading(reading)) => *reading,
                None if machine.id.is_some() => Reading::unknown("its provider said nothing of it"),
                // destroyed behind Vagrant's back; in its place stands one that was not created, once that has settled
                Some(Answer::Gone) => {
                    if gone.is_some_and(|since| since.elapsed() >= self.settled) {
                        destroyed.push((all.len() + destroyed.len(), machine));
                    }
                    continue;
                }
                None => match &machine.unread {
                    Some(reason) => Reading::unknown(reason.clone()),
                    None => not_created(),
                },
            };
            all.push(Told { vm: machine.vm(), machine, reading });
        }
        if !destroyed.is_empty() {
            // another machine may go by this name already
            let mut taken: HashSet<&str> = all.iter().map(|told| told.vm).collect();
            for (at, machine) in destroyed {
                if taken.insert(&machine.index_id) {
                    let told = Told { vm: &machine.index_id, machine, reading: not_created() };
                    all.insert(at.min(all.len()), told);
                }
            }
        }
        all
    }
}

fn not_created() -> Reading {
    Reading {
        state: State::NotCreated,
        doubt: None,
        run: None,
        at: Instant::now(),
        ip_address: None,
        values: Values::none("not created"),
    }
}

#[cfg(test)]
mod tests;
