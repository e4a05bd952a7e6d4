//! Machines of libvirt: its service is asked over its socket, read-only; what it does not know, or can't say just now, is
//! read from the host.
//!
//! Processor time and uptime are the process's own, so that they go on while the service does not answer. Which service has
//! a machine, the system's or that of its owner, is learnt by its UUID.

mod client;
mod definitions;
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
use definitions::{Definitions, Folder};
use disks::{Disks, Whose};
use host::{Host, RunsAs};
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

/// What images take, or why nobody can tell, by their paths and the users whom they must belong to.
pub(crate) type Used = HashMap<(PathBuf, u32), Result<u64, Reason>>;

/// Images of users' machines of any provider, looked at so that one that hangs costs no other anything.
pub(crate) struct Images(Disks);

impl Images {
    pub(crate) fn below(root: &Path) -> Self {
        Self(Disks::new(Arc::new(Host::below(root))))
    }

    #[cfg(test)]
    pub(crate) fn with(look: impl Fn(&Path, u32) -> Result<u64, Reason> + Send + Sync + 'static) -> Self {
        let look = move |path: &Path, whose: Whose| look(path, whose.owner).map(stats::Extent::File);
        Self(Disks::with(Duration::from_secs(1), Arc::new(look)))
    }

    /// What these take, as far as that can be told by then.
    pub(crate) fn look(&mut self, files: HashSet<(PathBuf, u32)>, until: Instant) -> Used {
        if files.is_empty() {
            return Used::new();
        }
        let whose = |uid| Whose { uid: Some(uid), owner: uid };
        let images = files.into_iter().map(|(path, uid)| (path, whose(uid))).collect();
        let told = self.0.look(images, until).into_iter().map(|((path, whose), extent)| {
            let bytes = extent.and_then(|extent| match extent {
                stats::Extent::File(bytes) => Ok(bytes),
                stats::Extent::Device => Err("a disk that is no file".into()),
            });
            ((path, whose.owner), bytes)
        });
        told.collect()
    }
}

const SYSTEM: &[&str] = &["qemu:///system"];
const SESSION: &[&str] = &["qemu:///session"];
const EITHER: &[&str] = &["qemu:///system", "qemu:///session"];

/// All of /proc is looked through for processes that have no pid file, but not often.
const SEARCH_AFTER: Duration = Duration::from_secs(15);

/// In less time nothing more is asked.
const SHORTEST: Duration = Duration::from_millis(50);

/// A user's own service gets this part of a poll's time, whatever it does; so much is also left by the system's.
const SHARE: u32 = 4;

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

    /// Asks all places, each for the machines that it has or may have.
    fn survey(&mut self, subjects: &[Subject], deadline: Instant, notes: &mut Notes) -> Vec<Heard> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let mut heard: Vec<Heard> = subjects.iter().map(|_| Heard::default()).collect();
        let candidates: Vec<Vec<Key>> = subjects.iter().map(|subject| self.places_of(subject.uid)).collect();
        // the system's comes first, then the quick ones; in the second round a machine is looked for where it was not before
        let mut order: Vec<Key> = self.places.keys().copied().collect();
        order.sort_by_key(|key| (key.uid().is_some(), self.places[key].took));
        self.places.values_mut().for_each(|place| place.spent = Duration::ZERO);
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

    /// Until when a place may be asked: no user's service takes the time of others, nor does the system's where there
    /// may be others.
    fn until(&self, key: Key, others: bool, patience: Duration, deadline: Instant) -> Instant {
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
}
