//! What a kill between two commits and a power cut leave behind.

use super::*;
use proptest::prelude::*;
use rusqlite::Connection;
use std::fs;

/// The files of a store as a killed agent leaves them, in a directory of their own.
pub(crate) fn snapshot(directory: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    for name in ["history.db", "history.db-wal"] {
        fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// Flips a bit of the write-ahead log, or cuts it there.
fn tear_log(directory: &TempDir, at: prop::sample::Index, flip: bool) {
    let log = directory.path().join("history.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    let at = at.index(bytes.len());
    if flip {
        bytes[at] ^= 0x10;
    } else {
        bytes.truncate(at);
    }
    fs::write(&log, bytes).unwrap();
}

/// That SQLite and the store find nothing wrong.
pub(crate) fn check(directory: &TempDir) {
    let file = directory.path().join("history.db");
    let report = verify(&file, &mut |_, _, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.bad);
    let conn = Connection::open(file).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// What a store holds of these series is each of the first so many ticks, once, with its number as the value.
#[track_caller]
fn assert_holds(directory: &TempDir, store: &Store, ids: &[SeriesId], step: i64, ticks: i64) {
    let expected: Vec<(i64, f64)> = (0..ticks).rev().map(|tick| (NOW + tick * step, tick as f64)).collect();
    for reader in [reader(store), of_file(directory).reader().unwrap()] {
        for points in reader.last_of_many(ids, Range::ALL, usize::MAX).unwrap() {
            let found: Vec<(i64, f64)> = points.iter().map(|p| (p.time.as_millis(), p.value)).collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_kill_between_commits_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 300);
    for tick in 0..600 {
        put(&mut store, NOW + tick * 1000, &ids, tick as f64);
        if tick % 60 == 0 || tick == 1 {
            let copy = snapshot(&directory);
            let reopened = open(&copy);
            assert_eq!(reopened.last_commit(), Some(at(NOW + tick * 1000)));
            assert_eq!(all(&reader(&reopened), ids[299]).len() as i64, tick + 1);
            drop(reopened);
            check(&copy);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_torn_log_costs_the_newest_commits_and_no_others(cut in any::<prop::sample::Index>(), flip in any::<bool>()) {
        let directory = TempDir::new().unwrap();
        let mut store = open(&directory);
        let ids = series(&mut store, 100);
        for tick in 0..60 {
            put(&mut store, NOW + tick * 1000, &ids, tick as f64);
        }
        let copy = snapshot(&directory);
        tear_log(&copy, cut, flip);
        let mut reopened = open(&copy);
        let points = all(&reader(&reopened), ids[50]);
        let expected: Vec<i64> = (0..points.len() as i64).rev().map(|tick| NOW + tick * 1000).collect();
        prop_assert_eq!(times(&points), expected, "a prefix of what was committed");
        let fresh = series(&mut reopened, 100);
        put(&mut reopened, NOW + HOUR, &fresh, 7.0);
        prop_assert_eq!(all(&reader(&reopened), fresh[50])[0].value, 7.0);
        drop(reopened);
        check(&copy);
    }

    #[test]
    fn a_log_torn_while_segments_and_blocks_are_made_costs_the_newest_commits_and_no_others(
        cut in any::<prop::sample::Index>(), flip in any::<bool>()
    ) {
        let directory = TempDir::new().unwrap();
        let mut store = open(&directory);
        let ids = series(&mut store, 100);
        let minute = |store: &mut Store, ids: &[SeriesId], tick: i64| put(store, NOW + tick * 60_000, ids, tick as f64);
        (0..235).for_each(|tick| minute(&mut store, &ids, tick));
        // what comes now is in the log alone: the rows of a part frozen, its segments, the block of the part before
        let conn = Connection::open(directory.path().join("history.db")).unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        (235..255).for_each(|tick| minute(&mut store, &ids, tick));
        let rows = |table| conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        let (segments, blocks): (i64, i64) = (rows("segment"), rows("block"));
        prop_assert!(segments > 0 && blocks > 0, "{} {}", segments, blocks);
        let copy = snapshot(&directory);
        tear_log(&copy, cut, flip);
        let mut reopened = open(&copy);
        let kept = all(&reader(&reopened), ids[50]).len() as i64;
        prop_assert!((235..=255).contains(&kept), "{}", kept);
        assert_holds(&copy, &reopened, &ids, 60_000, kept);
        (kept..kept + 130).for_each(|tick| minute(&mut reopened, &ids, tick));
        assert_holds(&copy, &reopened, &ids, 60_000, kept + 130);
        drop(reopened);
        check(&copy);
    }
}

#[test]
fn a_kill_while_the_first_segments_are_written_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    // two full groups and one that has room for more: the file doesn't know yet which series is where
    let ids = series(&mut store, 140);
    let conn = Connection::open(directory.path().join("history.db"));
    let mut segments = Vec::new();
    for tick in 0..130 {
        put(&mut store, NOW + tick * 60_000, &ids, tick as f64);
        if tick >= 118 {
            let copy = snapshot(&directory);
            let reopened = open(&copy);
            assert_holds(&copy, &reopened, &ids, 60_000, tick + 1);
            drop(reopened);
            check(&copy);
            let count = "SELECT count(*) FROM segment";
            segments.push(conn.as_ref().unwrap().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap());
        }
    }
    assert!([0, 1, 2, 3].iter().all(|count| segments.contains(count)), "one at a time: {segments:?}");
}
