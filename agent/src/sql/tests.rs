use super::*;
use crate::{
    model::{Event, Gap, GapReason, GapScope, Kind, Labels, Metric, SeriesDef, Severity, Timestamp},
    store::{Commit, Options, Retention, Store, StoredBatch, StoredSample},
};
use std::{fmt::Write as _, time::Duration};

/// Rows as lines: `a|1|NULL`.
#[derive(Default)]
struct Lines(String);

impl Rows for Lines {
    fn begin(&mut self, _columns: &[String]) -> io::Result<()> {
        Ok(())
    }
    fn row(&mut self, cells: &Cells<'_>) -> io::Result<()> {
        let cell = |value: ValueRef<'_>| match value {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(integer) => integer.to_string(),
            ValueRef::Real(real) => format!("{real:?}"),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(bytes) => format!("{bytes:?}"),
        };
        let cells: Vec<String> = cells.iter().map(cell).collect();
        writeln!(self.0, "{}", cells.join("|")).map_err(io::Error::other)
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time of the first sample.
const T0: i64 = 1_795_132_800_000; // 2026-11-20
const SERIES: u32 = 70;
const TICKS: i64 = 300;

/// A store with 70 series of two metrics, 300 ticks a second apart, and a tick a day before.
fn store(dir: &tempfile::TempDir) -> Store {
    let options = Options {
        file: dir.path().join("history.db"),
        retention: Retention::default(),
        max_loss: Duration::from_secs(10),
        max_size: 1 << 30,
    };
    let mut store = Store::open(options).unwrap();
    let metric = |name: &str, kind| {
        let labels = vec!["n".into()];
        let (help, plugin) = ("h".into(), "p".into());
        Arc::new(Metric { name: name.into(), kind, unit: "By".into(), help, label_keys: labels, plugin })
    };
    let metrics = [metric("a_bytes", Kind::Gauge), metric("b_bytes_total", Kind::Counter)];
    let ids: Vec<_> = (0..SERIES)
        .map(|n| {
            let metric = metrics[(n % 2) as usize].clone();
            let def = SeriesDef { metric, labels: Labels::new([("n", n.to_string())]) };
            store.series(&def, "c").unwrap()
        })
        .collect();
    let times = std::iter::once(T0 - 86_400_000).chain((0..TICKS).map(|tick| T0 + tick * 1000));
    let batches = times.map(|time| StoredBatch {
        time: Timestamp::from_millis(time),
        samples: (0_u32..)
            .zip(&ids)
            .map(|(n, id)| StoredSample { series: *id, reset: false, value: f64::from(n) + 0.5 })
            .collect(),
    });
    for batch in batches {
        store.commit(&Commit { batches: vec![batch], ..Commit::default() }).unwrap();
    }
    let event = |number: i64| Event {
        kind: if number % 2 == 0 { "even" } else { "odd" }.into(),
        severity: Severity::Warning,
        message: format!("event {number}"),
        details: serde_json::json!({"n": number}),
        time: Timestamp::from_millis(T0 + number),
        vm_id: None,
    };
    let scopes = [GapScope::Agent, GapScope::Collector("c".into()), GapScope::Series(ids[3])];
    let gap = |scope| Gap {
        scope,
        from: Timestamp::from_millis(T0 - 5000),
        to: Timestamp::from_millis(T0 - 1000),
        reason: GapReason::Timeout,
    };
    let gaps = scopes.into_iter().map(gap).collect();
    let commit = Commit { events: (0..2500).map(event).collect(), gaps, ..Commit::default() };
    store.commit(&commit).unwrap();
    store.vm_id("uuid-1").unwrap();
    store
}

fn with_store(test: impl FnOnce(&Database)) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    test(&Database::open(&store.readers()).unwrap());
}

fn ask(database: &Database, sql: &str) -> String {
    let mut lines = Lines::default();
    database.run(sql, &mut lines).unwrap_or_else(|error| panic!("{sql}: {error}"));
    lines.0
}

fn refused(database: &Database, sql: &str) -> String {
    database.run(sql, &mut Lines::default()).unwrap_err().to_string()
}

