//! Series that come and go: the memory is that of those that are there.

use super::*;
use crate::model::SeriesId;
use std::collections::HashSet;

const LIVE: u32 = 100;
const ALL: u32 = 20_000;

fn series(n: u32) -> Arc<SeriesDef> {
    def("vm_cpu_seconds_total", Kind::Counter, &[("vm", &format!("vm-{n}"))])
}

#[test]
fn twenty_thousand_series_that_come_and_go_take_the_room_of_those_that_are_there() {
    let mut bench = Bench::new();
    // as the host does it: numbers are used again, though not within a batch
    bench.batch(|batch| {
        batch.registered = (0..LIVE).map(|n| (n, series(n))).collect();
        batch.samples = (0..LIVE).map(|n| sample(n, f64::from(n))).collect();
    });
    let mut free: Vec<u32> = (LIVE..2 * LIVE).collect();
    let mut used: Vec<u32> = (0..LIVE).collect();
    for next in (LIVE..ALL).step_by(LIVE as usize) {
        bench.batch(|batch| {
            batch.registered = free.iter().zip(next..).map(|(local, n)| (*local, series(n))).collect();
            batch.samples = free.iter().map(|local| sample(*local, 1.0)).collect();
            batch.retired = used.clone();
        });
        std::mem::swap(&mut free, &mut used);
        assert_eq!(bench.stats.live_series.get(), u64::from(LIVE));
    }
    let room = bench.writer.room();
    assert!(room.iter().all(|room| *room <= 2048), "{room:?}");
    assert_eq!(bench.published().snapshot.latest.len(), LIVE as usize);
    assert_eq!(bench.stats.samples.get(), u64::from(ALL), "none is lost");
    let forgotten = bench.store.disk().forgotten.clone();
    assert_eq!(forgotten.len(), (ALL - LIVE) as usize, "the store may forget each that ended, once");
    let distinct: HashSet<SeriesId> = forgotten.iter().copied().collect();
    assert_eq!(distinct.len(), forgotten.len());
    for id in &bench.published().snapshot.catalog.series {
        assert!(!distinct.contains(&id.id), "{} is alive", id.def);
    }
}

/// Each version of a plugin that takes over counts on where the one before ended, up to half of all numbers.
#[test]
fn collectors_that_take_over_again_and_again_take_the_room_of_one() {
    let mut bench = Bench::new();
    let mut last = Vec::new();
    for version in 0..2000 {
        // the last one begins anew
        let base = if version == 1999 { 0 } else { version * LIVE };
        // the same series in another order, under other numbers; those of before end with that batch
        let now: Vec<u32> = (base..base + LIVE).collect();
        bench.batch(|batch| {
            let order = |n: u32| (n * 7 + version) % LIVE;
            batch.registered = now.iter().map(|local| (*local, series(order(local - base)))).collect();
            batch.samples = now.iter().map(|local| sample(*local, f64::from(version))).collect();
            batch.retired = std::mem::replace(&mut last, now.clone());
        });
        assert_eq!(bench.stats.live_series.get(), u64::from(LIVE));
        if version < 1999 {
            let room = bench.writer.room();
            assert!(room.iter().all(|room| *room <= 1024), "{room:?} after {version}");
        }
    }
    assert_eq!(bench.stats.samples.get(), 2000 * u64::from(LIVE), "none is lost");
    assert_eq!(bench.store.disk().forgotten, [], "no series ended");
}

#[test]
fn a_crowd_that_left_gives_its_room_back() {
    let mut bench = Bench::new();
    bench.batch(|batch| batch.registered = (0..ALL).map(|n| (n, series(n))).collect());
    assert!(bench.writer.room().iter().all(|room| *room >= ALL as usize));
    bench.batch(|batch| batch.retired = (LIVE..ALL).collect());
    let room = bench.writer.room();
    assert!(room.iter().all(|room| *room <= 2048), "{room:?}");
}

#[test]
fn a_series_that_comes_back_is_the_same_one() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, series(7))];
        batch.samples = vec![sample(0, 1.0)];
    });
    let id = bench.published().snapshot.catalog.series[0].id;
    bench.batch(|batch| batch.retired = vec![0]);
    assert_eq!(bench.store.disk().forgotten, [id]);
    bench.batch(|batch| {
        batch.registered = vec![(0, series(7))];
        batch.samples = vec![sample(0, 2.0)];
    });
    assert_eq!(bench.published().snapshot.catalog.series[0].id, id);
    // gone and back within one round
    bench.batch(|batch| {
        batch.registered = vec![(1, series(7))];
        batch.samples = vec![sample(1, 3.0)];
        batch.retired = vec![0];
    });
    assert_eq!(bench.store.disk().forgotten, [id], "it never ended");
    let values: Vec<f64> =
        bench.store.points("vm_cpu_seconds_total{vm=\"vm-7\"}").iter().map(|point| point.value).collect();
    assert_eq!(values, [1.0, 2.0, 3.0]);
}
