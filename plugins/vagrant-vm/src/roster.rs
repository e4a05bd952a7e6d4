//! Which machines there are, and what their providers say of them.
//!
//! A machine stays until its provider says that it is gone: one that only left the index (a project that was moved, an
//! index that was lost) is still read as long as its hypervisor has it.

use crate::{
    config::Config,
    crew::Crew,
    job::Job,
    libvirt::Libvirt,
    machine::{Machine, Reading, State, Values},
    provider::{Answer, Notes, Outcome, Provider, Seat},
    qemu::Qemu,
    virtualbox::VirtualBox,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::Level;

/// A machine that vanished from its provider, or lost its id, while it stands in the index may be on its way out:
/// `vagrant destroy` removes one after the other. Only after so long it is taken for one that was not created.
const SETTLED: Duration = Duration::from_secs(60);

/// Which source reads a provider's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Libvirt,
    VirtualBox,
    Qemu,
}

impl Source {
    fn of(provider: &str) -> Self {
        match provider {
            "libvirt" => Self::Libvirt,
            "virtualbox" => Self::VirtualBox,
            _ => Self::Qemu,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::VirtualBox => "virtualbox",
            Self::Qemu => "qemu",
        }
    }

    fn is_enabled(self, config: &Config) -> bool {
        match self {
            Self::Libvirt => config.libvirt.enabled,
            Self::VirtualBox => config.virtualbox.enabled,
            Self::Qemu => config.qemu.enabled,
        }
    }

