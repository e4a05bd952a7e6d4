//! What a kill, a power cut and a flipped bit leave behind.

use super::*;
use proptest::prelude::*;
use rusqlite::Connection;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// The files of a store as a killed agent leaves them, in a directory of their own.
fn snapshot(directory: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    for name in ["history.db", "history.db-wal"] {
        fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn check(directory: &TempDir) {
    let conn = Connection::open(directory.path().join("history.db")).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
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
        let log = copy.path().join("history.db-wal");
        let mut bytes = fs::read(&log).unwrap();
        let cut = cut.index(bytes.len());
        if flip {
            bytes[cut] ^= 0x10;
        } else {
            bytes.truncate(cut);
        }
        fs::write(&log, bytes).unwrap();
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
}

const CHILD: &str = "STORE_TEST_COMMITS_TO";

#[test]
fn a_killed_process_loses_nothing_it_had_committed() {
    if let Some(file) = std::env::var_os(CHILD) {
        return commit_until_killed(Path::new(&file));
    }
    let directory = TempDir::new().unwrap();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::a_killed_process_loses_nothing_it_had_committed", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ticks =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("tick ")?.parse::<i64>().ok());
        let pid = child.id();
        let mut last = ticks.by_ref().take(20 + round * 37).last().unwrap();
        let refused = Store::open(options(directory.path())).unwrap_err();
        assert!(refused.to_string().contains(&format!("in use by process {pid}")), "{refused}");
        child.kill().unwrap();
        last = ticks.last().unwrap_or(last);
        child.wait().unwrap();
        let store = open(&directory);
        assert!(store.last_commit().unwrap() >= at(last));
        let ids = reader(&store).all_series().unwrap();
        let points = all(&reader(&store), ids[0].id);
        let newest = points[0].time.as_millis();
        assert_eq!(times(&points), (NOW..=newest).rev().step_by(1000).collect::<Vec<_>>());
        drop(store);
        check(&directory);
    }
}

fn commit_until_killed(directory: &Path) {
    let mut store = Store::open(options(directory)).unwrap();
    let ids = series(&mut store, 200);
    let mut time = store.last_commit().map_or(NOW, |last| last.as_millis() + 1000);
    loop {
        put(&mut store, time, &ids, 1.0);
        println!("tick {time}");
        time += 1000;
    }
}

#[test]
fn a_damaged_row_costs_that_row() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 50);
    for tick in 0..100 {
        put(&mut store, NOW + tick * 1000, &ids, tick as f64 / 7.0);
    }
    store.close().unwrap();
    let conn = Connection::open(directory.path().join("history.db")).unwrap();
    let damaged: Vec<(i64, Vec<u8>)> = conn
        .prepare("SELECT key, data FROM journal ORDER BY key LIMIT 2 OFFSET 50")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (way, (key, mut data)) in damaged.into_iter().enumerate() {
        if way == 0 {
            data[100] ^= 4;
        } else {
            data.truncate(100);
        }
        conn.execute("UPDATE journal SET data = ?2 WHERE key = ?1", rusqlite::params![key, data]).unwrap();
    }
    drop(conn);
    let mut store = open(&directory);
    let readers = store.readers();
    assert_eq!(readers.damaged_rows(), 0);
    let mut expected: Vec<i64> = (0..100).rev().map(|tick| NOW + tick * 1000).collect();
    expected.drain(48..50);
    for id in &ids {
        assert_eq!(times(&all(&reader(&store), *id)), expected);
    }
    assert_eq!(readers.damaged_rows(), 2, "each counted once");
    assert_eq!(store.delete_before(at(NOW + 200_000)).unwrap().samples, 5000, "and deleted with its time");
}

#[test]
fn a_damaged_layout_costs_its_rows() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 5);
    put(&mut store, NOW, &ids, 1.0);
    put(&mut store, NOW + HOUR, &ids, 2.0);
    store.close().unwrap();
    let conn = Connection::open(directory.path().join("history.db")).unwrap();
    conn.execute("UPDATE layout SET data = zeroblob(20) WHERE key = (SELECT min(key) FROM layout)", [])
        .unwrap();
    drop(conn);
    let store = open(&directory);
    assert_eq!(values(&all(&reader(&store), ids[0])), [2.0]);
    assert_eq!(store.readers().damaged_rows(), 1);
}
