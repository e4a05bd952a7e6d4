//! One machine index and the projects that it names.

use super::{
    files::{self, Files, Reader, Refusal, Stamp, is_absence},
    index::{self, Entry, Index, LeftOut},
    project::{PATIENCE, Project, Unmet},
    users::{self, Place, Users, below},
};
use crate::machine::{MAX_OF_OWNER, Machine, Owner};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use twarga_plugin_api::Level;

/// So many things are said of one index and its projects; a user may have thousands of broken ones.
const MAX_TROUBLES: usize = 8;

/// Something that is not as it should be: how bad, its subject, and what it is.
pub(crate) type Trouble = (Level, String, String);

/// What all tasks need.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) root: PathBuf,
    /// As they were read last.
    pub(crate) users: Arc<Mutex<Arc<Users>>>,
    /// How long files are left alone that change with others which are looked at.
    pub(crate) pause: Duration,
}

impl Surroundings {
    pub(crate) fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known of an index.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) machines: Arc<Vec<Machine>>,
    /// Why there may be machines that were never read of.
    pub(crate) missing: Option<String>,
    pub(crate) troubles: Vec<Trouble>,
    /// The file that they were read from.
    pub(crate) file: Option<IndexFile>,
    /// None where there is no index.
    pub(crate) index: Option<IndexState>,
}

/// The file of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    pub(crate) place: files::Place,
    /// It belongs to the user in whose home it was found.
    pub(crate) own: bool,
}

/// What is known of an index that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexState {
    /// Empty where nobody can tell.
    pub(crate) owner: String,
    /// It was read, and what each of its machines is called is known.
    pub(crate) read: bool,
}

/// See the [module](self).
pub(crate) struct Home {
    place: Place,
    around: Surroundings,
    owner: Option<Owner>,
    read: Option<Stamp>,
    /// Once more, though nothing changed.
    again: bool,
    projects: Vec<Project>,
    /// When all of them were looked at.
    looked: Option<Instant>,
    left_out: Vec<LeftOut>,
    /// What was read last, since there is an index.
    good: Option<IndexFile>,
    bad: Option<Bad>,
    view: Arc<View>,
}

/// An index that can't be read.
struct Bad {
    reason: String,
    /// The agent may not read it.
    denied: bool,
    scans: u32,
}

impl Home {
    pub(crate) fn new(place: Place, around: Surroundings) -> Self {
        Self {
            owner: place.owner.clone(),
            place,
            around,
            read: None,
            again: false,
            projects: Vec::new(),
            looked: None,
            left_out: Vec::new(),
            good: None,
            bad: None,
            view: Arc::default(),
        }
    }

    /// What was known when it was read last. The same `Arc` where nothing changed.
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether all is read as it is, nothing is amiss, and nothing has changed just now.
    pub(crate) fn is_settled(&self) -> bool {
        self.bad.is_none() && !self.again && self.projects.iter().all(Project::is_settled)
    }

    /// Reads the index, where it changed. Tells whether anything is other than before.
    fn read_index(&mut self) -> bool {
        let files = Arc::clone(&self.around.files);
        let stamp = match files.stat(&self.place.path) {
            Ok(stamp) => stamp,
            Err(error) if is_absence(&error) => return self.has_none(),
            Err(error) => {
                self.read = None;
                return self.is_bad(&Refusal::Failed(error));
            }
        };
        if self.read == Some(stamp) && !self.again {
            return self.bad.as_mut().is_some_and(Bad::goes_on);
        }
        let owner = match &self.place.owner {
            Some(owner) => owner.clone(),
            None => self.around.users().by_uid(stamp.uid, stamp.gid),
        };
        let reader = Reader { uid: owner.uid, gid: owner.gid };
        self.owner = Some(owner);
        match files.read(&self.place.path, reader, index::MAX_BYTES) {
            Ok(content) => {
                (self.read, self.again) = (Some(content.stamp), !content.settled);
                match index::parse(&content.bytes) {
                    Ok(index) => {
                        let own = content.stamp.uid == reader.uid;
                        self.take(index, IndexFile { place: content.stamp.place, own })
                    }
                    Err(problem) => self.is_bad_because(problem.to_string(), false),
                }
            }
            Err(refusal) if refusal.is_absence() => self.has_none(),
            Err(refusal) => {
                (self.read, self.again) = (Some(stamp), matches!(refusal, Refusal::Failed(_)));
                self.is_bad(&refusal)
            }
        }
    }

    fn has_none(&mut self) -> bool {
        let had = self.read.is_some() || self.good.is_some() || self.bad.is_some();
        (self.read, self.good, self.bad) = (None, None, None);
        self.projects.clear();
        self.left_out.clear();
        had
    }

    fn is_bad(&mut self, refusal: &Refusal) -> bool {
        self.is_bad_because(refusal.reason(), refusal.is_denial())
    }

    fn is_bad_because(&mut self, reason: String, denied: bool) -> bool {
        match &mut self.bad {
            Some(bad) if bad.reason == reason => bad.goes_on(),
            Some(bad) => {
                (bad.reason, bad.denied) = (reason, denied);
                bad.goes_on();
                true
            }
            None => {
                self.bad = Some(Bad { reason, denied, scans: 1 });
                true
            }
        }
    }

