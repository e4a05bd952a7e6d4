use super::*;
use crate::store::Range;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn point(time: i64, value: f64, run: u32) -> Point {
    Point { time: at(time), value, reset: false, run }
}

fn query(from: i64, to: i64, step: i64, aggregate: Aggregate) -> AggregateQuery {
    AggregateQuery { range: Range { from: at(from), to: at(to) }, step, aggregate }
}

fn fold(query: &AggregateQuery, is_counter: bool, points: &[Point]) -> Vec<(i64, f64)> {
    let mut folder = Folder::new(query, is_counter);
    points.iter().for_each(|point| folder.push(point));
    values(&folder.finish())
}

fn values(steps: &Steps) -> Vec<(i64, f64)> {
    steps.values.iter().map(|(time, value)| (time.as_millis(), *value)).collect()
}

#[test]
fn a_gauge_is_folded_step_by_step() {
    let points = [
        point(-1, 9.0, 1), // the step before 1970
        point(0, 4.0, 1),
        point(3, 1.0, 1),
        point(9, 4.0, 2),
        point(30, 7.0, 2), // two steps without samples before it
    ];
    for (aggregate, wanted) in [
        (Aggregate::Avg, vec![(-10, 9.0), (0, 3.0), (30, 7.0)]),
        (Aggregate::Min, vec![(-10, 9.0), (0, 1.0), (30, 7.0)]),
        (Aggregate::Max, vec![(-10, 9.0), (0, 4.0), (30, 7.0)]),
        (Aggregate::Last, vec![(-10, 9.0), (0, 4.0), (30, 7.0)]),
        (Aggregate::Sum, vec![(-10, 9.0), (0, 9.0), (30, 7.0)]),
        (Aggregate::Count, vec![(-10, 1.0), (0, 3.0), (30, 1.0)]),
        (Aggregate::Quantile(0.5), vec![(-10, 9.0), (0, 4.0), (30, 7.0)]),
        (Aggregate::Quantile(0.25), vec![(-10, 9.0), (0, 2.5), (30, 7.0)]),
        (Aggregate::Rate, vec![]),
        (Aggregate::Increase, vec![]),
    ] {
        assert_eq!(fold(&query(-10, 40, 10, aggregate), false, &points), wanted, "{aggregate}");
    }
}

#[test]
fn steps_belong_to_a_range_by_their_beginning() {
    let points: Vec<Point> = (0..50).map(|n| point(n, 1.0, 1)).collect();
    let counts = |from, to| fold(&query(from, to, 10, Aggregate::Count), false, &points);
    assert_eq!(counts(15, 20), [(10, 10.0), (20, 10.0)], "whole steps, also beyond both ends");
    assert_eq!(counts(20, 19), [(10, 10.0); 0], "an empty range");
    assert_eq!(counts(i64::MIN, i64::MAX).len(), 5);
}

#[test]
fn growth_is_counted_where_its_later_sample_is() {
    let mut points = vec![
        point(-500, 70.0, 1), // before the range: serves the first pair
        point(500, 75.0, 1),
        point(1500, 79.0, 1),
        point(2500, 3.0, 1), // fell: began anew
        point(3500, 9.0, 1), // says itself that it began anew, though it rose
        point(4500, 50.0, 2),
        point(5500, 51.5, 2),
    ];
    points[4].reset = true;
    let increase = fold(&query(0, 9000, 2000, Aggregate::Increase), true, &points);
    assert_eq!(increase, [(0, 9.0), (2000, 12.0), (4000, 1.5)]);
    let rate = fold(&query(0, 9000, 2000, Aggregate::Rate), true, &points);
    assert_eq!(rate, [(0, 4.5), (2000, 6.0), (4000, 1.5)], "over the time that was observed");
    let alone = fold(&query(4500, 4500, 1000, Aggregate::Rate), true, &points);
    assert_eq!(alone, [(4000, 0.0); 0], "the first of a run is no pair");
    assert_eq!(fold(&query(4500, 4500, 1000, Aggregate::Increase), true, &points), alone);
    assert_eq!(fold(&query(2500, 2500, 1000, Aggregate::Avg), true, &points), [(2000, 3.0)]);
}

