//! What Vagrant knows: the machine indexes of the users, and the projects that they name.
//!
//! ```text
//!  users (/etc/passwd) ──places──► home (an index) ──entries──► project (ids, boxes, .vm_info)
//!            └───────── crew: by threads of which each may hang ──────────────┘
//! ```

mod files;
mod home;
pub(crate) mod index;
mod lenient;
mod project;
mod users;
mod vm_info;

use crate::{config::Config, job::Job, machine::Machine, provider::Notes};
use files::{Files, Kernel};
pub(crate) use home::{Home, UsersFile};
use home::{Surroundings, View};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use twarga_plugin_api::{
    Level,
    crew::{Crew, Seen},
};
use users::{Oneself, Place, Users};

/// What the indexes say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    /// The machines of all indexes as they are now; of an index that can't be read now, as they were. The same `Arc`
    /// where nothing changed.
    pub(crate) machines: Arc<Vec<Machine>>,
    /// The users who have an index, and whether all of it is known: else there may be machines that nobody has read of.
    /// The same `Arc` where nothing changed.
    pub(crate) indexes: Arc<BTreeMap<String, bool>>,
    /// Why an index can't be read that nothing is known of; none where all is known.
    pub(crate) missing: Option<String>,
}

/// Reads the indexes and projects again and again.
pub(crate) struct Scanner {
    config: Config,
    oneself: Oneself,
    around: Surroundings,
    crew: Arc<Crew<Job>>,
    pauses: Pauses,
    /// Where the crew has /etc/passwd.
    users_at: usize,
    users: Option<Arc<Users>>,
    /// When it was looked at last.
    users_looked: Option<Instant>,
    users_settled: bool,
    users_bad: Option<String>,
    unknown: Vec<String>,
    /// In the order of the machines.
    homes: Vec<Known>,
    scan: Scan,
    /// What is complained about, until it is over.
    subjects: BTreeSet<String>,
}

/// A home as it was when it answered last.
struct Known {
    place: Place,
    at: usize,
    view: Arc<View>,
    answered: bool,
    /// A thread has it since then, and does not come back.
    away: Option<Instant>,
    /// When it was looked at last.
    looked: Option<Instant>,
    /// Nothing was amiss then, and nothing had just changed.
    settled: bool,
}

/// How long a home is left alone in which nothing is amiss.
#[derive(Clone, Copy)]
struct Pauses {
    /// With an index. Less than two polls where each second is one.
    calm: Duration,
    /// Without one, as most are; so are /etc/passwd, and the files of machines that exist.
    bare: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { calm: Duration::from_millis(1500), bare: Duration::from_secs(14) }
    }
}

impl Scanner {
    pub(crate) fn open(config: &Config, crew: Arc<Crew<Job>>) -> Self {
        Self::new(config, Oneself::of_process(), Arc::new(Kernel), crew, Pauses::default())
    }

    fn new(
        config: &Config,
        oneself: Oneself,
        files: Arc<dyn Files>,
        crew: Arc<Crew<Job>>,
        pauses: Pauses,
    ) -> Self {
        let root = config.root.clone();
        let around = Surroundings { files, root, users: Arc::new(Mutex::default()), pause: pauses.bare };
        let users_at = crew.add(Job::Users(UsersFile::new(around.clone())));
        Self {
            config: config.clone(),
            oneself,
            around,
            crew,
            pauses,
            users_at,
            users: None,
            users_looked: None,
            users_settled: false,
            users_bad: None,
            unknown: Vec::new(),
            homes: Vec::new(),
            scan: Scan::default(),
            subjects: BTreeSet::new(),
        }
    }

    /// All homes are to be looked at with the next scan: a machine is on its way in or out.
    pub(crate) fn hurry(&mut self) {
        self.users_looked = None;
        for home in &mut self.homes {
            home.looked = None;
            self.crew.with(home.at, |job| {
                if let Job::Home(home) = job {
                    home.look_closely();
                }
            });
        }
    }

