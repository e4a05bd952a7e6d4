//! What needs a look, or a hand, inside the store.

use super::*;
use crate::model::{Event, Gap, GapReason, GapScope, Severity};
use std::time::Duration;
use tempfile::TempDir;

fn options(directory: &TempDir) -> Options {
    Options {
        file: directory.path().join("history.db"),
        retention: Retention { raw: Duration::from_secs(3600), ..Retention::default() },
        max_loss: Duration::from_secs(3600),
        max_size: 1 << 30,
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A commit that touches every table.
fn commit(store: &mut Store, tick: i64) -> Commit {
    let def = |name: &str| {
        let metric = crate::model::Metric {
            name: name.into(),
            kind: crate::model::Kind::Gauge,
            unit: "".into(),
            help: "".into(),
            label_keys: Vec::new(),
            plugin: "p".into(),
        };
        SeriesDef { metric: std::sync::Arc::new(metric), labels: crate::model::Labels::default() }
    };
    let samples = (0..300).map(|n| {
        let series = store.series(&def(&format!("m{n}_{}", tick / 20)), "c").unwrap();
        StoredSample { series, reset: n % 50 == 0, value: tick as f64 / 7.0 + f64::from(n) }
    });
    let batches = vec![StoredBatch { time: at(tick * 1000), samples: samples.collect() }];
    let event = Event {
        kind: "tick".into(),
        severity: Severity::Info,
        message: tick.to_string(),
        details: serde_json::Value::Null,
        time: at(tick * 1000),
        vm_id: None,
    };
    let gap = Gap {
        scope: GapScope::Series(SeriesId(0)),
        from: at(tick * 1000),
        to: at(tick * 1000),
        reason: GapReason::Timeout,
    };
    Commit {
        batches,
        gaps: vec![gap],
        events: vec![event],
        new_run: tick % 7 == 0,
        meta: vec![("tick".into(), tick.to_string())],
    }
}

#[test]
fn a_full_disk_costs_nothing_once_there_is_room_again() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(options(&directory)).unwrap();
    let mut refusals = 0;
    for tick in 0..200 {
        let pages: i64 = store.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        if tick % 10 == 0 {
            store.conn.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
        }
        let commit = commit(&mut store, tick);
        // what the store does about it is tested beside it
        let mut outcome = store.write_commit(&commit);
        if let Err(error) = &outcome {
            assert!(matches!(error, StoreError::DiskFull { .. }) && error.is_transient(), "{error:?}");
            assert!(store.conn.is_autocommit(), "rolled back");
            refusals += 1;
            store.conn.execute_batch("PRAGMA max_page_count = 1000000").unwrap();
            outcome = store.commit(&commit);
        }
        outcome.unwrap();
    }
    assert!(refusals > 5, "{refusals}");
    let reader = store.readers().reader().unwrap();
    let mut runs = 1;
    for group in 0..10 {
        let selector = Selector::with_labels(format!("m299_{group}"), &crate::model::Labels::default());
        let [found] = &reader.select(&selector).unwrap()[..] else {
            panic!("one series of {}", selector.metric)
        };
        let points = reader.last(found.id, Range::ALL, 100).unwrap();
        assert_eq!(points.len(), 20, "each commit once");
        for (tick, point) in (group * 20..).zip(points.iter().rev()) {
            runs += u32::from(tick % 7 == 0);
            assert_eq!(
                (point.time, point.value, point.run),
                (at(tick * 1000), tick as f64 / 7.0 + 299.0, runs)
            );
        }
    }
    let events = reader.events(&EventFilter { limit: 1000, ..EventFilter::default() }).unwrap();
    let messages: Vec<String> = events.iter().rev().map(|stored| stored.event.message.clone()).collect();
    assert_eq!(messages, (0..200).map(|tick| tick.to_string()).collect::<Vec<_>>());
    // one gap a run: it went on growing over the refusals
    let gaps = reader.gaps(SeriesId(0), Range::ALL, 100).unwrap();
    assert_eq!(gaps.len(), 29);
    assert!(gaps.iter().zip(&gaps[1..]).all(|(gap, next)| gap.to.plus(Duration::from_secs(1)) == next.from));
}

#[test]
fn another_writer_s_lock_is_busy_and_nothing_is_lost() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(options(&directory)).unwrap();
    store.conn.busy_timeout(Duration::ZERO).unwrap();
    let commit = commit(&mut store, 1);
    let other = Connection::open(&store.file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(&commit).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.is_transient(), "{error:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(store.commit(&commit).unwrap() > 300);
    assert_eq!(store.readers().reader().unwrap().all_series().unwrap().len(), 300);
}

#[test]
fn commits_are_synced_as_often_as_the_loss_allows() {
    let directory = TempDir::new().unwrap();
    let level =
        |store: &Store| store.conn.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)).unwrap();
    let (normal, full) = (1, 2);
    let mut store = Store::open(options(&directory)).unwrap();
    store.commit(&Commit::default()).unwrap();
    assert_eq!(level(&store), full, "the first");
    store.commit(&Commit::default()).unwrap();
    assert_eq!(level(&store), normal, "within an hour");
    store.options.max_loss = Duration::ZERO;
    store.commit(&Commit::default()).unwrap();
    assert_eq!(level(&store), full);
    store.commit(&Commit::default()).unwrap();
    assert_eq!(level(&store), full);
}