#[test]
fn runs_whose_times_mix_are_paired_each_by_itself() {
    // the clock was stepped back: the second run tells of times of the first one again
    let points = [point(0, 10.0, 1), point(5, 100.0, 2), point(10, 11.0, 1), point(15, 130.0, 2)];
    assert_eq!(fold(&query(0, 99, 100, Aggregate::Increase), true, &points), [(0, 31.0)]);
    assert_eq!(fold(&query(0, 99, 100, Aggregate::Rate), true, &points), [(0, 31.0 / 0.02)]);
    let many: Vec<Point> = (0..1000).map(|n| point(n, 1.0, u32::try_from(n).unwrap())).collect();
    let mut pairs = Pairs::default();
    assert!(many.iter().all(|point| pairs.next(point).is_none()));
    assert_eq!(pairs.last.len(), MOST_RUNS);
}

const MINUTE: i64 = 60_000;

fn rolled(count: u64, value: f64) -> Bucket {
    let covered_ms = i64::try_from(count).unwrap() * 1000;
    Bucket {
        count,
        sum: value * count as f64,
        min: value - 1.0,
        max: value + 1.0,
        last: value,
        increase: 12.0,
        covered_ms,
    }
}

fn fold_rolled(query: &AggregateQuery, is_counter: bool) -> Steps {
    let mut folder = Folder::new(query, is_counter);
    folder.push_rolled(Tier::Minute, at(0), &rolled(12, 5.0));
    folder.push_rolled(Tier::Minute, at(MINUTE), &rolled(4, 9.0));
    folder.push_rolled(Tier::Minute, at(2 * MINUTE), &Bucket::EMPTY);
    folder.prime(&point(3 * MINUTE - 1, 100.0, 1));
    folder.push(&point(3 * MINUTE, 101.0, 1));
    folder.finish()
}

#[test]
fn roll_ups_and_samples_make_steps_together() {
    let two_minutes = |aggregate| query(0, 9 * MINUTE, 2 * MINUTE, aggregate);
    for (aggregate, wanted) in [
        (Aggregate::Avg, [6.0, 101.0]),
        (Aggregate::Min, [4.0, 101.0]),
        (Aggregate::Max, [10.0, 101.0]),
        (Aggregate::Last, [9.0, 101.0]),
        (Aggregate::Sum, [96.0, 101.0]),
        (Aggregate::Count, [16.0, 1.0]),
    ] {
        let steps = fold_rolled(&two_minutes(aggregate), false);
        assert_eq!(values(&steps), [(0, wanted[0]), (2 * MINUTE, wanted[1])], "{aggregate}");
        assert_eq!((steps.tier, steps.left_out), (Some(Tier::Minute), None));
    }
    for (aggregate, wanted) in [
        (Aggregate::Rate, [24.0 / 16.0, 1000.0]),
        (Aggregate::Increase, [24.0, 1.0]),
        (Aggregate::Last, [9.0, 101.0]),
    ] {
        let steps = fold_rolled(&two_minutes(aggregate), true);
        assert_eq!(values(&steps), [(0, wanted[0]), (2 * MINUTE, wanted[1])], "{aggregate}");
    }
}

#[test]
fn what_roll_ups_do_not_have_is_left_out() {
    let left_out = Some(LeftOut::RolledUp(Tier::Minute));
    for (aggregate, is_counter) in [
        (Aggregate::Quantile(0.9), false),
        (Aggregate::Quantile(0.9), true),
        (Aggregate::Avg, true),
        (Aggregate::Min, true),
        (Aggregate::Max, true),
        (Aggregate::Sum, true),
    ] {
        let steps = fold_rolled(&query(0, 9 * MINUTE, 2 * MINUTE, aggregate), is_counter);
        assert_eq!(values(&steps), [(2 * MINUTE, 101.0)], "{aggregate}");
        assert_eq!((steps.tier, steps.left_out), (Some(Tier::Minute), left_out));
        // a step is told whole or not at all
        let steps = fold_rolled(&query(0, 9 * MINUTE, 10 * MINUTE, aggregate), is_counter);
        assert_eq!((values(&steps), steps.left_out), (vec![], left_out), "{aggregate}");
    }
}

