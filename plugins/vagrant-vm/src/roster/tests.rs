#![allow(clippy::unwrap_used, reason = "tests")]

mod owners;

use super::*;
use crate::{finder::tests as finder, machine::Owner};
use owners::{mallorys, owned};
use std::{
    fs,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};
use twarga_plugin_api::{Level, crew::Timing};

/// Answers from a table; what is not in it is gone. Waits for a word first, where it is told to hang.
struct Scripted {
    table: Arc<Mutex<BTreeMap<String, Answer>>>,
    hang: Option<Receiver<()>>,
}

impl Provider for Scripted {
    fn read(&mut self, machines: &[Machine], _: Instant, _: &mut Notes) -> Vec<Answer> {
        if let Some(hang) = &self.hang {
            let _ = hang.recv();
        }
        let table = self.table.lock().unwrap();
        // what is said of an id, or to one owner by one kind of provider alone
        let said = |machine: &Machine| {
            let own = format!("{} {} {}", machine.owner.name, machine.vm(), machine.provider);
            table.get(&own).or_else(|| table.get(machine.vm())).cloned().unwrap_or(Answer::Gone)
        };
        machines.iter().map(said).collect()
    }
}

struct Panics;

impl Provider for Panics {
    fn read(&mut self, _: &[Machine], _: Instant, _: &mut Notes) -> Vec<Answer> {
        panic!("on purpose")
    }
}

fn crew() -> Arc<Crew<Job>> {
    Arc::new(Crew::new("test-crew", Timing::default()))
}

struct Bench {
    roster: Roster,
    table: Arc<Mutex<BTreeMap<String, Answer>>>,
    scan: Arc<Vec<Machine>>,
}

impl Bench {
    fn new(settled: Duration) -> Self {
        let table = Arc::<Mutex<BTreeMap<String, Answer>>>::default();
        let roster = Self::roster(&table, settled);
        Self { roster, table, scan: Arc::default() }
    }

    fn roster(table: &Arc<Mutex<BTreeMap<String, Answer>>>, settled: Duration) -> Roster {
        let answers = Arc::clone(table);
        let open: Opener =
            Box::new(move |_, _| Box::new(Scripted { table: Arc::clone(&answers), hang: None }));
        Roster::opening(Config::default(), crew(), settled, open)
    }

    /// One that knows nothing yet.
    fn again(&self) -> Roster {
        Self::roster(&self.table, self.roster.settled)
    }

    fn doubts(&mut self, id: &str) -> &mut Self {
        let answer = Answer::unknown("libvirt does not answer");
        self.table.lock().unwrap().insert(id.into(), answer);
        self
    }

    fn scan(&mut self, machines: &[Machine]) -> &mut Self {
        self.scan = Arc::new(machines.to_vec());
        self
    }

    fn says(&mut self, id: &str, state: State) -> &mut Self {
        let mut reading = Reading::unknown("");
        (reading.state, reading.doubt) = (state, None);
        self.table.lock().unwrap().insert(id.into(), Answer::Reading(reading.into()));
        self
    }

    fn forgets(&mut self, id: &str) -> &mut Self {
        self.table.lock().unwrap().remove(id);
        self
    }

    /// `vm state` of all that is told.
    fn told(&mut self) -> Vec<String> {
        all_told(&mut self.roster, &self.scan)
    }
}

fn all_told(roster: &mut Roster, scan: &Arc<Vec<Machine>>) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    told_by(roster, scan, deadline).0
}

fn told_by(roster: &mut Roster, scan: &Arc<Vec<Machine>>, deadline: Instant) -> (Vec<String>, Vec<String>) {
    let mut notes = Notes::default();
    let told = roster.ask(scan, deadline, &mut notes);
    let line = |told: Told<'_>| match told.reading.doubt {
        Some(doubt) => format!("{} unknown: {doubt}", told.vm),
        None => format!("{} {}", told.vm, told.reading.state.word()),
    };
    let lines = told.into_iter().map(line).collect();
    let notes =
        notes.take().into_iter().filter_map(|note| Some(format!("{}: {}", note.subject, note.said?.1)));
    (lines, notes.collect())
}

