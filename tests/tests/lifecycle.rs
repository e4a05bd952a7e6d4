//! Start, stop, crash, and start again: what is kept, what is refused, and what one bad plugin costs the others.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use twarga_tests::{Agent, Ended, HOST_PLUGINS, Home, USER_TOKEN, config};

const PATIENCE: Duration = Duration::from_secs(10);
const VALUES: &str = "/api/metrics/host/history?metric_name=synthetic_value&label.n=0&limit=1000";

/// Milliseconds of a time as the API writes it, within its day: tests don't last longer.
fn millis(time: &Value) -> i64 {
    let text = time.as_str().unwrap();
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    ((number(11..13) * 60 + number(14..16)) * 60 + number(17..19)) * 1000 + number(20..23)
}

fn points(history: &Value) -> Vec<(i64, f64)> {
    let data = history["data"].as_array().unwrap();
    data.iter().map(|point| (millis(&point["timestamp"]), point["value"].as_f64().unwrap())).collect()
}

fn until_value(agent: &mut Agent, least: f64) -> f64 {
    agent.until(PATIENCE, "some collections", |agent| {
        let value = agent.get(VALUES).json()["data"][0]["value"].as_f64()?;
        (value >= least).then_some(value)
    })
}

/// All values 1, 2, 3 … of the run before, then those of this one; the gap between says why. Newest first.
#[track_caller]
fn assert_continues(agent: &mut Agent, seen: f64) {
    let home = agent.home().clone();
    until_value(agent, 1.0);
    let history = agent.until(PATIENCE, "the gap, and a value after it", |agent| {
        let history = agent.get(VALUES).json();
        let begun = points(&history).windows(2).any(|pair| pair[0].1 < pair[1].1);
        (begun && !history["gaps"].as_array()?.is_empty()).then_some(history)
    });
    let points = points(&history);
    let first = points.iter().position(|(_, value)| *value == 1.0).unwrap();
    let (after, before) = points.split_at(first + 1);
    let last = before.first().map_or(0.0, |point| point.1);
    assert!(last >= seen, "{last} of {seen}\n{}", home.log());
    let expected: Vec<f64> = (1..=before.len()).rev().map(|n| n as f64).collect();
    assert_eq!(
        before.iter().map(|point| point.1).collect::<Vec<_>>(),
        expected,
        "none is lost, none is twice"
    );
    let gaps = history["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["reason"] == "agent_down").unwrap_or_else(|| panic!("{gaps:?}"));
    let (from, to) = (millis(&gap["from"]), millis(&gap["to"]));
    assert!(before[0].0 < from && from <= to && to < after[after.len() - 1].0, "{gap}: {points:?}");
}

#[test]
fn nothing_is_lost_by_a_stop() {
    let home = Home::new(&config("100ms", &["synthetic"], "")).plugin("synthetic");
    for signal in [Signal::TERM, Signal::INT] {
        fs::remove_dir_all(home.data()).unwrap();
        let mut agent = home.start();
        let seen = until_value(&mut agent, 8.0);
        let began = Instant::now();
        agent.signal(signal);
        let status = agent.wait(Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", home.log());
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(home.log().contains("everything is written"), "{}", home.log());
        let mut agent = home.start();
        assert_continues(&mut agent, seen);
        agent.stop();
    }
    let mode = fs::metadata(home.data()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "the agent made the directory itself");
}

#[test]
fn a_crash_costs_nothing_that_was_committed() {
    let home = Home::new(&config("100ms", &["synthetic"], "")).plugin("synthetic");
    let mut agent = home.start();
    let seen = until_value(&mut agent, 8.0);
    agent.kill();
    let mut agent = home.start();
    assert_continues(&mut agent, seen);
}

#[test]
fn it_stops_while_clients_hold_connections_and_a_plugin_hangs() {
    let more = "[plugins.faulty]\nmode = \"in_process\"\nconfig = { mode = \"hang\" }\n";
    let home = Home::new(&config("1s", &["synthetic"], more)).plugin("synthetic").plugin("faulty");
    let mut agent = home.start();
    agent.until_ready();
    let idle: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(agent.address()).unwrap()).collect();
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(Duration::from_secs(5)).code(), Some(0), "{}", home.log());
    drop(idle);
    assert!(home.log().contains("1 collections had not come back"), "{}", home.log());
}