#[test]
fn a_roll_up_of_several_steps_is_no_value_of_one() {
    let left_out = Some(LeftOut::TooCoarse(Tier::Minute));
    for (step, wanted) in
        [(MINUTE / 6, vec![(3 * MINUTE, 101.0)]), (3 * MINUTE / 2, vec![(3 * MINUTE, 101.0)])]
    {
        let steps = fold_rolled(&query(0, 9 * MINUTE, step, Aggregate::Avg), false);
        assert_eq!((values(&steps), steps.left_out), (wanted, left_out), "{step}");
    }
    // it begins before the first step
    let steps = fold_rolled(&query(MINUTE / 2, MINUTE - 1, MINUTE / 2, Aggregate::Avg), false);
    assert_eq!((values(&steps), steps.left_out), (vec![], left_out));
    let outside = fold_rolled(&query(10 * MINUTE, 11 * MINUTE, MINUTE, Aggregate::Avg), false);
    assert_eq!(outside, Steps::default());
}

#[test]
fn a_quantile_of_too_many_samples_is_left_out() {
    let query = query(0, 1, i64::MAX / 4, Aggregate::Quantile(1.0));
    let mut folder = Folder::new(&query, false);
    (0..=MOST_RANKED).for_each(|n| folder.push(&point(n as i64, 1.0, 1)));
    let steps = folder.finish();
    assert_eq!((values(&steps), steps.left_out), (vec![], Some(LeftOut::TooMany)));
}

#[test]
fn what_no_number_can_hold_is_left_out() {
    let points = [point(0, f64::MAX, 1), point(1, f64::MAX, 1), point(2, -f64::MAX, 1)];
    let two = |aggregate| fold(&query(0, 0, 10, aggregate), true, &points[..2]);
    assert_eq!(two(Aggregate::Sum), []);
    assert_eq!(two(Aggregate::Max), [(0, f64::MAX)]);
    assert_eq!(two(Aggregate::Quantile(0.5)), [(0, f64::MAX)]);
    let middle = fold(&query(0, 0, 10, Aggregate::Quantile(0.25)), true, &points);
    assert_eq!(middle, [(0, 0.0)], "no infinite difference");
    assert_eq!(fold(&query(0, 0, 10, Aggregate::Increase), true, &points), [(0, 0.0)], "never negative");
}

#[test]
fn words_are_read_as_written() {
    for aggregate in Aggregate::ALL {
        assert_eq!(aggregate.to_string().parse(), Ok(aggregate));
    }
    for (text, share) in [("p0", 0.0), ("p7", 0.07), ("p95", 0.95), ("p99.9", 0.999), ("p100", 1.0)] {
        let read: Aggregate = text.parse().unwrap();
        assert_eq!(read, Aggregate::Quantile(share));
        assert_eq!(read.to_string(), text);
    }
    let wrong = [
        "", "AVG", "avg ", "mean", "p", "p.", "p.5", "p5.", "p101", "p100.1", "p-1", "p+1", "p1e1", "pNaN",
        "p1_0",
    ];
    for text in wrong.into_iter().chain(["p00000000000050", "p50.0000000"]) {
        assert_eq!(text.parse::<Aggregate>(), Err(BadAggregate), "{text:?}");
    }
}

