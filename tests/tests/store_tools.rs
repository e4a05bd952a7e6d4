//! The tools that look after the history: `sql`, `store`, `backup`, `run --set-aside`; next to a running agent, without
//! one, and over files that are no sound history.
#![allow(clippy::unwrap_used, reason = "tests")]

use rusqlite::Connection;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::Path,
    process::Stdio,
    time::Duration,
};
use twarga_agent::model::Timestamp;
use twarga_tests::{Agent, Ended, Home, config};

const PATIENCE: Duration = Duration::from_secs(10);

fn home() -> Home {
    let home = Home::new(&config("200ms", &[], "[plugins.synthetic]\nmode = \"in_process\"\n"));
    home.plugin("synthetic")
}

fn run(home: &Home, subcommand: &str, arguments: &[&str]) -> Ended {
    home.end(home.command(subcommand).args(arguments))
}

fn done(home: &Home, subcommand: &str, arguments: &[&str]) -> String {
    let ended = run(home, subcommand, arguments);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}: {ended:?}");
    ended.out
}

fn fails(home: &Home, subcommand: &str, arguments: &[&str]) -> String {
    let ended = run(home, subcommand, arguments);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
    // before it, `run` may say where the admin token is
    let mut lines = ended.err.lines().filter(|line| !line.contains(" INFO "));
    let (first, more) = (lines.next().unwrap().to_owned(), lines.count());
    assert_eq!(more, 0, "{}", ended.err);
    first
}

fn database(home: &Home) -> std::path::PathBuf {
    home.data().join("history.db")
}

/// Starts an agent and waits for some history.
fn with_history(home: &Home) -> Agent {
    let mut agent = home.start();
    agent.until_ready();
    agent.until(PATIENCE, "history", |agent| {
        let ended = run(agent.home(), "sql", &["SELECT count(*) > 20 FROM metrics", "--format", "csv"]);
        ended.out.ends_with("\n1\n").then_some(())
    });
    agent
}

/// A home whose agent has run and ended.
fn with_past() -> Home {
    let home = home();
    with_history(&home).stop();
    home
}

#[test]
fn sql_answers_next_to_a_running_agent_and_without_one() {
    let home = home();
    let agent = with_history(&home);
    let query = "SELECT name, labels, count(*) AS n FROM metrics WHERE name = 'synthetic_value' GROUP BY 1, 2 LIMIT 1";
    let table = done(&home, "sql", &[query]);
    assert!(table.starts_with("name             labels   n\nsynthetic_value  {n=\"0\"}  "), "{table}");
    let csv = done(&home, "sql", &[query, "--format", "csv"]);
    assert!(csv.starts_with("name,labels,n\nsynthetic_value,\"{n=\"\"0\"\"}\","), "{csv}");
    let json: Value = serde_json::from_str(&done(&home, "sql", &[query, "--format", "json"])).unwrap();
    assert_eq!((&json[0]["name"], json[0]["n"].is_i64()), (&Value::from("synthetic_value"), true), "{json}");
    agent.stop();
    let past: Value = serde_json::from_str(&done(&home, "sql", &[query, "--format", "json"])).unwrap();
    assert!(past[0]["n"].as_i64() >= json[0]["n"].as_i64(), "{past}");

    assert_eq!(done(&home, "sql", &["SELECT 1 AS a, NULL AS a; SELECT 'x' AS b"]), "a  a\n1\n\nb\nx\n");
    assert_eq!(
        done(&home, "sql", &["SELECT 1 AS a, NULL AS a", "--format", "json"]),
        "[\n{\"a\":1,\"a:1\":null}\n]\n"
    );
    assert_eq!(done(&home, "sql", &[".tables"]), "metrics\nevents\ngaps\nseries\nvms\n");
    assert!(done(&home, "sql", &[".schema"]).contains("CREATE TABLE metrics("));
}

#[test]
fn sql_reads_standard_input_and_ends_with_its_reader() {
    let home = with_past();
    for arguments in [&["-"][..], &[]] {
        let file = home.write("statement.sql", "SELECT 6 * 7 AS answer;\n-- the end\n");
        let mut command = home.command("sql");
        command.args(arguments).stdin(fs::File::open(file).unwrap());
        let ended = home.end(&mut command);
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), "answer\n42\n"), "{ended:?}");
    }
    for (bytes, part) in [
        (b"\xff\xfe".to_vec(), "not UTF-8"),
        (vec![b' '; 2 << 20], "that is no statement"),
        (Vec::new(), "no statement was given"),
    ] {
        let file = home.path("input");
        fs::write(&file, bytes).unwrap();
        let ended = home.end(home.command("sql").stdin(fs::File::open(file).unwrap()));
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
        assert!(ended.err.contains(part), "{}", ended.err);
    }
    // a reader that has enough: quietly
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let mut command = home.command("sql");
    command.args([endless, "--format", "csv"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), ended.status.code(), ended.stderr.as_slice()), ("i\n", Some(0), &b""[..]));
}

