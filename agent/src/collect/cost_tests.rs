//! What collections cost, and what follows, in running lanes.

use super::*;
use crate::{
    collect::{Usage, job::Trigger},
    model::{ClockId, OwnThreads, clock_time},
};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[test]
fn who_costs_too_much_is_asked_less_often_until_it_costs_less() {
    let (interval, cost) = (Duration::from_millis(40), Duration::from_millis(10));
    let dear = Arc::new(AtomicBool::new(true));
    let burns = Arc::clone(&dear);
    let script = move |_| {
        let until = clock_time(ClockId::ThreadCPUTime) + cost;
        while burns.load(Relaxed) && clock_time(ClockId::ThreadCPUTime) < until {
            std::hint::spin_loop();
        }
        Ok(())
    };
    // a quarter of a processor, where a tenth is allowed
    let options = JobOptions { max_cpu: Some(0.1), ..job(0, interval, LIMIT, script) };
    let (collecting, rounds) = start(vec![options]);
    let told = |kind: &'static str| {
        move |round: &Round| {
            round.events.iter().any(|event| event.kind == kind && event.message.contains("max_cpu"))
        }
    };
    let seen = until(&rounds, told("plugin_over_budget"));
    let stretch = batches(&seen, 0).last().unwrap().stretch;
    assert!(matches!(stretch, 4 | 8), "{stretch}");
    let status = &collecting.statuses()[0];
    assert_eq!((status.state, status.configured_interval), (PluginState::Running, interval));
    assert!(status.interval >= interval * 4, "{status:?}");
    assert!(status.reason.as_ref().unwrap().contains("max_cpu is 10%"), "{status:?}");
    dear.store(false, Relaxed);
    let seen = until(&rounds, told("plugin_within_budget"));
    assert_eq!(batches(&seen, 0).last().unwrap().stretch, 1);
    let status = &collecting.statuses()[0];
    assert_eq!((status.interval, &status.reason, status.failures), (interval, &None, 0), "{status:?}");
    collecting.stop(LIMIT);
}

/// A collector with a process of its own, which uses a second of processor time for each collection.
struct Outside(u64);

impl Source for Outside {
    fn collect(&mut self, _: &mut Batch) -> Result<(), Error> {
        self.0 += 1;
        if self.0.is_multiple_of(3) { Err(Error::fatal("its process has ended")) } else { Ok(()) }
    }
    fn live_series(&self) -> usize {
        0
    }
    fn live_ids(&self) -> Vec<LocalSeries> {
        Vec::new()
    }
    fn next_base(&self) -> LocalSeries {
        0
    }
    fn renumber(&mut self, _: LocalSeries, _: &mut Resets<LocalSeries>) {}
    fn refused(&self) -> u64 {
        0
    }
    fn usage(&mut self) -> Option<Usage> {
        Some(Usage { cpu: Duration::from_secs(self.0), resident: 4711 })
    }
}

struct Starter;

impl Factory for Starter {
    fn make(&mut self, _: LocalSeries) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(Outside(0)))
    }
}

#[test]
fn what_a_process_of_its_own_uses_is_counted_over_restarts() {
    let (collecting, rounds) =
        start(vec![JobOptions { factory: Box::new(Starter), ..job(0, TICK, LIMIT, |_| Ok(())) }]);
    let mut count = 0;
    until(&rounds, |round| {
        count += round.batches.len();
        count >= 5
    });
    collecting.stop(LIMIT);
    let status = &collecting.statuses()[0];
    // also that of a collection in which the process ended
    let whole = status.collections as f64;
    assert!((whole..whole + 0.5).contains(&status.cost.cpu_seconds), "{status:?}");
    assert!(status.restarts > 0 && status.failures > 0, "{status:?}");
    let last = (!status.collections.is_multiple_of(3)).then_some(4711);
    assert_eq!(status.cost.rss_bytes, last, "{status:?}");
}

/// Uses so much processor time on this thread.
fn burn(time: Duration) {
    let until = clock_time(ClockId::ThreadCPUTime) + time;
    while clock_time(ClockId::ThreadCPUTime) < until {
        std::hint::spin_loop();
    }
}

/// Its calls take so much, and end this way; where they are followed, all of that was told while they lasted.
#[derive(Clone)]
struct Followed {
    takes: Duration,
    told: Arc<Mutex<OwnThreads>>,
    ends: Result<(), Error>,
    can_be_made: bool,
    is_followed: bool,
}

impl Followed {
    fn job(self) -> Job {
        Job::new(JobOptions { factory: Box::new(self), ..job(0, TICK, LIMIT, |_| Ok(())) })
    }

    fn call(&self) -> Result<(), Error> {
        burn(self.takes);
        if self.is_followed {
            let mut told = self.told.lock().unwrap();
            told.cpu += self.takes;
            told.returned += self.takes;
        }
        self.ends.clone()
    }
}

impl Factory for Followed {
    fn make(&mut self, _: LocalSeries) -> Result<Box<dyn Source>, Error> {
        if !self.can_be_made {
            self.call()?;
        }
        let made = self.clone();
        let script: Script = Box::new(move |_| made.call());
        Ok(Box::new(Scripted { script: Arc::new(Mutex::new(script)), collections: 0, base: 0 }))
    }
    fn threads(&mut self) -> Option<OwnThreads> {
        Some(*self.told.lock().unwrap())
    }
}

#[test]
fn a_call_that_was_told_while_it_lasted_counts_once_however_it_ends() {
    let takes = Duration::from_millis(50);
    let fails = || [Error::transient("x"), Error::fatal("x"), Error::config("x", "y")];
    let collected = fails().map(|error| (Err(error), true)).into_iter().chain([(Ok(()), true)]);
    for (ends, can_be_made) in collected.chain(fails().map(|error| (Err(error), false))) {
        let what = format!("{ends:?}, made: {can_be_made}");
        let told = Arc::<Mutex<OwnThreads>>::default();
        let mut job = Followed { takes, told: Arc::clone(&told), ends, can_be_made, is_followed: true }.job();
        job.run(Trigger::Manual);
        let mut cost = job.status().cost.clone();
        // who asks for the cost tells it what the ledger says
        cost.of_threads(*told.lock().unwrap());
        assert!((0.05..0.09).contains(&cost.cpu_seconds), "{what}: {cost:?}");
    }
}

#[test]
fn what_came_back_before_the_collector_was_added_is_not_taken_off_its_calls() {
    let takes = Duration::from_millis(50);
    let hour = Duration::from_secs(3600);
    let before = OwnThreads { count: 1, cpu: hour, returned: hour };
    let told = Arc::new(Mutex::new(before));
    let mut job = Followed { takes, told, ends: Ok(()), can_be_made: true, is_followed: false }.job();
    job.status().cost.of_threads(before);
    for _ in 0..2 {
        job.run(Trigger::Manual);
    }
    let cost = job.status().cost.clone();
    assert!((0.1..0.18).contains(&(cost.cpu_seconds - hour.as_secs_f64())), "{cost:?}");
}
