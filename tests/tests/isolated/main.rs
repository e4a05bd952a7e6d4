//! Plugins in processes of their own, with the real agent: whatever one does, the others miss no tick, the agent's memory
//! stays where it was, and `/api/plugins` says who it was and why.
#![allow(clippy::unwrap_used, reason = "tests")]

mod confined;
mod crashing_c;
mod faults;

use serde_json::Value;
use std::{fs, time::Duration};
use twarga_tests::{Agent, Home, config};

/// How long something may take that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
const VALUES: &str = "/api/metrics/host/history?metric_name=synthetic_value&limit=10000";

/// An agent with a healthy plugin, and the plugin `name` with this table, which is called more often. The healthy one
/// has as much time as a busy machine may need.
fn beside_a_healthy_one(name: &str, table: &str) -> Home {
    let healthy = "[plugins.synthetic]\nmode = \"isolated\"\ninterval = \"500ms\"\nconfig = { gauges = 1, counters = 1 }\n";
    let more = format!("align_offset = \"none\"\n{healthy}[plugins.{name}]\n{table}\n");
    Home::new(&config("100ms", &[], &more)).plugin("synthetic").plugin(name)
}

fn plugin(agent: &Agent, name: &str) -> Value {
    let list = agent.get("/api/plugins").json();
    let found = list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

/// What the history answers to this statement.
fn rows(agent: &Agent, statement: &str) -> Vec<Value> {
    let home = agent.home();
    let ended = home.end(home.command("sql").args(["--format", "json", statement]));
    let rows = serde_json::from_str(&ended.out);
    rows.unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Waits until the plugin has failed with this in its error.
fn until_failed(agent: &mut Agent, name: &str, words: &str) -> Value {
    let what = format!("an error of {name} with `{words}`");
    agent.until(PATIENCE, &what, |agent| {
        let status = plugin(agent, name);
        let found = status["last_error"].as_str().is_some_and(|error| error.contains(words));
        found.then_some(status)
    })
}

/// That the healthy plugin was called at every tick: its value counts its collections, and no tick was left out.
fn assert_healthy(agent: &mut Agent) {
    let before = plugin(agent, "synthetic")["collections"].as_u64().unwrap();
    let healthy = agent.until(PATIENCE, "more ticks", |agent| {
        let status = plugin(agent, "synthetic");
        (status["collections"].as_u64() > Some(before + 3)).then_some(status)
    });
    let log = agent.home().log();
    for (key, value) in [
        ("state", Value::from("running")),
        ("failures", 0.into()),
        ("skipped", 0.into()),
        ("restarts", 0.into()),
    ] {
        assert_eq!(healthy[key], value, "{healthy}\n{log}");
    }
    let history = agent.get(VALUES).json();
    let data = history["data"].as_array().unwrap();
    let mut values: Vec<u64> = data.iter().map(|point| point["value"].as_f64().unwrap() as u64).collect();
    values.sort_unstable();
    assert!(values.len() > 3, "{history}");
    assert_eq!(values, (1..=values.len() as u64).collect::<Vec<_>>(), "each collection is there, once");
}

/// The processes whose parent this one is, dead ones too: number, state, command line.
fn children(pid: u32) -> Vec<(u32, char, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let of_it = numbers.filter_map(|number| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent: u32 = fields.next()?.parse().ok()?;
        let line = fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
        (parent == pid).then(|| (number, state, line.replace('\0', " ").trim().to_string()))
    });
    of_it.collect()
}

/// The process of a plugin.
fn child(agent: &mut Agent, name: &str) -> u32 {
    let command = format!("twarga-agent isolated-plugin {name}");
    agent.until(PATIENCE, &command, |agent| {
        let mut children = children(agent.pid()).into_iter();
        children.find(|(_, state, line)| *line == command && *state != 'Z').map(|(number, ..)| number)
    })
}
