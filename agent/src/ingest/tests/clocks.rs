//! The wall clock is stepped: nothing is lost, nothing is paired over the step, retention waits.

use super::*;
use crate::store::{self, Range, Store};
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

/// A round every half minute of fake time over a real store with a retention of an hour.
struct Real {
    _directory: tempfile::TempDir,
    readers: store::Readers,
    clock: FakeClock,
    writer: Writer<Store, FakeClock>,
    taken: u32,
}

impl Real {
    fn new(wall: i64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(store::Options {
            file: directory.path().join("history.db"),
            retention: store::Retention { raw: Duration::from_secs(3600), ..store::Retention::default() },
            max_loss: Duration::from_secs(3600),
            max_size: 1 << 30,
        })
        .unwrap();
        let (readers, clock) = (store.readers(), FakeClock::new(wall));
        let options = Options { collectors: vec![collector("one")], ..Options::default() };
        let writer = Writer::new(store, clock.clone(), options, Arc::default());
        Self { _directory: directory, readers, clock, writer, taken: 0 }
    }

    fn minutes(&mut self, minutes: u32, mut stepped: bool) {
        for _ in 0..2 * minutes {
            let mut batch = Batch::new(CollectorId(0));
            batch.time = self.clock.now();
            batch.complete = true;
            if self.taken == 0 {
                batch.registered = vec![(0, gauge("half_minutes"))];
            }
            batch.samples = vec![sample(0, f64::from(self.taken))];
            self.taken += 1;
            let clock_stepped = std::mem::take(&mut stepped);
            self.writer.round(&mut Round { batches: vec![batch], clock_stepped, ..Round::default() });
            self.clock.pass(Duration::from_secs(30));
        }
    }

    fn step_to(&mut self, wall: i64, minutes: u32) {
        self.clock.step_to(wall);
        self.minutes(minutes, true);
    }

    /// The values that are there, in the order of their collection.
    fn stored(&self) -> Vec<u32> {
        let reader = self.readers.reader().unwrap();
        let series = reader.all_series().unwrap()[0].id;
        let points = reader.last(series, Range::ALL, 100_000).unwrap();
        let mut values: Vec<u32> = points.iter().map(|point| point.value as u32).collect();
        values.sort_unstable();
        values
    }
}

#[test]
fn a_wrong_clock_costs_one_step_of_retention_and_the_true_one_none() {
    let start = NOW - NOW % HOUR;
    for wrong in [start + 56 * 365 * 24 * HOUR, start + 6 * HOUR, 2_147_483_648_000] {
        let mut real = Real::new(start);
        real.minutes(60, false);
        let before = real.taken;
        real.step_to(wrong, 55);
        let lost = before as usize + 110 - real.stored().len();
        assert!(lost <= 120, "an hour at most: {lost}");
        assert!(
            real.stored().iter().filter(|value| **value >= before).count() == 110,
            "none of the new ones"
        );
        // the clock was wrong: back, with both lives there
        let wrong_ones = real.taken;
        real.step_to(start + 2 * HOUR, 10);
        assert_eq!(real.stored().iter().filter(|value| **value >= wrong_ones).count(), 20);
        assert!(real.stored().iter().any(|value| (before..wrong_ones).contains(value)));
    }
}

#[test]
fn a_boot_in_1970_loses_nothing_when_the_true_time_comes() {
    let start = NOW - NOW % HOUR;
    let mut real = Real::new(5_000);
    real.minutes(20, false);
    real.step_to(start, 50);
    // one step took what 1970 has; all of the true time is there
    let stored = real.stored();
    assert_eq!(stored.iter().filter(|value| **value >= 40).count(), 100);
    // back in 1970, as after a second boot without a network, and the true time again
    real.step_to(30_000, 20);
    assert_eq!(real.stored().iter().filter(|value| **value >= 140).count(), 40);
    real.step_to(start + HOUR, 30);
    assert_eq!(real.stored().iter().filter(|value| **value >= 180).count(), 60);
    // the new time has lasted: retention goes on, and leaves the last hour, in parts of two
    real.minutes(200, false);
    let stored = real.stored();
    assert_eq!(stored.last(), Some(&(real.taken - 1)));
    assert!((120..=124 + 240).contains(&stored.len()), "{}", stored.len());
}