    /// What they say now, or a moment ago where nothing was amiss; of homes that don't answer by `deadline`, what they said
    /// last.
    pub(crate) fn scan(&mut self, deadline: Instant, notes: &mut Notes) -> Scan {
        let mut changed = false;
        if self.homes.iter().any(|home| home.away.is_some()) {
            // what was slow may have come back after the last scan
            changed |= self.collect();
        }
        let began = Instant::now();
        let patience = deadline.saturating_duration_since(began);
        let mut resting = Vec::new();
        for home in &mut self.homes {
            if home.rests(&self.pauses) {
                resting.resize(resting.len().max(home.at + 1), false);
                resting[home.at] = true;
            } else {
                home.looked = Some(began);
            }
        }
        // where all rest, who the users are can wait too
        let rests = |at: &usize| resting.get(*at) == Some(&true);
        let all_rest = !self.homes.is_empty()
            && self.users_bad.is_none()
            && self.homes.iter().all(|home| rests(&home.at));
        let users_rest = all_rest || self.users_rest();
        if !users_rest {
            self.users_looked = Some(began);
        }
        let mut round = self.crew.round(deadline, |at| !(rests(&at) || (users_rest && at == self.users_at)));
        changed |= !all_rest && self.collect();
        let users = self.around.users();
        if self.users.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &users)) {
            let new = self.follow(users);
            // a provider that was asked meanwhile may have taken all the time
            let deadline = Instant::now() + patience;
            round = round.and(self.crew.round(deadline, |at| new.contains(&at)));
            self.collect();
            changed = true;
        }
        for home in self.homes.iter_mut().filter(|home| home.away.is_some()) {
            home.away = home.away.map(|since| since.min(began));
        }
        match round {
            Ok(()) => notes.over("vagrant"),
            Err(error) => notes.say(Level::Error, "vagrant", format!("no thread: {error}")),
        }
        if changed {
            self.merge();
        }
        self.scan.missing = in_words(&self.missing());
        self.complain(notes);
        self.scan.clone()
    }

    /// Whether /etc/passwd was looked at a while ago at most, and nothing was amiss.
    fn users_rest(&self) -> bool {
        let well = self.users_bad.is_none() && self.users_settled;
        well && self.users_looked.is_some_and(|since| since.elapsed() < self.pauses.bare)
    }

    /// Takes over who the users are. Tells the places of those homes that are new.
    fn follow(&mut self, users: Arc<Users>) -> HashSet<usize> {
        let users::Places { places, unknown } = users.places(&self.config, &self.oneself);
        let readable = self.users_bad.is_none() || !users.is_empty();
        self.unknown = if readable { unknown } else { Vec::new() };
        self.users = Some(users);
        let mut before: Vec<Known> = self.homes.drain(..).collect();
        let mut new = HashSet::new();
        for place in places {
            if let Some(at) = before.iter().position(|known| known.place == place) {
                self.homes.push(before.swap_remove(at));
                continue;
            }
            let at = self.crew.add(Job::Home(Box::new(Home::new(place.clone(), self.around.clone()))));
            new.insert(at);
            let (view, looked) = (Arc::default(), Some(Instant::now()));
            self.homes.push(Known { place, at, view, answered: false, away: None, looked, settled: false });
        }
        for gone in before {
            self.crew.remove(gone.at);
        }
        new
    }

    /// Takes what the threads brought. Tells whether any of it is new.
    fn collect(&mut self) -> bool {
        // by the places of the tasks
        let mut views = Vec::new();
        let mut changed = false;
        self.crew.each(|at, seen| match seen {
            Seen::Idle(Job::Home(home)) => {
                views.resize(views.len().max(at + 1), None);
                views[at] = Some((Arc::clone(home.view()), home.is_settled()));
            }
            Seen::Idle(Job::Users(users)) => {
                self.users_settled = users.is_settled();
                if self.users_bad != users.bad {
                    self.users_bad.clone_from(&users.bad);
                    changed = true;
                }
            }
            Seen::Idle(Job::Ahead(_) | Job::Desk(_)) => {}
            Seen::Queued | Seen::Working(_) => {
                if at == self.users_at {
                    self.users_bad = Some("/etc/passwd: it does not answer".into());
                }
            }
        });
        for home in &mut self.homes {
            match views.get_mut(home.at).and_then(Option::take) {
                Some((view, settled)) => {
                    (home.answered, home.away, home.settled) = (true, None, settled);
                    if !Arc::ptr_eq(&view, &home.view) {
                        home.view = view;
                        changed = true;
                    }
                }
                None => home.away = home.away.or_else(|| Some(Instant::now())),
            }
        }
        changed
    }

    /// The machines of all homes. An index that is reached on two ways counts once, for the user whose it is.
    fn merge(&mut self) {
        let mut files: BTreeMap<files::Place, (bool, usize)> = BTreeMap::new();
        for (at, home) in self.homes.iter().enumerate() {
            if let Some(file) = home.view.file.filter(|_| !home.view.machines.is_empty()) {
                let known = files.entry(file.place).or_insert((file.own, at));
                if file.own && !known.0 {
                    *known = (true, at);
                }
            }
        }
        let mut machines = Vec::new();
        let mut indexes = BTreeMap::new();
        for (at, home) in self.homes.iter().enumerate() {
            if home.view.file.is_some_and(|file| files.get(&file.place).is_some_and(|(_, of)| *of == at)) {
                machines.extend(home.view.machines.iter().cloned());
            }
            // whether one that does not answer has an index, nobody knows
            let known = match (home.answered, &home.view.index) {
                (true, index) => index.as_ref().map(|known| (known.owner.as_str(), known.read)),
                (false, _) => {
                    Some((home.place.owner.as_ref().map_or("", |owner| owner.name.as_str()), false))
                }
            };
            if let Some((owner, read)) = known {
                *indexes.entry(owner.to_owned()).or_insert(true) &= read;
            }
        }
        if machines != *self.scan.machines {
            self.scan.machines = Arc::new(machines);
        }
        if indexes != *self.scan.indexes {
            self.scan.indexes = Arc::new(indexes);
        }
    }

    /// Why there may be machines that were never read of, for each index.
    fn missing(&self) -> Vec<String> {
        let users = self.users.as_ref().is_none_or(|users| users.is_empty());
        let mut reasons: Vec<String> = self.users_bad.iter().filter(|_| users).cloned().collect();
        for home in &self.homes {
            if home.answered {
                reasons.extend(home.view.missing.clone());
            } else {
                reasons.push(format!("{}: it does not answer", home.place.path.display()));
            }
        }
        reasons
    }

    /// Says what is not as it should be, and what is again.
    fn complain(&mut self, notes: &mut Notes) {
        let mut subjects = BTreeSet::new();
        let mut say = |level, subject: String, text: String| {
            subjects.insert(subject.clone());
            notes.say(level, subject, text);
        };
        for user in &self.unknown {
            say(Level::Warn, format!("user {user}"), "there is no such user".into());
        }
        if let Some(reason) = &self.users_bad {
            say(Level::Warn, "users".into(), reason.clone());
        }
        for home in &self.homes {
            for (level, subject, text) in &home.view.troubles {
                say(*level, subject.clone(), text.clone());
            }
            if home.away.is_some_and(|since| since.elapsed() >= self.patience()) {
                say(Level::Warn, home.place.path.display().to_string(), "it does not answer".into());
            }
        }
        for subject in self.subjects.difference(&subjects) {
            notes.over(subject.as_str());
        }
        self.subjects = subjects;
    }

    /// A little less than the deadline, whose end no clock meets exactly.
    fn patience(&self) -> Duration {
        self.config.timeout.mul_f64(0.9)
    }
}

impl Known {
    /// Whether it was looked at a moment ago, and nothing was amiss.
    fn rests(&self, pauses: &Pauses) -> bool {
        let pause = if self.view.file.is_none() { pauses.bare } else { pauses.calm };
        let well = self.answered && self.settled && self.away.is_none();
        well && self.looked.is_some_and(|since| since.elapsed() < pause)
    }
}

fn in_words(reasons: &[String]) -> Option<String> {
    let first = reasons.first()?;
    Some(match reasons.len() - 1 {
        0 => first.clone(),
        more => format!("{first}, and {more} more"),
    })
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod scanner_tests;
#[cfg(test)]
mod testing;
