//! A file of the first format is taken over when the agent opens it. `format_1/README.md` says where it comes from.

#[path = "format_1/listing.rs"]
mod listing;

use super::*;
use listing::listing;
use rusqlite::Connection;
use std::{collections::BTreeSet, fs};
use twarga_agent::store::{Overwrite, Readers, StoreError, backup, info, verify};

const OLD: &[u8] = include_bytes!("format-1.db");
const EXPECTED: &str = include_str!("format_1/expected.txt");
/// The last run that wrote the file.
const RUNS: u32 = 3;

/// A folder with the old file, changed by some SQL.
fn old(sql: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("history.db"), OLD).unwrap();
    let conn = Connection::open(directory.path().join("history.db")).unwrap();
    conn.execute_batch(sql).unwrap();
    conn.close().unwrap();
    directory
}

fn is_as_expected(store: &Store) {
    let found = listing(store, &reader(store));
    for (line, (found, expected)) in found.lines().zip(EXPECTED.lines()).enumerate() {
        assert_eq!(found, expected, "line {line}");
    }
    assert_eq!(found.len(), EXPECTED.len());
    assert_eq!(store.readers().damaged_rows(), 0);
}

#[test]
fn everything_is_as_it_was_to_the_bit() {
    let directory = old("");
    let store = open(&directory);
    is_as_expected(&store);
    store.close().unwrap();
    // the second time there is nothing to do
    let mut store = open(&directory);
    is_as_expected(&store);
    let file = directory.path().join("history.db");
    let conn = Connection::open(&file).unwrap();
    let left = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE '%\\_1' ESCAPE '\\'";
    assert_eq!(conn.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    drop(conn);
    assert_eq!(verify(&file, &mut |_, _, _| {}).unwrap().bad.len(), 0);
    // a later run, and a known series
    let id = store.series(&def("net_bytes_total", &[("device", "eth\"0\"")]), "net").unwrap();
    put(&mut store, NOW + 10 * HOUR, &[id], 5.0);
    let newest = all(&reader(&store), id)[0];
    assert_eq!((newest.time, newest.run), (at(NOW + 10 * HOUR), RUNS + 1));
}

#[test]
fn the_blocks_that_are_made_afterwards_hold_the_same() {
    let directory = old("");
    let keep = Duration::from_secs(1000 * 365 * 24 * 3600);
    let retention = Retention { raw: keep, minute: keep, hour: keep };
    let mut store = Store::open(Options { retention, ..options(directory.path()) }).unwrap();
    let count = |table: &str| {
        let conn = Connection::open(directory.path().join("history.db")).unwrap();
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count("block"), 0);
    for _ in 0..300 {
        store.expire(at(NOW), true).unwrap();
    }
    assert!(count("block") > 0, "nothing was sealed");
    is_as_expected(&store);
}

/// What needs the samples refuses; nothing is changed.
fn is_refused_to_readers(directory: &TempDir) {
    let file = directory.path().join("history.db");
    let before = fs::read(&file).unwrap();
    let errors = [Readers::of_file(&file).err(), info(&file).err(), verify(&file, &mut |_, _, _| {}).err()];
    for error in errors {
        let error = error.expect("refused");
        assert!(matches!(&error, StoreError::Older { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("history.db") && text.contains("start the agent once"), "{text}");
    }
    assert!(fs::read(&file).unwrap() == before);
}

#[test]
fn readers_refuse_a_file_that_was_not_taken_over_and_a_backup_of_it_is_whole() {
    let directory = old("");
    is_refused_to_readers(&directory);
    let copies = TempDir::new().unwrap();
    let copy = copies.path().join("history.db");
    backup(&directory.path().join("history.db"), &copy, Overwrite::Refuse, &mut |_, _| {}).unwrap();
    is_as_expected(&open(&copies));
}

#[test]
fn what_was_stopped_on_the_way_goes_on_and_nothing_is_lost_or_twice() {
    let whole = old("");
    let conn = Connection::open(whole.path().join("history.db")).unwrap();
    let mut select = conn.prepare("SELECT key FROM journal ORDER BY key").unwrap();
    let keys: Vec<i64> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut steps = BTreeSet::new();
    for key in keys.iter().step_by(23).chain(keys.last()) {
        // the step that would delete this row fails
        let directory = old(&format!(
            "CREATE TRIGGER stop BEFORE DELETE ON journal WHEN old.key = {key}
             BEGIN SELECT RAISE(ABORT, 'stopped'); END"
        ));
        let error = Store::open(options(directory.path())).unwrap_err().to_string();
        assert!(error.contains("stopped"), "{error}");
        let conn = Connection::open(directory.path().join("history.db")).unwrap();
        let left = conn.query_row("SELECT count(*) FROM journal_1", [], |row| row.get::<_, i64>(0)).unwrap();
        steps.insert(left);
        conn.close().unwrap();
        is_refused_to_readers(&directory);
        let conn = Connection::open(directory.path().join("history.db")).unwrap();
        conn.execute_batch("DROP TRIGGER stop").unwrap();
        conn.close().unwrap();
        is_as_expected(&open(&directory));
    }
    assert!(steps.len() > 3 && steps.contains(&(keys.len() as i64)), "{steps:?}");
}

/// Flips a bit in the n-th of the longer blobs of a table.
fn damage(directory: &TempDir, table: &str, nth: u32) {
    let conn = Connection::open(directory.path().join("history.db")).unwrap();
    let select =
        format!("SELECT key, data FROM {table} WHERE length(data) > 30 ORDER BY key LIMIT 1 OFFSET ?1");
    let (key, mut data): (i64, Vec<u8>) =
        conn.query_row(&select, [nth], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    data[20] ^= 4;
    conn.execute(&format!("UPDATE {table} SET data = ?1 WHERE key = ?2"), (data, key)).unwrap();
    conn.close().unwrap();
}

#[test]
fn a_damaged_row_costs_its_own_samples_and_a_damaged_layout_its_rows() {
    for (table, nth, most) in [("journal", 40, 128), ("layout", 0, 600)] {
        let directory = old("");
        damage(&directory, table, nth);
        let store = open(&directory);
        assert!(store.readers().damaged_rows() > 0);
        let found = listing(&store, &reader(&store));
        let mut left = EXPECTED.lines();
        assert!(found.lines().all(|line| left.any(|expected| expected == line)), "something is new");
        let lost = EXPECTED.lines().count() - found.lines().count();
        assert!((1..=most).contains(&lost), "{lost}");
    }
}

#[test]
fn a_large_file_without_samples_is_taken_over() {
    let directory = old("DELETE FROM journal; DELETE FROM layout; CREATE TABLE bulk(data);
         INSERT INTO bulk WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
            SELECT zeroblob(3000) FROM n;
         DROP TABLE bulk;");
    let mut store = open(&directory);
    assert_eq!(reader(&store).extent().unwrap(), None);
    assert_eq!(
        reader(&store)
            .events(&twarga_agent::store::EventFilter { limit: 9, ..Default::default() })
            .unwrap()
            .len(),
        5
    );
    let id = series(&mut store, 1)[0];
    put(&mut store, NOW, &[id], 1.0);
    assert_eq!(all(&reader(&store), id)[0].run, RUNS + 1);
}

#[test]
fn a_later_format_is_refused_with_advice_and_left_alone() {
    let directory = old("PRAGMA user_version = 3");
    let before = fs::read(directory.path().join("history.db")).unwrap();
    let file = directory.path().join("history.db");
    for error in [Store::open(options(directory.path())).err(), Readers::of_file(&file).err()] {
        let error = error.expect("refused").to_string();
        assert!(
            error.contains("newer agent (format 3, this one knows up to 2); upgrade the agent"),
            "{error}"
        );
    }
    assert!(fs::read(file).unwrap() == before);
}
