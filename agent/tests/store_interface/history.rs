//! What is committed is read back: series, samples, order, runs; whatever the clock does.

use super::*;
use std::collections::HashSet;
use twarga_agent::store::Selector;

#[test]
fn series_keep_their_numbers_and_definitions() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let eth0 = def("host_network_receive_bytes_total", &[("device", "eth0"), ("odd", "a\"b\\c\n{}=,")]);
    let eth1 = def("host_network_receive_bytes_total", &[("device", "eth1")]);
    let bare = def("host_load1", &[]);
    let ids: Vec<SeriesId> = [&eth0, &eth1, &bare].map(|def| store.series(def, "net").unwrap()).to_vec();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(store.series(&eth0, "net").unwrap(), ids[0], "before the commit");
    assert_eq!(reader(&store).all_series().unwrap(), [], "durable with the commit, not before");
    store.commit(&Commit::default()).unwrap();
    assert_eq!(store.series(&eth1, "net").unwrap(), ids[1], "after the commit");
    let select = |store: &Store, labels: &[(&str, &str)]| {
        let labels = Labels::new(labels.iter().copied());
        let selector = Selector::with_labels("host_network_receive_bytes_total", &labels);
        let found = reader(store).select(&selector).unwrap();
        found.into_iter().map(|series| (series.id, series.def)).collect::<Vec<_>>()
    };
    assert_eq!(select(&store, &[("device", "eth1")]), [(ids[1], eth1.clone())]);
    assert_eq!(select(&store, &[]).len(), 2);
    assert_eq!(select(&store, &[("device", "eth2")]), []);
    assert_eq!(select(&store, &[("nothing", "eth1")]), []);
    store.close().unwrap();

    let mut store = open(&directory);
    assert_eq!(store.series(&eth0, "net").unwrap(), ids[0]);
    let mut changed = eth1.clone();
    changed.metric =
        Arc::new(Metric { help: "Said better.".into(), kind: Kind::Gauge, ..(*eth1.metric).clone() });
    assert_eq!(store.series(&changed, "net").unwrap(), ids[1], "a definition may change");
    assert_eq!(store.series(&eth1, "net").unwrap(), ids[1], "also before it is committed");
    assert_eq!(store.series(&changed, "net").unwrap(), ids[1], "and back");
    let fresh = store.series(&def("new", &[]), "net").unwrap();
    assert!(!ids.contains(&fresh));
    store.commit(&Commit::default()).unwrap();
    assert_eq!(select(&store, &[("device", "eth1")]), [(ids[1], changed)]);
    let names: Vec<String> = reader(&store)
        .all_series()
        .unwrap()
        .iter()
        .map(|series| series.def.metric.name.to_string())
        .collect();
    let host = "host_network_receive_bytes_total";
    assert_eq!(names, ["host_load1", host, host, "new"]);
}

#[test]
fn every_finite_value_comes_back_bit_by_bit() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let odd = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1 + 0.2,
        1e-300,
        5e-324,
        -5e-324,
        f64::MAX,
        f64::MIN,
        9_007_199_254_740_993.0,
        123.45,
    ];
    let ids = series(&mut store, odd.len());
    let samples =
        ids.iter().zip(odd).map(|(id, value)| StoredSample { series: *id, reset: value < 0.0, value });
    let samples: Vec<StoredSample> = samples.rev().collect(); // in any order
    store.commit(&commit(vec![StoredBatch { time: at(NOW), samples }])).unwrap();
    let reader = reader(&store);
    for (id, value) in ids.iter().zip(odd) {
        let [point] = all(&reader, *id)[..] else { panic!("one point of {value}") };
        assert_eq!((point.value.to_bits(), point.reset, point.time), (value.to_bits(), value < 0.0, at(NOW)));
    }
}