#[test]
fn a_signal_ends_a_statement_at_once() {
    let home = with_past();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'begun' UNION ALL SELECT max(i) FROM n";
    let mut command = home.command("sql");
    let mut child = command.args([endless]).stdout(Stdio::null()).spawn().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(15), "{status}");
}

#[test]
fn sql_refuses_what_is_not_reading() {
    let home = with_past();
    for sql in
        ["DELETE FROM metrics", "ATTACH 'x.db' AS x", "VACUUM INTO 'x.db'", "DROP TABLE events", "BEGIN"]
    {
        let said = fails(&home, "sql", &[sql]);
        assert!(said.contains("only read"), "{sql}: {said}");
    }
    assert!(fails(&home, "sql", &["SELEC 1"]).contains("near \"SELEC\": syntax error"));
    assert!(fails(&home, "sql", &[".dump"]).contains("only .tables and .schema"));
    let empty = Home::new("");
    assert!(fails(&empty, "sql", &["SELECT 1"]).contains("history.db: no such file"));
}

#[test]
fn store_info_tells_what_is_there() {
    let home = home();
    let agent = with_history(&home);
    let info: Value = serde_json::from_str(&done(&home, "store", &["info", "--format", "json"])).unwrap();
    assert_eq!(info["written_by"]["pid"], agent.pid(), "{info}");
    assert_eq!((&info["page_size"], &info["tiers"][0]["tier"]), (&Value::from(1024), &Value::from("raw")));
    assert!(
        info["series"].as_u64() >= info["live_series"].as_u64() && info["live_series"].as_u64() > Some(1),
        "{info}"
    );
    assert!(info["tiers"][0]["samples"].as_u64() > Some(20) && info["bytes_per_sample"].as_f64() > Some(0.0));
    let text = done(&home, "store", &["info"]);
    assert!(text.contains(&format!("(pid {})", agent.pid())) && text.contains("TIER"), "{text}");
    agent.stop();
    let info: Value = serde_json::from_str(&done(&home, "store", &["info", "--format", "json"])).unwrap();
    assert_eq!((&info["written_by"], &info["wal_bytes"]), (&Value::Null, &Value::from(0)), "{info}");
}