#[test]
fn every_sample_is_a_row() {
    with_store(|database| {
        let all = i64::from(SERIES) * (TICKS + 1);
        assert_eq!(
            ask(database, "SELECT count(*), sum(value) / count(*) FROM metrics"),
            format!("{all}|35.0\n")
        );
        assert_eq!(
            ask(database, "SELECT count(DISTINCT name || labels || ts) FROM metrics"),
            format!("{all}\n")
        );
        assert_eq!(
            ask(
                database,
                "SELECT *, time, series, kind, unit, run FROM metrics WHERE name = 'a_bytes' LIMIT 1"
            ),
            format!("a_bytes|{{n=\"0\"}}|{}|0.5|2026-11-19T00:00:00.000000Z|1|gauge|By|1\n", T0 - 86_400_000)
        );
    });
}

/// Each condition alone finds what SQLite finds in a plain table.
#[test]
fn conditions_find_what_a_plain_table_finds() {
    with_store(|database| {
        let plain = Connection::open_in_memory().unwrap();
        plain
            .execute_batch("CREATE TABLE metrics(name TEXT, labels TEXT, ts INTEGER, value REAL, time TEXT)")
            .unwrap();
        for line in ask(database, "SELECT name, labels, ts, value, time FROM metrics").lines() {
            let cells: Vec<&str> = line.split('|').collect();
            plain
                .execute("INSERT INTO metrics VALUES (?1, ?2, ?3, ?4, ?5)", rusqlite::params_from_iter(cells))
                .unwrap();
        }
        for condition in [
            "name = 'a_bytes'",
            "name = 'A_BYTES' COLLATE NOCASE",
            "name IN ('a_bytes', 'x')",
            "name = 5 OR labels = ''",
            "name > 'a_bytes'",
            "labels = '{n=\"7\"}'",
            "labels = '{n=\"07\"}'",
            "ts > 1795132800000",
            "ts >= 1795132800000 AND ts < 1795132900500.5",
            "ts BETWEEN 1795132801000 AND 1795132802000 AND name = 'a_bytes'",
            "ts = 1795132805000 AND labels = '{n=\"7\"}'",
            "ts < '1795132800500'",
            "ts > 'x'",
            "ts < 'x'",
            "ts = NULL",
            "ts IS NOT NULL",
            "ts <= 1e300 AND ts > -1e300",
            "ts > 9223372036854775807",
            "time < '2026-11-20'",
            "time BETWEEN '2026-11-20T00:00:10' AND '2026-11-20T00:00:20'",
            "time > '2026-11-20 00:00'",
            "value > 60 AND ts % 7000 = 0",
        ] {
            let sql = format!(
                "SELECT count(*), coalesce(sum(ts), 0), coalesce(sum(value), 0) FROM metrics WHERE {condition}"
            );
            let expected = plain.query_row(&sql, [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, f64>(2)?))
            });
            let (count, times, values) = expected.unwrap();
            let values = if count == 0 { "0".to_owned() } else { format!("{values:?}") };
            assert_eq!(ask(database, &sql), format!("{count}|{times}|{values}\n"), "{condition}");
        }
    });
}

#[test]
fn order_is_as_asked_for() {
    with_store(|database| {
        let one = "name = 'a_bytes' AND labels = '{n=\"2\"}'";
        for (order, first) in [("ts", T0 - 86_400_000), ("ts DESC", T0 + (TICKS - 1) * 1000)] {
            let sql = format!("SELECT ts FROM metrics WHERE {one} ORDER BY {order}");
            let times: Vec<i64> = ask(database, &sql).lines().map(|line| line.parse().unwrap()).collect();
            assert_eq!((times.len() as i64, times[0]), (TICKS + 1, first));
            assert!(times.is_sorted_by(|a, b| if order == "ts" { a < b } else { a > b }));
            // the table itself gives the order: nothing is sorted
            let plan = ask(database, &format!("EXPLAIN QUERY PLAN {sql}"));
            assert!(!plan.contains("B-TREE"), "{plan}");
        }
        let sorted = ask(database, "SELECT ts FROM metrics WHERE name IN ('a_bytes') ORDER BY ts LIMIT 40");
        assert!(sorted.lines().is_sorted());
    });
}

