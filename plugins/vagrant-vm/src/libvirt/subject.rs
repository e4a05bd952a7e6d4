//! A machine from poll to poll: where it is, its process, and what need not be asked each time.

mod look_up;

use super::{
    Key,
    disks::{Extents, Image, Whose},
    host::{Fate, Host, wall_clock},
    place::{Condition, Told, Wanted},
    stats::{Known, QEMU_SILENT, Stats},
    wire::Domain,
};
use crate::{
    machine::{Owner, Quantity, Reading, Reason, Run, State, Values},
    process::{Kept, Process},
    provider::{Answer, Notes},
};
use look_up::{Address, Drives};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use twarga_plugin_api::Level;

const ENDED: &str = "its process ended, and libvirt has not said how";

/// See the [module](self).
pub(super) struct Subject {
    /// In small letters.
    pub(super) id: String,
    pub(super) uuid: Option<[u8; 16]>,
    /// Why it can't be asked for, where it can't.
    pub(super) flaw: Option<&'static str>,
    pub(super) uid: u32,
    pub(super) owner_home: PathBuf,
    /// Which place has it.
    pub(super) home: Option<Key>,
    /// The system's service has said that it doesn't have it: only then a user's own may be believed for good.
    pub(super) not_the_systems: bool,
    /// libvirt's name for it; empty until it is known.
    pub(super) name: String,
    /// Its process, as it was read in this poll.
    pub(super) process: Option<Process>,
    /// The open status of the process that it had last.
    status: Option<Kept>,
    /// Which place was taken to have it when its process was found.
    pub(super) found_for: Option<Key>,
    /// The process could not be read in this poll, and may be there.
    doubtful: Option<Run>,
    /// Its process is gone without a word of libvirt's.
    ended: bool,
    /// The last state that libvirt told, and of which process.
    state: Option<State>,
    run: Option<Run>,
    /// What QEMU told at last, and in which run.
    told: Option<(RunKey, Stats)>,
    drives: Option<Drives>,
    address: Address,
    noted: bool,
}

/// libvirt's number of a run, which is -1 for all times when it is off and may come again after a restart of the service;
/// and the process.
type RunKey = (i32, Option<Run>);

/// The host, at the time of this poll.
pub(super) struct Source<'a> {
    host: &'a Host,
    extents: &'a Extents,
    host_age: Option<f64>,
    wall_clock: u64,
}

impl<'a> Source<'a> {
    pub(super) fn now(host: &'a Host, extents: &'a Extents) -> Self {
        Self { host, extents, host_age: host.age(), wall_clock: wall_clock() }
    }
}

impl Subject {
    pub(super) fn new(id: String) -> Self {
        let uuid = parse_uuid(&id);
        Self {
            uuid,
            flaw: uuid.is_none().then_some("its id is no UUID"),
            id,
            uid: 0,
            owner_home: PathBuf::new(),
            home: None,
            not_the_systems: false,
            name: String::new(),
            process: None,
            status: None,
            found_for: None,
            doubtful: None,
            ended: false,
            state: None,
            run: None,
            told: None,
            drives: None,
            address: Address::default(),
            noted: false,
        }
    }

    pub(super) fn flawed(flaw: &'static str) -> Self {
        Self { flaw: Some(flaw), ..Self::new(String::new()) }
    }

    pub(super) fn belongs_to(&mut self, owner: &Owner) {
        self.uid = owner.uid;
        if self.owner_home != owner.home {
            self.owner_home.clone_from(&owner.home);
        }
    }

