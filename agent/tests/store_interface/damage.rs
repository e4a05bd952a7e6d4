//! What flipped bits cost: the bytes that were hit, and what needs them.

use super::*;
use rusqlite::{Connection, params};
use twarga_agent::store::Bad;

const MINUTE: i64 = 60_000;
/// Minutes of a part of the finest tier.
const PART: i64 = 120;

fn connect(directory: &TempDir) -> Connection {
    Connection::open(directory.path().join("history.db")).unwrap()
}

/// Changes the bytes under a key.
fn change(conn: &Connection, table: &str, key: i64, change: impl FnOnce(&mut Vec<u8>)) {
    let select = format!("SELECT data FROM {table} WHERE key = ?1");
    let mut data: Vec<u8> = conn.query_row(&select, [key], |row| row.get(0)).unwrap();
    change(&mut data);
    let update = format!("UPDATE {table} SET data = ?2 WHERE key = ?1");
    assert_eq!(conn.execute(&update, params![key, data]).unwrap(), 1);
}

fn keys(conn: &Connection, table: &str) -> Vec<i64> {
    let mut select = conn.prepare(&format!("SELECT key FROM {table} ORDER BY key")).unwrap();
    let keys = select.query_map([], |row| row.get(0)).unwrap();
    keys.map(Result::unwrap).collect()
}

fn found_by_verify(directory: &TempDir) -> Vec<Bad> {
    verify(&directory.path().join("history.db"), &mut |_, _, _| {}).unwrap().bad
}

#[test]
fn a_damaged_journal_row_costs_the_rest_of_its_chain() {
    for truncate in [false, true] {
        let directory = TempDir::new().unwrap();
        let mut store = open(&directory);
        let ids = series(&mut store, 50);
        for tick in 0..100 {
            put(&mut store, NOW + tick * 1000, &ids, tick as f64 / 7.0);
        }
        store.close().unwrap();
        let conn = connect(&directory);
        // chains of 24 rows: 0.., 24.., 48.., 72.., 96..
        change(&conn, "journal", keys(&conn, "journal")[50], |data| {
            if truncate { data.truncate(100) } else { data[100] ^= 4 }
        });
        drop(conn);
        assert_eq!(found_by_verify(&directory).len(), 22);
        let mut store = open(&directory);
        let expected: Vec<i64> =
            (0..100).filter(|tick| !(50..72).contains(tick)).rev().map(|tick| NOW + tick * 1000).collect();
        let file = of_file(&directory);
        for id in &ids {
            assert_eq!(times(&all(&reader(&store), *id)), expected);
            assert_eq!(times(&all(&file.reader().unwrap(), *id)), expected);
        }
        assert_eq!((store.readers().damaged_rows(), file.damaged_rows()), (22, 22), "each counted once");
        put(&mut store, NOW + HOUR, &ids, 1.0);
        assert_eq!(store.delete_before(at(NOW + 200_000)).unwrap().samples, 78 * 50, "what is there");
        assert_eq!(values(&all(&reader(&store), ids[0])), [1.0]);
    }
}

/// A store of ten series and six parts, a sample a minute: blocks of the first four, a segment of the next.
fn six_parts(directory: &TempDir) -> Vec<SeriesId> {
    let mut store = open(directory);
    let ids = series(&mut store, 10);
    for tick in 0..6 * PART {
        put(&mut store, NOW + tick * MINUTE, &ids, tick as f64 / 7.0);
    }
    store.close().unwrap();
    let conn = connect(directory);
    assert_eq!((keys(&conn, "block").len(), keys(&conn, "segment").len()), (4, 1));
    ids
}

/// The minutes that are there, oldest first.
fn minutes(reader: &Reader, id: SeriesId) -> Vec<i64> {
    all(reader, id).iter().rev().map(|point| (point.time.as_millis() - NOW) / MINUTE).collect()
}

