//! A real hour comes back bit by bit: out of memory, out of segments and out of blocks.

use super::*;

#[path = "../../benches/recording/table.rs"]
#[allow(dead_code, reason = "of those who read the table, this test wants the columns alone")]
mod table;

/// Some columns of the table, each with the series that its values are stored under.
type Columns<'a> = Vec<(SeriesId, &'a [f64])>;

fn stored<'a>(store: &mut Store, table: &'a table::Table) -> Columns<'a> {
    let id = |(name, values): (&str, &'a [f64])| {
        let kind = if name.starts_with("stat.") { Kind::Counter } else { Kind::Gauge };
        let mut def = def("recorded", &[("column", name)]);
        Arc::make_mut(&mut def.metric).kind = kind;
        let collector = if kind == Kind::Counter { "stat" } else { "rest" };
        (store.series(&def, collector).unwrap(), values)
    };
    let columns: Columns<'_> = table.columns().map(id).collect();
    for row in 0..table.rows() {
        let samples = columns.iter().map(|(id, values)| sample(*id, values[row])).collect();
        let batch = StoredBatch { time: at(NOW + row as i64 * 2500), samples };
        store.commit(&commit(vec![batch])).unwrap();
    }
    columns
}

fn assert_same(reader: &Reader, columns: &Columns<'_>) {
    for (id, values) in columns {
        let points = all(reader, *id);
        let found: Vec<(i64, u64)> =
            points.iter().rev().map(|point| (point.time.as_millis(), point.value.to_bits())).collect();
        let times = (NOW..).step_by(2500);
        let expected: Vec<(i64, u64)> = times.zip(values.iter().map(|value| value.to_bits())).collect();
        assert!(found == expected, "series {}: {} of {}", id.0, found.len(), expected.len());
    }
}

#[test]
fn a_recording_comes_back_bit_by_bit() {
    let packed = include_bytes!("../../benches/data/host-1s.tsv.gz");
    let table = table::Table::parse(packed).unwrap();
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    // at a sample every two and a half seconds it is long enough for a whole part of time, and one that is still open
    let columns = stored(&mut store, &table);
    assert!(columns.len() > 150 && table.rows() > 3000);
    assert_same(&reader(&store), &columns);
    store.close().unwrap();
    assert_same(&of_file(&directory).reader().unwrap(), &columns);
    let mut store = open(&directory);
    assert_same(&reader(&store), &columns);
    for tick in 0..400 {
        put(&mut store, NOW + 5 * HOUR + tick * 60_000, &[columns[0].0], 0.0);
    }
    let conn = rusqlite::Connection::open(directory.path().join("history.db")).unwrap();
    let of_then = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table} WHERE key < (? << 28)");
        conn.query_row(&count, [(NOW + 4 * HOUR) / (2 * HOUR)], |row| row.get(0)).unwrap()
    };
    assert_eq!(of_then("segment"), 0, "all is in blocks");
    assert!(of_then("block") >= 6);
    store.delete_before(at(NOW)).unwrap();
    let reader = reader(&store);
    for (id, values) in &columns[1..] {
        let points = all(&reader, *id);
        assert!(
            points.iter().rev().map(|p| p.value.to_bits()).eq(values.iter().map(|value| value.to_bits()))
        );
    }
}
