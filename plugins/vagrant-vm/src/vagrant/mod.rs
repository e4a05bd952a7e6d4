//! What Vagrant knows: the machine indexes of the users, and the projects that they name.
//!
//! ```text
//!  users (/etc/passwd) ──places──► home (an index) ──entries──► project (ids, boxes, .vm_info)
//!            └───────────── crew: each on a thread that may hang ─────────────┘
//! ```

mod crew;
mod files;
mod home;
pub(crate) mod index;
mod lenient;
mod project;
mod users;
mod vm_info;

use crate::{config::Config, machine::Machine, provider::Notes};
use crew::{Crew, Task, Timing};
use files::{Files, Kernel};
use home::{Home, Surroundings, UsersFile, View};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use twarga_plugin_api::{Level, Result};
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
    crew: Crew<Job>,
    /// Where the crew has /etc/passwd.
    users_at: usize,
    users: Option<Arc<Users>>,
    users_bad: Option<String>,
    unknown: Vec<String>,
    /// In the order of the machines.
    homes: Vec<Known>,
    scan: Scan,
    /// What is complained about, until it is over.
    subjects: BTreeSet<String>,
}

enum Job {
    Users(UsersFile),
    Home(Box<Home>),
}

/// A home as it was when it answered last.
struct Known {
    place: Place,
    at: usize,
    view: Arc<View>,
    answered: bool,
    /// A thread has it since then, and does not come back.
    away: Option<Instant>,
}

impl Task for Job {
    fn work(&mut self) {
        match self {
            Self::Users(users) => users.work(),
            Self::Home(home) => home.work(),
        }
    }
}

impl Scanner {
    /// # Errors
    /// Where a thread can't be made.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        Ok(Self::new(config, Oneself::of_process(), Arc::new(Kernel), Timing::default()))
    }

    fn new(config: &Config, oneself: Oneself, files: Arc<dyn Files>, timing: Timing) -> Self {
        let root = config.root.clone();
        let around = Surroundings { files, root, users: Arc::new(Mutex::default()) };
        let crew = Crew::new(timing);
        let users_at = crew.add(Job::Users(UsersFile::new(around.clone())));
        Self {
            config: config.clone(),
            oneself,
            around,
            crew,
            users_at,
            users: None,
            users_bad: None,
            unknown: Vec::new(),
            homes: Vec::new(),
            scan: Scan::default(),
            subjects: BTreeSet::new(),
        }
    }

    /// What they say now; of homes that don't answer by `deadline`, what they said last.
    pub(crate) fn scan(&mut self, deadline: Instant, notes: &mut Notes) -> Scan {
        let mut changed = false;
        if self.homes.iter().any(|home| home.away.is_some()) {
            // what was slow may have come back after the last scan
            changed |= self.collect();
        }
        let began = Instant::now();
        let mut round = self.crew.round(deadline, |_| true);
        changed |= self.collect();
        let users = self.around.users();
        if self.users.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &users)) {
            let new = self.follow(users);
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
            let view = Arc::default();
            self.homes.push(Known { place, at, view, answered: false, away: None });
        }
        for gone in before {
            self.crew.remove(gone.at);
        }
        new
    }

    /// Takes what the threads brought. Tells whether any of it is new.
    fn collect(&mut self) -> bool {
        let mut views = HashMap::new();
        let mut changed = false;
        self.crew.each(|at, job| match job {
            Some(Job::Home(home)) => drop(views.insert(at, Some(Arc::clone(home.view())))),
            Some(Job::Users(users)) => {
                if self.users_bad != users.bad {
                    self.users_bad.clone_from(&users.bad);
                    changed = true;
                }
            }
            None if at == self.users_at => self.users_bad = Some("/etc/passwd: it does not answer".into()),
            None => drop(views.insert(at, None)),
        });
        for home in &mut self.homes {
            match views.remove(&home.at) {
                Some(Some(view)) => {
                    (home.answered, home.away) = (true, None);
                    if !Arc::ptr_eq(&view, &home.view) {
                        home.view = view;
                        changed = true;
                    }
                }
                _ => home.away = home.away.or_else(|| Some(Instant::now())),
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