#[test]
fn the_newest_come_first_and_no_more_than_asked_for() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 3);
    for tick in 0..5000 {
        // the third series comes every tenth time only
        let some = if tick % 10 == 0 { &ids[..] } else { &ids[..2] };
        put(&mut store, NOW + tick * 1000, some, tick as f64);
    }
    let reader = reader(&store);
    assert_eq!(values(&reader.last(ids[0], Range::ALL, 3).unwrap()), [4999.0, 4998.0, 4997.0]);
    assert_eq!(values(&reader.last(ids[2], Range::ALL, 3).unwrap()), [4990.0, 4980.0, 4970.0]);
    let range = Range { from: at(NOW + 10_000), to: at(NOW + 12_000) };
    assert_eq!(times(&reader.last(ids[1], range, 100).unwrap()), [NOW + 12_000, NOW + 11_000, NOW + 10_000]);
    assert_eq!(times(&reader.last(ids[1], range, 2).unwrap()), [NOW + 12_000, NOW + 11_000]);
    assert_eq!(reader.last(ids[1], range, 0).unwrap(), []);
    assert_eq!(reader.last(ids[1], Range { from: range.to, to: range.from }, 9).unwrap(), []);
    assert_eq!(reader.last(SeriesId(999), Range::ALL, 9).unwrap(), []);
    let many = reader.last_of_many(&[ids[2], SeriesId(999), ids[0], ids[2]], range, 2).unwrap();
    assert_eq!(
        many.iter().map(|points| values(points)).collect::<Vec<_>>(),
        [vec![10.0], vec![], vec![12.0, 11.0], vec![10.0]]
    );
}

#[test]
fn a_series_that_stands_twice_keeps_its_last_value() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 2);
    let samples = vec![sample(ids[1], 1.0), sample(ids[0], 2.0), sample(ids[1], 3.0)];
    store.commit(&commit(vec![StoredBatch { time: at(NOW), samples }])).unwrap();
    assert_eq!(values(&all(&reader(&store), ids[1])), [3.0]);
    assert_eq!(store.delete_before(at(NOW + 1)).unwrap().samples, 2);
}

#[test]
fn batches_of_one_commit_may_lie_far_apart() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 1);
    let mut offsets = vec![0, 59_999, 60_000, 60_001, 7 * HOUR, -1, -60_001, -90_000_000];
    store
        .commit(&commit(offsets.iter().map(|offset| batch(NOW + offset, &ids, *offset as f64)).collect()))
        .unwrap();
    offsets.sort_unstable_by(|a, b| b.cmp(a));
    let reader = reader(&store);
    assert_eq!(
        values(&all(&reader, ids[0])),
        offsets.iter().map(|offset| *offset as f64).collect::<Vec<_>>()
    );
    for offset in &offsets {
        let exactly = Range { from: at(NOW + offset), to: at(NOW + offset) };
        assert_eq!(values(&reader.last(ids[0], exactly, 9).unwrap()), [*offset as f64]);
    }
    assert_eq!(store.last_commit(), Some(at(NOW + 7 * HOUR)));
}

#[test]
fn a_clock_set_back_loses_nothing_and_begins_a_run() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 2);
    for tick in 0..100 {
        put(&mut store, NOW + tick * 1000, &ids, tick as f64);
    }
    for tick in 0..100 {
        let batches = vec![batch(NOW - HOUR + tick * 1000, &ids, -1.0)];
        store.commit(&Commit { batches, new_run: tick == 0, ..Commit::default() }).unwrap();
    }
    // and back to the same milliseconds once more
    for tick in 0..100 {
        let batches = vec![batch(NOW + tick * 1000, &ids, -2.0)];
        store.commit(&Commit { batches, new_run: tick == 0, ..Commit::default() }).unwrap();
    }
    assert_eq!(store.last_commit(), Some(at(NOW + 99_000)));
    let points = all(&reader(&store), ids[1]);
    assert_eq!(points.len(), 300);
    assert!(points.is_sorted_by(|a, b| (a.time, a.run) > (b.time, b.run)));
    assert_eq!(values(&points[..4]), [-2.0, 99.0, -2.0, 98.0]);
    assert_eq!((points[0].run, points[1].run, points[299].run), (3, 1, 2));
    assert_eq!(values(&reader(&store).last(ids[1], Range::ALL, 3).unwrap()), [-2.0, 99.0, -2.0]);
}

#[test]
fn a_clock_that_stands_still_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 1);
    for tick in 0..700 {
        put(&mut store, NOW, &ids, f64::from(tick));
    }
    let points = all(&reader(&store), ids[0]);
    assert_eq!(values(&points), (0..700).rev().map(f64::from).collect::<Vec<_>>());
    assert!(points.iter().all(|point| point.time == at(NOW)));
    let only = Range { from: at(NOW), to: at(NOW) };
    assert_eq!(reader(&store).last(ids[0], only, 9999).unwrap().len(), 700);
    assert_eq!(store.delete_before(at(NOW)).unwrap().samples, 0);
    assert_eq!(store.delete_before(at(NOW + 1)).unwrap().samples, 700);
    assert_eq!(all(&reader(&store), ids[0]), []);
}

