//! Out and in again, and what is not to be read.

use super::*;
use crate::{
    model::{Event, Kind, Labels, Metric, SeriesDef, Severity, Timestamp},
    store::{Commit, EventFilter, Options, Range, Reader, Retention, Store, StoredBatch, StoredSample},
};
use proptest::prelude::*;
use rusqlite::Connection;
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;

const NOW: i64 = 1_763_719_788_000;
const FORMATS: [(Format, &str); 3] =
    [(Format::OpenMetrics, "om"), (Format::Csv, "csv"), (Format::JsonLines, "jsonl")];

fn open(directory: &TempDir, name: &str) -> Store {
    Store::open(Options {
        file: directory.path().join(name),
        retention: Retention::default(),
        max_loss: Duration::from_secs(3600),
        max_size: 1 << 30,
    })
    .unwrap()
}

fn series(kind: Kind, name: &str, unit: &str, labels: &[(&str, &str)]) -> SeriesDef {
    let metric = Metric {
        name: name.into(),
        kind,
        unit: unit.into(),
        help: "Help with \\ and \" in it.".into(),
        label_keys: labels.iter().map(|(key, _)| (*key).into()).collect(),
        plugin: "p".into(),
    };
    SeriesDef { metric: Arc::new(metric), labels: Labels::new(labels.iter().copied()) }
}

/// Every kind, two runs, a reset, labels and values that are hard to write.
fn fill(store: &mut Store) {
    let defs = [
        series(Kind::Gauge, "a_load1", "", &[]),
        series(Kind::Gauge, "a_ratio", "1", &[("cpu", "all")]),
        series(Kind::Counter, "b_read_bytes_total", "By", &[("device", "a \"b\", \\c}\n\r ä")]),
        series(Kind::Counter, "b_read_bytes_total", "By", &[("device", "sda")]),
        series(Kind::Info, "c_info", "", &[("name", "x")]),
        series(Kind::StateSet, "d_state", "", &[("vm", "1"), ("state", "running")]),
    ];
    let ids: Vec<_> = defs.iter().map(|def| store.series(def, "c").unwrap()).collect();
    for tick in 0..400_i64 {
        let value = |at: usize| match (at, tick % 5) {
            (4 | 5, _) => 1.0,
            (_, 0) => -0.0,
            (_, 1) => 0.1 + tick as f64,
            (_, 2) => 1e300,
            (_, 3) => 5e-324,
            _ => tick as f64 / 3.0,
        };
        let samples = ids.iter().enumerate().filter(|(at, _)| !(*at == 3 && tick < 200));
        let samples = samples.map(|(at, id)| StoredSample {
            series: *id,
            reset: at == 2 && tick == 7,
            value: value(at),
        });
        let batch =
            StoredBatch { time: Timestamp::from_millis(NOW + tick * 90_500), samples: samples.collect() };
        let commit = Commit { batches: vec![batch], new_run: tick == 150, ..Commit::default() };
        store.commit(&commit).unwrap();
    }
}

fn reader(store: &Store) -> Reader {
    store.readers().reader().unwrap()
}

fn exported(reader: &Reader, format: Format) -> String {
    let mut out = Vec::new();
    export(reader, &[], Range::ALL, format, &mut out, &mut |_, _| {}).unwrap();
    String::from_utf8(out).unwrap()
}

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let file = directory.path().join(name);
    fs::write(&file, text).unwrap();
    file
}

fn read(file: &Path, format: Format, sink: &mut Sink) -> Result<bool, TransferError> {
    import(Source::file(file).unwrap(), format, false, sink, &mut |_, _| {})
}

#[test]
fn what_is_exported_is_imported() {
    let directory = TempDir::new().unwrap();
    let mut first = open(&directory, "first.db");
    fill(&mut first);
    for (format, name) in FORMATS {
        let text = exported(&reader(&first), format);
        let file = write(&directory, name, &text);
        let mut sink = Sink::into_store(open(&directory, &format!("{name}.db"))).unwrap();
        assert!(!read(&file, format, &mut sink).unwrap());
        let (stored, skipped) = (sink.tally().stored, sink.tally().skipped.clone());
        assert_eq!((stored, skipped.is_empty()), (2200, true), "{format:?}: {skipped:?}");
        assert!(read(&file, format, &mut sink).unwrap(), "there is nothing left to read");
        // and what the journal does not know is not stored twice either
        import(Source::file(&file).unwrap(), format, true, &mut sink, &mut |_, _| {}).unwrap();
        assert_eq!((sink.tally().stored, sink.tally().skipped["stored already"]), (2200, 2200));
        sink.close().unwrap();
        let second = open(&directory, &format!("{name}.db"));
        assert_eq!(exported(&reader(&second), format), text, "{format:?}");
    }
}

