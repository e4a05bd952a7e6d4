//! Times without samples are recorded, with their reason, and few rows.

use super::*;
use crate::model::{GapReason, GapScope, Missing};

fn unavailable(reason: &str) -> GapReason {
    GapReason::Unavailable(reason.into())
}

#[test]
fn the_time_without_the_agent_is_a_gap() {
    let mut bench = Bench::new();
    let register = |batch: &mut Batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 1.0)];
    };
    bench.batch(register);
    assert_eq!(bench.gaps(), [], "a new store has no past");
    let mut bench = bench.restart(Duration::from_secs(100), Vec::new());
    bench.round(Round::default());
    bench.batch(register);
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    let gap = Gap {
        scope: GapScope::Agent,
        from: at(NOW + 1001),
        to: at(NOW + 102_999),
        reason: GapReason::AgentDown,
    };
    assert_eq!(bench.gaps(), [gap]);
}

#[test]
fn a_start_before_the_last_commit_makes_no_gap() {
    let mut bench = Bench::new();
    let register = |batch: &mut Batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 1.0)];
    };
    bench.batch(register);
    bench.clock.step_to(0);
    let mut bench = bench.restart(Duration::ZERO, Vec::new());
    bench.batch(register);
    assert_eq!(bench.gaps(), []);
    assert_eq!(bench.store.points("a").len(), 2, "nothing is dropped for being old");
}

#[test]
fn an_absence_is_one_gap_however_long_it_lasts() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 1.0)];
    });
    for _ in 0..150 {
        bench.batch(|batch| batch.absent = vec![absence(0, "no medium")]);
    }
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    let gaps = bench.gaps();
    assert_eq!(gaps.len(), 3, "twice by the minute, once at the end: {gaps:?}");
    for gap in &gaps {
        assert_eq!(gap.scope, GapScope::Series(bench.store.id("a")));
        assert_eq!(gap.from, at(NOW + 2000));
        assert_eq!(gap.reason, unavailable("no medium"));
    }
    assert_eq!(gaps[2].to, at(NOW + 151_000));
    assert!(gaps.is_sorted_by_key(|gap| gap.to));
}

#[test]
fn an_absence_is_written_when_the_agent_stops_and_when_the_series_ends() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a")), (1, gauge("b"))];
        batch.absent = vec![absence(0, "why"), absence(1, "because")];
    });
    assert_eq!(bench.gaps(), []);
    bench.batch(|batch| {
        batch.absent = vec![absence(0, "why")];
        batch.retired = vec![1];
    });
    assert_eq!(bench.gaps().len(), 1);
    let bench = bench.restart(Duration::from_secs(1), Vec::new());
    let reasons: Vec<GapReason> = bench.gaps().into_iter().map(|gap| gap.reason).collect();
    assert_eq!(reasons, [unavailable("because"), unavailable("why")]);
}

#[test]
fn a_reason_that_changes_all_the_time_does_not_flood() {
    let mut bench = Bench::new();
    bench.batch(|batch| batch.registered = vec![(0, gauge("a"))]);
    for second in 0..600 {
        bench.batch(|batch| batch.absent = vec![absence(0, &format!("stale for {second} s"))]);
    }
    assert!(bench.gaps().len() <= 25, "{}", bench.gaps().len());
}

#[test]
fn a_first_reading_is_no_gap() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.absent = vec![absence(0, "first_reading")];
    });
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    assert_eq!(bench.gaps(), []);
}

#[test]
fn a_time_too_short_for_a_value_is_no_gap() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 1.0)];
    });
    // a collection on demand, just beside a scheduled one
    bench.batch(|batch| batch.absent = vec![absence(0, "interval_too_short")]);
    let value = bench.latest("a").unwrap().value;
    assert_eq!(value, Err(Missing::Unavailable("interval_too_short".into())));
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    bench.batch(|batch| batch.absent = vec![absence(0, "no medium")]);
    bench.batch(|batch| batch.absent = vec![absence(0, "interval_too_short")]);
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    let gaps: Vec<_> = bench.gaps().into_iter().map(|gap| (gap.from, gap.to, gap.reason)).collect();
    assert_eq!(gaps, [(at(NOW + 4000), at(NOW + 4000), unavailable("no medium"))]);
}

#[test]
fn the_gaps_of_a_collector_part_its_samples_and_nobody_elses() {
    let mut bench = Bench::new();
    let both = |bench: &Bench, value: f64| {
        let fill = |name: &'static str| {
            move |batch: &mut Batch| {
                if value == 0.0 {
                    batch.registered = vec![(0, counter(name))];
                }
                batch.samples = vec![sample(0, value)];
            }
        };
        vec![bench.filled(0, fill("a_total")), bench.filled(1, fill("b_total"))]
    };
    let paired =
        |bench: &Bench| ["a_total", "b_total"].map(|name| bench.latest(name).unwrap().previous.is_some());
    let batches = both(&bench, 0.0);
    bench.round(Round { batches, ..Round::default() });
    bench.clock.pass(Duration::from_secs(4));
    let gap = Gap {
        scope: GapScope::Collector("one".into()),
        from: at(NOW + 2000),
        to: at(NOW + 2000),
        reason: GapReason::Timeout,
    };
    let batches = both(&bench, 1.0);
    bench.round(Round { batches, gaps: vec![gap.clone()], ..Round::default() });
    assert_eq!(bench.gaps(), [gap]);
    assert_eq!(paired(&bench), [false, true]);
    let batches = both(&bench, 2.0);
    bench.round(Round { batches: batches.clone(), ..Round::default() });
    assert_eq!(paired(&bench), [true, true]);
    bench.round(Round { batches, ..Round::default() });
    assert_eq!(paired(&bench), [false, false], "the same time twice gives no rate");
}
