use super::*;
use crate::{
    model::SeriesId,
    store::{
        Options, Range, Retention, Store,
        codec::{RowWriter, write_layout},
        schema,
        types::StoredSample,
    },
};
use proptest::prelude::*;
use rusqlite::params;

/// Two parts meet here.
const BORDER: i64 = 1_795_212_000_000;
const SERIES: u32 = 3;

const TABLES: &str =
    "CREATE TABLE journal_1(key INTEGER PRIMARY KEY, n INTEGER NOT NULL, data BLOB NOT NULL);
     CREATE TABLE layout_1(key INTEGER PRIMARY KEY, data BLOB NOT NULL);
     CREATE TABLE run_1(number INTEGER PRIMARY KEY, first_key INTEGER NOT NULL);";

/// A batch: how old, of which layout (the bits of a number are its series).
type OldBatch = (u64, u32);
/// A row: its milliseconds from the border, its run, its batches.
type OldRow = (i64, u32, Vec<OldBatch>);

/// Times that often meet, on both sides of the border.
fn rows() -> impl Strategy<Value = Vec<OldRow>> {
    let age = prop_oneof![4 => 0..4_u64, 1 => 0..60_000_u64, 1 => Just(120_000)];
    let batches = prop::collection::vec((age, 1..1_u32 << SERIES), 1..5);
    let time = prop_oneof![-4..4_i64, -4..4_i64, -200_000..200_000_i64];
    prop::collection::vec((time, 1..3_u32, batches), 1..60)
}

/// Writes format 1 as its writer did. Gives what a reader of then found of each series, newest first: time, run, value.
fn write_old(conn: &Connection, rows: &[OldRow]) -> Vec<Vec<(i64, u32, f64)>> {
    let mut data = Vec::new();
    for hour in [BORDER / 3_600_000 - 1, BORDER / 3_600_000] {
        for layout in 1..1_u32 << SERIES {
            let key = format_1::first_layout(hour) + i64::from(layout);
            write_layout(&mut data, key, &series(layout));
            conn.execute("INSERT INTO layout_1 VALUES (?1, ?2)", params![key, data]).unwrap();
        }
    }
    let (mut found, mut value) = (vec![Vec::new(); SERIES as usize + 1], 0.0);
    for (time, run, batches) in rows {
        let mut key = format_1::first_key(BORDER + time);
        let taken = |key: i64| conn.query_row("SELECT 1 FROM journal_1 WHERE key = ?1", [key], |_| Ok(()));
        while taken(key).is_ok() {
            key += 1;
        }
        let (mut writer, mut count) = (RowWriter::default(), 0);
        writer.begin(*run);
        for (at, (age, layout)) in batches.iter().enumerate() {
            let ids = series(*layout);
            let sample = |id: &u32| {
                value += 1.0;
                let time = BORDER + time - *age as i64;
                found[*id as usize].push((time, *run, key, std::cmp::Reverse(at), value));
                StoredSample { series: SeriesId(*id), reset: value % 3.0 == 0.0, value }
            };
            let samples: Vec<StoredSample> = ids.iter().map(sample).collect();
            writer.encode(&samples);
            writer.push(*age, *layout, samples.len());
            count += samples.len();
        }
        let row = params![key, count as i64, writer.finish(key)];
        conn.execute("INSERT INTO journal_1 VALUES (?1, ?2, ?3)", row).unwrap();
    }
    let in_order = |mut points: Vec<(i64, u32, i64, std::cmp::Reverse<usize>, f64)>| {
        points.sort_by(|a, b| b.partial_cmp(a).unwrap());
        points.into_iter().map(|(time, run, _, _, value)| (time, run, value)).collect()
    };
    found.into_iter().map(in_order).collect()
}

fn series(layout: u32) -> Vec<u32> {
    (0..SERIES).filter(|bit| layout >> bit & 1 == 1).map(|bit| bit + 1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_sample_keeps_its_place_however_the_steps_fall(
        rows in rows(), most in prop_oneof![Just(1_usize), 4..100_usize, Just(1 << 20)]
    ) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            file: directory.path().join("history.db"),
            retention: Retention::default(),
            max_loss: Duration::from_secs(10),
            max_size: 1 << 30,
        };
        Store::open(options.clone()).unwrap().close().unwrap();
        let conn = Connection::open(&options.file).unwrap();
        conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
        conn.execute_batch(TABLES).unwrap();
        let expected = write_old(&conn, &rows);
        // begun anew before each step, as if it were always killed
        let damages = DamageLog::default();
        let one_step = || {
            let mut upgrade = Upgrade::begin(&conn, &damages).unwrap();
            upgrade.bulk.most = most;
            upgrade.step().unwrap()
        };
        while one_step() {}
        conn.close().unwrap();
        let store = Store::open(options).unwrap();
        let readers = store.readers();
        prop_assert_eq!(readers.damaged_rows(), 0);
        for id in 1..=SERIES {
            let points = readers.reader().unwrap().last(SeriesId(id), Range::ALL, 1000).unwrap();
            let reset = |value: f64| value % 3.0 == 0.0;
            prop_assert!(points.iter().all(|point| point.reset == reset(point.value)));
            let found: Vec<(i64, u32, f64)> =
                points.iter().map(|point| (point.time.as_millis(), point.run, point.value)).collect();
            prop_assert_eq!(&found, &expected[id as usize], "series {}", id);
        }
    }
}

#[test]
fn rows_of_impossible_keys_are_passed_over() {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::migrate(&mut conn, schema::MIGRATIONS).unwrap();
    conn.execute_batch(TABLES).unwrap();
    for key in [i64::MIN, -1, 0, i64::MAX] {
        conn.execute("INSERT INTO journal_1 VALUES (?1, 5, x'00')", [key]).unwrap();
        conn.execute("INSERT INTO layout_1 VALUES (?1, x'00')", [key]).unwrap();
    }
    let damages = DamageLog::default();
    run(&conn, &damages).unwrap();
    assert!(!format_1::is_there(&conn).unwrap());
    // the time of the newest row, such as it is
    assert_eq!(write::noted_run(&conn).unwrap(), Some((0, format_1::millis(i64::MAX), 1)));
}