/// The same by another way: all at once, over maps.
fn naive(query: &AggregateQuery, is_counter: bool, points: &[Point]) -> BTreeMap<i64, f64> {
    let mut steps: BTreeMap<i64, (Vec<f64>, f64, i64)> = BTreeMap::new();
    for (at, later) in points.iter().enumerate() {
        let step = later.time.as_millis().div_euclid(query.step) * query.step;
        let (values, increase, covered) = steps.entry(step).or_default();
        values.push(later.value);
        if let Some(earlier) = points[..at].iter().rfind(|earlier| earlier.run == later.run) {
            let anew = later.reset || earlier.value > later.value;
            *increase += later.value - if anew { 0.0 } else { earlier.value };
            *covered += later.time.as_millis() - earlier.time.as_millis();
        }
    }
    let [first, last] =
        [query.range.from, query.range.to].map(|time| time.as_millis().div_euclid(query.step));
    steps.retain(|step, _| (first..=last).contains(&(step / query.step)));
    let value = |(step, (mut values, increase, covered)): (i64, (Vec<f64>, f64, i64))| {
        let (last, sum, count) = (*values.last()?, values.iter().sum::<f64>(), values.len() as f64);
        values.sort_by(f64::total_cmp);
        let observed = is_counter && covered > 0;
        let value = match query.aggregate {
            Aggregate::Avg => sum / count,
            Aggregate::Min => values[0],
            Aggregate::Max => values[values.len() - 1],
            Aggregate::Last => last,
            Aggregate::Sum => sum,
            Aggregate::Count => count,
            Aggregate::Rate => observed.then(|| increase / (covered as f64 / 1000.0))?,
            Aggregate::Increase => observed.then_some(increase)?,
            Aggregate::Quantile(share) => {
                let rank = share * (count - 1.0);
                let [below, above] = [rank.floor(), rank.ceil()].map(|rank| values[rank as usize]);
                below + (above - below) * (rank - rank.floor())
            }
        };
        Some((step, value))
    };
    steps.into_iter().filter_map(value).collect()
}

proptest! {
    #[test]
    fn folding_agrees_with_the_naive_way(
        raw in prop::collection::vec((0_i64..400, 0_u32..9, 0_u32..3, prop::bool::weighted(0.1)), 0..60),
        (from, length, step) in (-50_i64..400, 0_i64..400, 1_i64..120),
        is_counter: bool,
    ) {
        let mut points: Vec<Point> = raw
            .into_iter()
            .map(|(time, value, run, reset)| Point { reset, ..point(time, f64::from(value), run) })
            .collect();
        points.sort_by_key(|point| (point.time, point.run));
        points.dedup_by_key(|point| (point.time, point.run));
        for aggregate in Aggregate::ALL {
            let query = query(from, from + length, step, aggregate);
            let (folded, wanted) = (fold(&query, is_counter, &points), naive(&query, is_counter, &points));
            prop_assert_eq!(folded.len(), wanted.len());
            for ((step, value), (wanted_step, wanted)) in folded.into_iter().zip(wanted) {
                prop_assert_eq!(step, wanted_step);
                prop_assert!((value - wanted).abs() < 1e-9, "{} of {}: {} {}", aggregate, step, value, wanted);
            }
        }
    }

    #[test]
    fn roll_ups_of_samples_say_what_the_samples_say(
        raw in prop::collection::vec((0_i64..600_000, 0_u32..9), 1..60),
        step in 1_i64..4,
        is_counter: bool,
    ) {
        let mut points: Vec<Point> =
            raw.into_iter().map(|(time, value)| point(time, f64::from(value), 1)).collect();
        points.sort_by_key(|point| point.time);
        points.dedup_by_key(|point| point.time);
        let mut buckets: BTreeMap<i64, Bucket> = BTreeMap::new();
        let mut pairs = Pairs::default();
        for point in &points {
            let growth = pairs.next(point);
            let minute = step_of(point.time.as_millis(), MINUTE);
            buckets.entry(minute).or_insert(Bucket::EMPTY).add(point.value, growth);
        }
        for aggregate in Aggregate::ALL.into_iter().filter(|aggregate| !aggregate.needs_samples(is_counter)) {
            let query = query(0, 600_000, step * MINUTE, aggregate);
            let mut folder = Folder::new(&query, is_counter);
            for (start, bucket) in &buckets {
                folder.push_rolled(Tier::Minute, at(*start), bucket);
            }
            let counts = aggregate.of_counters_only() && !is_counter;
            let rolled = if counts { Vec::new() } else { values(&folder.finish()) };
            prop_assert_eq!(rolled, fold(&query, is_counter, &points), "{}", aggregate);
        }
    }

    #[test]
    fn words_never_panic(text in "p?[0-9.+e-]{0,10}|.{0,6}") {
        let _ = text.parse::<Aggregate>();
    }
}
