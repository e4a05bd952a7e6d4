//! Machines of libvirt: its service is asked over its socket, read-only; what it does not know, or can't say just now, is
//! read from the host.
//!
//! Processor time and uptime are the process's own, so that they go on while the service does not answer. Which service has
//! a machine, the system's or that of its owner, is learnt by its UUID.

mod client;
mod disks;
mod host;
mod place;
mod stats;
mod subject;
#[cfg(test)]
mod tests;
mod wire;

use crate::{
    config::Config,
    machine::{Machine, Reason},
    provider::{Answer, Notes, Provider},
};
use client::CallError;
use disks::Disks;
use host::Host;
use place::{Place, Survey, Wanted};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use subject::{Source, Subject};
use twarga_plugin_api::Level;

/// Reads bytes as replies of libvirt, for fuzzing.
#[doc(hidden)]
pub fn read_as_reply(bytes: &[u8]) {
    wire::read_as_everything(bytes);
}

const SYSTEM: &[&str] = &["qemu:///system"];
const SESSION: &[&str] = &["qemu:///session"];
const EITHER: &[&str] = &["qemu:///system", "qemu:///session"];

/// All of /proc is looked through for processes that have no pid file, but not often.
const SEARCH_AFTER: Duration = Duration::from_secs(15);

/// With more machines than this, the files of their processes are not kept open: there are other uses for descriptors.
const MAX_OPEN: usize = 256;

/// In less time nothing more is asked.
const SHORTEST: Duration = Duration::from_millis(50);

/// Which service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    /// The system's own.
    System,
    /// That of the user with this number.
    Session(u32),
    /// The operator named its socket.
    Configured(usize),
}

impl Key {
    /// The user whose files and processes its machines must be.
    const fn uid(self) -> Option<u32> {
        if let Self::Session(uid) = self { Some(uid) } else { None }
    }
}

/// The provider.
pub(crate) struct Libvirt {
    host: Arc<Host>,
    configured: Vec<PathBuf>,
    places: BTreeMap<Key, Place>,
    /// By the machine's id.
    subjects: HashMap<String, Subject>,
    disks: Disks,
    searched: Option<Instant>,
}

/// What came of asking the places for one machine.
#[derive(Default)]
struct Heard {
    told: Option<(Key, place::Told)>,
    /// The places that answered, and don't have it.
    without: Vec<Key>,
    /// Those that did not answer, and why.
    failed: Vec<(Key, Reason, bool)>,
}

impl Heard {
    fn asked(&self, key: Key) -> bool {
        self.without.contains(&key) || self.failed.iter().any(|(failed, ..)| *failed == key)
    }
}

impl Libvirt {
    pub(crate) fn new(config: &Config) -> Self {
        let host = Arc::new(Host::below(&config.root));
        Self {
            disks: Disks::new(Arc::clone(&host)),
            host,
            configured: config.libvirt.sockets.clone(),
            places: BTreeMap::new(),
            subjects: HashMap::new(),
            searched: None,
        }
    }

    /// The places that may have a machine of this user.
    fn places_of(&self, uid: u32) -> Vec<Key> {
        if self.configured.is_empty() {
            return vec![Key::System, Key::Session(uid)];
        }
        (0..self.configured.len()).map(Key::Configured).collect()
    }

    fn set_up_places(&mut self, machines: &[Machine]) {
        let wanted: HashSet<u32> = machines.iter().map(|machine| machine.owner.uid).collect();
        self.places.retain(|key, _| key.uid().is_none_or(|uid| wanted.contains(&uid)));
        let root = self.host.root.clone();
        let sockets = |folder: PathBuf, suffix: &str| {
            ["virtqemud-sock", "libvirt-sock"].map(|name| folder.join(format!("{name}{suffix}"))).to_vec()
        };
        let keys: Vec<Key> = wanted.into_iter().flat_map(|uid| self.places_of(uid)).collect();
        for key in keys {
            self.places.entry(key).or_insert_with(|| match key {
                Key::System => Place::new(sockets(root.join("run/libvirt"), "-ro"), SYSTEM, None),
                Key::Session(uid) => {
                    let folder = root.join(format!("run/user/{uid}/libvirt"));
                    Place::new(sockets(folder, ""), SESSION, Some(uid))
                }
                Key::Configured(number) => Place::new(vec![self.configured[number].clone()], EITHER, None),
            });
        }
    }

