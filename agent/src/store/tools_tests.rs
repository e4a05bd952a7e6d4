//! Looking after a store: copies, checks, compacting.

use super::*;
use crate::model::{Event, Kind, Labels, Metric, Severity};
use rusqlite::params;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const T0: i64 = 1_795_132_800_000;

fn open(dir: &Path) -> Store {
    Store::open(Options {
        file: dir.join("history.db"),
        retention: Retention::default(),
        max_loss: Duration::from_secs(10),
        max_size: 1 << 30,
    })
    .unwrap()
}

fn series(store: &mut Store, number: u32) -> SeriesId {
    let metric = Metric {
        name: "m".into(),
        kind: Kind::Gauge,
        unit: "".into(),
        help: "".into(),
        label_keys: vec!["n".into()],
        plugin: "p".into(),
    };
    let labels = Labels::new([("n", number.to_string())]);
    store.series(&SeriesDef { metric: Arc::new(metric), labels }, "c").unwrap()
}

fn tick(store: &mut Store, ids: &[SeriesId], time: i64) {
    let sample = |id: &SeriesId| StoredSample { series: *id, reset: false, value: time as f64 / 3.0 };
    let samples = ids.iter().map(sample).collect();
    let batches = vec![StoredBatch { time: Timestamp::from_millis(time), samples }];
    store.commit(&Commit { batches, ..Commit::default() }).unwrap();
}

/// A store with ten series and a hundred ticks, closed.
fn filled(dir: &Path) -> PathBuf {
    let mut store = open(dir);
    let ids: Vec<_> = (0..10).map(|number| series(&mut store, number)).collect();
    for at in 0..100 {
        tick(&mut store, &ids, T0 + at * 60_000);
    }
    let event = Event {
        kind: "k".into(),
        severity: Severity::Info,
        message: "m".into(),
        details: serde_json::json!({}),
        time: Timestamp::from_millis(T0),
        vm_id: None,
    };
    store.commit(&Commit { events: vec![event], ..Commit::default() }).unwrap();
    store.close().unwrap();
    dir.join("history.db")
}

fn quiet(_table: &'static str, _done: u64, _all: u64) {}

#[test]
fn a_copy_is_finished_while_a_writer_commits_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let id = series(&mut store, 0);
    // several steps of the copy
    store.put_meta("large", &"x".repeat(12 << 20)).unwrap();
    tick(&mut store, &[id], T0);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = std::thread::spawn(move || {
        let mut ticks = 0;
        while !stopped.load(Ordering::Relaxed) {
            ticks += 1;
            tick(&mut store, &[id], T0 + ticks * 1000);
        }
        ticks
    });
    let (file, copy) = (dir.path().join("history.db"), dir.path().join("copy.db"));
    let mut seen = Vec::new();
    let bytes = backup(&file, &copy, Overwrite::Refuse, &mut |done, all| seen.push((done, all))).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
    assert!(seen.len() > 2 && seen.is_sorted(), "it never begins anew: {seen:?}");
    assert!(seen.iter().all(|(_, all)| *all == seen[0].1), "of one state of the file: {seen:?}");
    assert_eq!(bytes, std::fs::metadata(&copy).unwrap().len());
    assert!(verify(&copy, &mut quiet).unwrap().is_sound());
    assert!(matches!(
        backup(&file, &copy, Overwrite::Refuse, &mut |_, _| {}),
        Err(StoreError::Target { what, .. }) if what.contains("already")
    ));
}

#[test]
fn info_counts() {
    let dir = tempfile::tempdir().unwrap();
    let file = filled(dir.path());
    let found = info(&file).unwrap();
    assert_eq!((found.series, found.live_series, found.format), (10, 10, schema::FORMAT));
    let raw = &found.tiers[0];
    assert_eq!((raw.tier, raw.samples), (Tier::Raw, 1000));
    assert_eq!(raw.newest, Some(Timestamp::from_millis(T0 + 99 * 60_000)));
    assert!(raw.oldest.unwrap() <= Timestamp::from_millis(T0));
    assert!(raw.bytes > 0 && raw.bytes < found.file_bytes);
    assert_eq!(found.bytes_per_sample(), Some((found.pages * found.page_size) as f64 / 1000.0));
    assert_eq!(found.holder, None);

    // a series that ended long ago is not alive
    let mut store = open(dir.path());
    let id = series(&mut store, 3);
    tick(&mut store, &[id], T0 + 86_400_000);
    let found = info(&file).unwrap();
    assert_eq!((found.series, found.live_series), (10, 1));
    assert_eq!(found.holder.map(|holder| holder.pid), Some(std::process::id()));
}

#[test]
fn an_empty_store_has_an_info_and_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().unwrap();
    let file = dir.path().join("history.db");
    let found = info(&file).unwrap();
    assert_eq!((found.bytes_per_sample(), found.last_commit, found.tiers[0].oldest), (None, None, None));
    assert!(verify(&file, &mut quiet).unwrap().is_sound());
    assert!(matches!(info(&dir.path().join("none.db")), Err(StoreError::Missing { .. })));
}

