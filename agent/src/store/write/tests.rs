//! What must hold whatever the series do.

use crate::{
    model::{Kind, Labels, Metric, SeriesDef, SeriesId, Timestamp},
    store::{Aggregate, AggregateQuery, Commit, Options, Range, Retention, Store, StoredBatch, StoredSample},
};
use rusqlite::Connection;
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

const MINUTE: i64 = 60_000;
const PART: i64 = 120 * MINUTE;
/// A time at which a part begins.
const BEGIN: i64 = 1_800_000_000_000 / PART * PART;

fn store(directory: &TempDir) -> Store {
    let options = Options {
        file: directory.path().join("history.db"),
        retention: Retention { raw: Duration::from_secs(30 * 86_400), ..Retention::default() },
        max_loss: Duration::from_secs(3600),
        max_size: 1 << 30,
    };
    Store::open(options).unwrap()
}

fn series(store: &mut Store, name: &str) -> SeriesId {
    let metric = Metric {
        name: name.into(),
        kind: Kind::Gauge,
        unit: "".into(),
        help: "".into(),
        label_keys: Vec::new(),
        plugin: "p".into(),
    };
    store.series(&SeriesDef { metric: Arc::new(metric), labels: Labels::default() }, "c").unwrap()
}

/// A commit with a sample of each series.
fn put(store: &mut Store, millis: i64, series: &[SeriesId]) {
    let sample = |series: &SeriesId| StoredSample { series: *series, reset: false, value: millis as f64 };
    let time = Timestamp::from_millis(millis);
    let batches = vec![StoredBatch { time, samples: series.iter().map(sample).collect() }];
    store.commit(&Commit { batches, ..Commit::default() }).unwrap();
}

fn count(store: &Store, series: SeriesId) -> usize {
    store.readers().reader().unwrap().last(series, Range::ALL, 1_000_000).unwrap().len()
}

#[test]
fn a_series_that_is_back_after_a_silent_part_is_found_wholly() {
    let directory = TempDir::new().unwrap();
    let mut store = store(&directory);
    let (steady, silent) = (series(&mut store, "steady"), series(&mut store, "silent"));
    let mut expected = 0;
    for minute in 0..8 * 120 {
        // it is away for a part, and back right at the beginning of the next one: once for long, once for a moment
        let there = !matches!(minute, 120..240) && !matches!(minute, 361..480);
        let wanted = if there { &[steady, silent][..] } else { &[steady] };
        // several rows a minute, so that rows are frozen within the part
        for second in 0..10 {
            put(&mut store, BEGIN + minute * MINUTE + second * 1000, wanted);
            expected += usize::from(there);
        }
    }
    assert_eq!(count(&store, steady), 8 * 120 * 10);
    assert_eq!(count(&store, silent), expected);
    store.close().unwrap();
    let store = self::store(&directory);
    assert_eq!(count(&store, silent), expected, "after a restart");
}

/// A commit with a value of each of these ticks of ten seconds; tried once more if it fails, as `ingest` does.
fn put_again(store: &mut Store, tick: i64, series: &[SeriesId]) {
    let sample = |series: &SeriesId| StoredSample { series: *series, reset: false, value: tick as f64 };
    let time = Timestamp::from_millis(BEGIN + tick * 10_000);
    let batches = vec![StoredBatch { time, samples: series.iter().map(sample).collect() }];
    let commit = Commit { batches, ..Commit::default() };
    store.commit(&commit).or_else(|_| store.commit(&commit)).unwrap();
}

#[test]
fn what_can_t_be_sealed_keeps_no_sample_out() {
    let directory = TempDir::new().unwrap();
    let mut store = store(&directory);
    let one = series(&mut store, "one");
    store
        .conn
        .execute_batch("CREATE TRIGGER damaged BEFORE INSERT ON block BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    for tick in 0..4 * 720 {
        put_again(&mut store, tick, &[one]);
    }
    let blocks = |store: &Store| -> i64 {
        store.conn.query_row("SELECT count(*) FROM block", [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count(&store, one), blocks(&store)), (4 * 720, 0));
    store.conn.execute_batch("DROP TRIGGER damaged").unwrap();
    for tick in 4 * 720..5 * 720 {
        put_again(&mut store, tick, &[one]);
    }
    assert_eq!(count(&store, one), 5 * 720);
    assert!(blocks(&store) >= 3, "sealed once that can be done: {}", blocks(&store));
}

#[test]
fn what_stays_of_a_part_that_is_not_rolled_up_yet_still_is() {
    let directory = TempDir::new().unwrap();
    let mut store = store(&directory);
    let one = series(&mut store, "one");
    for tick in 0..700 {
        put_again(&mut store, tick, &[one]);
    }
    let before = BEGIN + 30 * MINUTE;
    store.delete_before(Timestamp::from_millis(before)).unwrap();
    // the agent was off until the part was over
    for tick in 3 * 720..4 * 720 {
        put_again(&mut store, tick, &[one]);
    }
    let query = AggregateQuery {
        range: Range { from: Timestamp::from_millis(BEGIN), to: Timestamp::from_millis(BEGIN + PART - 1) },
        step: MINUTE,
        aggregate: Aggregate::Count,
    };
    let steps = store.readers().reader().unwrap().aggregate(&[one], &query).unwrap().remove(0);
    let counts: Vec<f64> = steps.values.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts.len(), 87, "700 ticks are 117 minutes, of which 30 are deleted");
    assert!(counts[..86].iter().all(|count| *count == 6.0), "{counts:?}");
    assert_eq!(steps.values[0].0.as_millis(), before);
}

