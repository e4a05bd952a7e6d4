//! The provider virtualbox: VBoxManage tells what a machine is, its process what it uses.
//!
//! Each call of VBoxManage starts a program that talks to VirtualBox's service, and may hang as that does. So it is asked
//! on threads of its own, its answers are kept for a while, and only who has no answer at all waits for one.

mod command;
mod output;
mod worker;

use crate::{
    config::Config,
    finder::{Finder, Found},
    machine::{Machine, Quantity, Reading, Reason, Run, State, Value, Values},
    process::Processes,
    provider::{Answer, Notes, Provider},
};
use command::{Failure, Program};
use output::{Info, Medium};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};
use twarga_plugin_api::Level;
use worker::{Question, Told, Worker};

/// How long VBoxManage may take. The first call starts VirtualBox's service, which takes seconds.
const LIMIT: Duration = Duration::from_secs(10);
/// An address seldom changes while a machine runs, and a disk's size never fast: asked less often by these factors.
const ADDRESS_KEEPS: u32 = 4;
const MEDIUM_KEEPS: u32 = 10;
/// So long before the deadline an answer is given, lest it come too late.
const MARGIN: Duration = Duration::from_millis(50);

/// The provider.
pub(crate) struct VirtualBox {
    program: Program,
    refresh: Duration,
    limit: Duration,
    processes: Processes,
    finder: Finder,
    workers: BTreeMap<u32, Worker>,
    /// Asked, and not answered yet, and whose.
    outstanding: HashMap<Question, u32>,
    answers: (Sender<Told>, Receiver<Told>),
    known: HashMap<String, Known>,
}

/// What is known of a machine.
#[derive(Default)]
struct Known {
    info: Option<Asked<Result<Info, Failure>>>,
    address: Option<Asked<Option<String>>>,
    media: BTreeMap<String, Asked<Result<Medium, Reason>>>,
    run: Option<Run>,
    /// When the process came, went or became another one.
    changed: Option<Instant>,
}

struct Asked<T> {
    at: Instant,
    answer: T,
}

impl<T> Asked<T> {
    fn is_older(&self, age: Duration) -> bool {
        self.at.elapsed() >= age
    }
}

impl Known {
    /// Whether the answer is of before the process came or went, and can't be true any more.
    fn is_disproved(&self) -> bool {
        match (&self.info, self.changed) {
            (Some(Asked { at, answer: Ok(Info { state: Ok(state), .. }) }), Some(changed)) => {
                changed > *at && state.lives() != self.run.is_some()
            }
            _ => false,
        }
    }

    fn saw(&mut self, found: Found) {
        let run = match found {
            Found::Process(process) => Some(process.run),
            Found::None | Found::Hidden => None,
        };
        if run != self.run {
            self.run = run;
            self.changed = Some(Instant::now());
            self.address = None;
        }
    }

    /// What should be asked, the most important first.
    fn questions(&self, id: &str, refresh: Duration) -> Vec<Question> {
        let id = id.to_owned();
        let Some(info) = &self.info else { return vec![Question::Machine { id }] };
        let mut questions = Vec::new();
        if info.is_older(refresh) || self.is_disproved() {
            questions.push(Question::Machine { id: id.clone() });
        }
        let Ok(info) = &info.answer else { return questions };
        for disk in &info.disks {
            if self.media.get(disk).is_none_or(|medium| medium.is_older(refresh * MEDIUM_KEEPS)) {
                questions.push(Question::Medium { id: id.clone(), disk: disk.clone() });
            }
        }
        let keeps = |address: &Asked<Option<String>>| match address.answer {
            Some(_) => refresh * ADDRESS_KEEPS,
            None => refresh,
        };
        let address = self.address.as_ref();
        if info.state == Ok(State::Running) && address.is_none_or(|address| address.is_older(keeps(address)))
        {
            questions.push(Question::Address { id });
        }
        questions
    }

    fn take(&mut self, Told { question, answer, asked: at }: Told) {
        match question {
            Question::Machine { id } => {
                let answer = answer.and_then(|text| output::info(&text, &id).map_err(Failure::Told));
                if let Ok(info) = &answer {
                    self.media.retain(|disk, _| info.disks.contains(disk));
                }
                self.info = Some(Asked { at, answer });
            }
            Question::Address { .. } => {
                let answer = answer.ok().and_then(|text| output::address(&text));
                self.address = Some(Asked { at, answer });
            }
            Question::Medium { disk, .. } => {
                let answer = match answer {
                    Ok(text) => output::medium(&text),
                    Err(Failure::NotFound) => Err("VirtualBox does not know a disk".into()),
                    Err(Failure::Told(reason)) => Err(reason),
                };
                self.media.insert(disk, Asked { at, answer });
            }
        }
    }
}