#[test]
fn far_off_times_are_kept() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 1);
    let far =
        [0, -1, 1, -86_400_000, 2_147_483_647_999, 2_147_483_648_000, 4_102_444_800_000, 253_402_300_800_000];
    for millis in far {
        put(&mut store, millis, &ids, millis as f64);
    }
    for absurd in [i64::MIN, i64::MAX] {
        put(&mut store, absurd, &ids, 7.0);
    }
    let reader = reader(&store);
    let points = all(&reader, ids[0]);
    assert_eq!(points.len(), far.len() + 2, "nothing is lost");
    assert!(points[1..=far.len()].iter().all(|point| point.value == point.time.as_millis() as f64));
    assert!(points.is_sorted_by(|a, b| a.time > b.time));
    let before_1970 = Range { from: at(-HOUR), to: at(-1) };
    assert_eq!(times(&reader.last(ids[0], before_1970, 9).unwrap()), [-1]);
}

#[test]
fn each_start_begins_a_run_and_knows_the_last_commit() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    assert_eq!(store.last_commit(), None);
    let ids = series(&mut store, 1);
    put(&mut store, NOW, &ids, 1.0);
    assert_eq!(store.last_commit(), Some(at(NOW)));
    store.close().unwrap();

    let mut store = open(&directory);
    assert_eq!(store.last_commit(), Some(at(NOW)));
    let back = Commit { batches: vec![batch(NOW - HOUR, &ids, 2.0)], new_run: true, ..Commit::default() };
    store.commit(&back).unwrap();
    drop(store);

    let mut store = open(&directory);
    assert_eq!(store.last_commit(), Some(at(NOW - HOUR)), "the last written, not the latest by the clock");
    put(&mut store, NOW + 1, &ids, 3.0);
    let points = all(&reader(&store), ids[0]);
    assert_eq!(values(&points), [3.0, 1.0, 2.0]);
    let runs: HashSet<u32> = points.iter().map(|point| point.run).collect();
    assert_eq!(runs.len(), 3);
    assert!(points[0].run > points[2].run && points[2].run > points[1].run);
}

#[test]
fn a_changing_set_of_series_is_read_right() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 8);
    let chosen = |tick: i64| ids.iter().copied().enumerate().filter(move |(n, _)| tick >> n & 1 == 1);
    for tick in 1..256 {
        // more layouts than the writer remembers, each twice
        for twice in 0..2 {
            let some: Vec<SeriesId> = chosen(tick).map(|(_, id)| id).collect();
            put(&mut store, NOW + twice * 300_000 + tick * 1000, &some, tick as f64);
        }
    }
    let reader = reader(&store);
    for (n, id) in ids.iter().enumerate() {
        let points = all(&reader, *id);
        assert_eq!(points.len(), 256);
        assert!(points.iter().all(|point| point.value as i64 >> n & 1 == 1));
    }
}

#[test]
fn readers_read_while_the_writer_writes() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 50);
    put(&mut store, NOW, &ids, 0.0);
    let readers = store.readers();
    std::thread::scope(|scope| {
        let reading = (0..3).map(|_| {
            scope.spawn(|| {
                let mut newest = 0.0;
                while newest < 400.0 {
                    let points = readers.reader().unwrap().last_of_many(&ids, Range::ALL, 5).unwrap();
                    let first = points[0][0].value;
                    assert!(points.iter().all(|points| points[0].value == first), "one state of the file");
                    assert!(first >= newest, "never back");
                    newest = first;
                }
            })
        });
        let reading: Vec<_> = reading.collect();
        for tick in 1..=400 {
            put(&mut store, NOW + tick * 1000, &ids, tick as f64);
        }
        reading.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_reader_at_rest_holds_no_transaction() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 200);
    put(&mut store, NOW, &ids, 0.0);
    let resting = reader(&store);
    assert_eq!(all(&resting, ids[0]).len(), 1);
    for tick in 1..4000 {
        put(&mut store, NOW + tick * 1000, &ids, tick as f64 / 7.0);
    }
    let log = std::fs::metadata(directory.path().join("history.db-wal")).unwrap().len();
    assert!(log < 6 << 20, "the log was reused: {log}");
    assert_eq!(all(&resting, ids[0]).len(), 4000);
}