    fn take(&mut self, Index { mut entries, mut left_out }: Index, from: IndexFile) -> bool {
        let was_good = self.bad.take().is_none() && self.good == Some(from);
        self.good = Some(from);
        if entries.len() > MAX_OF_OWNER {
            let why = "its index has too many machines";
            left_out.extend(
                entries.drain(MAX_OF_OWNER..).map(|Entry { index_id, .. }| LeftOut { index_id, why }),
            );
        }
        let changed = !was_good || self.left_out != left_out;
        self.left_out = left_out;
        let same = self.projects.len() == entries.len()
            && self.projects.iter().zip(&entries).all(|(project, entry)| project.is_of(entry));
        if same {
            return changed;
        }
        let before = self.projects.drain(..).map(|project| (project.index_id().to_owned(), project));
        let mut before: HashMap<String, Project> = before.collect();
        for entry in entries {
            let project = match before.remove(&entry.index_id) {
                Some(project) if project.is_of(&entry) => project,
                other => {
                    let mut project = Project::new(entry, &self.around.root);
                    if let Some(other) = other {
                        project.succeeds(other);
                    }
                    project
                }
            };
            self.projects.push(project);
        }
        true
    }

    fn look(&self) -> View {
        let path = self.place.path.display();
        let mut view = View { file: self.good, ..View::default() };
        let mut read = self.good.is_some() && self.left_out.is_empty();
        let mut machines = Vec::with_capacity(self.projects.len());
        let owned =
            self.owner.iter().flat_map(|owner| self.projects.iter().map(move |project| (project, owner)));
        for (project, owner) in owned {
            match project.machine(owner) {
                Ok(machine) => {
                    read &= machine.unread.is_none();
                    machines.push(machine);
                }
                Err(Unmet { early, reason }) => {
                    read = false;
                    if early {
                        view.missing = Some(format!("{path}: {reason}"));
                    }
                }
            }
            if view.troubles.len() < MAX_TROUBLES {
                view.troubles.extend(project.troubles());
            }
        }
        view.machines = if machines == *self.view.machines {
            Arc::clone(&self.view.machines)
        } else {
            Arc::new(machines)
        };
        if let Some(LeftOut { index_id, why }) = self.left_out.first() {
            let more = match self.left_out.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let text = format!("the machine {index_id} is left out: {why}{more}");
            view.troubles.push((Level::Info, format!("{path} (entries)"), text));
        }
        if let Some(bad) = &self.bad {
            // that a home is closed to the agent is as its owner wants it
            let expected = bad.denied && self.place.by_the_way;
            if self.good.is_none() && !expected {
                view.missing = Some(format!("{path}: {}", bad.reason));
            }
            if bad.scans > PATIENCE {
                let level = if expected && self.good.is_none() { Level::Info } else { Level::Warn };
                let kept = if self.good.is_some() { "; what it said before is used" } else { "" };
                view.troubles.push((level, path.to_string(), format!("{}{kept}", bad.reason)));
            }
        }
        view.index = (self.good.is_some() || self.bad.is_some()).then(|| {
            let owner = self.owner.as_ref().map(|owner| owner.name.clone());
            IndexState { owner: owner.unwrap_or_default(), read }
        });
        view
    }
}

impl Bad {
    /// Counts a scan. Tells whether that makes a difference.
    fn goes_on(&mut self) -> bool {
        self.scans += 1;
        let counts = self.scans <= PATIENCE + 1;
        self.scans = self.scans.min(PATIENCE + 1);
        counts
    }
}

impl Home {
    /// The next look is at all files.
    pub(crate) fn look_closely(&mut self) {
        self.looked = None;
    }

    /// Reads what changed. Vagrant writes the index whenever it creates or destroys a machine, after its id: projects in
    /// which nothing is amiss are looked at less often than the index.
    pub(crate) fn work(&mut self) {
        let before = self.read;
        let mut changed = self.read_index();
        let rests = self.looked.is_some_and(|since| since.elapsed() < self.around.pause);
        let closely = changed || self.read != before || !rests;
        if closely {
            self.looked = Some(Instant::now());
        }
        if let Some(owner) = &self.owner {
            let reader = Reader { uid: owner.uid, gid: owner.gid };
            for project in self.projects.iter_mut().filter(|project| closely || !project.may_rest()) {
                changed |= project.read(&*self.around.files, reader);
            }
        }
        if changed {
            let view = self.look();
            if view != *self.view {
                self.view = Arc::new(view);
            }
        }
    }
}

/// /etc/passwd.
pub(crate) struct UsersFile {
    path: PathBuf,
    around: Surroundings,
    read: Option<Stamp>,
    again: bool,
    /// Why it can't be read.
    pub(crate) bad: Option<String>,
}

impl UsersFile {
    pub(crate) fn new(around: Surroundings) -> Self {
        let path = below(&around.root, "/etc/passwd".as_ref());
        Self { path, around, read: None, again: false, bad: None }
    }

    fn take(&mut self, users: Users) {
        self.bad = None;
        let mut known = self.around.users.lock().unwrap_or_else(PoisonError::into_inner);
        if **known != users {
            *known = Arc::new(users);
        }
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.read = None;
        if refusal.is_absence() {
            self.take(Users::default());
        } else {
            self.bad = Some(format!("{}: {}", self.path.display(), refusal.reason()));
        }
    }
}

impl UsersFile {
    /// Whether it was read as it is, and had not changed just then.
    pub(crate) fn is_settled(&self) -> bool {
        self.read.is_some() && !self.again
    }

    /// Reads it, where it changed.
    pub(crate) fn work(&mut self) {
        let stamp = match self.around.files.stat(&self.path) {
            Ok(stamp) if self.read == Some(stamp) && !self.again => return,
            Ok(stamp) => stamp,
            Err(error) => return self.fail(&Refusal::Failed(error)),
        };
        // whoever it belongs to: it is the administrator's to say where it lies
        let reader = Reader { uid: stamp.uid, gid: stamp.gid };
        match self.around.files.read(&self.path, reader, users::MAX_BYTES) {
            Ok(content) => {
                (self.read, self.again) = (Some(content.stamp), !content.settled);
                self.take(Users::parse(&content.bytes, &self.around.root));
            }
            Err(refusal) => self.fail(&refusal),
        }
    }
}