fn machine(index_id: &str, id: Option<&str>, provider: &str) -> Machine {
    Machine {
        index_id: index_id.into(),
        id: id.map(Into::into),
        name: format!("name-of-{index_id}"),
        provider: provider.into(),
        project: "/project".into(),
        box_name: String::new(),
        owner: Owner { name: "me".into(), uid: 1000, gid: 1000, home: "/home/me".into() },
        unread: None,
        vm_info: None,
    }
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn each_provider_is_asked_for_its_own() {
    let mut bench = Bench::new(LONG);
    let machines = [
        machine("a", Some("1"), "libvirt"),
        machine("b", Some("2"), "virtualbox"),
        machine("c", Some("3"), "vmware_desktop"),
        machine("d", None, "libvirt"),
    ];
    bench.scan(&machines).says("1", State::Running).says("2", State::Saved).says("3", State::Paused);
    assert_eq!(bench.told(), ["1 running", "2 saved", "3 paused", "d not_created"]);
    assert_eq!(bench.roster.seats.len(), 3);
    bench.scan(&machines[..1]);
    bench.forgets("2").forgets("3");
    // those that left the index are asked for once more, then they are no more, and their providers neither
    assert_eq!(bench.told(), ["1 running"]);
    assert_eq!(bench.told(), ["1 running"]);
    assert_eq!(bench.roster.seats.len(), 1);
}

#[test]
fn a_machine_that_left_the_index_stays_while_its_hypervisor_has_it() {
    let mut bench = Bench::new(LONG);
    bench.scan(&[machine("a", Some("1"), "libvirt")]).says("1", State::Running);
    assert_eq!(bench.told(), ["1 running"]);
    for _ in 0..3 {
        bench.scan(&[]);
        assert_eq!(bench.told(), ["1 running"]);
    }
    // it is in another index now, by another key: one machine still
    bench.scan(&[machine("b", Some("1"), "libvirt")]);
    assert_eq!(bench.told(), ["1 running"]);
    bench.scan(&[]).forgets("1");
    assert_eq!(bench.told(), [""; 0]);
    bench.says("1", State::Running);
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn a_machine_destroyed_behind_vagrants_back_is_not_created_once_that_has_settled() {
    let mut bench = Bench::new(LONG);
    bench.scan(&[machine("a", Some("1"), "libvirt")]).says("1", State::Running);
    assert_eq!(bench.told(), ["1 running"]);
    bench.forgets("1");
    assert_eq!(bench.told(), [""; 0]);
    bench.roster.settled = Duration::ZERO;
    assert_eq!(bench.told(), ["a not_created"]);
    bench.says("1", State::Shutoff);
    assert_eq!(bench.told(), ["1 shutoff"]);
}

#[test]
fn an_id_that_is_lost_for_a_moment_is_remembered() {
    let mut bench = Bench::new(LONG);
    bench.scan(&[machine("a", Some("1"), "libvirt")]).says("1", State::Running);
    assert_eq!(bench.told(), ["1 running"]);
    bench.scan(&[machine("a", None, "libvirt")]);
    assert_eq!(bench.told(), ["1 running"]);
    assert_eq!(bench.told(), ["1 running"]);
    bench.roster.settled = Duration::ZERO;
    assert_eq!(bench.told(), ["a not_created"]);
    bench.scan(&[machine("a", Some("2"), "libvirt")]).says("2", State::Running);
    assert_eq!(bench.told(), ["2 running"]);
}

#[test]
fn two_machines_with_one_id_are_one() {
    let mut bench = Bench::new(LONG);
    bench.scan(&[machine("a", Some("1"), "libvirt"), machine("b", Some("1"), "libvirt")]);
    bench.says("1", State::Running);
    let (told, notes) =
        told_by(&mut bench.roster, &bench.scan.clone(), Instant::now() + Duration::from_secs(20));
    assert_eq!(told, ["1 running"]);
    assert_eq!(
        notes,
        ["machines of me: name-of-b in /project is left out: it has the id of another machine"]
    );
}

#[test]
fn one_that_hangs_delays_nobody_and_is_asked_again_when_it_is_back() {
    let (release, hang): (Sender<()>, _) = channel();
    let mut hang = Some(hang);
    let table = Arc::new(Mutex::new(BTreeMap::new()));
    let mut reading = Reading::unknown("");
    (reading.state, reading.doubt) = (State::Running, None);
    for id in ["1", "2"] {
        table.lock().unwrap().insert(id.to_owned(), Answer::Reading(reading.clone().into()));
    }
    let open: Opener = Box::new(move |source, _| {
        let hang = if source == Source::Libvirt { hang.take() } else { None };
        Box::new(Scripted { table: Arc::clone(&table), hang })
    });
    let mut roster = Roster::opening(Config::default(), crew(), LONG, open);
    let scan = Arc::new(vec![machine("a", Some("1"), "libvirt"), machine("b", Some("2"), "virtualbox")]);
    let soon = || Instant::now() + Duration::from_millis(20);
    // the first one has to be waited for; the other's answer may be late on a busy machine
    let (told, notes) = told_by(&mut roster, &scan, soon());
    assert_eq!(told[0], "1 unknown: libvirt does not answer");
    assert!(notes.contains(&"provider libvirt: does not answer".into()), "{notes:?}");
    // from now on nobody waits for it: a far deadline makes no difference
    for _ in 0..3 {
        assert_eq!(all_told(&mut roster, &scan), ["1 unknown: libvirt does not answer", "2 running"]);
    }
    // what it was asked then is of no use any more: it is asked anew
    for _ in 0..2 {
        release.send(()).unwrap();
    }
    drop(release);
    for attempt in 0.. {
        let told = all_told(&mut roster, &scan);
        if told == ["1 running", "2 running"] {
            break;
        }
        assert!(attempt < 1_000_000, "{told:?}");
        std::thread::yield_now();
    }
}

#[test]
fn one_that_panics_is_started_anew() {
    let mut opened = 0;
    let table = Arc::new(Mutex::new(BTreeMap::new()));
    let open: Opener = Box::new(move |_, _| {
        opened += 1;
        if opened == 1 {
            return Box::new(Panics);
        }
        Box::new(Scripted { table: Arc::clone(&table), hang: None })
    });
    let mut roster = Roster::opening(Config::default(), crew(), LONG, open);
    let scan = Arc::new(vec![machine("a", Some("1"), "libvirt")]);
    assert_eq!(all_told(&mut roster, &scan), ["1 unknown: libvirt failed"]);
    assert_eq!(all_told(&mut roster, &scan), [""; 0]);
}

#[test]
fn a_provider_that_is_switched_off_is_not_asked() {
    let mut bench = Bench::new(LONG);
    bench.roster.config.libvirt.enabled = false;
    bench.scan(&[machine("a", Some("1"), "libvirt")]).says("1", State::Running);
    assert_eq!(bench.told(), ["1 unknown: libvirt is disabled in the configuration"]);
    assert!(bench.roster.seats.is_empty());
}

#[test]
fn a_machine_without_a_service_is_gone_once_neither_the_index_nor_a_process_has_it() {
    let root = finder::root();
    let mut roster = Roster::new(Config { root: root.path().into(), ..Config::default() }, crew());
    let listed = Arc::new(vec![finder::machine("qemu", "vq_a"), finder::machine("docker", "d")]);
    let mut states = |machines: &Arc<Vec<Machine>>| -> Vec<(String, State)> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let told = roster.ask(machines, deadline, &mut Notes::default());
        told.iter().map(|told| (told.vm.to_owned(), told.reading.state)).collect()
    };
    finder::process(root.path(), 7, 70, 'S', 1000, &["kvm", "-name", "vq_a"]);
    let both = [("vq_a".to_owned(), State::Running), ("d".to_owned(), State::Unknown)];
    assert_eq!(states(&listed), both);
    let none = Arc::default();
    assert_eq!(states(&none), both[..1], "it runs still");
    fs::remove_dir_all(root.path().join("proc/7")).unwrap();
    assert_eq!(states(&none), []);
    // listed without a process, it is off
    let states = states(&listed);
    assert_eq!(states[0], ("vq_a".to_owned(), State::Shutoff));
}

/// Counts how often it is asked; all its machines run.
struct Counts(Arc<Mutex<usize>>);

impl Provider for Counts {
    fn read(&mut self, machines: &[Machine], _: Instant, _: &mut Notes) -> Vec<Answer> {
        *self.0.lock().unwrap() += 1;
        let mut reading = Reading::unknown("");
        (reading.state, reading.doubt) = (State::Running, None);
        machines.iter().map(|_| Answer::Reading(reading.clone().into())).collect()
    }
}

#[test]
fn who_was_asked_in_advance_is_not_asked_again_unless_the_machines_are_others() {
    let count = Arc::new(Mutex::new(0));
    let asked = || std::mem::take(&mut *count.lock().unwrap());
    let counted = Arc::clone(&count);
    let open: Opener = Box::new(move |_, _| Box::new(Counts(Arc::clone(&counted))));
    let crew = crew();
    let mut roster = Roster::opening(Config::default(), Arc::clone(&crew), LONG, open);
    let far = || Instant::now() + Duration::from_secs(20);
    let one = Arc::new(vec![machine("a", Some("1"), "libvirt")]);
    // nobody is known yet
    roster.prepare(far());
    assert_eq!((all_told(&mut roster, &one), asked()), (vec!["1 running".to_owned()], 1));
    for _ in 0..3 {
        roster.prepare(far());
        crew.round(far(), |_| true).unwrap();
        assert_eq!(asked(), 1);
        assert_eq!((all_told(&mut roster, &one), asked()), (vec!["1 running".to_owned()], 0));
    }
    // an answer is of one poll
    assert_eq!((all_told(&mut roster, &one), asked()), (vec!["1 running".to_owned()], 1));
    roster.prepare(far());
    crew.round(far(), |_| true).unwrap();
    let two = Arc::new(vec![machine("a", Some("1"), "libvirt"), machine("b", Some("2"), "libvirt")]);
    assert_eq!(all_told(&mut roster, &two), ["1 running", "2 running"]);
    assert_eq!(asked(), 2);
    assert!(roster.is_settled());
}

#[test]
fn rivals_are_asked_in_advance_each_at_a_desk_of_its_own() {
    let mut bench = Bench::new(LONG);
    bench.scan(&[mallorys("m", Some("1"), "libvirt"), machine("a", Some("1"), "libvirt")]);
    let far = || Instant::now() + Duration::from_secs(20);
    bench.says("me 1 libvirt", State::Running);
    assert_eq!(owned(&mut bench), ["me 1 running"]);
    assert_eq!(bench.roster.seats.len(), 2);
    bench.roster.prepare(far());
    bench.roster.crew.round(far(), |_| true).unwrap();
    // both were asked before this
    bench.says("mallory 1 libvirt", State::Paused).says("me 1 libvirt", State::Saved);
    assert_eq!(owned(&mut bench), ["me 1 running"]);
    bench.roster.prepare(far());
    bench.roster.crew.round(far(), |_| true).unwrap();
    assert_eq!(owned(&mut bench), ["me 1 saved"], "who was shown stays");
}

/// Notes how often it was asked.
struct Talks(usize);

impl Provider for Talks {
    fn read(&mut self, machines: &[Machine], _: Instant, notes: &mut Notes) -> Vec<Answer> {
        self.0 += 1;
        notes.say(Level::Warn, "it", self.0.to_string());
        machines.iter().map(|_| Answer::Gone).collect()
    }
}

#[test]
fn what_is_noted_in_advance_is_said_though_the_machines_are_others() {
    let crew = crew();
    let open: Opener = Box::new(|_, _| Box::new(Talks(0)));
    let mut roster = Roster::opening(Config::default(), Arc::clone(&crew), LONG, open);
    let far = || Instant::now() + Duration::from_secs(20);
    let one = Arc::new(vec![machine("a", Some("1"), "libvirt")]);
    assert_eq!(told_by(&mut roster, &one, far()).1, ["it: 1"]);
    roster.prepare(far());
    crew.round(far(), |_| true).unwrap();
    let two = Arc::new(vec![machine("a", Some("1"), "libvirt"), machine("b", Some("2"), "libvirt")]);
    assert_eq!(told_by(&mut roster, &two, far()).1, ["it: 2", "it: 3"]);
}
