//! What collections cost, and what follows, in running lanes.

use super::*;
use crate::{
    collect::Usage,
    model::{ClockId, clock_time},
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