#[test]
fn verify_finds_every_flipped_bit_in_a_blob() {
    let home = home();
    // five hours, so that the file has more than the newest samples
    let now = Timestamp::now();
    let rows = (1..1800).rev().map(|row| format!("a,,{},{row}\n", now.minus(Duration::from_secs(row * 10))));
    let file = home.write("rows.csv", &format!("name,labels,time,value\n{}", rows.collect::<String>()));
    done(&home, "import", &[file.to_str().unwrap()]);
    let mut agent = with_history(&home);
    agent.until(PATIENCE, "segments and blocks", |agent| {
        let text = run(agent.home(), "store", &["verify", "--format", "json"]).out;
        let rows = serde_json::from_str::<Value>(&text).ok()?["rows"].clone();
        (rows["block"].as_u64()? > 0 && rows["segment_1m"].as_u64()? > 0).then_some(())
    });
    assert!(done(&home, "store", &["verify"]).starts_with("ok: "));
    agent.stop();
    let sound: Value = serde_json::from_str(&done(&home, "store", &["verify", "--format", "json"])).unwrap();
    assert_eq!((&sound["sound"], &sound["bad"]), (&Value::from(true), &Value::from(Vec::<Value>::new())));

    let conn = Connection::open(database(&home)).unwrap();
    let blobs: Vec<String> = {
        // every table that has binary data, whatever the format calls it
        let mut tables = conn
            .prepare("SELECT DISTINCT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE c.type = 'BLOB'")
            .unwrap();
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert!(!blobs.is_empty());
    let mut damaged = 0;
    for table in &blobs {
        let row: Option<(i64, Vec<u8>)> = conn
            // the newest: later rows of the journal need those before them
            .query_row(&format!("SELECT key, data FROM {table} ORDER BY key DESC LIMIT 1"), [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .ok();
        let Some((key, mut data)) = row else { continue };
        let middle = data.len() / 2;
        data[middle] ^= 0x10;
        conn.execute(&format!("UPDATE {table} SET data = ?2 WHERE key = ?1"), rusqlite::params![key, data])
            .unwrap();
        damaged += 1;
    }
    drop(conn);
    let ended = run(&home, "store", &["verify", "--format", "json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    let bad = report["bad"].as_array().unwrap();
    assert_eq!(bad.len(), damaged, "{report}");
    assert!(bad.iter().all(|bad| bad["why"].as_str().unwrap().contains("checksum")), "{report}");
    // the time of a row of the journal is within the row
    let timed = |bad: &&Value| bad["table"] != "journal";
    assert!(bad.iter().filter(timed).all(|bad| bad["from"].is_string() && bad["to"].is_string()), "{report}");
    assert!(bad.iter().filter(timed).count() >= 2, "{report}");
    let ended = run(&home, "store", &["verify"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.out.lines().filter(|line| line.starts_with("bad: ")).count(), damaged, "{}", ended.out);
}

#[test]
fn compact_gives_space_back_and_never_under_an_agent() {
    let home = home();
    let agent = with_history(&home);
    let said = fails(&home, "store", &["compact"]);
    assert!(said.contains(&format!("in use by process {}", agent.pid())), "{said}");
    agent.stop();
    // something large that came and went
    let conn = Connection::open(database(&home)).unwrap();
    conn.execute_batch(
        "CREATE TABLE filler(x); INSERT INTO filler
           WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
           SELECT zeroblob(4000) FROM n;
         DROP TABLE filler; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .unwrap();
    drop(conn);
    let before = fs::metadata(database(&home)).unwrap().len();
    let rows = done(&home, "sql", &["SELECT count(*) FROM metrics"]);
    done(&home, "store", &["compact"]);
    let after = fs::metadata(database(&home)).unwrap().len();
    assert!(before > 8_000_000 && after < before - 7_000_000, "{before} {after}");
    assert_eq!(done(&home, "sql", &["SELECT count(*) FROM metrics"]), rows);
    done(&home, "store", &["verify"]);
    assert!(fails(&Home::new(""), "store", &["compact"]).contains("no such file"));
}

#[test]
fn a_backup_is_a_store() {
    let home = home();
    let agent = with_history(&home);
    let copy = home.path("copy.db");
    let name = copy.display().to_string();
    done(&home, "backup", &[&name]);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!home.path("copy.db.partial").exists());

    let said = fails(&home, "backup", &[&name]);
    assert!(said.contains("is there already") && said.contains("--force"), "{said}");
    home.write("copy.db", "old");
    home.write("copy.db.partial", "of a backup that was killed");
    done(&home, "backup", &[&name, "--force"]);
    agent.stop();

    // another agent goes on with it
    let other =
        Home::new(&config("200ms", &[], "[plugins.synthetic]\nmode = \"in_process\"\n")).plugin("synthetic");
    fs::copy(&copy, other.data().join("history.db")).unwrap();
    done(&other, "store", &["verify"]);
    let count = |home: &Home| -> i64 {
        let csv = done(home, "sql", &["SELECT count(*) FROM metrics", "--format", "csv"]);
        csv.lines().nth(1).unwrap().parse().unwrap()
    };
    let copied = count(&other);
    assert!(copied > 20 && copied <= count(&home));
    let mut agent = other.start();
    agent.until_ready();
    agent.stop();
    assert!(count(&other) >= copied);
    let gaps = done(&other, "sql", &["SELECT reason FROM gaps WHERE scope = 'agent'", "--format", "csv"]);
    assert!(gaps.contains("agent_down"), "{gaps}");
}

#[test]
fn a_backup_harms_nothing() {
    let home = with_past();
    let before = fs::read(database(&home)).unwrap();
    let data = home.data();
    let target = |name: &str| data.join(name).display().to_string();
    for name in
        ["history.db", "history.db-wal", "history.db-shm", "history.db.lock", "../data/history.db-wal"]
    {
        let said = fails(&home, "backup", &[&target(name), "--force"]);
        assert!(said.contains("belongs to the store itself"), "{name}: {said}");
    }
    symlink(database(&home), home.path("link.db")).unwrap();
    fs::hard_link(database(&home), home.path("hard.db")).unwrap();
    for name in ["link.db", "hard.db"] {
        let said = fails(&home, "backup", &[&home.path(name).display().to_string(), "--force"]);
        assert!(said.contains("belongs to the store itself"), "{name}: {said}");
    }
    home.write("other.db", "x");
    home.write("other.db-wal", "x");
    let said = fails(&home, "backup", &[&home.path("other.db").display().to_string(), "--force"]);
    assert!(said.contains("has a log"), "{said}");
    symlink(home.path("victim"), home.path("planted.db.partial")).unwrap();
    fails(&home, "backup", &[&home.path("planted.db").display().to_string()]);
    assert!(!home.path("victim").exists());
    assert!(fails(&home, "backup", &[&data.display().to_string()]).contains("is a directory"));
    assert!(fails(&home, "backup", &["/dev/null/x"]).contains("/dev/null"));
    assert!(
        fails(&home, "backup", &[&home.path("no/such/x.db").display().to_string()]).contains("No such file")
    );
    assert_eq!(fs::read(database(&home)).unwrap(), before);
    assert!(fails(&Home::new(""), "backup", &["x.db"]).contains("no such file"));
}

/// Files that are no sound history, and what the refusal says of them.
fn bad_files(sound: &Path) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let sound = fs::read(sound).unwrap();
    let patched = |at: usize, bytes: &[u8]| {
        let mut bad = sound.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    vec![
        ("newer", patched(60, &[0, 0, 0, 99]), "newer agent"),
        ("foreign", patched(68, &[1, 2, 3, 4]), "another program"),
        ("half", sound[..sound.len() / 2].to_vec(), "damaged"),
        ("text", b"not a database".to_vec(), "not a store"),
        ("zeros", vec![0; 8192], "not a store"),
        ("headless", patched(100, &[0xff; 64]), "damaged"),
    ]
}

#[test]
fn an_unusable_history_is_set_aside_and_never_deleted() {
    let past = with_past();
    for (what, bytes, said) in bad_files(&database(&past)) {
        let home = home();
        fs::write(database(&home), &bytes).unwrap();
        let refusal = fails(&home, "run", &["--listen", "127.0.0.1:0"].map(|text| text));
        assert!(refusal.contains(said) && refusal.contains("--set-aside"), "{what}: {refusal}");
        assert_eq!(fs::read(database(&home)).unwrap(), bytes, "{what}: a refusal changes nothing");

        let home = home.arguments(["--set-aside"]);
        let agent = with_history(&home);
        let events = agent.get("/api/events").json().to_string();
        assert!(events.contains("store_set_aside") && events.contains(said), "{what}: {events}");
        agent.stop();
        let aside: Vec<_> = fs::read_dir(home.data())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.display().to_string().contains("history.db.set-aside-"))
            .collect();
        assert_eq!(aside.len(), 1, "{what}: {aside:?}");
        assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "{what}");
        assert!(
            home.log().contains(&aside[0].file_name().unwrap().to_str().unwrap().to_owned()),
            "{}",
            home.log()
        );
        // and a sound one stays
        let rows = done(&home, "sql", &["SELECT count(*) > 20 FROM metrics", "--format", "csv"]);
        let agent = home.start();
        agent.stop();
        assert_eq!(done(&home, "sql", &["SELECT count(*) > 20 FROM metrics", "--format", "csv"]), rows);
    }
}

#[test]
fn a_history_in_use_is_not_set_aside() {
    let home = home();
    let agent = with_history(&home);
    let said = fails(&home, "run", &["--listen", "127.0.0.1:0", "--set-aside"]);
    assert!(said.contains(&format!("in use by process {}", agent.pid())), "{said}");
    agent.stop();
    assert!(database(&home).exists());
}

#[test]
fn a_locked_file_says_who_has_locked_it() {
    let home = with_past();
    let conn = Connection::open(database(&home)).unwrap();
    // free pages, so that there is something to do
    conn.execute_batch(
        "CREATE TABLE filler(x); INSERT INTO filler VALUES (zeroblob(100000)); DROP TABLE filler;",
    )
    .unwrap();
    conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let said = fails(&home, "store", &["compact"]);
    assert!(said.contains(&format!("locked by {} (pid {})", own_name(), std::process::id())), "{said}");
    // reading goes on
    done(&home, "sql", &["SELECT count(*) FROM metrics"]);
    conn.execute_batch("ROLLBACK").unwrap();
    done(&home, "store", &["compact"]);
}

fn own_name() -> String {
    fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned()
}