#[test]
fn json_lines_lose_nothing() {
    let directory = TempDir::new().unwrap();
    let mut first = open(&directory, "first.db");
    fill(&mut first);
    let file = write(&directory, "all.jsonl", &exported(&reader(&first), Format::JsonLines));
    let mut sink = Sink::into_store(open(&directory, "second.db")).unwrap();
    read(&file, Format::JsonLines, &mut sink).unwrap();
    sink.close().unwrap();
    let second = open(&directory, "second.db");
    let [one, two] = [&first, &second].map(|store| {
        let reader = reader(store);
        let points = |series: crate::store::StoredSeries| {
            let points = reader.last(series.id, Range::ALL, usize::MAX).unwrap();
            let runs = points[0].run - points[points.len() - 1].run;
            let points = points.iter().map(|point| (point.time, point.value.to_bits(), point.reset));
            (series.def, points.collect::<Vec<_>>(), runs)
        };
        reader.all_series().unwrap().into_iter().map(points).collect::<Vec<_>>()
    });
    assert_eq!(one, two);
    assert_eq!((one[0].2, one[2].1.iter().filter(|point| point.2).count()), (1, 1));
}

#[test]
fn openmetrics_is_as_the_specification_says() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory, "first.db");
    let mut batch = StoredBatch { time: Timestamp::from_millis(1500), samples: Vec::new() };
    for def in [
        series(Kind::Counter, "a_seconds_total", "s", &[]),
        series(Kind::Counter, "b_without_suffix", "", &[]),
        series(Kind::Info, "c_info", "", &[("x", "1")]),
        series(Kind::StateSet, "d_state", "", &[("vm", "1"), ("state", "running")]),
    ] {
        let series = store.series(&def, "c").unwrap();
        batch.samples.push(StoredSample { series, reset: false, value: 1.0 });
    }
    store.commit(&Commit { batches: vec![batch], ..Commit::default() }).unwrap();
    let help = r#"Help with \\ and \" in it."#;
    let expected = format!(
        "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds {help}\na_seconds_total 1 1.500\n\
         # TYPE b_without_suffix unknown\n# HELP b_without_suffix {help}\nb_without_suffix 1 1.500\n\
         # TYPE c info\n# HELP c {help}\nc_info{{x=\"1\"}} 1 1.500\n\
         # TYPE d_state stateset\n# HELP d_state {help}\nd_state{{d_state=\"running\",vm=\"1\"}} 1 1.500\n# EOF\n"
    );
    assert_eq!(exported(&reader(&store), Format::OpenMetrics), expected);
}

#[test]
fn a_selection_of_series_and_time() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory, "first.db");
    fill(&mut store);
    let selectors =
        [r#"b_read_bytes_total{device!~"a.*"}"#, "a_load1"].map(|text| parse_selector(text).unwrap());
    let at = |tick: i64| Timestamp::from_millis(NOW + tick * 90_500);
    let range = Range { from: at(199), to: at(200) };
    let mut out = Vec::new();
    let done = export(&reader(&store), &selectors, range, Format::Csv, &mut out, &mut |_, _| {}).unwrap();
    assert_eq!(done, Exported { samples: 3, series: 2 });
    let text = String::from_utf8(out).unwrap();
    let names: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["name", "a_load1", "a_load1", "b_read_bytes_total"], "{text}");
}

#[test]
fn a_bad_line_costs_nothing_before_it() {
    let directory = TempDir::new().unwrap();
    let csv = |third: &str| {
        let first = "name,labels,time,value\r\na,,2026-01-01T00:00:00Z,1\r\na,,2026-01-01T00:00:01Z,2\r\n";
        format!("{first}{third}\r\na,,2026-01-01T00:00:03Z,4\r\n")
    };
    let file = write(&directory, "a.csv", &csv("a,,yesterday,3"));
    let mut sink = Sink::into_store(open(&directory, "h.db")).unwrap();
    let error = read(&file, Format::Csv, &mut sink).unwrap_err().to_string();
    assert!(error.contains("a.csv, line 4: `yesterday` is no time"), "{error}");
    assert_eq!(sink.tally().stored, 2);
    let file = write(&directory, "a.csv", &csv("a,,2026-01-01T00:00:02Z,3"));
    read(&file, Format::Csv, &mut sink).unwrap();
    assert_eq!((sink.tally().stored, sink.tally().skipped["stored already"]), (4, 2));
}

