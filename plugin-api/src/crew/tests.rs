#![allow(clippy::unwrap_used, reason = "tests")]

mod stress;
mod threads;

use super::{state::MAX_THREADS, *};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Counts what it did; waits at its gate first, if it has one.
struct Counting {
    done: usize,
    gate: Option<Receiver<()>>,
    panics: bool,
}

impl Task for Counting {
    fn work(&mut self) {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        assert!(!std::mem::take(&mut self.panics), "planned");
        self.done += 1;
    }
}

fn free() -> Counting {
    Counting { done: 0, gate: None, panics: false }
}

fn gated() -> (Sender<()>, Counting) {
    let (open, gate) = channel();
    (open, Counting { gate: Some(gate), ..free() })
}

fn counts(crew: &Crew<Counting>) -> Vec<Option<usize>> {
    let mut counts = Vec::new();
    crew.each(|_, seen| {
        counts.push(match seen {
            Seen::Idle(task) => Some(task.done),
            _ => None,
        });
    });
    counts
}

fn soon(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

fn until(holds: impl Fn() -> bool) {
    let bound = soon(60_000);
    while !holds() {
        assert!(Instant::now() < bound);
        thread::yield_now();
    }
}

const TIMING: Timing = Timing { handover: Duration::from_millis(20), slow: Duration::from_secs(60) };

#[test]
fn one_thread_does_all() {
    let crew = Crew::new("test-crew", TIMING);
    for _ in 0..100 {
        crew.add(free());
    }
    for round in 1..=3 {
        crew.round(soon(60_000), |_| true).unwrap();
        assert_eq!(counts(&crew), vec![Some(round); 100]);
    }
    crew.round(soon(60_000), |at| at == 7).unwrap();
    assert_eq!(counts(&crew)[6..9], [Some(3), Some(4), Some(3)]);
}

#[test]
fn who_hangs_keeps_a_thread_and_nothing_else() {
    let crew = Crew::new("test-crew", TIMING);
    let (open, hanging) = gated();
    crew.add(hanging);
    let other = crew.add(free());
    crew.round(soon(200), |_| true).unwrap();
    assert_eq!(counts(&crew), [None, Some(1)]);
    for round in 2..5 {
        crew.round(soon(60_000), |_| true).unwrap();
        assert_eq!(counts(&crew), [None, Some(round)]);
    }
    assert_eq!(crew.threads(), 2);
    drop(open);
    let bound = soon(60_000);
    while counts(&crew)[0].is_none() {
        assert!(Instant::now() < bound);
        thread::yield_now();
    }
    crew.remove(other);
    assert_eq!(crew.add(free()), other, "its place is free");
}

#[test]
fn a_place_is_not_free_while_its_task_hangs() {
    let crew = Crew::new("test-crew", TIMING);
    let (_open, hanging) = gated();
    let at = crew.add(hanging);
    crew.round(soon(50), |_| true).unwrap();
    crew.remove(at);
    assert_ne!(crew.add(free()), at);
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(counts(&crew), [Some(1)]);
}

/// Hangs at work, and then when it is dropped.
struct Sticky {
    worked: bool,
    work: Option<Receiver<()>>,
    dropping: Sender<()>,
    end: Receiver<()>,
}

impl Task for Sticky {
    fn work(&mut self) {
        if let Some(gate) = self.work.take() {
            let _ = gate.recv();
        }
        self.worked = true;
    }
}

impl Drop for Sticky {
    fn drop(&mut self) {
        let _ = self.dropping.send(());
        let _ = self.end.recv();
    }
}

#[test]
fn a_task_that_was_removed_and_hangs_when_it_is_dropped_holds_up_nobody() {
    let crew = Crew::new("test-crew", TIMING);
    let sticky = |work| {
        let ((dropping, dropped), (release, end)) = (channel(), channel());
        (Sticky { worked: false, work, dropping, end }, dropped, release)
    };
    let (open, gate) = channel();
    let (task, dropped, release) = sticky(Some(gate));
    let at = crew.add(task);
    crew.begin(|_| true).unwrap();
    until(|| crew.with(at, |_| ()).is_none());
    crew.remove(at);
    // removed, nobody waits for it
    crew.wait(soon(600_000)).unwrap();
    drop(open);
    dropped.recv_timeout(Duration::from_secs(60)).unwrap();
    // it is being dropped all this time
    let (task, _other_dropped, other_release) = sticky(None);
    let other = crew.add(task);
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!((crew.with(other, |task| task.worked), crew.threads()), (Some(true), 2));
    drop((release, other_release));
}

#[test]
fn a_place_that_is_none_has_no_task() {
    let crew = Crew::<Counting>::new("test-crew", TIMING);
    crew.remove(7);
    assert!(crew.with(7, |_| ()).is_none());
}

#[test]
fn a_task_that_panics_is_done_again() {
    let crew = Crew::new("test-crew", TIMING);
    crew.add(Counting { panics: true, ..free() });
    crew.add(free());
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(counts(&crew), [Some(0), Some(1)]);
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(counts(&crew), [Some(1), Some(2)]);
}

#[test]
fn a_crew_that_is_not_to_last_has_threads_in_its_rounds_alone() {
    let crew = Crew::new("test-crew", TIMING);
    crew.add(free());
    let ended = |crew: &Crew<Counting>| {
        let bound = soon(60_000);
        while crew.threads() > 0 {
            assert!(Instant::now() < bound);
            thread::yield_now();
        }
    };
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(crew.threads(), 1);
    crew.set_lasting(false);
    ended(&crew);
    for round in 2..5 {
        crew.round(soon(60_000), |_| true).unwrap();
        assert_eq!(counts(&crew), [Some(round)]);
        ended(&crew);
    }
    crew.set_lasting(true);
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!((counts(&crew), crew.threads()), (vec![Some(5)], 1));
}

#[test]
fn threads_end_with_their_owner() {
    let (open, hanging) = gated();
    let crew = Crew::new("test-crew", TIMING);
    crew.add(hanging);
    crew.add(free());
    crew.round(soon(200), |_| true).unwrap();
    let shared = Arc::clone(&crew.shared);
    drop(crew);
    assert_eq!(shared.lock().threads, 1, "the one that hangs");
    drop(open);
    let bound = soon(60_000);
    while shared.lock().threads > 0 {
        assert!(Instant::now() < bound);
        thread::yield_now();
    }
}

/// Notes its name, after its gate.
struct Named {
    name: &'static str,
    rank: Rank,
    due: bool,
    gate: Option<Receiver<()>>,
    log: Sender<&'static str>,
}

impl Task for Named {
    fn work(&mut self) {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        let _ = self.log.send(self.name);
    }

    fn rank(&self, _: bool) -> Rank {
        self.rank
    }

    fn is_due(&self) -> bool {
        self.due
    }
}

/// A crew, where each task's place is, and what was done.
fn named(timing: Timing, tasks: &[(&'static str, Rank)]) -> (Crew<Named>, Receiver<&'static str>) {
    let (log, done) = channel();
    let crew = Crew::new("test-crew", timing);
    for (name, rank) in tasks {
        crew.add(Named { name, rank: *rank, due: true, gate: None, log: log.clone() });
    }
    (crew, done)
}

#[test]
fn what_takes_long_comes_last_and_what_others_need_first() {
    // nobody hangs, however busy this machine is
    let patient = Timing { handover: TIMING.slow, ..TIMING };
    let (crew, done) =
        named(patient, &[("long", Rank::Long), ("usual", Rank::Usual), ("first", Rank::First)]);
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(done.try_iter().collect::<Vec<_>>(), ["first", "usual", "long"]);
    assert_eq!(crew.threads(), 1);
    crew.with(1, |task| task.due = false).unwrap();
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(done.try_iter().collect::<Vec<_>>(), ["first", "long"]);
}

/// As long as nothing hangs, those that are waited for need not wait for one that was slow.
#[test]
fn slow_ones_of_the_first_rank_come_after_the_usual_ones() {
    // nothing is done in no time, so whatever was done once is slow
    let all_slow = Timing { handover: TIMING.slow, slow: Duration::ZERO };
    let (crew, done) = named(all_slow, &[("first", Rank::First), ("usual", Rank::Usual)]);
    let did =
        |many| -> Vec<_> { (0..many).map(|_| done.recv_timeout(Duration::from_secs(60)).unwrap()).collect() };
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(did(2), ["first", "usual"]);
    until(|| crew.with(1, |_| ()).is_some());
    let log = crew.with(0, |task| task.log.clone()).unwrap();
    crew.add(Named { name: "new", rank: Rank::Usual, due: true, gate: None, log });
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(did(3), ["new", "usual", "first"]);
}

/// However many hang: a thread is left for what takes long, and it need not wait for each of them.
#[test]
fn those_of_the_usual_rank_that_hang_do_not_keep_the_others_waiting() {
    let (crew, done) = named(TIMING, &[]);
    let (log, hung) = channel();
    let gates: Vec<Sender<()>> = (0..MAX_THREADS + 10)
        .map(|_| {
            let (open, gate) = channel();
            crew.add(Named {
                name: "usual",
                rank: Rank::Usual,
                due: true,
                gate: Some(gate),
                log: log.clone(),
            });
            open
        })
        .collect();
    let long = crew.add(Named { name: "long", rank: Rank::Long, due: true, gate: None, log: log.clone() });
    crew.round(soon(200), |_| true).unwrap();
    assert_eq!(hung.recv_timeout(Duration::from_secs(60)), Ok("long"), "once the first of them hung");
    let bound = soon(60_000);
    while crew.with(long, |_| ()).is_none() {
        assert!(Instant::now() < bound);
        thread::yield_now();
    }
    // in the end all threads that may hang do
    while crew.threads() < MAX_THREADS {
        assert!(Instant::now() < bound);
        crew.round(soon(40), |at| at != long).unwrap();
    }
    for _ in 0..3 {
        crew.round(soon(60_000), |at| at == long).unwrap();
        assert_eq!(hung.try_iter().collect::<Vec<_>>(), ["long"]);
    }
    assert!(crew.threads() <= MAX_THREADS + 1, "{}", crew.threads());
    drop(gates);
    assert_eq!(done.try_iter().count(), 0);
}

/// What is always waited for is so in each round, but not while a thread has it since an earlier one.
#[test]
fn what_takes_long_is_waited_for_as_often_as_it_does() {
    let (crew, done) = named(TIMING, &[]);
    let (log, said) = channel();
    let (open, gate) = channel();
    crew.add(Named { name: "long", rank: Rank::Long, due: true, gate: Some(gate), log });
    crew.round(soon(30), |_| true).unwrap();
    assert_eq!(said.try_iter().count(), 0);
    // away: nobody waits, however far the deadline is
    crew.round(soon(600_000), |_| true).unwrap();
    open.send(()).unwrap();
    assert_eq!(said.recv_timeout(Duration::from_secs(60)), Ok("long"));
    let bound = soon(60_000);
    while crew.with(0, |_| ()).is_none() {
        assert!(Instant::now() < bound);
        thread::yield_now();
    }
    // it was slow, and is waited for all the same
    open.send(()).unwrap();
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(said.try_iter().count(), 1);
    assert_eq!(done.try_iter().count(), 0);
}

/// Whoever was asked late, because others were slow, would have less time to answer.
#[test]
fn those_that_take_long_do_not_wait_for_each_other_in_turn() {
    const MANY: usize = 8;
    let crew = Crew::new("test-crew", Timing { handover: Duration::from_millis(100), ..TIMING });
    let (log, said) = channel();
    let begun = Arc::new(Mutex::new(0));
    struct Begins {
        begun: Arc<Mutex<usize>>,
        gate: Receiver<()>,
        log: Sender<()>,
    }
    impl Task for Begins {
        fn work(&mut self) {
            *self.begun.lock().unwrap() += 1;
            let _ = self.gate.recv();
            let _ = self.log.send(());
        }

        fn rank(&self, _: bool) -> Rank {
            Rank::Long
        }
    }
    let gates: Vec<Sender<()>> = (0..MANY)
        .map(|_| {
            let (open, gate) = channel();
            crew.add(Begins { begun: Arc::clone(&begun), gate, log: log.clone() });
            open
        })
        .collect();
    // time for a few handovers, not for one for each
    crew.round(soon(400), |_| true).unwrap();
    let bound = soon(60_000);
    while *begun.lock().unwrap() < MANY {
        assert!(Instant::now() < bound, "{} of them", begun.lock().unwrap());
        thread::yield_now();
    }
    drop(gates);
    for _ in 0..MANY {
        said.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

/// Many that each take their time, without that one hangs, leave what takes long its own.
#[test]
fn what_takes_long_does_not_wait_for_all_the_usual_ones() {
    /// Takes as long as its place says.
    struct Takes(Rank, Duration, Sender<Rank>);
    impl Task for Takes {
        fn work(&mut self) {
            thread::sleep(self.1);
            let _ = self.2.send(self.0);
        }

        fn rank(&self, _: bool) -> Rank {
            self.0
        }
    }
    let crew = Crew::new("test-crew", TIMING);
    let (log, done) = channel();
    for _ in 0..200 {
        crew.add(Takes(Rank::Usual, TIMING.handover / 4, log.clone()));
    }
    crew.add(Takes(Rank::Long, Duration::ZERO, log));
    crew.round(soon(60_000), |_| true).unwrap();
    let done: Vec<Rank> = done.try_iter().collect();
    let at = done.iter().position(|rank| *rank == Rank::Long).unwrap();
    assert!(done.len() == 201 && at < 100, "{at}");
}
