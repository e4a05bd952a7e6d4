//! Any order of events: tasks that come, hang, panic, come back and go.

use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Shut, whoever comes waits.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut shut = self.shut.lock().unwrap();
        while *shut {
            shut = self.opened.wait(shut).unwrap();
        }
    }

    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }
}

/// What the test and a task both know.
#[derive(Default)]
struct Life {
    gate: Gate,
    begun: AtomicUsize,
    done: AtomicUsize,
    at_work: AtomicBool,
    twice: AtomicBool,
}

struct Watched {
    life: Arc<Life>,
    rank: Rank,
    panics: bool,
}

impl Task for Watched {
    fn work(&mut self) {
        self.life.twice.fetch_or(self.life.at_work.swap(true, SeqCst), SeqCst);
        self.life.begun.fetch_add(1, SeqCst);
        self.life.gate.pass();
        self.life.done.fetch_add(1, SeqCst);
        self.life.at_work.store(false, SeqCst);
        assert!(!self.panics, "planned");
    }

    fn rank(&self, slow: bool) -> Rank {
        if slow { Rank::Usual } else { self.rank }
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Add {
        rank: Rank,
        shut: bool,
        panics: bool,
    },
    Remove(usize),
    Shut(usize, bool),
    /// Of all tasks but each of this number.
    Round(usize),
    Lasting(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let rank = prop_oneof![Just(Rank::First), Just(Rank::Usual), Just(Rank::Long)];
    let event = prop_oneof![
        3 => (rank, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(rank, shut, panics)| Event::Add { rank, shut, panics }),
        1 => any::<usize>().prop_map(Event::Remove),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, shut)| Event::Shut(which, shut)),
        3 => (2..5_usize).prop_map(Event::Round),
        1 => any::<bool>().prop_map(Event::Lasting),
    ];
    prop::collection::vec(event, 1..40)
}

const BOUND: Duration = Duration::from_secs(60);

/// Looks again until it holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let bound = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < bound, "never: {what}");
        thread::yield_now();
    }
}

/// What holds after any events: all tasks are done again once nothing hangs, by one thread in the end; with the crew its
/// threads and its tasks end.
fn everything_comes_back(crew: Crew<Watched>, live: &[(usize, Arc<Life>)], all: &[Arc<Life>]) {
    all.iter().for_each(|life| life.gate.set(false));
    until("all are back", || all.iter().all(|life| !life.at_work.load(SeqCst)));
    crew.set_lasting(true);
    for (place, life) in live {
        let before = life.done.load(SeqCst);
        until("a round does it", || {
            crew.round(Instant::now() + BOUND, |at| at == *place).unwrap();
            life.done.load(SeqCst) > before
        });
    }
    until("one thread is left", || {
        crew.round(Instant::now() + BOUND, |_| true).unwrap();
        crew.threads() <= 1
    });
    let shared = Arc::downgrade(&crew.shared);
    drop(crew);
    until("the threads have ended", || shared.strong_count() == 0);
    until("the tasks are gone", || {
        let known = |life| 1 + live.iter().filter(|(_, of)| Arc::ptr_eq(of, life)).count();
        all.iter().all(|life| Arc::strong_count(life) == known(life))
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_task_is_lost_or_done_twice_at_a_time(events in events()) {
        let timing = Timing { handover: Duration::from_millis(1), slow: Duration::from_millis(2) };
        let crew = Crew::new("test-stress", timing);
        let mut live: Vec<(usize, Arc<Life>)> = Vec::new();
        let mut all: Vec<Arc<Life>> = Vec::new();
        for event in events {
            match event {
                Event::Add { rank, shut, panics } => {
                    let life = Arc::<Life>::default();
                    life.gate.set(shut);
                    let place = crew.add(Watched { life: Arc::clone(&life), rank, panics });
                    prop_assert!(live.iter().all(|(taken, _)| *taken != place));
                    live.push((place, Arc::clone(&life)));
                    all.push(life);
                }
                Event::Remove(which) if !live.is_empty() => {
                    let (place, _) = live.swap_remove(which % live.len());
                    crew.remove(place);
                }
                Event::Shut(which, shut) if !all.is_empty() => all[which % all.len()].gate.set(shut),
                Event::Round(but) => {
                    let before: Vec<usize> = all.iter().map(|life| life.begun.load(SeqCst)).collect();
                    crew.round(Instant::now() + Duration::from_millis(4), |at| at % but != 0).unwrap();
                    for (life, before) in all.iter().zip(before) {
                        // one that waited since an earlier round may have had its turn just before
                        prop_assert!(life.begun.load(SeqCst) <= before + 2, "more than once a round");
                    }
                }
                Event::Lasting(lasting) => crew.set_lasting(lasting),
                Event::Remove(_) | Event::Shut(..) => {}
            }
            prop_assert!(crew.threads() <= all.len(), "more threads than tasks");
        }
        everything_comes_back(crew, &live, &all);
        prop_assert!(all.iter().all(|life| !life.twice.load(SeqCst)), "twice at the same time");
    }
}
