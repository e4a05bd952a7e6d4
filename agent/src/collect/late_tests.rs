//! Ticks that begin late: they are not lost as long as the next one has not come, and those that are lost are counted.

use super::*;
use crate::collect::job::Trigger;
use std::sync::atomic::{AtomicBool, Ordering};

const SECOND: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_millis(20);

fn sleep_until(moment: Timestamp) {
    while let Ok(left @ 1..) = u64::try_from(moment.millis_since(Timestamp::now())) {
        thread::sleep(Duration::from_millis(left));
    }
}

#[test]
fn a_tick_that_comes_due_during_a_call_follows_it_at_once() {
    let cadence = Cadence::new(SECOND, Duration::ZERO);
    let hold = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&hold);
    // it lasts beyond the next tick, and keeps its deadline
    let script = move |_| {
        if held.swap(false, Ordering::SeqCst) {
            sleep_until(cadence.next(Timestamp::now(), None).plus(AFTER));
        }
        Ok(())
    };
    let (collecting, rounds) = start(vec![job(0, SECOND, SECOND, script)]);
    let mut seen = until(&rounds, |_| collecting.primed());
    let tick = cadence.next(Timestamp::now(), None);
    sleep_until(tick.plus(SECOND / 2));
    seen.extend(rounds.try_iter());
    let asked = Timestamp::now();
    hold.store(true, Ordering::SeqCst);
    ask(&collecting, 0).recv_timeout(LIMIT).unwrap().unwrap();
    let during = cadence.next(asked, None);
    seen.extend(until(&rounds, |round| round.batches.iter().any(|batch| batch.time >= during)));
    collecting.stop(LIMIT);
    let times: Vec<Timestamp> = batches(&seen, 0).iter().map(|batch| batch.time).collect();
    let first = times.iter().find(|time| **time >= during).unwrap();
    assert_eq!(cadence.at_or_before(*first), during, "{times:?}");
    let status = &collecting.statuses()[0];
    assert_eq!((status.skipped, status.failures), (0, 0), "{status:?}");
}

#[test]
fn ticks_before_which_a_late_collection_does_not_come_are_counted() {
    let mut job = Job::new(job(0, TICK, TICK, |_| Ok(())));
    let cadence = job.cadence;
    let tick = cadence.at_or_before(Timestamp::now());
    job.run(Trigger::Tick(tick));
    let covered = cadence.at_or_before(Timestamp::now()); // perhaps the next one had come
    let late = cadence.after(tick);
    sleep_until(cadence.after(cadence.after(covered)).plus(AFTER));
    let (outcome, _) = job.run(Trigger::Tick(late));
    let served = cadence.at_or_before(outcome.batch.unwrap().time);
    let gap = &outcome.gaps[0];
    assert_eq!((gap.to, &gap.reason), (cadence.before(served), &GapReason::Overrun), "{gap:?}");
    assert!(gap.from > tick, "{gap:?}");
    let skipped = job.status().skipped;
    assert_eq!(skipped, cadence.between(cadence.before(gap.from), served), "{gap:?}");
    assert!(skipped > 0);
}

/// A deadline may be longer than a short interval.
#[test]
fn a_collection_that_keeps_its_deadline_costs_only_the_ticks_it_lasts() {
    let mut options = job(0, TICK, TICK, move |call| {
        if call == 2 {
            thread::sleep(TICK * 3);
        }
        Ok(())
    });
    options.deadline = SECOND * 30;
    let mut job = Job::new(options);
    let cadence = job.cadence;
    for _ in 0..2 {
        job.run(Trigger::Tick(cadence.at_or_before(Timestamp::now())));
    }
    let (outcome, _) = job.run(Trigger::Tick(cadence.at_or_before(Timestamp::now())));
    assert!(outcome.batch.unwrap().complete);
    let status = job.status();
    assert_eq!((status.failures, status.missed_deadlines, status.collections), (0, 0, 3), "{status:?}");
    assert!(status.skipped >= 2, "{status:?}");
}