/// Runs the agent in a place where it can't start.
fn refused(home: &Home, arguments: &[&str]) -> Ended {
    let ended = home.end(home.command("run").args(arguments));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.out, "", "it never listened");
    ended
}

#[track_caller]
fn assert_says(ended: &Ended, parts: &[&str]) {
    let line = ended.err.lines().last().unwrap_or_default();
    assert!(line.starts_with("twarga-agent: "), "{}", ended.err);
    for part in parts {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
}

#[test]
fn a_second_agent_in_the_same_place_is_refused() {
    let home = Home::new(&config("1s", &["synthetic"], "")).plugin("synthetic");
    let mut agent = home.start();
    agent.until_ready();
    let ended = refused(&home, &["--listen", "127.0.0.1:0"]);
    assert_says(
        &ended,
        &["history.db", &format!("in use by process {}", agent.pid()), "stop that agent first"],
    );
    assert_eq!(agent.get("/-/ready").status, 200, "the first one is none the worse");
    agent.stop();
    home.start().stop();
}

#[test]
fn a_port_that_is_taken() {
    let home = Home::new(&config("1s", &[], ""));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let ended = refused(&home, &["--listen", &address]);
    assert_says(&ended, &[&address, "in use"]);
}

#[test]
fn a_data_directory_that_can_not_be_written() {
    let home = Home::new(&config("1s", &[], ""));
    let file = home.write("file", "");
    let below = file.join("data");
    let run = |data: &std::path::Path| {
        let mut command = Command::new(home.agent());
        command.args(["run", "--listen", "127.0.0.1:0", "--config"]).arg(home.path("agent.toml"));
        command.arg("--data-dir").arg(data).env("TWARGA_USER_TOKEN", USER_TOKEN).stdin(Stdio::null());
        home.end(&mut command)
    };
    let ended = run(&below);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_says(&ended, &["can't make the data directory", &below.display().to_string()]);
    // not even root can write there
    let ended = run("/proc/sys/twarga".as_ref());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_says(&ended, &["can't make the data directory", "/proc/sys/twarga"]);

    fs::write(home.data().join("history.db"), "something else, that nobody wants to lose".repeat(20))
        .unwrap();
    let ended = refused(&home, &["--listen", "127.0.0.1:0"]);
    assert_says(&ended, &["history.db", "is not a store of the agent"]);
}

#[test]
fn other_machines_only_with_tokens() {
    let home = Home::new(&config("1s", &[], ""));
    let run = |change: &dyn Fn(&mut Command)| {
        let mut command = home.command("run");
        command.args(["--listen", "0.0.0.0:0"]);
        change(&mut command);
        let ended = home.end(&mut command);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        ended
    };
    let none = run(&|command| _ = command.env_remove("TWARGA_USER_TOKEN"));
    let both = ["0.0.0.0:0", "TWARGA_USER_TOKEN", "TWARGA_ADMIN_TOKEN", "http.auth.user_tokens"];
    assert_says(&none, &both);
    let user = run(&|_| {});
    assert_says(&user, &["0.0.0.0:0", "TWARGA_ADMIN_TOKEN"]);
    assert!(!user.err.contains("TWARGA_USER_TOKEN"), "{}", user.err);
    let short = run(&|command| _ = command.env("TWARGA_ADMIN_TOKEN", "short"));
    assert_says(&short, &["TWARGA_ADMIN_TOKEN", "at least 16 characters"]);
    assert!(!home.data().join("admin.token").exists(), "a refused start leaves no token behind");
}

#[test]
fn the_admin_token_is_made_once_and_for_the_agent_alone() {
    let home = Home::new(&config("1s", &["synthetic"], "")).plugin("synthetic");
    let agent = home.start();
    let file = home.data().join("admin.token");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = agent.admin_token();
    assert!(token.len() >= 32, "{token}");
    assert!(!home.log().contains(&token) && home.log().contains("admin.token"), "{}", home.log());
    agent.stop();
    let agent = home.start();
    assert_eq!(agent.admin_token(), token);
    assert_eq!(agent.delete(Some(&token), "/api/metrics/cleanup").status, 200);
}

#[test]
fn tokens_of_the_environment_and_of_files() {
    let home =
        Home::new(&config("1s", &[], "")).variable("TWARGA_ADMIN_TOKEN", "an-admin-token-of-the-environment");
    let agent = home.start();
    assert!(!home.data().join("admin.token").exists());
    assert_eq!(agent.delete(Some("an-admin-token-of-the-environment"), "/api/metrics/cleanup").status, 200);
    assert_eq!(agent.delete(Some(USER_TOKEN), "/api/metrics/cleanup").status, 403);

    let files = "[http.auth]\nuser_tokens = \"users\"\nadmin_tokens = \"admins\"\n";
    let home = Home::new(&config("1s", &[], files));
    for (name, content) in [
        ("users", "# people\n\nfirst-user-of-a-file\nsecond-user-of-a-file\n"),
        ("admins", "the-admin-of-a-file\n"),
    ] {
        let file = home.write(name, content);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let agent = home.start();
    for token in ["first-user-of-a-file", "second-user-of-a-file", "the-admin-of-a-file", USER_TOKEN] {
        assert_eq!(agent.get_as(Some(token), "/api/plugins").status, 200, "{token}");
    }
    assert_eq!(agent.get_as(Some("# people"), "/api/plugins").status, 401);
    assert_eq!(agent.delete(Some("the-admin-of-a-file"), "/api/metrics/cleanup").status, 200);
}

fn plugin(agent: &Agent, name: &str) -> Value {
    let list = agent.get("/api/plugins").json();
    let found = list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

#[test]
fn a_plugin_that_hangs_costs_nobody_a_tick() {
    let more = "[plugins.faulty]\nmode = \"in_process\"\ndeadline = \"500ms\"\nconfig = { mode = \"hang\", after = 3 }\n";
    let names: Vec<&str> = HOST_PLUGINS.into_iter().chain(["synthetic"]).collect();
    let home = Home::new(&config("500ms", &names, more)).host_plugins().plugin("synthetic").plugin("faulty");
    let mut agent = home.start();
    let stuck = agent.until(PATIENCE, "faulty to be stuck", |agent| {
        let faulty = plugin(agent, "faulty");
        (faulty["state"] == "stuck").then_some(faulty)
    });
    assert!(
        stuck["reason"].as_str().unwrap().contains("has not come back within its deadline of 0.5 s"),
        "{stuck}"
    );
    assert_eq!((&stuck["missed_deadlines"], &stuck["collections"]), (&1.into(), &3.into()));
    let then = until_value(&mut agent, 0.0);
    until_value(&mut agent, then + 5.0);

    let history = points(&agent.get(VALUES).json());
    let values: Vec<f64> = history.iter().map(|point| point.1).collect();
    let expected: Vec<f64> = (1..=values.len()).rev().map(|n| n as f64).collect();
    assert_eq!(values, expected);
    // the two collections at the start are no ticks
    let ticks: Vec<i64> = history[..history.len() - 2].iter().map(|point| point.0).collect();
    let steps: Vec<i64> = ticks.windows(2).map(|two| two[0] - two[1]).collect();
    // a sample that comes late carries its own time; where the leader hung it is late by 25 ms and what the machine adds
    assert!(steps.iter().all(|step| (250..750).contains(step)), "{steps:?}\n{}", home.log());
    for name in names {
        let healthy = plugin(&agent, name);
        assert_eq!(
            (&healthy["state"], &healthy["skipped"], &healthy["failures"]),
            (&"running".into(), &0.into(), &0.into()),
            "{healthy}"
        );
    }
    let gaps = agent.get("/api/metrics/host/history?metric_name=faulty_value").json();
    assert_eq!(gaps["count"], 3);
    assert_eq!(gaps["gaps"][0]["reason"], "timeout", "{gaps}");
}

#[test]
fn a_plugin_that_panics_comes_back() {
    let more = "[plugins.faulty]\nmode = \"in_process\"\nconfig = { mode = \"panic_collect\", after = 1 }\n";
    let mut agent =
        Home::new(&config("200ms", &["synthetic"], more)).plugin("synthetic").plugin("faulty").start();
    let faulty = agent.until(PATIENCE, "two panics", |agent| {
        let faulty = plugin(agent, "faulty");
        (faulty["failures"].as_u64() >= Some(2)).then_some(faulty)
    });
    assert!(faulty["last_error"].as_str().unwrap().contains("planned in collect"), "{faulty}");
    assert!(faulty["last_success"].is_string(), "made anew it has one good collection: {faulty}");
    let seen = until_value(&mut agent, 1.0);
    until_value(&mut agent, seen + 3.0);
    assert_eq!(plugin(&agent, "synthetic")["failures"], 0);
}

#[test]
fn a_bad_key_of_a_plugin_is_shown_with_its_line() {
    let more = "[plugins.host-cpu.config]\n\n# a comment\nper_cor = true\n";
    let home =
        Home::new(&config("1s", &["synthetic", "host-cpu"], more)).plugin("synthetic").plugin("host-cpu");
    let line = fs::read_to_string(home.path("agent.toml"))
        .unwrap()
        .lines()
        .position(|line| line.contains("per_cor"))
        .unwrap()
        + 1;
    let mut agent = home.start();
    agent.until_ready();
    let bad = plugin(&agent, "host-cpu");
    let expected = format!("agent.toml:{line}: plugins.host-cpu.config.per_cor: ");
    let reason = bad["reason"].as_str().unwrap_or_else(|| panic!("{bad}"));
    assert!(reason.contains(&expected), "{reason} lacks {expected}");
    assert!(reason.contains("per_core"), "it says which keys there are: {reason}");
    assert_ne!(bad["state"], "running", "{bad}");
    assert!(home.log().contains(&expected), "{}", home.log());
    assert_eq!(plugin(&agent, "synthetic")["state"], "running");
}

#[test]
fn plugins_that_nobody_runs_are_listed() {
    let more = "[plugins.off]\nplugin = \"synthetic\"\nenabled = false\n";
    let home = Home::new(&config("1s", &["synthetic"], more))
        .plugin("synthetic")
        .plugin("faulty")
        .plugin("not_a_plugin");
    let agent = home.start();
    let off = plugin(&agent, "off");
    assert_eq!(
        (&off["state"], &off["plugin"], &off["collections"]),
        (&"disabled".into(), &"synthetic".into(), &0.into())
    );
    let available = plugin(&agent, "faulty");
    assert_eq!((&available["state"], &available["reason"]), (&"available".into(), &Value::Null));
    assert!(available["file"].as_str().unwrap().ends_with("/libfaulty.so"), "{available}");
    assert!(available["version"].is_string() && available["api"] == "1.0", "{available}");
    assert_eq!(agent.get("/api/plugins").json()["count"], 3, "an ordinary library is not told of");
}

#[test]
fn two_instances_of_one_plugin() {
    let more = "[plugins.a]\nplugin = \"synthetic\"\nmode = \"in_process\"\n[plugins.b]\nplugin = \"synthetic\"\nmode = \"in_process\"\nconfig = { gauges = 3 }\n";
    let mut agent = Home::new(&config("1s", &[], more)).plugin("synthetic").start();
    agent.until_ready();
    let path = "/api/metrics/host/history?metric_name=synthetic_value&label.n=2";
    let only_b = agent.get(path).json();
    assert!(only_b["count"].as_u64() >= Some(1), "{only_b}");
    let both = agent.get("/api/metrics/host/history?metric_name=synthetic_value&label.n=0");
    assert_eq!(
        both.json()["detail"][0]["ctx"]["labels"]["instance"],
        serde_json::json!(["a", "b"]),
        "{}",
        both.text()
    );
}

#[test]
fn a_plugin_that_wants_too_many_series_is_told_of() {
    let more = "[plugins.faulty]\nmode = \"in_process\"\nmax_series = 12\nconfig = { mode = \"too_many\", n = 1000 }\n";
    let mut agent = Home::new(&config("200ms", &[], more)).plugin("faulty").start();
    let event = agent.until(PATIENCE, "the event", |agent| {
        let events = agent.get("/api/events?type=series_limit").json();
        (events["count"].as_u64()? > 0).then_some(events)
    });
    assert_eq!(event["count"], 1, "once: {event}");
    let text = event["events"][0]["message"].as_str().unwrap_or_default().to_string();
    assert!(text.contains("12 series") && text.contains("plugins.faulty.max_series"), "{event}");
    let path =
        "/api/metrics/host/history?metric_name=twarga_agent_plugin_refused_series_total&label.plugin=faulty";
    agent.until(PATIENCE, "the agent's own metric", |agent| {
        (agent.get(path).json()["data"][0]["value"].as_f64()? > 0.0).then_some(())
    });
    agent.stop();
}
