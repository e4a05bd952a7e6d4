//! What plugins cost: the ledger, the budget, `plugins top`, in the real agent.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::{process::Command, time::Duration};
use twarga_tests::{Agent, Ended, Home, USER_TOKEN, config};

const PATIENCE: Duration = Duration::from_secs(30);

fn plugin(agent: &Agent) -> Value {
    agent.get("/api/plugins").json()["plugins"][0].clone()
}

/// The first event of this type.
fn event(agent: &mut Agent, kind: &str) -> Value {
    agent.until(PATIENCE, kind, |agent| {
        let events = agent.get(&format!("/api/events?type={kind}")).json();
        events["events"].as_array().unwrap().first().cloned()
    })
}

#[test]
fn a_plugin_over_its_budget_collects_less_often_until_it_fits_again() {
    // a fifth of a processor, for two primings and one window
    let more =
        "[plugins.faulty]\nmode = \"in_process\"\nmax_cpu = \"12%\"\nconfig = { burn_ms = 20, burns = 10 }\n";
    let mut agent = Home::new(&config("100ms", &[], more)).plugin("faulty").start();
    let over = event(&mut agent, "plugin_over_budget");
    let message = over["message"].as_str().unwrap();
    assert!(message.starts_with("plugin faulty: uses ") && message.contains("max_cpu is 12%"), "{over}");
    assert_eq!(
        (&over["severity"], &over["details"]["plugin"]),
        (&"warning".into(), &"faulty".into()),
        "{over}"
    );
    assert!(over["details"]["cpu_ratio"].as_f64().unwrap() > 0.12, "{over}");
    let interval = over["details"]["interval_seconds"].as_f64().unwrap();
    assert!(interval >= 0.2, "{over}");

    let within = event(&mut agent, "plugin_within_budget");
    assert!(within["message"].as_str().unwrap().contains("collects every 100ms again"), "{within}");
    let plugin = plugin(&agent);
    assert_eq!(plugin["interval_seconds"], 0.1, "{plugin}");
    assert_eq!((&plugin["state"], &plugin["reason"]), (&"running".into(), &Value::Null), "{plugin}");
    agent.stop();
}

#[test]
fn while_it_is_stretched_the_status_says_why() {
    let more = "[plugins.faulty]\nmode = \"in_process\"\nmax_cpu = \"0.1%\"\nconfig = { burn_ms = 20 }\n";
    let mut agent = Home::new(&config("100ms", &[], more)).plugin("faulty").start();
    let stretched = agent.until(PATIENCE, "the longest interval", |agent| {
        let plugin = plugin(agent);
        (plugin["interval_seconds"] == 1.6).then_some(plugin)
    });
    assert_eq!(stretched["configured_interval_seconds"], 0.1, "{stretched}");
    assert_eq!(stretched["state"], "running", "{stretched}");
    let reason = stretched["reason"].as_str().unwrap();
    assert!(
        reason.contains("collects every 1s 600ms, the longest") && reason.contains("max_cpu is 0.1%"),
        "{reason}"
    );
    // still over it at the longest interval, it goes on
    let count = |agent: &Agent| plugin(agent)["collections"].as_u64().unwrap();
    let before = count(&agent);
    agent.until(PATIENCE, "two more collections", |agent| (count(agent) >= before + 2).then_some(()));
    let table = top(&agent, &["--once"]);
    assert!(table.out.contains("1s 600ms (set 100ms)"), "{table:?}");
    agent.stop();
}

fn top(agent: &Agent, arguments: &[&str]) -> Ended {
    let address = agent.address().to_string();
    let home = agent.home();
    home.end(home.command("plugins").args(["top", "--agent", &address]).args(arguments))
}

