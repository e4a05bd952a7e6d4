//! Deleting: exact, bounded, wary of the clock.

use super::*;

fn opened(directory: &TempDir, change: impl FnOnce(&mut Options)) -> Store {
    let mut options = options(directory.path());
    change(&mut options);
    Store::open(options).unwrap()
}

#[test]
fn deletes_what_is_strictly_older_to_the_sample() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 3);
    // one row with three batches, and rows enough for several transactions
    let straddling =
        vec![batch(NOW - 30_000, &ids, 1.0), batch(NOW, &ids[..2], 2.0), batch(NOW - 1, &ids[..1], 3.0)];
    store.commit(&commit(straddling)).unwrap();
    for tick in 1..=5000 {
        put(&mut store, NOW - 40_000 - tick * 1000, &ids, 0.0);
    }
    assert_eq!(store.delete_before(at(NOW - 30_000)).unwrap().samples, 15_000);
    assert_eq!(all(&reader(&store), ids[0]).len(), 3, "the time itself is kept");
    assert_eq!(store.delete_before(at(NOW)).unwrap().samples, 4);
    let left = reader(&store).last_of_many(&ids, Range::ALL, 9).unwrap();
    assert_eq!(left.iter().map(|points| values(points)).collect::<Vec<_>>(), [vec![2.0], vec![2.0], vec![]]);
    assert_eq!(store.delete_before(at(NOW)).unwrap().samples, 0);
    assert_eq!(store.delete_before(at(i64::MAX)).unwrap().samples, 2);
    put(&mut store, NOW + 5, &ids, 5.0);
    assert_eq!(values(&all(&reader(&store), ids[0])), [5.0], "the writer goes on after losing its layouts");
}

#[test]
fn retention_goes_a_part_of_two_hours_a_call() {
    let directory = TempDir::new().unwrap();
    let mut store = opened(&directory, |options| options.retention.raw = Duration::from_secs(10 * 3600));
    let ids = series(&mut store, 2);
    for minute in 0..20 * 60 {
        put(&mut store, NOW + minute * 60_000, &ids, minute as f64);
    }
    let now = NOW + 20 * HOUR;
    let mut calls = 0;
    loop {
        let deleted = store.expire(at(now), true).unwrap().samples;
        if deleted == 0 {
            break;
        }
        assert_eq!(deleted, 2 * 120, "a part's worth");
        calls += 1;
    }
    assert_eq!(calls, 5);
    let oldest = all(&reader(&store), ids[0]).pop().unwrap().time.as_millis();
    assert_eq!(oldest, now - 10 * HOUR);
    // a part goes when the last of its samples has outlived the retention
    assert_eq!(store.expire(at(now + 2 * HOUR - 1), true).unwrap().samples, 0);
    assert_eq!(store.expire(at(now + 2 * HOUR), true).unwrap().samples, 2 * 120);
}

#[test]
fn a_clock_that_is_not_trusted_costs_one_step() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 1);
    for minute in 0..10 * 60 {
        put(&mut store, NOW + minute * 60_000, &ids, 0.0);
    }
    let year_3000 = at(32_503_680_000_000);
    assert_eq!(store.expire(year_3000, false).unwrap().samples, 120);
    for _ in 0..10 {
        assert_eq!(store.expire(year_3000, false).unwrap().samples, 0);
    }
    assert_eq!(store.expire(at(NOW + 10 * HOUR), true).unwrap().samples, 0, "the clock was right before");
    assert_eq!(store.expire(year_3000, false).unwrap().samples, 120, "a new jump, a new step");
    assert_eq!(store.expire(year_3000, true).unwrap().samples, 120, "a time that lasts is the time");
    assert_eq!(all(&reader(&store), ids[0]).len(), 240);
}

#[test]
fn a_file_that_grows_too_large_loses_its_oldest_parts() {
    let directory = TempDir::new().unwrap();
    const LIMIT: u64 = 1 << 20;
    let mut store = opened(&directory, |options| options.max_size = LIMIT);
    let ids = series(&mut store, 100);
    let file = directory.path().join("history.db");
    for tick in 0..6000 {
        put(&mut store, NOW + tick * 5000, &ids, tick as f64 / 7.0);
        if tick % 12 == 0 {
            store.expire(at(NOW + tick * 5000), true).unwrap();
        }
    }
    let points = all(&reader(&store), ids[0]);
    assert_eq!(points[0].time, at(NOW + 5999 * 5000), "the newest stay");
    assert!(points.len() > 500, "not more than needed is deleted: {}", points.len());
    store.close().unwrap();
    let size = std::fs::metadata(file).unwrap().len();
    assert!(size < LIMIT + LIMIT / 8, "{size}");
}

#[test]
fn space_is_used_again_and_given_back() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 400);
    let file = directory.path().join("history.db");
    let size = |store: Store| {
        store.close().unwrap();
        std::fs::metadata(&file).unwrap().len()
    };
    let fill = |store: &mut Store, from: i64| {
        for tick in 0..3000 {
            put(store, from + tick * 1000, &ids, tick as f64 / 7.0);
        }
    };
    fill(&mut store, NOW);
    let full = size(store);
    assert!(full > 8 << 20);
    let mut store = open(&directory);
    store.delete_before(at(NOW + 3_000_000)).unwrap();
    fill(&mut store, NOW + HOUR);
    let again = size(store);
    assert!(again < full + full / 20, "{again} after {full}");
    let mut store = open(&directory);
    store.delete_before(at(NOW + 2 * HOUR)).unwrap();
    for _ in 0..10 {
        store.expire(at(NOW + 2 * HOUR), true).unwrap();
    }
    assert!(size(store) < full / 2);
}