#[test]
fn garbage_is_told_with_its_line() {
    let directory = TempDir::new().unwrap();
    let csv = "name,labels,time,value\n";
    let cases: [(Format, Vec<u8>, &str); 16] = [
        (Format::Csv, b"metric;value\n".to_vec(), "line 1: the first line must be"),
        (Format::Csv, format!("{csv}a,b,c\n").into(), "line 2: has 3 fields"),
        (Format::Csv, format!("{csv}a,\"{{b=,1,2\n").into(), "line 2: a quote is not closed"),
        (
            Format::Csv,
            format!("{csv}a b,,2026-01-01T00:00:00Z,1\n").into(),
            "line 2: `a b` is no metric name",
        ),
        (Format::Csv, format!("{csv}a,,2026-01-01T00:00:00Z,1").into(), "line 2: has no end"),
        (Format::Csv, format!("{csv}a,,2026-01-01T00:00:00Z,one\n").into(), "line 2: `one` is no number"),
        (Format::Csv, vec![b'x'; 2 << 20], "line 1: is longer than 1 MiB"),
        (Format::Csv, b"\xff\xfe\n".to_vec(), "line 1: is not UTF-8"),
        (Format::Csv, b"SQLite format 3\0\n".to_vec(), "line 1: is an SQLite database"),
        (Format::JsonLines, b"{\"name\":\"a\"\n".to_vec(), "line 1: the line is cut off"),
        (Format::JsonLines, b"{\"name\":\"a\",\"valu\":1}\n".to_vec(), "line 1: is not a line of an export"),
        (Format::JsonLines, b"{\"format\":\"twarga-agent history\",\"version\":9}\n".to_vec(), "upgrade"),
        (Format::OpenMetrics, b"a{b=\"c\" 1 2\n".to_vec(), "line 1: the labels are not closed"),
        (Format::OpenMetrics, b"a 1\n# EOF\n".to_vec(), "line 1: the sample has no time"),
        (Format::OpenMetrics, b"# TYPE a gauges\n".to_vec(), "line 1: `gauges` is no type"),
        (Format::OpenMetrics, b"a 1 2\n".to_vec(), "line 1: the file ends without `# EOF`"),
    ];
    for (format, bytes, expected) in cases {
        let file = directory.path().join("garbage");
        fs::write(&file, &bytes).unwrap();
        let mut sink = Sink::dry(&directory.path().join("none.db")).unwrap();
        let error = read(&file, format, &mut sink).unwrap_err().to_string();
        assert!(error.contains(expected), "{format:?}: {error}");
    }
    assert!(!directory.path().join("none.db").exists());
}