impl VirtualBox {
    pub(crate) fn new(config: &Config) -> Self {
        let processes = Processes::below(&config.root);
        Self {
            program: Program::new(&config.virtualbox.command),
            refresh: config.virtualbox.refresh,
            limit: LIMIT,
            finder: Finder::new(processes.clone(), is_of),
            processes,
            workers: BTreeMap::new(),
            outstanding: HashMap::new(),
            answers: channel(),
            known: HashMap::new(),
        }
    }

    /// Asks what is to be asked. The questions that are worth waiting for are answered: about machines of which nothing is
    /// known yet, or of which what was known is disproved.
    fn ask(&mut self, machines: &[Machine], notes: &mut Notes) -> HashSet<Question> {
        let mut waiting = HashSet::new();
        let Some(program) = self.program.find() else { return waiting };
        // all machines first, then their disks and addresses
        let mut questions = Vec::new();
        for machine in machines.iter().filter(|machine| output::is_uuid(machine.vm())) {
            let Some(known) = self.known.get(machine.vm()) else { continue };
            let of_it = known.questions(machine.vm(), self.refresh);
            questions.extend(of_it.into_iter().map(|question| (machine, question)));
        }
        questions.sort_by_key(|(_, question)| !matches!(question, Question::Machine { .. }));
        for (machine, question) in questions {
            let uid = machine.owner.uid;
            if self.outstanding.contains_key(&question) {
                continue;
            }
            if !self.workers.contains_key(&uid) {
                match Worker::start(machine.owner.clone(), self.limit, self.answers.0.clone()) {
                    Ok(worker) => drop(self.workers.insert(uid, worker)),
                    Err(error) => {
                        notes.say(Level::Error, "VirtualBox", format!("no thread: {error}"));
                        continue;
                    }
                }
            }
            let Some(worker) = self.workers.get(&uid) else { continue };
            if worker.ask(program.to_owned(), question.clone()) {
                let known = self.known.get(question.id());
                let has_none = known.is_some_and(|known| known.info.is_none() || known.is_disproved());
                if has_none && matches!(question, Question::Machine { .. }) {
                    waiting.insert(question.clone());
                }
                self.outstanding.insert(question, uid);
            } else {
                // the thread ended, which it never should; the next round starts it anew
                self.workers.remove(&uid);
                self.outstanding.retain(|_, of| *of != uid);
            }
        }
        waiting
    }

    fn take(&mut self, told: Told) {
        self.outstanding.remove(&told.question);
        if let Some(known) = self.known.get_mut(told.question.id()) {
            known.take(told);
        }
    }

    /// Forgets machines and users that are no more.
    fn forget(&mut self, machines: &[Machine]) {
        if self.known.len() > machines.len() {
            let ids: HashSet<&str> = machines.iter().map(Machine::vm).collect();
            self.known.retain(|id, _| ids.contains(id.as_str()));
            let uids: BTreeSet<u32> = machines.iter().map(|machine| machine.owner.uid).collect();
            self.workers.retain(|uid, _| uids.contains(uid));
            self.outstanding.retain(|_, uid| uids.contains(uid));
        }
    }

    fn answer(&self, machine: &Machine, found: Found, notes: &mut Notes) -> Answer {
        if !output::is_uuid(machine.vm()) {
            return Answer::unknown("its id is no UUID");
        }
        let subject = || format!("VirtualBox machine {} ({})", machine.name, machine.vm());
        let Some(known) = self.known.get(machine.vm()) else { return Answer::unknown("not asked yet") };
        let Some(info) = &known.info else { return Answer::unknown("VBoxManage has not answered yet") };
        match &info.answer {
            Err(Failure::NotFound) => Answer::Gone,
            Err(Failure::Told(reason)) => {
                notes.say(Level::Warn, subject(), reason.clone());
                Answer::unknown(reason.clone())
            }
            Ok(_) if info.is_older(self.refresh * 2 + self.limit) => {
                Answer::unknown("VBoxManage has not answered for too long")
            }
            Ok(_) if known.is_disproved() => Answer::unknown(if known.run.is_some() {
                "its process has started, and VBoxManage has not told of it yet"
            } else {
                "its process has ended, and VBoxManage has not told why yet"
            }),
            Ok(info) => {
                notes.over(subject());
                Answer::Reading(self.reading(known, info, found).into())
            }
        }
    }

