//! Who has a machine that several index entries name: any user may write any id into an index.
//!
//! Each owner's claim is asked for by itself, at a desk of its own, so that no answer of one comes to the other. The one
//! whose provider really has the machine is shown, before one of which nothing is known, before one whose provider denies
//! it. Among equals, who was shown before stays; at the first sight, the order of the indexes decides.

use super::{Source, Tracked};
use crate::{
    machine::Machine,
    provider::{Answer, Notes},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Instant,
};
use twarga_plugin_api::Level;

/// A source, and which of its desks: those after the first are for machines that have the id of another one.
pub(super) type DeskKey = (Source, u8);

/// The most desks of one source.
const MAX_DESKS: u8 = 8;

pub(super) const TWICE: &str = "it has the id of another machine";

/// What is known of a claim to an id.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    /// Which desk of its source. It stays there, since a provider remembers what it knows of an id.
    pub(super) layer: Option<u8>,
    standing: Standing,
    /// It, and none of its rivals, was told of last.
    pub(super) shown: bool,
}

/// What speaks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Its provider knows no such machine.
    Denied,
    /// Nothing is known.
    #[default]
    Claimed,
    /// A process was seen that bears the id.
    Seen,
    /// Its hypervisor has told its state.
    Confirmed,
}

impl Claim {
    /// Takes over what was heard. A silence, or that there is no process at the moment, takes nothing away.
    pub(super) fn hears(&mut self, source: Source, answer: Option<&Answer>) {
        let heard = match answer {
            Some(Answer::Gone) => {
                self.standing = Standing::Denied;
                return;
            }
            None => Standing::Claimed,
            Some(Answer::Reading(reading)) if reading.doubt.is_some() => Standing::Claimed,
            Some(Answer::Reading(reading)) => match (source, reading.state.lives()) {
                (Source::Qemu, true) => Standing::Seen,
                (Source::Qemu, false) => Standing::Claimed,
                _ => Standing::Confirmed,
            },
        };
        self.standing = self.standing.max(heard);
    }
}

/// One owner's claim by one source.
type Key = (String, u32, Source);

fn key(machine: &Machine) -> Key {
    (machine.vm().to_owned(), machine.owner.uid, Source::of(&machine.provider))
}

/// The claims as they were before.
pub(super) struct Claims {
    before: HashMap<Key, (Claim, Option<Instant>)>,
    ids: HashSet<String>,
    taken: HashSet<Key>,
}

pub(super) enum Taken {
    Known(Claim, Option<Instant>),
    New,
    /// Its owner has another entry of the same id.
    Twice,
}

impl Claims {
    pub(super) fn of(tracked: &[Tracked]) -> Self {
        let claim = |known: &Tracked| (key(&known.machine), (known.claim.clone(), known.gone));
        let ids = tracked.iter().map(|known| known.machine.vm().to_owned());
        Self { before: tracked.iter().map(claim).collect(), ids: ids.collect(), taken: HashSet::new() }
    }

    pub(super) fn take(&mut self, machine: &Machine) -> Taken {
        let key = key(machine);
        let known = self.before.remove(&key);
        match (self.taken.insert(key), known) {
            (false, _) => Taken::Twice,
            (true, Some((claim, gone))) => Taken::Known(claim, gone),
            (true, None) => Taken::New,
        }
    }

    /// Whether anybody's machine had this id.
    pub(super) fn knows(&self, vm: &str) -> bool {
        self.ids.contains(vm)
    }

    /// Whether no entry of the same owner has taken it over.
    pub(super) fn is_free(&self, machine: &Machine) -> bool {
        !self.taken.contains(&key(machine))
    }
}

/// The places of those that have the same id, each at a desk of its own; those that find none are left out.
pub(super) fn rivals(tracked: &mut Vec<Tracked>, left_out: &mut LeftOut) -> Vec<Vec<usize>> {
    let mut by_id: HashMap<&str, Vec<usize>> = HashMap::with_capacity(tracked.len());
    for (at, known) in tracked.iter().enumerate() {
        by_id.entry(known.machine.vm()).or_default().push(at);
    }
    let mut groups: Vec<Vec<usize>> = by_id.into_values().filter(|places| places.len() > 1).collect();
    groups.sort();
    let mut without = Vec::new();
    for group in &groups {
        let mut used = BTreeSet::new();
        // who has a desk keeps it
        let mut order = group.clone();
        order.sort_by_key(|at| tracked[*at].claim.layer.is_none());
        for at in order {
            let known = &mut tracked[at];
            let source = Source::of(&known.machine.provider);
            let mut layers = known.claim.layer.into_iter().chain(0..MAX_DESKS);
            match layers.find(|layer| !used.contains(&(source, *layer))) {
                Some(layer) => {
                    known.claim.layer = Some(layer);
                    used.insert((source, layer));
                }
                None => without.push(at),
            }
        }
    }
    for known in &mut *tracked {
        known.claim.layer.get_or_insert(0);
    }
    if without.is_empty() {
        return groups;
    }
    without.sort_unstable();
    for at in without.into_iter().rev() {
        left_out.add(&tracked.remove(at).machine, TWICE);
    }
    rivals(tracked, left_out)
}

/// Decides who is shown: of those that have the same id, one.
pub(super) fn settle(rivals: &[Vec<usize>], tracked: &mut [Tracked]) {
    let rank = |at: &usize| {
        let Tracked { claim, listed, .. } = &tracked[*at];
        (claim.standing, claim.shown, *listed, Reverse(*at))
    };
    let shown: Vec<Option<usize>> =
        rivals.iter().map(|group| group.iter().copied().max_by_key(rank)).collect();
    for known in &mut *tracked {
        known.claim.shown = true;
    }
    for (group, shown) in rivals.iter().zip(shown) {
        for at in group {
            tracked[*at].claim.shown = Some(*at) == shown;
        }
    }
}

/// Machines that are not shown, by owner: the first one, why, and whether there are more.
#[derive(Default)]
pub(super) struct LeftOut {
    owners: BTreeMap<String, String>,
    said: BTreeSet<String>,
}

impl LeftOut {
    pub(super) fn clear(&mut self) {
        self.owners.clear();
    }

    pub(super) fn add(&mut self, machine: &Machine, why: &str) {
        note(&mut self.owners, machine, why);
    }

    /// Says what is new, and what is over.
    pub(super) fn say(&mut self, tracked: &[Tracked], notes: &mut Notes) {
        let mut owners = self.owners.clone();
        for known in tracked.iter().filter(|known| !known.claim.shown) {
            note(&mut owners, &known.machine, TWICE);
        }
        for gone in self.said.iter().filter(|owner| !owners.contains_key(*owner)) {
            notes.over(subject(gone));
        }
        for (owner, text) in &owners {
            notes.say(Level::Warn, subject(owner), text.as_str());
        }
        self.said = owners.into_keys().collect();
    }
}

fn subject(owner: &str) -> String {
    format!("machines of {owner}")
}

fn note(owners: &mut BTreeMap<String, String>, machine: &Machine, why: &str) {
    const MORE: &str = "; others, too";
    let text = owners.entry(machine.owner.name.clone()).or_default();
    if text.is_empty() {
        *text = format!("{} in {} is left out: {why}", machine.name, machine.project);
    } else if !text.ends_with(MORE) {
        text.push_str(MORE);
    }
}