#[test]
fn series_lie_in_groups_of_64_which_go_with_their_part_of_time() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(options(&directory)).unwrap();
    let sample = |n| StoredSample { series: SeriesId(n), reset: false, value: f64::from(n) };
    let samples: Vec<StoredSample> = (1..=1000).map(sample).collect();
    // three parts of forty commits: the first is sealed, the second in segments, the third in memory
    for tick in 0..120 {
        let batches = vec![StoredBatch { time: at(tick * 180_000), samples: samples.clone() }];
        store.commit(&Commit { batches, ..Commit::default() }).unwrap();
    }
    let counts = |store: &Store| (count(store, "block"), count(store, "segment"), count(store, "place"));
    assert_eq!(counts(&store), (16, 16, 1000), "16 groups have 1000 series");
    let points = store.readers().reader().unwrap().last(SeriesId(999), Range::ALL, 100).unwrap();
    assert_eq!(points.len(), 100);
    assert_eq!(store.delete_before(at(2 * 3_600_000)).unwrap().samples, 40_000);
    assert_eq!(counts(&store), (0, 16, 1000));
    assert_eq!(store.delete_before(at(4 * 3_600_000)).unwrap().samples, 40_000);
    assert_eq!(store.delete_before(at(6 * 3_600_000)).unwrap().samples, 40_000);
    assert_eq!(
        (
            count(&store, "block"),
            count(&store, "segment"),
            count(&store, "journal WHERE key >= (SELECT journal FROM run)")
        ),
        (0, 0, 0)
    );
}

fn count(store: &Store, what: &str) -> u32 {
    store.conn.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_deleted_while_a_block_is_made_of_it_stays_deleted() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(options(&directory)).unwrap();
    let mut ticks = 0;
    let mut tick = |store: &mut Store| {
        let samples =
            (1..=64).map(|n| StoredSample { series: SeriesId(n), reset: false, value: f64::from(n) });
        let batches = vec![StoredBatch { time: at(ticks * 3000), samples: samples.collect() }];
        store.commit(&Commit { batches, ..Commit::default() }).unwrap();
        ticks += 1;
        ticks
    };
    // 2400 rows of 64 series make a part, and are more than one step of sealing takes
    while tick(&mut store) < 2400 {}
    while count(&store, "segment_1m") > 0 || !store.samples.is_making_a_block() {
        assert!(tick(&mut store) < 5000, "a part that is over is sealed");
    }
    assert_eq!(count(&store, "block"), 0, "in the making");
    assert_eq!(store.delete_before(at(2 * 3_600_000)).unwrap().samples, 2400 * 64);
    for _ in 0..20 {
        tick(&mut store);
    }
    assert_eq!((count(&store, "block"), store.samples.sizes().sealing), (0, false));
    let oldest = store.readers().reader().unwrap().last(SeriesId(64), Range::ALL, usize::MAX).unwrap().pop();
    assert_eq!(oldest.map(|point| point.time), Some(at(2 * 3_600_000)));
}

#[test]
fn the_store_moves_to_its_thread_and_readers_go_everywhere() {
    fn sent<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    sent::<Store>();
    sent::<Reader>();
    shared::<Readers>();
    shared::<StoreError>();
}

#[test]
fn a_commit_that_fails_at_its_end_leaves_no_memory() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(options(&directory)).unwrap();
    let first = commit(&mut store, 1);
    store.commit(&first).unwrap();
    // new series, thus a new layout; and a gap that grows
    let mut second = commit(&mut store, 20);
    second.new_run = false;
    let trigger =
        "CREATE TEMP TRIGGER fails BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'on purpose'); END";
    for round in 0..3 {
        store.conn.execute_batch(trigger).unwrap();
        assert!(matches!(store.commit(&second), Err(StoreError::Sqlite { .. })), "round {round}");
        store.conn.execute_batch("DROP TRIGGER fails").unwrap();
    }
    assert_eq!(store.last_commit(), Some(at(1000)));
    store.commit(&second).unwrap();
    assert_eq!(store.last_commit(), Some(at(20_000)));
    let reader = store.readers().reader().unwrap();
    for id in [&first, &second].map(|commit| commit.batches[0].samples[200].series) {
        assert_eq!(reader.last(id, Range::ALL, 9).unwrap().len(), 1);
    }
    let [gap] = &reader.gaps(SeriesId(0), Range::ALL, 100).unwrap()[..] else { panic!("one gap") };
    assert_eq!((gap.from, gap.to), (at(1000), at(20_000)));
}
