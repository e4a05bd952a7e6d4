//! The store fails: nothing is lost within the bounds, nothing freezes, one event says so and one that it is over.

use super::{super::storage::Fault, *};
use crate::model::{GapReason, GapScope};

fn register(bench: &mut Bench) {
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 0.0)];
    });
}

fn values(bench: &Bench) -> Vec<f64> {
    bench.store.points("a").iter().map(|point| point.value).collect()
}

fn ticks(bench: &mut Bench, range: std::ops::Range<u32>) {
    for tick in range {
        bench.batch(|batch| batch.samples = vec![sample(0, f64::from(tick))]);
        assert_eq!(bench.latest("a").unwrap().value, Ok(f64::from(tick)), "the live view goes on");
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_told_once() {
    let mut bench = Bench::new();
    register(&mut bench);
    bench.store.fail(Some(Fault::Full));
    ticks(&mut bench, 1..301);
    assert_eq!(values(&bench), [0.0]);
    assert!(!bench.published().stored);
    assert_eq!(bench.stats.backlog_commits.get(), 300);
    assert!(bench.stats.backlog_bytes.get() > 0);
    bench.store.fail(None);
    ticks(&mut bench, 301..303);
    assert_eq!(values(&bench), (0..303).map(f64::from).collect::<Vec<_>>(), "in order, each once");
    assert!(bench.published().stored);
    assert_eq!(bench.stats.backlog_commits.get(), 0);
    assert_eq!(bench.stats.backlog_bytes.get(), 0);
    assert_eq!(bench.event_kinds(), ["storage_failed", "storage_recovered"]);
    assert_eq!(bench.events()[0].severity, Severity::Critical);
    assert_eq!(bench.events()[0].details["fault"], "full");
    assert_eq!(bench.events()[1].severity, Severity::Info);
    assert_eq!(bench.gaps(), []);
    assert_eq!(bench.stats.commit_errors.get(), 300);
    // the first round; one attempt a round while it fails; all that waited with the round that came then; the last round
    assert_eq!(bench.store.disk().attempts, 1 + 300 + 301 + 1);
}

#[test]
fn a_file_that_is_busy_for_a_moment_is_not_told() {
    let mut bench = Bench::new();
    register(&mut bench);
    bench.store.fail(Some(Fault::Busy));
    ticks(&mut bench, 1..5);
    bench.store.fail(None);
    ticks(&mut bench, 5..7);
    assert_eq!(bench.event_kinds(), [""; 0]);
    bench.store.fail(Some(Fault::Busy));
    ticks(&mut bench, 7..20);
    bench.store.fail(None);
    ticks(&mut bench, 20..22);
    assert_eq!(bench.event_kinds(), ["storage_failed", "storage_recovered"]);
    assert_eq!(values(&bench), (0..22).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn beyond_ten_minutes_the_oldest_are_dropped_counted_and_recorded() {
    let mut bench = Bench::new();
    register(&mut bench);
    bench.store.fail(Some(Fault::Other));
    // a step of the clock and a gap in a commit that will be dropped
    let batch = bench.filled(0, |batch| batch.samples = vec![sample(0, 1.0)]);
    let gap = Gap {
        scope: GapScope::Collector("two".into()),
        from: at(NOW),
        to: at(NOW),
        reason: GapReason::Timeout,
    };
    bench.round(Round {
        batches: vec![batch],
        gaps: vec![gap.clone()],
        clock_stepped: true,
        ..Round::default()
    });
    ticks(&mut bench, 2..1000);
    let waiting = bench.stats.backlog_commits.get();
    assert_eq!(waiting, 601);
    assert_eq!(bench.stats.dropped_backlog.get(), 999 - waiting);
    bench.store.fail(None);
    ticks(&mut bench, 1000..1002);
    let stored = values(&bench);
    assert_eq!(stored[0], 0.0);
    assert_eq!(stored[1..], (399..1002).map(f64::from).collect::<Vec<_>>());
    assert!(bench.store.points("a")[1..].iter().all(|point| point.run == 1), "the step outlived its commit");
    let lost = Gap {
        scope: GapScope::Agent,
        from: at(NOW + 1000),
        to: at(NOW + 399_000),
        reason: GapReason::Overrun,
    };
    assert_eq!(bench.gaps(), [gap, lost]);
    assert_eq!(bench.event_kinds(), ["storage_failed", "storage_recovered"], "events outlive their samples");
    assert_eq!(bench.events()[1].details["dropped_samples"], 398);
}

#[test]
fn the_backlog_is_bounded_in_bytes() {
    let mut bench = Bench::new();
    bench.batch(|batch| batch.registered = (0..100_000).map(|n| (n, gauge(&format!("g{n}")))).collect());
    bench.store.fail(Some(Fault::Full));
    for _ in 0..40 {
        bench.batch(|batch| batch.samples = (0..100_000).map(|n| sample(n, 1.0)).collect());
    }
    assert!(bench.stats.backlog_bytes.get() <= 64 << 20);
    assert!(bench.stats.backlog_bytes.get() > 60 << 20);
    let waiting = bench.stats.backlog_commits.get();
    assert_eq!(bench.stats.dropped_backlog.get(), (40 - waiting) * 100_000);
}

#[test]
fn what_waits_is_written_at_the_stop() {
    let mut bench = Bench::new();
    register(&mut bench);
    bench.store.fail(Some(Fault::Busy));
    ticks(&mut bench, 1..10);
    bench.store.fail(None);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    assert_eq!(bench.writer.stop(deadline).unwrap(), 0);
    assert!(bench.store.disk().closed);
    assert_eq!(bench.store.points("a").len(), 10);
}

#[test]
fn a_stop_over_a_broken_store_ends_and_says_what_was_lost() {
    let mut bench = Bench::new();
    register(&mut bench);
    bench.store.fail(Some(Fault::Full));
    ticks(&mut bench, 1..10);
    assert_eq!(bench.writer.stop(std::time::Instant::now()).unwrap(), 9);
    assert!(bench.store.disk().closed);
}

#[test]
fn a_deletion_reaches_what_waits() {
    let mut bench = Bench::new();
    register(&mut bench);
    ticks(&mut bench, 1..3);
    bench.store.fail(Some(Fault::Busy));
    ticks(&mut bench, 3..6);
    let deleted = bench.writer.delete_before(at(NOW + 5000)).unwrap();
    assert_eq!(deleted.samples, 4, "0, 1, 2 in the store, 3 in memory");
    bench.store.fail(None);
    ticks(&mut bench, 6..7);
    assert_eq!(values(&bench), [4.0, 5.0, 6.0]);
}

#[test]
fn what_can_never_be_written_does_not_hold_up_the_rest() {
    let mut bench = Bench::new();
    register(&mut bench);
    bench.store.disk().poison = Some((2.0, "bad"));
    let event = |kind: &str| Event {
        kind: kind.into(),
        severity: Severity::Info,
        message: "message".into(),
        details: serde_json::json!({}),
        time: at(NOW),
        vm_id: None,
    };
    ticks(&mut bench, 1..2);
    let batch = bench.filled(0, |batch| batch.samples = vec![sample(0, 2.0)]);
    bench.round(Round { batches: vec![batch], events: vec![event("good")], ..Round::default() });
    let batch = bench.filled(0, |batch| batch.samples = vec![sample(0, 3.0)]);
    bench.round(Round { batches: vec![batch], events: vec![event("bad")], ..Round::default() });
    ticks(&mut bench, 4..7);
    assert_eq!(values(&bench), [0.0, 1.0, 4.0, 5.0, 6.0]);
    assert!(bench.published().stored);
    assert_eq!(bench.stats.dropped_refused.get(), 2);
    assert_eq!(bench.stats.dropped_events.get(), 1);
    assert!(bench.event_kinds().contains(&"good".to_string()));
    assert!(bench.gaps().iter().all(|gap| gap.reason == GapReason::Overrun));
    assert_eq!(bench.gaps().len(), 2);
}

#[test]
fn a_reader_that_never_ends_is_told_at_once_and_by_name() {
    let mut bench = Bench::new();
    register(&mut bench);
    bench.store.fail(Some(Fault::Held));
    ticks(&mut bench, 1..3);
    bench.store.fail(None);
    ticks(&mut bench, 3..5);
    assert_eq!(values(&bench), [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(bench.event_kinds(), ["storage_failed", "storage_recovered"]);
    assert_eq!(bench.events()[0].details["fault"], "held");
    assert!(bench.events()[0].message.contains("told to fail: Held"), "{}", bench.events()[0].message);
}

#[test]
fn a_disk_that_breaks_and_comes_back_costs_nothing() {
    // EIO, and no space at the sync, are the same to the writer: another try each round
    let mut bench = Bench::new();
    register(&mut bench);
    for (n, fault) in (0..).zip([Fault::Other, Fault::Full, Fault::Other]) {
        bench.store.fail(Some(fault));
        ticks(&mut bench, n * 20 + 1..n * 20 + 11);
        bench.store.fail(None);
        ticks(&mut bench, n * 20 + 11..n * 20 + 21);
    }
    assert_eq!(values(&bench), (0..61).map(f64::from).collect::<Vec<_>>());
    assert_eq!(bench.event_kinds(), ["storage_failed", "storage_recovered"].repeat(3));
}

#[test]
fn a_full_disk_that_costs_history_is_told_once_and_so_is_its_end() {
    let mut bench = Bench::new();
    register(&mut bench);
    for (lost, range) in
        [(Some(0), 1..5), (Some(700), 5..10), (None, 10..15), (Some(5), 15..20), (None, 20..25)]
    {
        bench.store.disk().full = lost;
        ticks(&mut bench, range);
        assert_eq!(bench.stats.disk_full.get(), u64::from(lost.is_some()));
    }
    let kinds = ["store_full", "store_recovered", "store_full", "store_recovered"];
    assert_eq!(bench.event_kinds(), kinds);
    assert_eq!(bench.events()[0].severity, Severity::Critical);
    assert_eq!(bench.events()[1].details["deleted_samples"], 700);
    assert_eq!(bench.events()[1].details["seconds"], 9);
    assert_eq!(bench.stats.expired.get(), 705);
    assert_eq!(values(&bench), (0..25).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn the_reset_of_a_dropped_sample_goes_on_with_the_next_one() {
    let reset = |value| Sample { series: 0, reset: true, value };
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, counter("a"))];
        batch.samples = vec![sample(0, 1.0)];
    });
    let resets = |bench: &Bench| -> Vec<f64> {
        bench.store.points("a").iter().filter(|point| point.reset).map(|point| point.value).collect()
    };
    // no number, and a second one in one batch
    bench.batch(|batch| batch.samples = vec![reset(f64::NAN)]);
    bench.batch(|batch| batch.samples = vec![sample(0, 2.0), reset(3.0)]);
    bench.batch(|batch| batch.samples = vec![sample(0, 4.0)]);
    bench.batch(|batch| batch.samples = vec![sample(0, 5.0)]);
    assert_eq!(resets(&bench), [2.0, 4.0]);
    // the store can never take it
    bench.store.disk().poison = Some((6.0, "bad"));
    bench.batch(|batch| batch.samples = vec![reset(6.0)]);
    bench.batch(|batch| batch.samples = vec![sample(0, 7.0)]);
    bench.batch(|batch| batch.samples = vec![sample(0, 8.0)]);
    assert_eq!(resets(&bench), [2.0, 4.0, 7.0]);
    // the store failed for too long
    bench.store.fail(Some(Fault::Full));
    bench.batch(|batch| batch.samples = vec![reset(9.0)]);
    for n in 10..1000 {
        bench.batch(|batch| batch.samples = vec![sample(0, f64::from(n))]);
    }
    bench.store.fail(None);
    bench.batch(|batch| batch.samples = vec![sample(0, 1000.0)]);
    let stored = bench.store.points("a");
    let first = stored.iter().find(|point| point.value > 9.0).unwrap();
    assert!(first.reset && first.value > 300.0, "{first:?}");
    assert_eq!(resets(&bench).len(), 4);
}

#[test]
fn values_that_outlive_a_restart_outlive_the_samples_of_their_transaction() {
    let mut bench = Bench::with_rules(vec![rule("high", "a", 90.0, 0)]);
    register(&mut bench);
    bench.store.fail(Some(Fault::Other));
    bench.batch(|batch| batch.samples = vec![sample(0, 95.0)]);
    for _ in 0..1000 {
        bench.batch(|batch| batch.samples = vec![sample(0, 96.0)]);
    }
    assert!(!bench.store.disk().meta.contains_key("alerts.firing"));
    bench.store.fail(None);
    bench.batch(|batch| batch.samples = vec![sample(0, 97.0)]);
    assert!(bench.store.disk().meta["alerts.firing"].contains("high"));
    assert_eq!(bench.event_kinds().iter().filter(|kind| *kind == "high").count(), 1);
}