    /// Asks all places, each for the machines that it has or may have.
    fn survey(&mut self, subjects: &[Subject], deadline: Instant, notes: &mut Notes) -> Vec<Heard> {
        let mut heard: Vec<Heard> = subjects.iter().map(|_| Heard::default()).collect();
        let candidates: Vec<Vec<Key>> = subjects.iter().map(|subject| self.places_of(subject.uid)).collect();
        // a slow place takes nobody else's time; in the second round a machine is looked for where it was not before
        let mut order: Vec<Key> = self.places.keys().copied().collect();
        order.sort_by_key(|key| self.places[key].took);
        for round in 0..2 {
            for key in &order {
                let wanted: Vec<usize> = (0..subjects.len())
                    .filter(|at| {
                        let heard = &heard[*at];
                        let at_home = subjects[*at].home.is_none_or(|home| home == *key || round > 0);
                        // its own place keeps a machine until it says that it has it no more
                        let at_large =
                            round == 0 || subjects[*at].home.is_none_or(|home| heard.without.contains(&home));
                        subjects[*at].uuid.is_some() && heard.told.is_none() && at_home && at_large
                    })
                    .filter(|at| candidates[*at].contains(key) && !heard[*at].asked(*key))
                    .collect();
                if !wanted.is_empty() {
                    self.ask(*key, &wanted, subjects, &mut heard, deadline, notes);
                }
            }
        }
        heard
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
        let machines: Vec<Wanted<'_>> = wanted.iter().filter_map(|at| subjects[*at].wanted()).collect();
        let started = Instant::now();
        let outcome = place.survey(&machines, deadline);
        place.took = started.elapsed();
        let note = place.subject();
        match outcome {
            Ok(Survey { told, late }) => {
                notes.over(note);
                let mut told: HashMap<[u8; 16], place::Told> =
                    told.into_iter().map(|told| (told.uuid, told)).collect();
                for at in wanted {
                    let Some(uuid) = subjects[*at].uuid else { continue };
                    match told.remove(&uuid) {
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

    /// Where the pid files of its machines lie.
    fn pid_folders(&self, key: Option<Key>, uid: u32) -> Vec<(PathBuf, Option<u32>)> {
        let system = (self.host.root.join("run/libvirt/qemu"), None);
        let session = (self.host.root.join(format!("run/user/{uid}/libvirt/qemu/run")), Some(uid));
        match key {
            Some(Key::System) => vec![system],
            Some(Key::Session(_)) => vec![session],
            Some(Key::Configured(_)) | None => vec![system, session],
        }
    }

    /// Looks for the processes of those that should have one.
    fn find_processes(&mut self, subjects: &mut [Subject], heard: &[Heard]) {
        for (subject, heard) in subjects.iter_mut().zip(heard) {
            if !subject.lacks_process(heard.told.as_ref().map(|(_, told)| told)) {
                continue;
            }
            let name = heard.told.as_ref().map_or(subject.name.as_str(), |(_, told)| told.name.as_str());
            let key = heard.told.as_ref().map(|(key, _)| *key).or(subject.home);
            let process = self
                .pid_folders(key, subject.uid)
                .into_iter()
                .find_map(|(folder, uid)| self.host.by_pid_file(&folder, name, &subject.id, uid));
            subject.process = process;
        }
        let mut missing: Vec<&mut Subject> = subjects
            .iter_mut()
            .zip(heard)
            .filter(|(subject, heard)| subject.lacks_process(heard.told.as_ref().map(|(_, told)| told)))
            // what was destroyed has no process, and may stand in the index for long
            .filter(|(_, heard)| heard.told.is_some() || heard.without.is_empty())
            .map(|(subject, _)| subject)
            .collect();
        if missing.is_empty() || self.searched.is_some_and(|last| last.elapsed() < SEARCH_AFTER) {
            return;
        }
        self.searched = Some(Instant::now());
        let found = self.host.search();
        for subject in &mut missing {
            let uid = subject.home.and_then(Key::uid);
            subject.process = self.host.found(&found, &subject.id, uid);
        }
    }

    /// Asks for what need not be asked for each time. What there is no time for is asked with the next poll.
    fn look_up(&mut self, subjects: &mut [Subject], heard: &[Heard], deadline: Instant) {
        let mut late = HashSet::new();
        for (subject, heard) in subjects.iter_mut().zip(heard) {
            if let Some((key, told)) = &heard.told
                && !late.contains(key)
                && let Some(place) = self.places.get_mut(key)
                && (deadline < Instant::now() + SHORTEST || subject.look_up(place, told, deadline).is_err())
            {
                late.insert(*key);
            }
        }
    }

    /// Whether none of these places, which nobody listens at, has the machine's definition.
    fn defined_nowhere(&self, subject: &mut Subject, absent: &[Key]) -> bool {
        let host = &self.host;
        subject.defined_nowhere(|subject| {
            !absent.iter().any(|key| match key {
                Key::System => host.may_define(Path::new("/etc/libvirt/qemu"), &subject.id),
                Key::Session(_) => {
                    host.may_define(&subject.owner_home.join(".config/libvirt/qemu"), &subject.id)
                }
                Key::Configured(_) => true,
            })
        })
    }

    fn answer(
        &mut self,
        subject: &mut Subject,
        heard: Heard,
        source: &Source<'_>,
        notes: &mut Notes,
    ) -> Answer {
        if let Some(flaw) = subject.flaw {
            return Answer::unknown(flaw);
        }
        let Heard { told, failed, .. } = heard;
        if let Some((key, told)) = told {
            let held_up = self.places.get(&key).is_some_and(Place::is_held_up);
            return subject.told(key, told, held_up, source, notes);
        }
        let absent: Vec<Key> = failed.iter().filter(|(.., absent)| *absent).map(|(key, ..)| *key).collect();
        let all_absent = absent.len() == failed.len();
        let at_home = subject.home.is_some_and(|home| failed.iter().any(|(key, ..)| *key == home));
        let answered = !heard.without.is_empty();
        if all_absent
            && answered
            && !at_home
            && subject.process.is_none()
            && self.defined_nowhere(subject, &absent)
        {
            subject.forget();
            return Answer::Gone;
        }
        // the place that has it knows best; then one that is there
        let of_home = failed.iter().find(|(key, ..)| Some(*key) == subject.home);
        let reason =
            of_home.or_else(|| failed.iter().find(|(.., absent)| !absent)).or_else(|| failed.first());
        let reason =
            reason.map_or_else(|| "libvirt does not know it".into(), |(_, reason, _)| reason.clone());
        subject.untold(&reason, all_absent, source)
    }
}

impl Provider for Libvirt {
    fn read(&mut self, machines: &[Machine], deadline: Instant, notes: &mut Notes) -> Vec<Answer> {
        // the answers must be there when the deadline is
        let patience = deadline.saturating_duration_since(Instant::now());
        let deadline = deadline - patience / 8;
        self.set_up_places(machines);
        let mut before = std::mem::take(&mut self.subjects);
        let mut taken = HashSet::new();
        let mut subjects: Vec<Subject> = machines
            .iter()
            .map(|machine| {
                let id = machine.vm().to_ascii_lowercase();
                if !taken.insert(id.clone()) {
                    return Subject::flawed("another machine has the same id");
                }
                let mut subject = before.remove(&id).unwrap_or_else(|| Subject::new(id));
                subject.belongs_to(&machine.owner);
                subject
            })
            .collect();
        let keep = subjects.len() <= MAX_OPEN;
        for subject in &mut subjects {
            subject.refresh(&self.host, keep);
        }
        let heard = self.survey(&subjects, deadline, notes);
        self.find_processes(&mut subjects, &heard);
        self.look_up(&mut subjects, &heard, deadline);
        let host = Arc::clone(&self.host);
        let images = subjects.iter().zip(&heard).flat_map(|(subject, heard)| {
            let told = heard.told.as_ref().map(|(key, told)| (*key, &told.stats));
            subject.images(told)
        });
        let extents = self.disks.look(images.collect(), deadline + patience / 16);
        let source = Source::now(&host, &extents);
        let mut answers = Vec::with_capacity(machines.len());
        for (mut subject, heard) in subjects.into_iter().zip(heard) {
            answers.push(self.answer(&mut subject, heard, &source, notes));
            if subject.flaw.is_none() {
                self.subjects.insert(subject.id.clone(), subject);
            }
        }
        answers
    }

    fn ahead(&mut self) -> Option<Box<dyn FnMut() + Send>> {
        Some(self.disks.ahead())
    }
}