#[test]
fn what_others_write_is_read() {
    let directory = TempDir::new().unwrap();
    let text = "# HELP up Up.\n# TYPE up gauge\nup{job=\"a\",} NaN 1.5\nup{job=\"a\"} +Inf 2\nup 1 2.5 # {trace=\"x\"} 3\n\
                # TYPE h histogram\nh_bucket{le=\"+Inf\"} 4 2 # {t=\"x\"} 1\nh_count 4 2\n# EOF\n";
    let file = write(&directory, "a.om", text);
    let mut sink = Sink::into_store(open(&directory, "h.db")).unwrap();
    read(&file, Format::OpenMetrics, &mut sink).unwrap();
    assert_eq!((sink.tally().stored, sink.tally().skipped["NaN or infinite"]), (3, 2));
    sink.close().unwrap();
    let found = reader(&open(&directory, "h.db")).all_series().unwrap();
    let kinds: Vec<_> = found.iter().map(|one| (one.def.to_string(), one.def.metric.kind)).collect();
    let expected = [
        ("h_bucket{le=\"+Inf\"}", Kind::Counter),
        ("h_count", Kind::Counter),
        ("up", Kind::Gauge),
        ("up{job=\"a\"}", Kind::Gauge),
    ];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

proptest! {
    #[test]
    fn no_line_is_a_panic(lines in prop::collection::vec("[ -~\\n\"{}=,#]{0,60}", 1..6)) {
        let directory = TempDir::new().unwrap();
        let file = write(&directory, "a", &lines.join("\n"));
        for (format, _) in FORMATS {
            let mut sink = Sink::dry(&directory.path().join("none.db")).unwrap();
            let _ = read(&file, format, &mut sink);
        }
    }
}

/// A database as the old system left it.
fn old_database(file: &Path) -> Connection {
    let conn = Connection::open(file).unwrap();
    conn.execute_batch(
        "CREATE TABLE vms(id INTEGER PRIMARY KEY, name TEXT, status TEXT, vm_metadata JSON);
         CREATE TABLE events(id INTEGER PRIMARY KEY, type TEXT, severity TEXT, message TEXT, details JSON,
            created_at DATETIME, user_id INTEGER, vm_id INTEGER);
         CREATE TABLE metrics(id INTEGER PRIMARY KEY, name TEXT, value FLOAT, unit TEXT, timestamp DATETIME,
            vm_id INTEGER, more TEXT);
         INSERT INTO vms VALUES (3, 'web', 'running', '{\"uuid\":\"u-3\"}'), (5, 'db', 'stopped', NULL);
         INSERT INTO events VALUES
            (1, 'system_high_cpu', 'warning', 'CPU usage at 92.5%', '{\"source\":\"system_monitor\"}',
             '2025-10-25 15:30:00.5', 7, NULL),
            (2, 'vm_started', 'info', 'web', NULL, '2025-10-25T15:31:00', NULL, 3),
            (3, 'vm_started', 'info', 'web', NULL, '2025-10-25T15:31:00', NULL, 3),
            (4, 'lost', 'info', 'no time', NULL, NULL, NULL, NULL);
         INSERT INTO metrics(name, value, unit, timestamp, vm_id) VALUES
            ('host_cpu_percent', 15.4, '%', '2025-10-25 15:30:00', NULL),
            ('host_cpu_percent', 15.5, '%', '2025-10-25T15:30:05.123456', NULL),
            ('host_disk_percent', 68.3, '%', '2025-10-25 15:30:00', NULL),
            ('host_memory_used_gb', 7.24, 'GB', '2025-10-25 15:30:00', NULL),
            ('host_net_send_speed', 0.25, 'MB/s', '2025-10-25 15:30:00', NULL),
            ('vm_cpu_percent', 15, '%', '2025-10-25 15:30:00', 3),
            ('vm_cpu_percent', 16, '%', '2025-10-25 15:30:05', 3),
            ('vm_memory_percent', 45.5, '%', '2025-10-25 15:30:00', 5),
            ('vm_uptime', 3600, 'seconds', '2025-10-25 15:30:00', 9),
            ('host_cpu_percent', 'much', '%', '2025-10-25 15:30:10', NULL),
            ('host_cpu_percent', '17.5', '%', '2025-10-25 15:30:15', NULL),
            ('host_cpu_percent', 9e999, '%', '2025-10-25 15:30:20', NULL),
            ('host_cpu_percent', NULL, '%', '2025-10-25 15:30:25', NULL),
            ('host_cpu_percent', 1, '%', 'soon', NULL),
            ('bad name', 1, NULL, '2025-10-25 15:30:00', NULL),
            (NULL, 1, NULL, '2025-10-25 15:30:00', NULL);",
    )
    .unwrap();
    conn
}

fn old_options(keep_constants: bool) -> old_system::Options<'static> {
    old_system::Options { keep_constants, disk: "/", from_start: false }
}