#[test]
fn late_samples_between_new_ones_make_no_segment_each() {
    let directory = TempDir::new().unwrap();
    let mut store = store(&directory);
    let (new, late) = (series(&mut store, "new"), series(&mut store, "late"));
    for tick in 0..600 {
        put_again(&mut store, tick, &[late]);
        put_again(&mut store, 10 * 720 + tick, &[new]);
    }
    let segments: i64 = store.conn.query_row("SELECT count(*) FROM segment", [], |row| row.get(0)).unwrap();
    assert!(segments < 20, "{segments}");
    assert_eq!((count(&store, late), count(&store, new)), (600, 600));
}

#[test]
fn a_row_of_the_journal_that_a_segment_has_in_part_is_kept() {
    let directory = TempDir::new().unwrap();
    let mut store = store(&directory);
    let (one, other) = (series(&mut store, "one"), series(&mut store, "other"));
    for tick in 0..100 {
        put_again(&mut store, tick, &[one, other]);
    }
    let file = store.file.clone();
    drop(store);
    // as if the agent had ended with the group of the one series written, while the other was in another group
    let aside = TempDir::new().unwrap();
    let copy = aside.path().join("history.db");
    std::fs::copy(&file, &copy).unwrap();
    let moved = Connection::open(&copy).unwrap();
    moved.execute_batch("UPDATE series SET collector = 'd' WHERE name = 'other'").unwrap();
    moved.close().unwrap();
    self::store(&aside).delete_before(Timestamp::from_millis(BEGIN + 1)).unwrap();
    let conn = Connection::open(&file).unwrap();
    conn.execute("ATTACH ?1 AS copy", [copy.to_str()]).unwrap();
    for table in ["segment", "block"] {
        conn.execute_batch(&format!(
            "INSERT INTO segment SELECT * FROM copy.{table} WHERE key >> 12 & 65535 = 0"
        ))
        .unwrap();
    }
    conn.execute_batch("INSERT INTO place SELECT * FROM copy.place WHERE grp = 0; DETACH copy").unwrap();
    let written = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(written("SELECT count(*) FROM segment"), 1);
    assert_eq!(written("SELECT count(*) FROM place"), 1);
    conn.close().unwrap();
    let store = self::store(&directory);
    assert_eq!((count(&store, one), count(&store, other)), (100, 100));
}

#[test]
fn a_segment_that_can_t_be_read_is_not_written_over() {
    let directory = TempDir::new().unwrap();
    let mut store = store(&directory);
    let one = series(&mut store, "one");
    let write = |store: &mut Store, ticks: std::ops::Range<i64>| {
        ticks.for_each(|tick| put(store, BEGIN + tick * 1000, &[one]));
        store.samples.flush_all(&store.conn).unwrap();
    };
    write(&mut store, 0..10);
    write(&mut store, 10..20);
    let segments = |store: &Store| -> i64 {
        store.conn.query_row("SELECT count(*) FROM segment", [], |row| row.get(0)).unwrap()
    };
    assert_eq!((segments(&store), count(&store, one)), (1, 20), "few rows are gathered");
    let damaged = vec![7_u8; 60];
    store.conn.execute("UPDATE segment SET data = ?1", [&damaged]).unwrap();
    write(&mut store, 20..30);
    assert_eq!(segments(&store), 2);
    let kept = "SELECT count(*) FROM segment WHERE data = ?1";
    assert_eq!(store.conn.query_row(kept, [&damaged], |row| row.get::<_, i64>(0)).unwrap(), 1);
    drop(store);
    assert_eq!(count(&self::store(&directory), one), 10);
}