    /// As the service wants to be asked for it.
    pub(super) fn wanted(&self) -> Option<Wanted<'_>> {
        let name = asked_name(&self.name);
        let process = if self.is_stopped() {
            Condition::Stopped
        } else if self.ended {
            Condition::Ended
        } else {
            Condition::Well
        };
        Some(Wanted { domain: Domain { name, uuid: self.uuid?, id: -1 }, process })
    }

    fn is_stopped(&self) -> bool {
        self.process.is_some_and(|process| matches!(process.state, 'T' | 't'))
    }

    /// Reads its process anew; its status may be kept open.
    pub(super) fn refresh(&mut self, host: &Host) {
        let run = self.process.map(|process| process.run).or(self.doubtful);
        let fate = run.map(|run| (run, host.fate_again(run, &mut self.status)));
        if run.is_none() {
            self.status = None;
        }
        (self.process, self.doubtful) = match fate {
            Some((_, Fate::Lives(process))) => (Some(process), None),
            Some((run, Fate::Unknown)) => (None, Some(run)),
            Some((_, Fate::Ended)) => {
                self.ended = true;
                (None, None)
            }
            None => (None, None),
        };
    }

    /// Whether it should have a process, or may have one, and none is known.
    pub(super) fn lacks_process(&self, told: Option<&Told>) -> bool {
        let lives = told.is_none_or(|told| told.stats.state(None).is_ok_and(State::lives));
        self.uuid.is_some() && self.process.is_none() && self.doubtful.is_none() && lives
    }

    /// This place has it. What another one said of it says nothing of this one.
    fn is_at(&mut self, key: Key) {
        if self.home.is_some_and(|home| home != key) {
            (self.state, self.run, self.told, self.drives) = (None, None, None, None);
            self.address = Address::default();
        }
        self.home = Some(key);
    }

    /// What is true of it now that libvirt told this.
    pub(super) fn told(
        &mut self,
        key: Key,
        told: Told,
        held_up: bool,
        source: &Source<'_>,
        notes: &mut Notes,
    ) -> Answer {
        let Told { at, name, id, mut stats, .. } = told;
        self.is_at(key);
        self.name = name;
        let state = match stats.state(self.state) {
            Ok(state) => state,
            Err(reason) => return Answer::unknown(reason),
        };
        if !state.lives() {
            self.process = None;
            self.ended = false;
        } else if self.process.is_some() {
            self.ended = false;
        } else if self.ended {
            // a service that was restarted, or is about to learn it
            return self.reading(State::Unknown, Some(ENDED.into()), Values::none(ENDED), at);
        }
        let run = self.run_key(id);
        let silent = self.silence(state, &stats, held_up);
        if silent.is_none() {
            self.told = Some((run, stats.clone()));
        } else if let Some((of, before)) = &self.told
            && *of == run
        {
            stats.complete(before);
        }
        self.note(silent.as_deref().filter(|_| held_up || self.is_stopped()).map(String::from), notes);
        self.state = Some(state);
        self.run = self.process.map(|process| process.run);
        let values = stats.values(state, &self.known(source, silent.as_deref()));
        self.reading(state, None, values, at)
    }

    fn run_key(&self, id: i32) -> RunKey {
        (id, self.process.map(|process| process.run).or(self.doubtful))
    }

    /// Why QEMU tells nothing, where it doesn't.
    fn silence(&self, state: State, stats: &Stats, held_up: bool) -> Option<Reason> {
        if !state.lives() || stats.qemu_spoke() {
            None
        } else if self.is_stopped() {
            Some(format!("{QEMU_SILENT}: its process is stopped").into())
        } else if held_up {
            Some(QEMU_SILENT.into())
        } else {
            Some("qemu is busy with another request".into())
        }
    }

    fn note(&mut self, text: Option<String>, notes: &mut Notes) {
        if text.is_some() || self.noted {
            let name = if self.name.is_empty() { &self.id } else { &self.name };
            let subject = format!("libvirt machine {name}");
            self.noted = text.is_some();
            match text {
                Some(text) => notes.say(Level::Warn, subject, text),
                None => notes.over(subject),
            }
        }
    }

    /// What is true of it while libvirt tells nothing, for this reason.
    pub(super) fn untold(&mut self, reason: &Reason, source: &Source<'_>) -> Answer {
        let run = self.process.map(|process| process.run);
        self.ended &= run.is_none();
        let state = match (run, self.doubtful, self.run) {
            // of the same process the last word stands
            (Some(run), _, Some(last)) if run == last => self.state,
            // what was off is off, as long as a process would be seen
            (None, None, None) => self.state.filter(|state| {
                !state.lives() && source.host.shows_processes_of(self.home.and_then(Key::uid))
            }),
            // where a process ended, none but libvirt can tell how
            _ => None,
        };
        let mut values = Values::none(reason.clone());
        let known = self.known(source, Some(reason));
        if let Some(process) = self.process {
            values[Quantity::CpuSeconds] = Ok(process.cpu_seconds);
            values[Quantity::Uptime] = known.uptime();
        }
        match &self.told {
            // they can't have changed in the same run
            Some(((_, Some(of)), stats)) if Some(*of) == run => stats.put_sizes(&mut values, &known),
            Some((_, stats)) => values[Quantity::DiskUsed] = stats.disk_used(&known),
            None => {}
        }
        drop(known);
        let now = Instant::now();
        let Some(state) = state else {
            let doubt = if self.ended { ENDED.into() } else { reason.clone() };
            return self.reading(State::Unknown, Some(doubt), values, now);
        };
        if let Some(absence) = state.absence() {
            for quantity in Quantity::ALL.into_iter().filter(|quantity| !quantity.outlives_a_run()) {
                values[quantity] = Err(absence.into());
            }
        }
        self.reading(state, None, values, now)
    }

    /// `at` is when libvirt told what it did. The process was read at a time of its own, maybe long before.
    fn reading(&self, state: State, doubt: Option<Reason>, values: Values, at: Instant) -> Answer {
        let address = self.address.known.filter(|_| state.lives());
        let run = self.process.map(|process| process.run);
        let at = self.process.map_or(at, |process| process.at);
        let ip_address = address.map(|address| address.to_string());
        Answer::Reading(Box::new(Reading { state, doubt, run, at, ip_address, values }))
    }

    fn known<'a>(&'a self, source: &Source<'a>, silent: Option<&'a str>) -> Known<'a> {
        let extents = source.extents;
        let whose = self.whose(self.home);
        let removable = match &self.drives {
            Some(drives) => drives.removable.as_ref().map_err(|reason| *reason),
            None => Err("its definition was not read yet"),
        };
        Known {
            process: self.process,
            host_age: source.host_age,
            ticks_per_second: source.host.ticks_per_second,
            wall_clock: source.wall_clock,
            removable,
            silent,
            extent: Box::new(move |path: &Path| {
                let found = extents.get(&(path.to_owned(), whose)).cloned();
                found.unwrap_or_else(|| Err("a disk image was not looked at".into()))
            }),
        }
    }

    /// Its disk images, as it was told now, or at last.
    pub(super) fn images(&self, told: Option<(Key, &Stats)>) -> Vec<Image> {
        let whose = self.whose(told.map(|(key, _)| key).or(self.home));
        let now = told.map(|(_, stats)| stats).filter(|stats| !stats.blocks().is_empty());
        let Some(stats) = now.or(self.told.as_ref().map(|(_, stats)| stats)) else { return Vec::new() };
        let paths = stats.blocks().iter().filter_map(|block| block.path.as_deref());
        paths.filter(|path| path.starts_with('/')).map(|path| (PathBuf::from(path), whose)).collect()
    }

    fn whose(&self, home: Option<Key>) -> Whose {
        Whose { uid: home.and_then(Key::uid), owner: self.uid }
    }

    /// It is gone from where it was.
    pub(super) fn forget(&mut self) {
        let owner_home = std::mem::take(&mut self.owner_home);
        let (uid, home, not_the_systems) = (self.uid, self.home, self.not_the_systems);
        *self = Self { uid, owner_home, home, not_the_systems, ..Self::new(std::mem::take(&mut self.id)) };
    }
}

/// The service looks at the UUID alone, but a name there must be.
fn asked_name(name: &str) -> &str {
    if name.is_empty() { "-" } else { name }
}

/// `3cd62cad-25af-45d2-90a8-171a56a7ff12`
pub(super) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let hyphens = [8, 13, 18, 23];
    if text.len() != 36 || hyphens.iter().any(|at| text.as_bytes()[*at] != b'-') {
        return None;
    }
    let digits = text.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte).to_digit(16));
    let digits = digits.collect::<Option<Vec<u32>>>().filter(|digits| digits.len() == 32)?;
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::try_from(pair[0] * 16 + pair[1]).ok()?;
    }
    Some(uuid)
}
