//! Processes that end between two calls.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Its process ends when it is told to; the call after that says so.
struct Mortal(Arc<AtomicBool>, LocalSeries);

impl Source for Mortal {
    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if self.0.load(Ordering::SeqCst) {
            return Err(Error::fatal("ended by somebody"));
        }
        batch.samples.push(Sample { series: self.1, reset: false, value: 1.0 });
        Ok(())
    }
    fn live_series(&self) -> usize {
        1
    }
    fn live_ids(&self) -> Vec<LocalSeries> {
        vec![self.1]
    }
    fn next_base(&self) -> LocalSeries {
        self.1 + 1
    }
    fn renumber(&mut self, base: LocalSeries, _: &mut Resets<LocalSeries>) {
        self.1 = base;
    }
    fn refused(&self) -> u64 {
        0
    }
    fn ended(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

struct Maker(Arc<AtomicBool>);

impl Factory for Maker {
    fn make(&mut self, base: LocalSeries) -> Result<Box<dyn Source>, Error> {
        self.0.store(false, Ordering::SeqCst);
        Ok(Box::new(Mortal(Arc::clone(&self.0), base)))
    }
}

/// A primed one, and what ends its process.
fn mortal(interval: Duration) -> (Collecting, mpsc::Receiver<Round>, Arc<AtomicBool>) {
    let dead = Arc::new(AtomicBool::new(false));
    let options =
        JobOptions { factory: Box::new(Maker(Arc::clone(&dead))), ..job(0, interval, interval, |_| Ok(())) };
    let (collecting, rounds) = start(vec![options]);
    until(&rounds, |_| collecting.primed());
    (collecting, rounds, dead)
}

#[test]
fn an_end_between_two_calls_is_told_without_a_tick() {
    let (collecting, rounds, dead) = mortal(Duration::from_secs(3600));
    dead.store(true, Ordering::SeqCst);
    collecting.end_noticed()();
    let seen = until(&rounds, |round| round.batches.iter().any(|batch| !batch.complete));
    assert!(seen.iter().all(|round| round.gaps.is_empty()), "no tick is missing yet: {seen:?}");
    collecting.stop(LIMIT);
    let status = &collecting.statuses()[0];
    assert_eq!((status.failures, status.last_error.as_deref()), (1, Some("ended by somebody")), "{status:?}");
    assert!(status.last_error_at >= status.last_run, "{status:?}");
}

#[test]
fn one_that_ends_after_each_collection_is_there_at_the_next_tick() {
    // wide enough that a busy machine's own stalls lose no tick
    let interval = Duration::from_millis(300);
    let (collecting, rounds, dead) = mortal(interval);
    let notice = collecting.end_noticed();
    let mut good = 0;
    let seen = until(&rounds, |round| {
        let complete = round.batches.iter().filter(|batch| batch.complete).count();
        if complete > 0 {
            dead.store(true, Ordering::SeqCst);
            notice();
        }
        good += complete;
        good >= 5
    });
    collecting.stop(LIMIT);
    let cadence = Cadence::new(interval, Duration::ZERO);
    let complete = batches(&seen, 0).into_iter().filter(|batch| batch.complete);
    let ticks: Vec<Timestamp> = complete.map(|batch| cadence.at_or_before(batch.time)).collect();
    assert!(ticks.windows(2).skip(1).all(|two| two[1] == cadence.after(two[0])), "{ticks:?}");
    let status = &collecting.statuses()[0];
    assert!(status.restarts >= 4 && status.failures >= 4, "{status:?}");
}

#[test]
fn a_notice_that_comes_late_does_no_harm() {
    let (collecting, rounds, _) = mortal(Duration::from_secs(3600));
    let notice = collecting.end_noticed();
    notice();
    ask(&collecting, 0).recv_timeout(LIMIT).unwrap().unwrap();
    assert_eq!(collecting.stop(LIMIT), 0);
    drop(collecting);
    notice();
    assert_eq!(rounds.try_iter().flat_map(|round| round.batches).filter(|batch| !batch.complete).count(), 0);
}
