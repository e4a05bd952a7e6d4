use super::*;
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
    crew.each(|_, task| counts.push(task.map(|task| task.done)));
    counts
}

fn soon(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

const TIMING: Timing = Timing { handover: Duration::from_millis(20), slow: Duration::from_secs(60) };

#[test]
fn one_thread_does_all() {
    let crew = Crew::new(TIMING);
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
    let crew = Crew::new(TIMING);
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
    let crew = Crew::new(TIMING);
    let (_open, hanging) = gated();
    let at = crew.add(hanging);
    crew.round(soon(50), |_| true).unwrap();
    crew.remove(at);
    assert_ne!(crew.add(free()), at);
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(counts(&crew), [Some(1)]);
}

#[test]
fn a_task_that_panics_is_done_again() {
    let crew = Crew::new(TIMING);
    crew.add(Counting { panics: true, ..free() });
    crew.add(free());
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(counts(&crew), [Some(0), Some(1)]);
    crew.round(soon(60_000), |_| true).unwrap();
    assert_eq!(counts(&crew), [Some(1), Some(2)]);
}

#[test]
fn threads_end_with_their_owner() {
    let (open, hanging) = gated();
    let crew = Crew::new(TIMING);
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
