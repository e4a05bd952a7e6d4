//! Machines of libvirt: its service is asked over its socket, read-only; what it does not know, or can't say just now, is
//! read from the host.
//!
//! Processor time and uptime are the process's own, so that they go on while the service does not answer. Which service has
//! a machine, the system's or that of its owner, is learnt by its UUID.

mod asking;
mod call_error;
mod client;
mod definitions;
mod disks;
mod host;
mod images;
mod place;
mod stats;
mod subject;
#[cfg(test)]
mod tests;
mod wire;

use crate::{
    config::Config,
    machine::Machine,
    provider::{Answer, Notes, Provider},
};
use asking::{Heard, SHARE};
use definitions::{Definitions, Folder};
use disks::Disks;
use host::{Host, RunsAs};
pub(crate) use images::{Images, Used};
use place::Place;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use subject::{Source, Subject};

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
    /// By the owner and the machine's id: who names another's machine takes nothing from that one.
    subjects: HashMap<(u32, String), Subject>,
    disks: Disks,
    definitions: Definitions,
    searched: Option<Instant>,
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
            definitions: Definitions::default(),
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

    /// Where the pid files of its machines lie, and whose those processes may be.
    fn pid_folders(&self, key: Option<Key>, uid: u32) -> Vec<(PathBuf, RunsAs)> {
        let system = (self.host.root.join("run/libvirt/qemu"), RunsAs::Anybody);
        let session = (self.host.root.join(format!("run/user/{uid}/libvirt/qemu/run")), RunsAs::User(uid));
        match key {
            Some(Key::System) => vec![system],
            Some(Key::Session(_)) => vec![session],
            Some(Key::Configured(_)) | None => vec![system, session],
        }
    }

    /// Looks for the processes of those that should have one.
    fn find_processes(&mut self, subjects: &mut [Subject], heard: &[Heard]) {
        for (subject, heard) in subjects.iter_mut().zip(heard) {
            let told = heard.told.as_ref();
            // one that was found before anybody had said where the machine is has yet to prove itself
            let unproved =
                subject.process.filter(|_| told.is_some_and(|(key, _)| subject.found_for != Some(*key)));
            if unproved.is_some() {
                subject.process = None;
            }
            if !subject.lacks_process(told.map(|(_, told)| told)) {
                continue;
            }
            let name = told.map_or(subject.name.as_str(), |(_, told)| told.name.as_str());
            let key = told.map(|(key, _)| *key).or(subject.home);
            let by_file = self
                .pid_folders(key, subject.uid)
                .into_iter()
                .find_map(|(folder, runs_as)| self.host.by_pid_file(&folder, name, &subject.id, runs_as));
            let proved = || {
                let pid = unproved?.run.pid;
                let verified = |runs_as: &RunsAs| self.host.verified(pid, &subject.id, *runs_as);
                runs_as(key, subject.uid).iter().find_map(verified)
            };
            subject.process = by_file.or_else(proved);
            subject.found_for = key;
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
            let found = |runs_as: &RunsAs| self.host.found(&found, &subject.id, *runs_as);
            subject.process = runs_as(subject.found_for, subject.uid).iter().find_map(found);
        }
    }

    /// Asks for what need not be asked for each time. What there is no time for is asked with the next poll.
    fn look_up(&mut self, subjects: &mut [Subject], heard: &[Heard], deadline: Instant) {
        let patience = deadline.saturating_duration_since(Instant::now());
        let mut told: Vec<(Key, &mut Subject, &place::Told)> = subjects
            .iter_mut()
            .zip(heard)
            .filter_map(|(subject, heard)| heard.told.as_ref().map(|(key, told)| (*key, subject, told)))
            .collect();
        // the system's come first
        told.sort_by_key(|(key, ..)| *key);
        let others = told.last().is_some_and(|(key, ..)| key.uid().is_some());
        self.places.values_mut().for_each(|place| place.spent = Duration::ZERO);
        let mut late = None;
        for (key, subject, told) in told.into_iter() {
            let until = self.until(key, others, patience, deadline);
            let Some(place) = self.places.get_mut(&key).filter(|_| late != Some(key)) else { continue };
            let began = Instant::now();
            let shortest = SHORTEST.min(patience / (2 * SHARE));
            if until < began + shortest || subject.look_up((key, place), told, until).is_err() {
                late = Some(key);
            }
            place.spent += began.elapsed();
        }
    }

    /// Whether none of these places, which nobody listens at, has the machine's definition.
    fn defined_nowhere(&mut self, subject: &Subject, absent: &[Key], until: Instant) -> bool {
        let Some(uuid) = subject.uuid else { return false };
        !absent.iter().any(|key| {
            let folder = match key {
                Key::System => Folder {
                    path: self.host.reach("/etc/libvirt/qemu".as_ref()),
                    uid: None,
                    traces: Vec::new(),
                },
                Key::Session(uid) => {
                    let home = self.host.reach(&subject.owner_home);
                    let runs = self.host.root.join(format!("run/user/{uid}/libvirt"));
                    let traces = vec![home.join(".config/libvirt"), home.join(".cache/libvirt"), runs];
                    Folder { path: home.join(".config/libvirt/qemu"), uid: Some(*uid), traces }
                }
                Key::Configured(_) => return true,
            };
            self.definitions.may_have(&folder, uuid, until)
        })
    }

    fn answer(
        &mut self,
        subject: &mut Subject,
        heard: Heard,
        source: &Source<'_>,
        until: Instant,
        notes: &mut Notes,
    ) -> Answer {
        if let Some(flaw) = subject.flaw {
            return Answer::unknown(flaw);
        }
        let Heard { told, failed, without } = heard;
        subject.not_the_systems |= without.contains(&Key::System);
        if let Some((key, told)) = told {
            let held_up = self.places.get(&key).is_some_and(Place::is_held_up);
            return subject.told(key, told, held_up, source, notes);
        }
        let absent: Vec<Key> = failed.iter().filter(|(.., absent)| *absent).map(|(key, ..)| *key).collect();
        let all_absent = absent.len() == failed.len();
        let at_home = subject.home.is_some_and(|home| failed.iter().any(|(key, ..)| *key == home));
        // whoever had it knows best
        let left_home = subject.home.is_some_and(|home| without.contains(&home));
        if all_absent
            && !without.is_empty()
            && !at_home
            && subject.process.is_none()
            && (left_home || self.defined_nowhere(subject, &absent, until))
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
        subject.untold(&reason, source)
    }
}

/// Whose a machine's process may be that no pid file names.
fn runs_as(key: Option<Key>, uid: u32) -> Vec<RunsAs> {
    match key {
        Some(Key::System) => vec![RunsAs::System],
        Some(Key::Session(uid)) => vec![RunsAs::User(uid)],
        Some(Key::Configured(_)) | None => vec![RunsAs::System, RunsAs::User(uid)],
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
                let key = (machine.owner.uid, id);
                if taken.contains(&key) {
                    return Subject::flawed("another machine has the same id");
                }
                let mut subject = before.remove(&key).unwrap_or_else(|| Subject::new(key.1.clone()));
                taken.insert(key);
                subject.belongs_to(&machine.owner);
                subject
            })
            .collect();
        for subject in &mut subjects {
            subject.refresh(&self.host);
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
            answers.push(self.answer(&mut subject, heard, &source, deadline, notes));
            if subject.flaw.is_none() {
                self.subjects.insert((subject.uid, subject.id.clone()), subject);
            }
        }
        answers
    }

    fn ahead(&mut self) -> Option<Box<dyn FnMut() + Send>> {
        Some(self.disks.ahead())
    }
}