#[test]
fn the_other_tables() {
    with_store(|database| {
        assert_eq!(ask(database, "SELECT count(*), min(id), max(id) FROM events"), "2500|1|2500\n");
        assert_eq!(
            ask(database, "SELECT id, message FROM events WHERE id <= 2 ORDER BY id DESC"),
            "2|event 1\n1|event 0\n"
        );
        assert_eq!(ask(database, "SELECT id FROM events WHERE id < 3 AND id = 2"), "2\n");
        assert_eq!(
            ask(
                database,
                "SELECT count(*) FROM events WHERE type = 'even' AND severity = 'warning' AND ts >= 1795132802000"
            ),
            "250\n"
        );
        assert_eq!(
            ask(database, "SELECT details ->> 'n', vm_id, time FROM events WHERE id = 1"),
            "0|NULL|2026-11-20T00:00:00.000000Z\n"
        );
        assert_eq!(
            ask(database, "SELECT scope, collector, series, last - first, reason FROM gaps ORDER BY id"),
            "agent|NULL|NULL|4000|timeout\ncollector|c|NULL|4000|timeout\nseries|NULL|4|4000|timeout\n"
        );
        assert_eq!(
            ask(database, "SELECT kind, count(*), min(unit) FROM series GROUP BY kind"),
            "counter|35|By\ngauge|35|By\n"
        );
        assert_eq!(ask(database, "SELECT * FROM vms"), "1|uuid-1\n");
        let joined = "SELECT s.name, m.value FROM series s JOIN metrics m ON m.series = s.id WHERE s.id = 70 AND m.ts = 1795132800000";
        assert_eq!(ask(database, joined), "b_bytes_total|69.5\n");
        let named = ask(database, "SELECT name FROM sqlite_schema ORDER BY name");
        assert_eq!(named, "events\ngaps\nmetrics\nseries\nvms\n");
    });
}

#[test]
fn several_statements_answer_one_after_the_other() {
    with_store(|database| {
        assert_eq!(ask(database, "SELECT 1; -- a comment\n SELECT 2;;"), "1\n2\n");
        let mut lines = Lines::default();
        let error = database.run("SELECT 1; SELEC 2; SELECT 3", &mut lines).unwrap_err().to_string();
        assert_eq!(
            (lines.0.as_str(), error.as_str()),
            ("1\n", "near \"SELEC\": syntax error, at: SELEC 2; SELECT 3")
        );
    });
}

#[test]
fn nothing_but_reading_is_possible() {
    with_store(|database| {
        for (sql, what) in [
            ("DELETE FROM metrics", "metrics"),
            ("INSERT INTO events(id) VALUES (1)", "events"),
            ("UPDATE series SET name = 'x'", "series"),
            ("DROP TABLE metrics", ""),
            ("CREATE TABLE x(y)", ""),
            ("CREATE TEMP VIEW v AS SELECT 1", ""),
            ("CREATE VIRTUAL TABLE x USING metrics", ""),
            ("ATTACH 'other.db' AS other", "ATTACH"),
            ("VACUUM INTO 'copy.db'", ""),
            ("PRAGMA writable_schema = 1", "PRAGMA writable_schema"),
            ("BEGIN", "a transaction"),
            ("SAVEPOINT s", "a transaction"),
        ] {
            let error = refused(database, sql);
            assert!(error.contains(what) && error.contains("only read"), "{sql}: {error}");
        }
        assert!(refused(database, "SELECT load_extension('x')").contains("load_extension"));
        // and it still answers
        assert_eq!(ask(database, "SELECT count(*) FROM vms"), "1\n");
        assert_eq!(ask(database, "SELECT count(*) > 5 FROM pragma_table_info('metrics')"), "0\n");
    });
}

#[test]
fn nonsense_is_told_as_sqlite_tells_it() {
    with_store(|database| {
        for (sql, part) in [
            ("", "no statement"),
            (" ;; -- x", "no statement"),
            ("SELECT", "incomplete input"),
            ("SELECT nowhere FROM metrics", "no such column: nowhere"),
            ("SELECT * FROM metric", "no such table: metric"),
            ("SELECT 'a", "unrecognized token"),
            ("SELECT ?1", "parameters"),
            ("\u{0}\u{1}", ""),
            ("SELECT \u{fffd}ä(1)", "no such function"),
        ] {
            let error = refused(database, sql);
            assert!(error.contains(part), "{sql:?}: {error}");
        }
    });
}