#[test]
fn a_damaged_blob_costs_its_part_and_a_damaged_column_its_series() {
    let directory = TempDir::new().unwrap();
    let ids = six_parts(&directory);
    let conn = connect(&directory);
    let (blocks, segments) = (keys(&conn, "block"), keys(&conn, "segment"));
    // the last column, a head, half of a segment
    change(&conn, "block", blocks[0], |data| *data.last_mut().unwrap() ^= 1);
    change(&conn, "block", blocks[1], |data| data[20] ^= 1);
    change(&conn, "segment", segments[0], |data| data.truncate(data.len() / 2));
    drop(conn);
    let bad = found_by_verify(&directory);
    let told: Vec<(&str, Option<i64>)> = bad.iter().map(|bad| (bad.table, bad.key)).collect();
    let all_bad = [("segment", Some(segments[0])), ("block", Some(blocks[0])), ("block", Some(blocks[1]))];
    assert_eq!(told, all_bad);
    assert!(bad[0].why.contains("ends too early"), "{bad:?}");
    assert!(
        bad[1].why.contains(&format!("series {}", ids[9].0)) && bad[1].why.contains("checksum"),
        "{bad:?}"
    );
    assert!(bad[2].why.contains("checksum"), "{bad:?}");
    let part =
        |n: i64| Some(Range { from: at(NOW + n * PART * MINUTE), to: at(NOW + (n + 1) * PART * MINUTE - 1) });
    assert_eq!(bad.iter().map(|bad| bad.time).collect::<Vec<_>>(), [part(4), part(0), part(1)]);

    let store = open(&directory);
    let file = of_file(&directory);
    for readers in [store.readers(), file] {
        let reader = readers.reader().unwrap();
        for _ in 0..2 {
            for id in &ids[..9] {
                let there: Vec<i64> = (0..PART).chain(2 * PART..4 * PART).chain(5 * PART..6 * PART).collect();
                assert_eq!(minutes(&reader, *id), there);
            }
            let there: Vec<i64> = (2 * PART..4 * PART).chain(5 * PART..6 * PART).collect();
            assert_eq!(minutes(&reader, ids[9]), there);
        }
        assert_eq!(readers.damaged_rows(), 3, "each counted once");
    }
}

#[test]
fn a_store_goes_on_over_damaged_blobs() {
    let directory = TempDir::new().unwrap();
    let ids = six_parts(&directory);
    let conn = connect(&directory);
    let (blocks, segments) = (keys(&conn, "block"), keys(&conn, "segment"));
    change(&conn, "segment", segments[0], |data| data[20] ^= 1);
    change(&conn, "block", blocks[0], |data| data.truncate(9));
    change(&conn, "block", blocks[1], |data| *data.last_mut().unwrap() ^= 1);
    drop(conn);
    let mut store = open(&directory);
    // late samples of the damaged parts, then new parts: all is sealed again
    for tick in [0, PART, 4 * PART] {
        put(&mut store, NOW + tick * MINUTE + 7, &ids, tick as f64);
    }
    for tick in 6 * PART..10 * PART {
        put(&mut store, NOW + tick * MINUTE, &ids, tick as f64);
    }
    assert_eq!(store.readers().damaged_rows(), 3);
    let reader = reader(&store);
    let late =
        |at: i64| all(&reader, ids[9]).iter().any(|point| point.time.as_millis() == NOW + at * MINUTE + 7);
    assert!(late(0) && late(PART) && late(4 * PART));
    let kept: Vec<i64> = (PART..4 * PART).chain(5 * PART..10 * PART).collect();
    let on_grid = |id| minutes(&reader, id).into_iter().collect::<std::collections::BTreeSet<_>>();
    assert!(kept.iter().all(|minute| on_grid(ids[0]).contains(minute)));
    assert_eq!(on_grid(ids[0]).len(), kept.len() + 2, "and the late ones of the two lost parts");
    drop(reader);
    assert!(store.delete_before(at(NOW + 2 * PART * MINUTE)).unwrap().samples > 0);
    store.close().unwrap();
    assert_eq!(found_by_verify(&directory), []);
}