    fn open(self, config: &Config) -> Box<dyn Provider> {
        match self {
            Self::Libvirt => Box::new(Libvirt::new(config)),
            Self::VirtualBox => Box::new(VirtualBox::new(config)),
            Self::Qemu => Box::new(Qemu::new(config)),
        }
    }
}

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
    /// The machines with an id, by source, as they were handed out; made anew after a change.
    asked: BTreeMap<Source, Arc<Vec<Machine>>>,
    seats: BTreeMap<Source, Seat>,
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
            asked: BTreeMap::new(),
            seats: BTreeMap::new(),
        }
    }

    /// Has the providers asked for the machines that are known already, in the crew's next round, whoever waits for that:
    /// as long as the machines stay the same, [`Roster::ask`] need not wake a thread once more.
    pub(crate) fn prepare(&mut self, deadline: Instant) {
        for (source, seat) in &mut self.seats {
            if let Some(machines) = self.asked.get(source) {
                seat.prepare(machines, deadline);
            }
        }
    }

    /// Whether no machine is on its way in or out: all stand in an index, and their providers have them.
    pub(crate) fn is_settled(&self) -> bool {
        let on_its_way =
            |tracked: &Tracked| !tracked.listed || tracked.unlinked.is_some() || tracked.gone.is_some();
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
        self.follow(machines, notes);
        let mut answers = self.answers(deadline, notes);
        self.note_gone(&answers);
        self.told(&mut answers)
    }

    /// Takes over what the indexes say.
    fn follow(&mut self, machines: &Arc<Vec<Machine>>, notes: &mut Notes) {
        let settled = self.settled;
        let expired = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() >= settled);
        let unlinked = self.tracked.iter().any(|tracked| expired(tracked.unlinked));
        if Arc::ptr_eq(machines, &self.scanned) && !unlinked {
            return;
        }
        self.scanned = Arc::clone(machines);
        self.asked.clear();
        let mut before: HashMap<String, Tracked> =
            self.tracked.drain(..).map(|known| (known.machine.index_id.clone(), known)).collect();
        let mut taken = HashSet::new();
        for machine in machines.iter() {
            let mut machine = machine.clone();
            let known = before.remove(&machine.index_id);
            let mut unlinked = None;
            if machine.id.is_none()
                && let Some(known) = &known
                && known.machine.id.is_some()
                && !expired(known.unlinked)
            {
                unlinked = known.unlinked.or_else(|| Some(Instant::now()));
                machine.id.clone_from(&known.machine.id);
            }
            if !taken.insert(machine.vm().to_owned()) {
                let text = format!("{} has the id of another machine, it is left out", machine.name);
                notes.say(Level::Warn, format!("project {}", machine.project), text);
                continue;
            }
            let gone = known.filter(|known| known.machine.id == machine.id).and_then(|known| known.gone);
            self.tracked.push(Tracked { machine, listed: true, unlinked, gone });
        }
        // what left the index: its provider has the last word, unless another entry has taken it over
        for (_, mut known) in before {
            if known.machine.id.is_some()
                && known.gone.is_none()
                && taken.insert(known.machine.vm().to_owned())
            {
                known.listed = false;
                self.tracked.push(known);
            }
        }
    }

    /// What the providers say, by the label `vm`.
    fn answers(&mut self, deadline: Instant, notes: &mut Notes) -> HashMap<String, Answer> {
        if self.asked.is_empty() {
            let mut lists: BTreeMap<Source, Vec<Machine>> = BTreeMap::new();
            for Tracked { machine, .. } in self.tracked.iter().filter(|tracked| tracked.machine.id.is_some())
            {
                lists.entry(Source::of(&machine.provider)).or_default().push(machine.clone());
            }
            self.asked = lists.into_iter().map(|(source, list)| (source, Arc::new(list))).collect();
        }
        self.seats.retain(|source, _| self.asked.contains_key(source));
        let mut answers = HashMap::with_capacity(self.tracked.len());
        let mut round = Vec::new();
        for (source, machines) in &self.asked {
            if !source.is_enabled(&self.config) {
                for machine in machines.iter() {
                    let reason = format!("{} is disabled in the configuration", source.name());
                    answers.insert(machine.vm().to_owned(), Answer::unknown(reason));
                }
                continue;
            }
            let seat = self.seats.entry(*source);
            let seat = seat.or_insert_with(|| Seat::open(&self.crew, (self.open)(*source, &self.config)));
            if seat.ask(machines, deadline) {
                round.push(*source);
            }
        }
        if !round.is_empty() {
            let seats = &self.seats;
            let asked =
                |at: usize| round.iter().any(|source| seats.get(source).is_some_and(|seat| seat.is_at(at)));
            if let Err(error) = self.crew.round(deadline, asked) {
                notes.say(Level::Error, "providers", format!("no thread: {error}"));
            } else {
                notes.over("providers");
            }
        }
        let sources: Vec<Source> = self.seats.keys().copied().collect();
        for source in sources {
            self.take(source, notes, &mut answers);
        }
        answers
    }

    /// Takes the answers of one provider, or the reason why there are none.
    fn take(&mut self, source: Source, notes: &mut Notes, answers: &mut HashMap<String, Answer>) {
        let subject = format!("provider {}", source.name());
        let (Some(machines), Some(seat)) = (self.asked.get(&source), self.seats.get_mut(&source)) else {
            return;
        };
        let reason = match seat.outcome(notes) {
            Outcome::Answers(told) => {
                let told =
                    machines.iter().zip(told).map(|(machine, answer)| (machine.vm().to_owned(), answer));
                answers.extend(told);
                notes.over(subject);
                return;
            }
            Outcome::Late => {
                notes.say(Level::Warn, subject, "does not answer");
                format!("{} does not answer", source.name())
            }
            Outcome::Failed => {
                self.seats.remove(&source);
                notes.say(Level::Error, subject, "it failed, it is started anew");
                format!("{} failed", source.name())
            }
        };
        for machine in machines.iter() {
            answers.insert(machine.vm().to_owned(), Answer::unknown(reason.clone()));
        }
    }

    /// Notes who is gone, and forgets those that are gone from the index, too.
    fn note_gone(&mut self, answers: &HashMap<String, Answer>) {
        let before = self.tracked.len();
        for tracked in &mut self.tracked {
            match answers.get(tracked.machine.vm()) {
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
        self.tracked.retain(|tracked| tracked.listed || tracked.gone.is_none());
        if self.tracked.len() != before {
            self.asked.clear();
        }
    }

    fn told(&self, answers: &mut HashMap<String, Answer>) -> Vec<Told<'_>> {
        let mut all = Vec::with_capacity(self.tracked.len());
        for Tracked { machine, gone, .. } in &self.tracked {
            let (vm, reading) = match answers.remove(machine.vm()) {
                Some(Answer::Reading(reading)) => (machine.vm(), *reading),
                None if machine.id.is_some() => {
                    (machine.vm(), Reading::unknown("its provider said nothing of it"))
                }
                // destroyed behind Vagrant's back; in its place stands one that was not created, once that has settled
                Some(Answer::Gone) => match gone {
                    Some(since) if since.elapsed() >= self.settled => {
                        (machine.index_id.as_str(), not_created())
                    }
                    _ => continue,
                },
                None => match &machine.unread {
                    Some(reason) => (machine.vm(), Reading::unknown(reason.clone())),
                    None => (machine.vm(), not_created()),
                },
            };
            all.push(Told { vm, machine, reading });
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
