//! The wall clock is stepped: nothing is lost, nothing is paired over the step, retention waits.

use super::*;
use crate::views::{self, ViewContext};

/// Collects a counter that rises by one MiB a second, over a step of the wall clock.
fn over_a_step(to: i64) -> Bench {
    let mut bench = Bench::new();
    let mut total = 0.0;
    let collect = |bench: &mut Bench, stepped: bool, total: &mut f64| {
        *total += views::MIB;
        let value = *total;
        let batch = bench.filled(0, |batch| {
            if value == views::MIB {
                batch.registered = vec![(0, counter("host_network_all_receive_bytes_total"))];
            }
            batch.samples = vec![sample(0, value)];
        });
        bench.round(Round { batches: vec![batch], clock_stepped: stepped, ..Round::default() });
    };
    for _ in 0..3 {
        collect(&mut bench, false, &mut total);
    }
    bench.clock.step_to(to);
    collect(&mut bench, true, &mut total);
    let latest = bench.latest("host_network_all_receive_bytes_total").unwrap();
    assert_eq!((latest.time, latest.previous), (at(to), None), "not paired over the step");
    for _ in 0..2 {
        collect(&mut bench, false, &mut total);
    }
    bench
}

#[test]
fn every_step_begins_a_run_and_rates_stay_true() {
    for to in [NOW - HOUR, NOW + HOUR, 0, -5000, 2_147_483_647_500, NOW + 3000] {
        let bench = over_a_step(to);
        let mut points = bench.store.points("host_network_all_receive_bytes_total");
        assert_eq!(points.len(), 6, "no sample is lost");
        let runs: Vec<u32> = points.iter().map(|point| point.run).collect();
        assert_eq!(runs, [0, 0, 0, 1, 1, 1]);
        points.reverse();
        let view = views::find("host_net_recv_speed").unwrap();
        let rates: Vec<f64> = view.history(&[points], 10).into_iter().map(|(_, rate)| rate).collect();
        assert_eq!(rates, [1.0; 4], "stepped to {to}");
        let published = bench.published();
        assert_eq!(published.snapshot.time, Some(at(to + 2000)));
        let context = ViewContext {
            disk: "/",
            now: bench.clock.now(),
            timestamps: crate::config::TimestampStyle::Rfc3339,
        };
        assert_eq!(view.value(&published.snapshot, &context, None), Ok(1.0));
    }
}

#[test]
fn a_step_that_came_with_an_empty_round_is_not_forgotten() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 1.0)];
    });
    bench.clock.step_to(0);
    bench.round(Round { clock_stepped: true, ..Round::default() });
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    let runs: Vec<u32> = bench.store.points("a").iter().map(|point| point.run).collect();
    assert_eq!(runs, [0, 1]);
}

#[test]
fn an_absence_over_a_step_is_two_gaps() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.absent = vec![absence(0, "why")];
    });
    bench.clock.step_to(NOW - HOUR);
    let batch = bench.filled(0, |batch| batch.absent = vec![absence(0, "why")]);
    bench.round(Round { batches: vec![batch], clock_stepped: true, ..Round::default() });
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    let spans: Vec<(i64, i64)> =
        bench.gaps().iter().map(|gap| (gap.from.as_millis(), gap.to.as_millis())).collect();
    assert_eq!(spans, [(NOW + 1000, NOW + 1000), (NOW - HOUR, NOW - HOUR)]);
}

#[test]
fn retention_runs_once_a_minute_and_knows_of_a_jump() {
    let mut bench = Bench::new();
    for _ in 0..180 {
        bench.round(Round::default());
    }
    assert_eq!(bench.store.disk().expired.len(), 3);
    assert!(bench.store.disk().expired.iter().all(|(_, trusted)| *trusted));
    bench.clock.step_to(2_147_483_648_000);
    for _ in 0..3700 {
        bench.round(Round::default());
    }
    let expired = bench.store.disk().expired.split_off(3);
    assert_eq!(expired.len(), 61);
    let (doubted, trusted) = expired.split_at(60);
    assert!(doubted.iter().all(|(_, trusted)| !*trusted));
    assert!(trusted.iter().all(|(_, trusted)| *trusted));
    assert_eq!(bench.stats.expired.get(), 64);
}

