//! Moving history with the real binary: out of a running agent, into a stopped one, from the old system's database, and
//! through a kill in the midst.
#![allow(clippy::unwrap_used, reason = "tests")]

use rusqlite::Connection;
use std::{
    fmt::Write,
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use twarga_agent::store::Readers;
use twarga_tests::{Ended, Home, config};

const PATIENCE: Duration = Duration::from_secs(20);
/// Rows of an import that is killed.
const ROWS: u32 = 120_000;

fn run(home: &Home, subcommand: &str, arguments: &[&str]) -> Ended {
    home.end(home.command(subcommand).args(arguments))
}

fn done(home: &Home, subcommand: &str, arguments: &[&str]) -> String {
    let ended = run(home, subcommand, arguments);
    assert_eq!(ended.code, Some(0), "{subcommand} {arguments:?}: {ended:?}");
    ended.out
}

#[test]
fn from_a_running_agent_into_a_stopped_one() {
    let home = Home::new(&config("100ms", &["host-cpu"], "")).plugin("host-cpu");
    let mut agent = home.start();
    agent.until(PATIENCE, "some history", |_| {
        let out = run(&home, "export", &["--format", "csv", "--match", "host_load1"]).out;
        (out.lines().count() > 5).then_some(())
    });
    let refused = run(&home, "import", &["--format", "csv", "-"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{refused:?}");
    let pid = agent.pid();
    assert!(refused.err.contains(&format!("in use by process {pid}; stop that agent first")), "{refused:?}");

    let now = "--to=0s"; // all formats of the same time
    let mut file = |name: &str| {
        let path = home.path(name).display().to_string();
        done(&home, "export", &[now, "--output", &path]);
        path
    };
    let files = ["all.om", "all.csv", "all.jsonl"].map(&mut file);
    let dry = done(&home, "import", &["--dry-run", &files[2]]);
    assert!(dry.contains(", 0 would be stored"), "{dry}");
    agent.stop();

    for (name, file) in ["om", "csv", "jsonl"].into_iter().zip(files) {
        let other = Home::new("");
        let summary = done(&other, "import", &[&file]);
        assert!(!summary.contains("skipped"), "{summary}");
        let format = if name == "om" { "openmetrics" } else { name };
        let text = done(&other, "export", &["--format", format]);
        let original = fs::read_to_string(&file).unwrap();
        // what OpenMetrics can't tell comes back as a gauge
        let known = original.replace(" unknown\n", " gauge\n");
        assert!(text == known || (name == "om" && text.replace(" unknown\n", " gauge\n") == known), "{name}");
        let again = done(&other, "import", &["--from-start", &file]);
        assert!(again.contains(", 0 stored"), "{again}");
    }
}

fn holds_a_series(file: &Path) -> bool {
    let reader = Readers::of_file(file).and_then(|readers| readers.reader());
    reader.and_then(|reader| reader.all_series()).is_ok_and(|series| !series.is_empty())
}

/// Starts an import and kills it once the store holds something; then runs it to its end.
fn killed_and_run_again(home: &Home, arguments: &[&str]) -> String {
    let mut command = home.command("import");
    let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    // a series is seen with the first commit, long before the last
    while !holds_a_series(&home.data().join("history.db")) {
        assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "nothing was stored");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert_eq!(
        child.wait().unwrap().signal(),
        Some(9),
        "it ended before it was killed: more rows are needed"
    );
    done(home, "import", arguments)
}

fn stored(summary: &str) -> u32 {
    let (read, _) = summary.split_once(" stored").unwrap();
    read.rsplit(' ').next().unwrap().parse().unwrap()
}

fn samples(home: &Home) -> usize {
    done(home, "export", &["--format", "csv"]).lines().count() - 1
}

#[test]
fn a_killed_import_goes_on_where_it_was() {
    let home = Home::new("");
    let mut text = String::from("name,labels,time,value\n");
    for row in 0..ROWS {
        let (hour, minute, second) = (row / 3600 % 24, row / 60 % 60, row % 60);
        let day = 1 + row / 86_400;
        writeln!(
            text,
            "a,\"{{b=\"\"{}\"\"}}\",2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z,{row}.5",
            row % 7
        )
        .unwrap();
    }
    let file = home.write("rows.csv", &text).display().to_string();
    let left = stored(&killed_and_run_again(&home, &[&file]));
    assert!(left < ROWS, "the first commits were kept: {left}");
    assert_eq!(samples(&home), ROWS as usize);
}

/// A database of the old system: `ROWS` metrics, one in five seconds.
fn old_database(file: &Path) {
    let conn = Connection::open(file).unwrap();
    conn.execute_batch(&format!(
        "CREATE TABLE metrics(id INTEGER PRIMARY KEY, name TEXT, value FLOAT, unit TEXT, timestamp DATETIME, vm_id INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
         INSERT INTO metrics(name, value, unit, timestamp) SELECT 'host_cpu_percent', i % 1000 / 10.0, '%',
            strftime('%Y-%m-%d %H:%M:%f', 1761406200 + i * 5, 'unixepoch') || '000' FROM n;"
    ))
    .unwrap();
}

#[test]
fn a_killed_import_of_the_old_system_goes_on_and_is_one_history_with_the_new() {
    let home =
        Home::new(&config("100ms", &["host-cpu"], "[storage]\nretention = \"3650d\"")).plugin("host-cpu");
    let file = home.path("old.db");
    old_database(&file);
    let before = fs::read(&file).unwrap();
    let arguments = ["--from-twarga", file.to_str().unwrap()];
    let left = stored(&killed_and_run_again(&home, &arguments));
    assert!(left < ROWS, "the first commits were kept: {left}");
    assert_eq!(samples(&home), ROWS as usize);
    assert!(fs::read(&file).unwrap() == before, "the old database is only read");

    let mut agent = home.start();
    let path = "/api/metrics/host/history?metric_name=host_cpu_percent&limit=200000";
    let data = agent.until(PATIENCE, "new points beside the old", |agent| {
        let data = agent.get(path).json()["data"].as_array()?.clone();
        (data.len() > ROWS as usize).then_some(data)
    });
    let oldest = &data[data.len() - ROWS as usize..];
    assert_eq!(oldest[0]["value"], 99.9);
    assert_eq!(oldest[ROWS as usize - 2]["value"], 0.1);
    assert_eq!(oldest[ROWS as usize - 1]["timestamp"], "2025-10-25T15:30:00.000000Z");
    agent.stop();
}
