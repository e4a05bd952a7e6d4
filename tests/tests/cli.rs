//! The command line: what it prints, where, and with which exit code.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use std::{fs, process::Command, time::Duration};
use twarga_tests::{Ended, HOST_PLUGINS, Home, config};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a subcommand in the home.
fn run(home: &Home, subcommand: &str, arguments: &[&str]) -> Ended {
    home.end(home.command(subcommand).args(arguments))
}

/// Runs the bare program.
fn bare(home: &Home, arguments: &[&str]) -> Ended {
    home.end(Command::new(home.agent()).args(arguments))
}

#[test]
fn check_says_ok() {
    let home = Home::new(&config(
        "1s",
        &HOST_PLUGINS,
        "[plugins.host-cpu-2]\nplugin = \"host-cpu\"\nenabled = false",
    ));
    let home = home.host_plugins().plugin("vagrant-vm");
    let ended = run(&home, "check", &[]);
    let file = home.path("agent.toml").display().to_string();
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(ended.out, format!("ok: 4 plugins enabled, 4 alert rules ({file})\n"));

    // the example of the repository is sound, with a drop-in beside it too
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../agent.toml")).unwrap();
    home.write_config(&example);
    fs::create_dir(home.path("agent.d")).unwrap();
    home.write("agent.d/10-more.toml", "[plugins.more]\nplugin = \"host-cpu\"\ninterval = \"10s\"\n");
    let ended = run(&home, "check", &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.out.ends_with("agent.d/10-more.toml)\n") && ended.out.contains("ok: 6 plugins enabled"),
        "{ended:?}"
    );
}

#[test]
fn check_prints_every_error_at_once() {
    let bad = r#"[agent]
intervall = "1s"
interval = "never"
[http]
listen = ["nowhere"]
[plugins.host-cpu]
mode = "outside"
interval = "2s"
deadline = "1h"
[[alert]]
name = "system_high_cpu"
op = "=>"
threshold = "high"
[storag]
"#;
    let home = Home::new(bad).host_plugins();
    let ended = run(&home, "check", &[]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""), "{ended:?}");
    let lines: Vec<&str> = ended.err.lines().collect();
    for (line, parts) in [
        (2, ["agent.intervall: unknown key", "did you mean `interval`?"]),
        (3, ["agent.interval: ", "never"]),
        (5, ["http.listen", "nowhere"]),
        (7, ["plugins.host-cpu.mode: ", "in_process"]),
        (9, ["plugins.host-cpu.deadline: ", ""]),
        (12, ["op: ", ">="]),
        (13, ["threshold: ", ""]),
        (14, ["storag", "did you mean [storage]?"]),
    ] {
        let found = lines.iter().find(|text| text.contains(&format!("agent.toml:{line}: ")));
        let found = found.unwrap_or_else(|| panic!("nothing of line {line}:\n{}", ended.err));
        assert!(parts.iter().all(|part| found.contains(part)), "{parts:?}: {found}");
    }
    // `run` and the others refuse it with the same words
    for (subcommand, arguments) in
        [("run", &["--listen", "127.0.0.1:0"][..]), ("plugins", &["list"]), ("query", &["host_load1"])]
    {
        let other = run(&home, subcommand, arguments);
        assert_eq!((other.code, other.out.as_str(), &other.err), (Some(78), "", &ended.err), "{subcommand}");
    }

    home.write_config("[agent\ninterval = 1s\n");
    let ended = run(&home, "check", &[]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains("agent.toml:1:"), "{}", ended.err);
    fs::remove_file(home.path("agent.toml")).unwrap();
    let ended = run(&home, "check", &[]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.err.contains("agent.toml"), "a file that was named must be there: {}", ended.err);
}