    fn reading(&self, known: &Known, info: &Info, found: Found) -> Reading {
        let at = if let Found::Process(process) = found { process.at } else { Instant::now() };
        let (state, doubt) = match &info.state {
            Ok(state) => (*state, None),
            Err(reason) => (State::Unknown, Some(reason.clone())),
        };
        let mut values = match (&doubt, state.absence()) {
            (Some(doubt), _) => Values::none(doubt.clone()),
            (None, Some(absence)) => Values::none(absence),
            (None, None) => Values::none("VBoxManage does not tell"),
        };
        values[Quantity::Vcpus] = info.vcpus.clone();
        values[Quantity::MemoryTotal] = info.memory_bytes.clone();
        values[Quantity::DiskCapacity] = known.sum(info, |medium| medium.capacity_bytes);
        values[Quantity::DiskUsed] = known.sum(info, |medium| medium.used_bytes);
        let mut run = None;
        if state.lives() {
            values[Quantity::MemoryUsed] = Err("no guest figures".into());
            let none = match found {
                Found::Process(process) => {
                    run = Some(process.run);
                    values[Quantity::CpuSeconds] = Ok(process.cpu_seconds);
                    let age = self.processes.age(process.run);
                    values[Quantity::Uptime] = age.map_err(|_| "/proc/uptime can't be read".into());
                    None
                }
                Found::None => Some("its process was not found"),
                Found::Hidden => Some("its process is hidden"),
            };
            if let Some(reason) = none {
                values[Quantity::CpuSeconds] = Err(reason.into());
                values[Quantity::Uptime] = Err(reason.into());
            }
        }
        let address = known.address.as_ref().filter(|_| state == State::Running);
        let ip_address = address.and_then(|address| address.answer.clone());
        Reading { state, doubt, run, at, ip_address, values }
    }
}

impl Known {
    /// Of all disks, or why one of them is missing.
    fn sum(&self, info: &Info, of: impl Fn(&Medium) -> f64) -> Value {
        if info.disks.is_empty() {
            return Err("no disk".into());
        }
        let size = |disk| match self.media.get(disk).map(|medium| &medium.answer) {
            Some(Ok(medium)) => Ok(of(medium)),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("VBoxManage has not answered yet".into()),
        };
        info.disks.iter().map(size).sum()
    }
}

impl Provider for VirtualBox {
    fn read(&mut self, machines: &[Machine], deadline: Instant, notes: &mut Notes) -> Vec<Answer> {
        if self.program.find().is_none() {
            notes.say(Level::Info, "VirtualBox", "is not installed: there is no VBoxManage");
            return machines.iter().map(|_| Answer::unknown("VirtualBox is not installed")).collect();
        }
        notes.over("VirtualBox");
        let found = self.finder.look(machines);
        for (machine, found) in machines.iter().zip(&found) {
            self.known.entry(machine.vm().to_owned()).or_default().saw(*found);
        }
        self.forget(machines);
        while let Ok(told) = self.answers.1.try_recv() {
            self.take(told);
        }
        let mut waiting = self.ask(machines, notes);
        while !waiting.is_empty() {
            let patience = deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
            let Ok(told) = self.answers.1.recv_timeout(patience) else { break };
            waiting.remove(&told.question);
            self.take(told);
        }
        // what the answers lead to is not waited for
        self.ask(machines, notes);
        machines.iter().zip(found).map(|(machine, found)| self.answer(machine, found, notes)).collect()
    }
}

/// Whether this is a program that runs the machine: `VBoxHeadless --comment NAME --startvm UUID`.
fn is_of(arguments: &[String], id: &str) -> bool {
    let Some((program, arguments)) = arguments.split_first() else { return false };
    let program = program.rsplit('/').next().unwrap_or_default();
    ["VBoxHeadless", "VirtualBoxVM", "VirtualBox", "VBoxSDL"].contains(&program)
        && arguments
            .windows(2)
            .any(|pair| matches!(pair[0].as_str(), "--startvm" | "-startvm" | "-s") && pair[1] == id)
}

#[cfg(test)]
mod tests;