#[test]
fn the_old_system_becomes_one_history_with_the_new() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("old.db");
    old_database(&file);
    let before = fs::read(&file).unwrap();
    let mut store = open(&directory, "h.db");
    let labels = [("device", "/dev/sda1"), ("fstype", "ext4"), ("mountpoint", "/")];
    store.series(&series(Kind::Gauge, "host_filesystem_usage_ratio", "1", &labels), "host-disk").unwrap();
    store.commit(&Commit::default()).unwrap();
    let mut sink = Sink::into_store(store).unwrap();
    old_system::import(&file, old_options(false), &mut sink, &mut |_, _| {}).unwrap();
    let tally = sink.tally().clone();
    assert_eq!((tally.read, tally.stored, tally.events), (16, 9, 3), "{tally:?}");
    assert_eq!(tally.skipped.values().sum::<u64>(), 8, "{tally:?}");
    assert_eq!(tally.skipped["constant that the old system invented"], 1);
    // again: nothing new but a row that came since
    let conn = Connection::open(&file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
    conn.execute(
        "INSERT INTO metrics(name, value, timestamp) VALUES ('host_cpu_percent', 20, '2025-10-26 00:00:00')",
        [],
    )
    .unwrap();
    old_system::import(&file, old_options(false), &mut sink, &mut |_, _| {}).unwrap();
    assert_eq!((sink.tally().stored, sink.tally().read, sink.tally().events), (10, 17, 3));
    let again = old_system::Options { from_start: true, ..old_options(true) };
    old_system::import(&file, again, &mut sink, &mut |_, _| {}).unwrap();
    assert_eq!((sink.tally().stored, sink.tally().events), (11, 3), "the constant; nothing twice");
    sink.close().unwrap();

    let store = open(&directory, "h.db");
    let reader = reader(&store);
    let names: Vec<String> = reader.all_series().unwrap().iter().map(|one| one.def.to_string()).collect();
    let expected = [
        "host_cpu_usage_ratio{cpu=\"all\"}",
        "host_filesystem_usage_ratio{device=\"/dev/sda1\",fstype=\"ext4\",mountpoint=\"/\"}",
        "host_memory_used_bytes",
        "twarga_host_net_send_speed",
        "twarga_vm_memory_percent{vm=\"twarga:5\"}",
        "vm_cpu_usage_ratio{vm=\"u-3\"}",
        "vm_uptime_seconds{vm=\"twarga:9\"}",
    ];
    assert_eq!(names, expected);
    let vms = [(3, "u-3".to_owned()), (5, "twarga:5".to_owned()), (9, "twarga:9".to_owned())];
    assert_eq!(reader.vms().unwrap(), vms);
    let events = reader.events(&EventFilter { limit: 10, ..EventFilter::default() }).unwrap();
    let oldest: &Event = &events[2].event;
    assert_eq!(
        (oldest.severity, oldest.time),
        (Severity::Warning, Timestamp::from_millis(1_761_406_200_500))
    );
    assert_eq!(oldest.details, serde_json::json!({"source": "system_monitor", "user_id": 7}));
    assert_eq!(events[0].event.vm_id, Some(3));
}

#[test]
fn databases_of_others_are_refused() {
    let directory = TempDir::new().unwrap();
    let refused = |file: &Path| {
        let mut sink = Sink::dry(&directory.path().join("none.db")).unwrap();
        old_system::import(file, old_options(false), &mut sink, &mut |_, _| {}).unwrap_err().to_string()
    };
    let file = |name: &str| directory.path().join(name);
    assert!(refused(&file("nowhere.db")).contains("nowhere.db: No such file"));
    assert!(refused(directory.path()).contains("is no file"));
    fs::write(file("text.db"), "no database ".repeat(1000)).unwrap();
    assert!(refused(&file("text.db")).contains("is no SQLite database"));
    Connection::open(file("empty.db")).unwrap().execute_batch("CREATE TABLE x(y)").unwrap();
    assert!(refused(&file("empty.db")).contains("none of the tables"));
    Connection::open(file("other.db")).unwrap().execute_batch("CREATE TABLE metrics(name, value)").unwrap();
    assert!(refused(&file("other.db")).contains("no column timestamp"));

    // a machine's number that another machine has
    old_database(&file("old.db"));
    let mut store = open(&directory, "h.db");
    for uuid in ["a", "b", "c"] {
        store.vm_id(uuid).unwrap();
    }
    let mut sink = Sink::into_store(store).unwrap();
    let error =
        old_system::import(&file("old.db"), old_options(false), &mut sink, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("number 3 is c already"), "{error}");
    assert_eq!(sink.tally().stored, 0);
}

#[test]
fn a_log_beside_the_old_database_is_read() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("old.db");
    let conn = old_database(&file);
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         INSERT INTO metrics(name, value, timestamp) VALUES ('host_swap_percent', 1, '2025-10-25 15:30:00');
         DROP TABLE events;",
    )
    .unwrap();
    let before = fs::read(&file).unwrap();
    let mut sink = Sink::dry(&directory.path().join("none.db")).unwrap();
    old_system::import(&file, old_options(true), &mut sink, &mut |_, _| {}).unwrap();
    assert_eq!((sink.tally().read, sink.tally().stored, sink.tally().events), (17, 11, 0));
    assert_eq!(fs::read(&file).unwrap(), before);
}