#[test]
fn top_shows_what_the_api_says_the_dearest_first() {
    let more = "[plugins.faulty]\nmode = \"in_process\"\nconfig = { burn_ms = 10 }\n[plugins.off]\nplugin = \"faulty\"\nenabled = false\n";
    let home = Home::new(&config("200ms", &["synthetic", "host-mem"], more));
    let mut agent = home.plugin("synthetic").plugin("faulty").start();
    agent.until_ready();
    agent.until(PATIENCE, "bytes stored", |agent| {
        let list = agent.get("/api/plugins").json();
        let stored = |plugin: &Value| plugin["cost"]["bytes_stored"].as_u64() > Some(0);
        list["plugins"]
            .as_array()?
            .iter()
            .find(|plugin| plugin["name"] == "faulty")
            .is_some_and(stored)
            .then_some(())
    });
    // standard output is no terminal: once
    let table = top(&agent, &[]);
    assert_eq!((table.code, table.err.as_str()), (Some(0), ""), "{table:?}");
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(lines[0].starts_with("PLUGIN") && lines[0].ends_with("EVERY"), "{table:?}");
    assert!(lines[1].starts_with("faulty") && lines[1].ends_with("200ms"), "{table:?}");
    assert!(table.out.contains("refused"), "the one without a file: {table:?}");
    assert!(!table.out.contains("off") && !table.out.contains('\x1b'), "{table:?}");

    let json = top(&agent, &["--format", "json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["count"], 3, "{json}");
    let first = &json["plugins"][0];
    assert_eq!((&first["name"], &first["series"]), (&"faulty".into(), &2.into()), "{json}");
    let number = |key: &str| first[key].as_f64().unwrap_or_else(|| panic!("{key}: {first}"));
    // ten milliseconds of each 200
    assert!((0.05..0.2).contains(&number("cpu_ratio")), "{first}");
    assert!(number("wall_seconds_per_collection") >= 0.01, "{first}");
    assert!((number("samples_per_second") - 5.0).abs() < 0.01, "one each 200 ms: {first}");
    assert!(number("bytes_per_sample") > 0.0, "{first}");
    assert_eq!(
        (&first["restarts"], &first["missed_deadlines"], &first["rss_bytes"]),
        (&0.into(), &0.into(), &Value::Null)
    );

    // and as its own metrics
    for name in ["plugin_cpu_seconds_total", "plugin_stored_bytes_total", "plugin_interval_seconds"] {
        let path = format!("/api/metrics/host/history?metric_name=twarga_agent_{name}&label.plugin=faulty");
        agent.until(PATIENCE, name, |agent| {
            (agent.get(&path).json()["data"][0]["value"].as_f64()? > 0.0).then_some(())
        });
    }
    agent.stop();
}

/// Twenty milliseconds of each hundred, on a thread that the plugin starts.
const BURNS_BESIDE: &str = "config = { thread_burn_ms = 20 }";

/// A plugin of `/api/plugins`.
fn named(agent: &Agent, name: &str) -> Value {
    let list = agent.get("/api/plugins").json();
    let plugins = list["plugins"].as_array().unwrap();
    plugins.iter().find(|plugin| plugin["name"] == name).unwrap_or_else(|| panic!("{name}: {list}")).clone()
}

fn cpu_seconds(plugin: &Value) -> f64 {
    plugin["cost"]["cpu_seconds"].as_f64().unwrap()
}

#[test]
fn threads_of_a_plugin_in_process_count_as_its_own() {
    let tables = format!(
        "[plugins.burner]\nplugin = \"faulty\"\nmode = \"in_process\"\n{BURNS_BESIDE}\n\
         [plugins.beside]\nplugin = \"faulty\"\nmode = \"in_process\"\n\
         [plugins.apart]\nplugin = \"faulty\"\n{BURNS_BESIDE}\n"
    );
    let mut agent =
        Home::new(&config("200ms", &["synthetic"], &tables)).plugin("faulty").plugin("synthetic").start();
    agent.until_ready();
    let first = agent.until(PATIENCE, "the thread is seen", |agent| {
        let burner = named(agent, "burner");
        (burner["cost"]["threads"] == 1).then_some(burner)
    });
    let more = agent.until(PATIENCE, "a second of processor time", |agent| {
        let burner = named(agent, "burner");
        (cpu_seconds(&burner) > cpu_seconds(&first) + 1.0).then_some(burner)
    });
    // what its calls take is in the order of microseconds: nearly all is the thread's
    let beside = named(&agent, "beside");
    assert_eq!(beside["cost"]["threads"], 0, "{beside}");
    assert!(cpu_seconds(&beside) < cpu_seconds(&more) / 10.0, "{beside} beside {more}");
    let apart = named(&agent, "apart");
    assert_eq!(apart["cost"]["threads"], Value::Null, "its process is counted whole: {apart}");
    assert!(cpu_seconds(&apart) > 0.2, "{apart}");

    let table: Value = serde_json::from_str(&top(&agent, &["--format", "json"]).out).unwrap();
    let rows = table["plugins"].as_array().unwrap();
    let ratio =
        |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["cpu_ratio"].as_f64().unwrap();
    assert!((0.05..0.3).contains(&ratio("burner")), "{table}");
    assert!(ratio("beside") < ratio("burner") / 10.0, "{table}");

    // switched off, its collector ends, and the thread with that; what it has cost stays
    let switched = agent.post(Some(&agent.admin_token()), "/api/plugins/burner/disable", "");
    assert_eq!(switched.status, 200, "{switched:?}");
    agent.until(PATIENCE, "the thread's end", |agent| {
        let burner = named(agent, "burner");
        (burner["state"] == "disabled" && burner["cost"]["threads"] == 0).then_some(())
    });
    let off = named(&agent, "burner");
    assert!(cpu_seconds(&off) >= cpu_seconds(&more));

    // isolated from now on, it has no threads in the agent's process, whatever it had
    let home = agent.home().clone();
    home.write_config(&config("200ms", &["synthetic"], &tables.replacen("mode = \"in_process\"\n", "", 1)));
    let reloaded = agent.post(Some(&agent.admin_token()), "/-/reload", "");
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    let isolated = agent.until(PATIENCE, "a collection of its process", |agent| {
        let burner = named(agent, "burner");
        (burner["mode"] == "isolated" && cpu_seconds(&burner) > cpu_seconds(&off)).then_some(burner)
    });
    assert_eq!(isolated["cost"]["threads"], Value::Null, "{isolated}");
    agent.stop();
}

#[test]
fn a_thread_that_uses_more_than_the_plugin_may_stretches_its_interval() {
    let more = format!(
        "[plugins.burner]\nplugin = \"faulty\"\nmode = \"in_process\"\nmax_cpu = \"4%\"\n{BURNS_BESIDE}\n\
         [plugins.beside]\nplugin = \"faulty\"\nmode = \"in_process\"\nmax_cpu = \"5%\"\n"
    );
    let mut agent = Home::new(&config("100ms", &[], &more)).plugin("faulty").start();
    let over = event(&mut agent, "plugin_over_budget");
    assert_eq!(over["details"]["plugin"], "burner", "{over}");
    assert!((0.06..0.5).contains(&over["details"]["cpu_ratio"].as_f64().unwrap()), "{over}");
    agent.until(PATIENCE, "the longest interval: the thread does not care", |agent| {
        let burner = named(agent, "burner");
        let reason = burner["reason"].as_str()?;
        (burner["interval_seconds"] == 1.6
            && reason.contains("still costs too much")
            && reason.contains(", up to "))
        .then_some(())
    });
    let beside = named(&agent, "beside");
    assert_eq!((&beside["interval_seconds"], &beside["reason"]), (&0.1.into(), &Value::Null), "{beside}");
    agent.stop();
}

#[test]
fn a_call_that_does_not_come_back_is_told_while_it_lasts() {
    let more = "[plugins.stuck]\nplugin = \"faulty\"\nmode = \"in_process\"\nconfig = { burn_ms = 600000 }\n";
    let mut agent = Home::new(&config("100ms", &[], more)).plugin("faulty").start();
    let stuck = agent.until(PATIENCE, "processor time of the first call", |agent| {
        let stuck = named(agent, "stuck");
        (stuck["state"] == "stuck" && cpu_seconds(&stuck) > 0.5).then_some(stuck)
    });
    assert_eq!((&stuck["collections"], &stuck["cost"]["threads"]), (&0.into(), &0.into()), "{stuck}");
    agent.stop();
}

#[test]
fn top_says_what_is_missing() {
    let mut agent = Home::new(&config("1s", &["synthetic"], "")).plugin("synthetic").start();
    agent.until_ready();
    let home = agent.home().clone();
    let address = agent.address().to_string();
    let with = |token: Option<&str>| {
        let mut command: Command = home.command("plugins");
        command.args(["top", "--agent", &address]);
        match token {
            Some(token) => command.env("TWARGA_USER_TOKEN", token),
            None => command.env_remove("TWARGA_USER_TOKEN"),
        };
        home.end(&mut command)
    };
    assert_eq!(with(Some(USER_TOKEN)).code, Some(0));
    let (none, wrong) = (with(None), with(Some("another-token-of-the-tests")));
    for (ended, word) in [(&none, "none was found"), (&wrong, "does not know this one")] {
        assert!(ended.code == Some(1) && ended.err.contains(word), "{ended:?}");
        assert!(ended.err.contains("set TWARGA_USER_TOKEN"), "{ended:?}");
    }
    agent.stop();
    let gone = with(Some(USER_TOKEN));
    assert!(
        gone.code == Some(1) && gone.err.contains(&format!("no answer of an agent at http://{address}")),
        "{gone:?}"
    );
    assert!(gone.err.contains("--agent ADDR:PORT") && gone.err.contains("refused"), "{gone:?}");
    home.write_config("[http]\nlisten = [\"127.0.0.1:0\"]\n[plugins.synthetic]\n");
    let nowhere = home.end(home.command("plugins").arg("top"));
    assert!(nowhere.code == Some(1) && nowhere.err.contains("say which with --agent"), "{nowhere:?}");
}