/// A store with ten series: blocks of three parts, segments of two, their roll-ups, and a journal; closed.
fn sealed(dir: &Path) -> PathBuf {
    let mut store = open(dir);
    let ids: Vec<_> = (0..10).map(|number| series(&mut store, number)).collect();
    for at in 0..620 {
        tick(&mut store, &ids, T0 + at * 60_000);
    }
    store.close().unwrap();
    let event =
        "INSERT INTO event(time, type, severity, message, details) VALUES (0, 'k', 'info', 'm', '{}')";
    let file = dir.join("history.db");
    Connection::open(&file).unwrap().execute_batch(event).unwrap();
    file
}

#[test]
fn verify_finds_each_kind_of_damage() {
    for (change, table, why) in [
        (
            "UPDATE journal SET data = substr(data, 1, length(data) - 1) WHERE key = ?1",
            "journal",
            "ends too early",
        ),
        ("UPDATE journal SET data = x'' WHERE key = ?1", "journal", "ends too early"),
        ("UPDATE journal SET n = n + 1 WHERE key = ?1", "journal", "it holds 10 samples, and says 11"),
        ("UPDATE journal SET key = key + 1 WHERE key = ?1", "journal", "checksum"),
        ("DELETE FROM journal WHERE key = ?1 - 1", "journal", "checksum"),
        (
            "UPDATE segment SET data = substr(data, 1, length(data) - 1) WHERE key = (SELECT min(key) FROM segment) AND ?1",
            "segment",
            "ends too early",
        ),
        (
            "UPDATE segment SET n = n - 1 WHERE key = (SELECT min(key) FROM segment) AND ?1",
            "segment",
            "it holds 1200 samples, and says 1199",
        ),
        (
            "UPDATE segment SET key = key + 1 WHERE key = (SELECT min(key) FROM segment) AND ?1",
            "segment",
            "checksum",
        ),
        (
            "UPDATE block SET data = zeroblob(99) WHERE key = (SELECT min(key) FROM block) AND ?1",
            "block",
            "no block begins so",
        ),
        (
            "UPDATE segment_1m SET data = CAST(data || x'00' AS BLOB) WHERE key = (SELECT min(key) FROM segment_1m) AND ?1",
            "segment_1m",
            "bytes after the end",
        ),
        ("UPDATE series SET labels = '{n=' WHERE id = 1 AND ?1", "series", "labels"),
        ("UPDATE event SET details = '{' WHERE ?1", "event", "JSON"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = sealed(dir.path());
        let conn = Connection::open(&file).unwrap();
        let last: i64 = conn.query_row("SELECT max(key) FROM journal", [], |row| row.get(0)).unwrap();
        assert_eq!(conn.execute(change, params![last]).unwrap(), 1, "{change}");
        conn.close().unwrap();
        let report = verify(&file, &mut quiet).unwrap();
        let [bad] = &report.bad[..] else { panic!("{change}: {:?}", report.bad) };
        assert!(bad.table == table && bad.why.contains(why), "{change}: {bad:?}");
        assert_eq!(report.checked.len(), 9, "the others are checked all the same");
        let blobs = report.checked.iter().filter(|checked| checked.table.starts_with(['s', 'b']));
        assert!(blobs.map(|checked| checked.rows).sum::<u64>() >= 3 + 2 + 3 + 10, "{:?}", report.checked);
    }
}

#[test]
fn verify_goes_on_after_a_broken_page() {
    let dir = tempfile::tempdir().unwrap();
    let file = filled(dir.path());
    let conn = Connection::open(&file).unwrap();
    let root: u64 = conn
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'journal'", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
        .unsigned_abs();
    conn.close().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = usize::try_from((root - 1) * schema::PAGE).unwrap();
    bytes[at..at + 200].fill(0xee);
    std::fs::write(&file, bytes).unwrap();
    let report = verify(&file, &mut quiet).unwrap();
    assert!(report.bad.iter().any(|bad| bad.table == "file"), "{:?}", report.bad);
    assert!(report.bad.iter().any(|bad| bad.table == "journal"), "{:?}", report.bad);
    assert!(report.checked.iter().any(|checked| checked.table == "series" && checked.rows == 10));
}

#[test]
fn compacting_keeps_everything_and_gives_free_pages_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let id = series(&mut store, 0);
    store.put_meta("large", &"x".repeat(20 << 20)).unwrap();
    tick(&mut store, &[id], T0);
    store.put_meta("large", "").unwrap();
    let file = dir.path().join("history.db");
    assert!(matches!(compact(&file, &mut |_, _| {}), Err(StoreError::InUse { pid: Some(_), .. })));
    store.close().unwrap();
    let mut steps = Vec::new();
    let compacted = compact(&file, &mut |done, all| steps.push((done, all))).unwrap();
    assert!(compacted.before > 20 << 20 && compacted.after < 1 << 20, "{compacted:?}");
    assert!(steps.len() > 2 && steps.is_sorted(), "in bounded steps: {steps:?}");
    assert!(verify(&file, &mut quiet).unwrap().is_sound());
    assert_eq!(info(&file).unwrap().tiers[0].samples, 1);
    let again = compact(&file, &mut |_, _| {}).unwrap();
    assert_eq!(again.before, again.after);
}