#[test]
fn what_was_fresh_stays_fresh_over_a_step_and_grows_stale_as_fast() {
    for to in [NOW - HOUR, NOW + HOUR] {
        let mut bench = Bench::new();
        bench.batch(|batch| {
            batch.registered = vec![(0, gauge("hangs"))];
            batch.samples = vec![sample(0, 1.0)];
        });
        bench.clock.step_to(to);
        bench.round(Round { clock_stepped: true, ..Round::default() });
        let value = |bench: &Bench| bench.published().snapshot.value(0, bench.clock.now());
        assert_eq!(value(&bench), Ok(1.0), "stepped to {to}");
        bench.clock.pass(Duration::from_secs(3600));
        assert_eq!(value(&bench), Err(crate::model::Missing::Stale), "stepped to {to}");
    }
}

/// A round a second of a counter that counts rounds; the wall clock stands at `wall` and is stepped by hand.
fn tick(bench: &mut Bench, stepped: bool) {
    let first = bench.latest("ticks_total").is_none();
    let value = bench.stats.samples.get() as f64;
    let batch = bench.filled(0, |batch| {
        if first {
            batch.registered = vec![(0, counter("ticks_total"))];
        }
        batch.samples = vec![sample(0, value)];
    });
    bench.round(Round { batches: vec![batch], clock_stepped: stepped, ..Round::default() });
}

#[test]
fn a_boot_in_1970_then_the_true_time_then_back() {
    let mut bench = Bench::start(FakeStore::default(), FakeClock::new(10_000), Vec::new());
    let walls = [None, Some(NOW), Some(30_000), Some(NOW + 200_000)];
    for wall in walls {
        if let Some(wall) = wall {
            bench.clock.step_to(wall);
        }
        tick(&mut bench, wall.is_some());
        for _ in 1..130 {
            tick(&mut bench, false);
        }
    }
    let points = bench.store.points("ticks_total");
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    assert_eq!(values, (0..520).map(f64::from).collect::<Vec<_>>(), "none is lost");
    assert!((0..4).all(|run| points.iter().filter(|point| point.run == run).count() == 130), "a run each");
    // deleting is trusted before the jump, and not after it
    let expired = bench.store.disk().expired.clone();
    let trusted: Vec<bool> = expired.iter().map(|(_, trusted)| *trusted).collect();
    assert_eq!(trusted, [true, true, false, false, false, false, false, false]);
    assert_eq!(bench.latest("ticks_total").unwrap().value, Ok(519.0));
}

#[test]
fn over_the_end_of_32_bits_nothing_happens() {
    // 2038-01-19 03:14:08 UTC, in seconds; and where unsigned ones end, in 2106
    for end in [2_147_483_648_000, 4_294_967_296_000] {
        let mut bench = Bench::start(FakeStore::default(), FakeClock::new(end - 100_000), Vec::new());
        for _ in 0..200 {
            tick(&mut bench, false);
        }
        let points = bench.store.points("ticks_total");
        assert!(points.windows(2).all(|two| two[1].time.millis_since(two[0].time) == 1000));
        assert_eq!((points.len(), points[199].run), (200, 0));
        let latest = bench.latest("ticks_total").unwrap();
        assert_eq!((latest.value, latest.time), (Ok(199.0), at(end + 99_000)));
        assert!(latest.previous.is_some(), "paired over it");
        assert_eq!((bench.gaps(), bench.event_kinds()), (Vec::new(), Vec::<String>::new()));
        assert!(bench.store.disk().expired.iter().all(|(_, trusted)| *trusted));
    }
}
