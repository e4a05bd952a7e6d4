//! An isolated plugin that is replaced again and again: nothing of the old versions stays behind in the agent, and no
//! tick is left out. `AGENT_TEST_SWAPS` says how often (12).

use super::*;
use std::collections::BTreeMap;
use twarga_tests::process;

/// In milliseconds, as below.
const INTERVAL: i64 = 500;

/// Of two plugins and the agent's own metrics, and one that stands by.
const MOST_LANES: usize = 4;

const CONFIG: &str = r#"
[agent]
interval = "500ms"
align_offset = "none"
[plugins.synthetic]
mode = "isolated"
config = { gauges = 1, counters = 1 }
[plugins.host-mem]
mode = "isolated"
"#;

/// What the old versions must leave nothing in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// By their names.
    threads: Vec<String>,
    /// By what they lead to; sockets, pipes and files of processes without their numbers.
    descriptors: BTreeMap<String, usize>,
    children: usize,
}

fn entries(agent: &Agent, folder: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(format!("/proc/{}/{folder}", agent.pid())).unwrap();
    entries.flatten().map(|entry| entry.path()).collect()
}

fn held(agent: &Agent) -> Held {
    let mut threads: Vec<String> = entries(agent, "task")
        .iter()
        .filter_map(|task| Some(fs::read_to_string(task.join("comm")).ok()?.trim().to_string()))
        .collect();
    // lanes and the threads that may block come when they are needed and go again, or are used for the next collection
    let lanes = threads.iter().filter(|name| name.starts_with("collect-")).count();
    assert!(lanes <= MOST_LANES, "{threads:?}");
    threads.retain(|name| !name.starts_with("collect-") && name != "tokio-rt-worker");
    threads.sort();
    let mut descriptors = BTreeMap::new();
    for target in entries(agent, "fd").iter().filter_map(|fd| fs::read_link(fd).ok()) {
        let name = target.display().to_string();
        let kind = match () {
            () if name.contains("libsynthetic.so") || name.contains("synthetic.new") => "synthetic".into(),
            () => name.replace(|sign: char| sign.is_ascii_digit(), ""),
        };
        *descriptors.entry(kind).or_default() += 1;
    }
    let children = entries(agent, "task").into_iter();
    let children = children.filter_map(|task| fs::read_to_string(task.join("children")).ok());
    let children = children.map(|line| line.split_whitespace().count()).sum();
    Held { threads, descriptors, children }
}

/// What the agent holds once that stays the same: a connection or a thread of the last version may still be ending.
fn settled(agent: &mut Agent) -> Held {
    let (mut last, mut same) = (held(agent), 0);
    agent.until(LIMIT, "the agent to settle", |agent| {
        let now = held(agent);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same == 10 && last.children == 2).then_some(())
    });
    last
}

/// Waits until the agent holds what it held: what tried a version out may still be ending.
fn until_held(agent: &mut Agent, before: &Held, swap: u32) {
    let mut now = before.clone();
    for _ in 0..500 {
        now = held(agent);
        if now == *before {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("after {swap} swaps it holds {now:#?}, before {before:#?}\n{}", agent.home().log());
}

/// The times of a metric's samples, oldest first, in milliseconds.
fn times(agent: &Agent, metric: &str) -> Vec<i64> {
    let home = agent.home();
    let statement = format!("SELECT ts FROM metrics WHERE name = '{metric}' ORDER BY ts");
    let ended = home.end(home.command("sql").args(["--format", "json", &statement]));
    let rows: Vec<Value> =
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    rows.iter().map(|row| row["ts"].as_i64().unwrap_or_else(|| panic!("{row}"))).collect()
}

#[test]
fn memory_descriptors_threads_and_children_stay_flat_and_no_tick_is_left_out() {
    let swaps = std::env::var("AGENT_TEST_SWAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(12_u32);
    let home = Home::new(CONFIG).plugin("synthetic").plugin("host-mem");
    let mut agent = home.start();
    agent.until_ready();
    let warm = (swaps / 5).max(3);
    let (mut steady, mut resident) = (None, 0);
    for swap in 1..=swaps {
        let version = format!("{}.{}.{}", 1 + swap / 100, swap / 10 % 10, swap % 10);
        replace_synthetic(&home, b"synthetic-mark-2", &version);
        agent.until(LIMIT, &format!("version {version}"), |agent| {
            (plugin(agent, "synthetic")["version"] == version.as_str()).then_some(())
        });
        match &steady {
            Some(before) => until_held(&mut agent, before, swap),
            None if swap == warm => {
                steady = Some(settled(&mut agent));
                resident = process::memory(agent.pid()).unwrap().resident;
            }
            None => {}
        }
    }
    let now = process::memory(agent.pid()).unwrap().resident;
    let (before, after) = (resident >> 10, now >> 10);
    println!("resident: {before} KiB after {warm} swaps, {after} KiB after {swaps}; {steady:?}");
    // what is known of the last minutes' samples, and SQLite's cache of pages, grow so without a swap too, up to their bounds
    assert!(now < resident + (2 << 20), "{before} KiB after {warm} swaps, {after} KiB after {swaps}");

    collects_on(&mut agent, "synthetic", 2);
    let status = plugin(&agent, "synthetic");
    assert_eq!((&status["restarts"], &status["failures"]), (&swaps.into(), &0.into()), "{status}");
    assert_eq!(history(&agent, "synthetic_value&label.n=0").1, [""; 0]);
    // ticks are whole intervals of the clock, and a sample has the time at which it was taken: a little later
    let ticks: Vec<i64> = times(&agent, "synthetic_value").iter().map(|time| time / INTERVAL).collect();
    let missing = ticks.windows(2).map(|pair| (pair[1] - pair[0] - 1).max(0)).sum::<i64>();
    println!("{} samples, {missing} ticks left out", ticks.len());
    assert!(ticks.len() > swaps as usize, "{ticks:?}");
    assert_eq!(missing, 0, "{ticks:?}");
    agent.stop();
}