#[test]
fn wrong_usage() {
    let home = Home::new("");
    for arguments in [
        &[][..],
        &["fly"],
        &["run", "--lisen", "127.0.0.1:0"],
        &["run", "--listen", "here"],
        &["run", "--interval", "soon"],
        &["query"],
        &["query", "host_load1", "--limit", "0"],
        &["query", "host_load1", "--format", "xml"],
        &["query", "host_load1", "--label", "device"],
        &["query", "host_load1", "--label", "=eth0"],
        &["query", "host_load1", "--label", "device!eth0"],
        &["query", "host_load1", "--label", "device=~("],
        &["query", "host_load1", "--from", "yesterday"],
        &["query", "host_load1", "--step", "0"],
        &["query", "host_load1", "--step", "soon"],
        &["query", "host_load1", "--agg", "max"],
        &["query", "host_load1", "--step", "5m", "--agg", "mean"],
        &["plugins"],
        &["plugins", "inspect"],
        &["plugins", "restart"],
        &["plugins", "disable", "a", "b"],
        &["plugins", "enable", "a", "--agent", "here"],
        &["reload", "now"],
        &["plugins", "new"],
        &["plugins", "run", "a.so", "--interval", "soon"],
        &["plugins", "run", "a.so", "--interval", "0s"],
        &["plugins", "run", "a.so", "--count", "0"],
        &["plugins", "certify", "a.so", "--format", "xml"],
        &["export", "--match", "{}"],
        &["export", "--format", "xml"],
        &["import"],
        &["import", "a.csv", "--from-twarga", "b.db"],
        &["import", "a.csv", "--keep-constants"],
    ] {
        let ended = bare(&home, arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains("--help") || ended.err.contains("Usage"), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn help_names_everything() {
    let home = Home::new("");
    let help = bare(&home, &["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for word in [
        "run",
        "check",
        "reload",
        "plugins",
        "query",
        "export",
        "import",
        "--config",
        "--data-dir",
        "--plugin-dir",
        "TWARGA_USER_TOKEN",
        "TWARGA_ADMIN_TOKEN",
        "TWARGA_LOG",
        "NO_COLOR",
        "78",
        "/etc/twarga-agent/agent.toml",
    ] {
        assert!(help.out.contains(word), "--help lacks {word}:\n{}", help.out);
    }
    for (subcommand, words) in [
        (&["run"][..], &["--listen", "--interval"][..]),
        (&["check"], &["--config"]),
        (
            &["plugins"],
            &["list", "top", "enable", "disable", "restart", "collect", "inspect", "new", "run", "certify"],
        ),
        (&["plugins", "enable"], &["<NAME>", "--agent", "[plugins.host-cpu]"]),
        (&["reload"], &["--agent", "--config", "--data-dir"]),
        (&["plugins", "top"], &["--once", "--agent", "--format"]),
        (&["plugins", "new"], &["<NAME>", "--dir", "--api", "docs/plugin-guide.md"]),
        (&["plugins", "run"], &["<FILE>", "TEXT|FILE", "--interval", "--count", "jsonl", "prometheus"]),
        (&["plugins", "certify"], &["<FILE>", "TEXT|FILE", "wrong-config", "first-collection", "json"]),
        (&["plugins", "list"], &["--json"]),
        (&["plugins", "inspect"], &["--json", "<FILE>", "--format"]),
        (
            &["query"],
            &[
                "--label", "--from", "--to", "--limit", "--format", "table", "json", "csv", "--step",
                "--agg", "KEY!~",
            ],
        ),
        (&["export"], &["--match", "--from", "--to", "--output", "--format", "openmetrics", "csv", "jsonl"]),
        (
            &["import"],
            &["<FILE>", "--format", "--from-twarga", "--keep-constants", "--dry-run", "--from-start"],
        ),
    ] {
        let help = bare(&home, &[subcommand, &["--help"]].concat());
        assert_eq!(help.code, Some(0), "{subcommand:?}");
        for word in words {
            assert!(help.out.contains(word), "{subcommand:?} --help lacks {word}:\n{}", help.out);
        }
    }
    let version = bare(&home, &["--version"]);
    assert_eq!(version.out, format!("twarga-agent {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn plugins_are_listed() {
    let more = "[plugins.off]\nplugin = \"synthetic\"\nenabled = false\n";
    let home =
        Home::new(&config("1s", &["host-cpu"], more)).plugin("host-cpu").plugin("synthetic").plugin("faulty");
    let ended = run(&home, "plugins", &["list"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    let rows: Vec<Vec<&str>> = ended.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "STATE", "VERSION", "SHA256", "FILE"]);
    let known: Vec<_> = rows[1..].iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(known, [("faulty", "available"), ("host-cpu", "loadable"), ("off", "disabled")]);
    assert!(rows[2][3].len() == 12 && rows[2][4].ends_with("/plugins/libhost_cpu.so"), "{rows:?}");

    let ended = run(&home, "plugins", &["list", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let list: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(list["count"], 3);
    let plugins = list["plugins"].as_array().unwrap();
    let known: Vec<_> =
        plugins.iter().map(|one| (one["name"].as_str().unwrap(), one["plugin"].as_str().unwrap())).collect();
    assert_eq!(known, [("faulty", "faulty"), ("host-cpu", "host-cpu"), ("off", "synthetic")]);
    assert!(!home.data().join("history.db").exists(), "looking writes nothing");
}

#[test]
fn plugins_are_inspected() {
    let home = Home::new("").host_plugins();
    let file = home.plugins().join("libhost_cpu.so").display().to_string();
    let text = run(&home, "plugins", &["inspect", &file]);
    assert_eq!((text.code, text.err.as_str()), (Some(0), ""), "{text:?}");
    for part in
        ["host-cpu ", "plugin API  1.0", "panic=unwind", "namespaces  host_cpu_", "METRIC", "per_core"]
    {
        assert!(text.out.contains(part), "no `{part}` in:\n{}", text.out);
    }
    let load = text.out.lines().find(|line| line.starts_with("host_load1 ")).unwrap();
    assert!(load.contains(" gauge "), "{load}");

    let found = run(&home, "plugins", &["inspect", "--json", &file]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let found: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(
        (&found["name"], &found["api"], &found["panic"]),
        (&json!("host-cpu"), &json!("1.0"), &json!("unwind"))
    );
    let metrics = found["metrics"].as_array().unwrap();
    let seconds = metrics.iter().find(|metric| metric["name"] == "host_cpu_seconds_total").unwrap();
    assert_eq!(
        (&seconds["kind"], &seconds["unit"], &seconds["labels"]),
        (&json!("counter"), &json!("s"), &json!(["cpu", "mode"]))
    );
    assert!(found["config_schema"]["properties"]["per_core"].is_object(), "{found}");

    let garbage = home.write("garbage.so", "garbage");
    let ended = run(&home, "plugins", &["inspect", &garbage.display().to_string()]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    assert_eq!(ended.err, format!("twarga-agent: {}: not an ELF shared library\n", garbage.display()));
}

/// A home where an agent has run and stopped.
fn with_history() -> Home {
    let home = Home::new(&config("100ms", &["synthetic"], "")).plugin("synthetic");
    let mut agent = home.start();
    agent.until(PATIENCE, "five collections", |agent| {
        let path = "/api/metrics/host/history?metric_name=synthetic_value&label.n=1&limit=1";
        (agent.get(path).json()["data"][0]["value"].as_f64() >= Some(1005.0)).then_some(())
    });
    agent.stop();
    home
}

const SERIES: [&str; 3] = ["synthetic_value", "--label", "n=1"];

#[test]
fn history_is_printed() {
    let home = with_history();
    let query = |more: &[&str]| run(&home, "query", &[&SERIES[..], more].concat());
    let table = query(&["--limit", "3"]);
    assert_eq!((table.code, table.err.as_str()), (Some(0), ""), "{table:?}");
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(lines[0].starts_with("TIME ") && lines[0].ends_with(" VALUE"), "{}", table.out);
    let last = lines[3].split_whitespace().last().unwrap().parse::<f64>().unwrap();
    assert!(last >= 1005.0, "oldest first, the newest last: {}", table.out);
    assert_eq!(lines[4], "");
    assert_eq!(lines[5], "▁▅█", "{}", table.out);
    assert_eq!(
        lines[6],
        format!("synthetic_value{{n=\"1\"}}: min {}, mean {}, max {last}", last - 2.0, last - 1.0)
    );

    let json = query(&["--format", "json", "--limit", "2"]);
    let found: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&found["metric_name"], &found["count"]), (&json!("synthetic_value"), &json!(2)));
    assert_eq!(found["data"][0]["value"], last);
    assert_eq!(found["data"][1]["value"], last - 1.0);

    let csv = query(&["--format", "csv"]);
    let rows: Vec<Vec<&str>> = csv.out.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["timestamp", "value", "unit"]);
    let values: Vec<f64> = rows[1..].iter().map(|row| row[1].parse().unwrap()).collect();
    let expected: Vec<f64> = (1..=values.len()).rev().map(|n| 1000.0 + n as f64).collect();
    assert_eq!(values, expected, "newest first, none is missing");
    assert_eq!(rows[1][0], found["data"][0]["timestamp"]);

    let none = query(&["--to", "2001-01-01T00:00:00Z"]);
    assert_eq!(
        (none.code, none.out.as_str()),
        (Some(0), "synthetic_value{n=\"1\"}: no points in this time\n")
    );
    let recent = query(&["--from", "10m", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&recent.out).unwrap()["count"], values.len());
}

#[test]
fn steps_are_printed() {
    let home = with_history();
    let query = |more: &[&str]| run(&home, "query", &[&["synthetic_value"], more].concat());
    // a hundred years: all samples are in one or two steps
    let year = ["--step", "36500d", "--label", "n=~[1]"];
    let json = |agg: &str| -> Value {
        let ended = query(&[&year[..], &["--agg", agg, "--format", "json"]].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{agg}");
        serde_json::from_str(&ended.out).unwrap()
    };
    let (least, most, count) = (json("min"), json("p100"), json("count"));
    assert_eq!((&least["count"], &least["data"][0]["value"]), (&json!(1), &json!(1001.0)));
    assert_eq!((&least["agg"], &least["tier"]), (&json!("min"), &json!("raw")));
    assert_eq!(least["step_seconds"], 3_153_600_000.0);
    assert_eq!(most["agg"], "p100");
    let samples = count["data"][0]["value"].as_f64().unwrap();
    assert_eq!(most["data"][0]["value"], 1000.0 + samples);
    assert_eq!(count["data"][0]["unit"], "1");

    let csv = query(&[&year[..], &["--agg", "max", "--format", "csv"]].concat());
    let rows: Vec<&str> = csv.out.lines().collect();
    assert_eq!(
        rows,
        ["timestamp,value,unit".to_owned(), format!("1970-01-01T00:00:00.000000Z,{},", 1000.0 + samples)]
    );

    let table = query(&[&year[..], &["--agg", "max"]].concat());
    let last = table.out.lines().last().unwrap();
    assert!(last.starts_with("max of synthetic_value{n=~\"[1]\"}: min 10"), "{}", table.out);
    let default = query(&["--step", "1h", "--label", "n!=0", "--label", "n!~x.*", "--format", "json"]);
    let default: Value = serde_json::from_str(&default.out).unwrap();
    assert_eq!((&default["agg"], &default["step_seconds"]), (&json!("avg"), &json!(3600.0)));

    let fails = |more: &[&str]| {
        let ended = query(&[&["--label", "n=1"], more].concat());
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        ended.err
    };
    let gauge = fails(&["--step", "1m", "--agg", "rate"]);
    assert!(gauge.contains("only a counter has a rate"), "{gauge}");
}

#[test]
fn history_is_printed_while_the_agent_runs() {
    let home = with_history();
    let mut agent = home.start();
    agent.until_ready();
    let read = || {
        let ended = run(&home, "query", &[&SERIES[..], &["--format", "json", "--limit", "1"]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let found: Value = serde_json::from_str(&ended.out).unwrap();
        found["data"][0]["timestamp"].as_str().unwrap().to_string()
    };
    let first = read();
    agent.until(PATIENCE, "newer points", |_| (read() > first).then_some(()));
    let table = run(&home, "query", &SERIES);
    assert!(
        table.out.lines().any(|line| line.starts_with("no data from ") && line.ends_with(": agent_down")),
        "{}",
        table.out
    );
    assert_eq!(agent.get("/-/ready").status, 200);
    agent.stop();
}

#[test]
fn what_can_not_be_printed() {
    let home = with_history();
    let fails = |arguments: &[&str]| {
        let ended = run(&home, "query", arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        ended.err
    };
    assert_eq!(
        fails(&["synthetic_valu"]),
        "twarga-agent: no metric `synthetic_valu`; did you mean `synthetic_value`?\n"
    );
    assert_eq!(
        fails(&["host_cpu_percen"]),
        "twarga-agent: no metric `host_cpu_percen`; did you mean `host_cpu_percent`?\n"
    );
    assert!(!fails(&["xyz"]).contains("did you mean"));
    let ambiguous = fails(&["synthetic_value"]);
    assert!(
        ambiguous.contains("several series match synthetic_value; choose one:\n  --label n=0 | 1\n"),
        "{ambiguous}"
    );

    let empty = Home::new("");
    let ended = run(&empty, "query", &["host_load1"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains("history.db: no such file; the agent has not run here yet"), "{}", ended.err);
}

#[test]
fn the_interval_of_the_command_line_replaces_every_interval() {
    let slow = config("1h", &["faulty"], "[plugins.synthetic]\nmode = \"in_process\"\ninterval = \"2h\"");
    let home = Home::new(&slow).plugin("synthetic").plugin("faulty").arguments(["--interval", "200ms"]);
    let mut agent = home.start();
    let list = agent.get("/api/plugins").json();
    for plugin in list["plugins"].as_array().unwrap() {
        assert_eq!(plugin["interval_seconds"], 0.2, "{plugin}");
    }
    agent.until(PATIENCE, "ticks", |agent| {
        let list = agent.get("/api/plugins").json();
        let plugins = list["plugins"].as_array()?;
        plugins.iter().all(|plugin| plugin["collections"].as_u64() >= Some(5)).then_some(())
    });
}
