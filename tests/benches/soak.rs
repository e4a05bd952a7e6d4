//! The agent left alone for ten minutes at an interval of one second: is every tick in the history, or covered by a gap
//! that says why, and does the memory stay where it is?
//!
//! `cargo bench -p twarga-tests --bench soak`; `SOAK_SECONDS` sets how long (600).

use std::{
    fmt::Write as _,
    thread::sleep,
    time::{Duration, Instant},
};
use twarga_agent::model::Timestamp;
use twarga_tests::{Agent, Home, process};

const PLUGINS: [&str; 4] = ["host-cpu", "host-mem", "host-disk", "host-net"];
/// One of each of three plugins, each a single series.
const METRICS: [&str; 3] = ["host_load1", "host_memory_MemFree_bytes", "host_netstat_Tcp_CurrEstab"];
const SECOND: Duration = Duration::from_secs(1);
/// By then everything that is made at first use is there.
const SETTLED: Duration = Duration::from_secs(120);
/// So many seconds at the beginning and the end may lie outside of the history: the start, and the newest tick.
const ENDS: usize = 4;
/// What the memory may grow by after that.
const GROWTH: u64 = 1 << 20;

fn main() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let mut agent = start_agent();
    agent.until_ready();
    let began = Instant::now();
    let first_memory = watch(&agent, began, SETTLED.min(Duration::from_secs(seconds) / 5));
    let last_memory = watch(&agent, began, Duration::from_secs(seconds));
    let mut whole = true;
    for metric in METRICS {
        let coverage = Coverage::read(&agent, metric);
        println!("{coverage}");
        whole &= coverage.is_whole(began.elapsed());
    }
    let growth = last_memory.saturating_sub(first_memory);
    println!(
        "resident: {} KiB, then {} KiB: grown by {} KiB",
        first_memory >> 10,
        last_memory >> 10,
        growth >> 10
    );
    print!("{}", own_account(&agent));
    agent.stop();
    assert!(whole, "ticks are missing without a reason");
    assert!(growth <= GROWTH, "the memory grew by {growth} bytes");
}

fn start_agent() -> Agent {
    let tables: String = PLUGINS.iter().fold(String::new(), |mut text, plugin| {
        let _ = writeln!(text, "[plugins.{plugin}]\nmode = \"in_process\""); // to a string: can't fail
        text
    });
    let home = Home::new(&format!("[agent]\ninterval = \"1s\"\n{tables}"));
    PLUGINS.iter().fold(home, |home, plugin| home.plugin(plugin)).start()
}

/// Asks as a dashboard would until so long after the start; the memory then.
fn watch(agent: &Agent, began: Instant, until: Duration) -> u64 {
    let mut asked = 0_u32;
    while let Some(left) = until.checked_sub(began.elapsed()) {
        sleep(left.min(SECOND * 5));
        let answer = agent.get("/api/metrics/host");
        assert_eq!(answer.status, 200, "{}", answer.text());
        asked += 1;
    }
    let memory = process::memory(agent.pid()).unwrap_or_else(|error| panic!("the agent has ended: {error}"));
    println!("after {:.0} s: {asked} requests answered", began.elapsed().as_secs_f64());
    memory.resident
}

/// How a series covers the ticks from its first point to its last.
struct Coverage {
    metric: &'static str,
    ticks: usize,
    present: usize,
    /// Times of ticks that have neither a point nor a gap.
    unexplained: Vec<i64>,
    reasons: Vec<String>,
}

impl Coverage {
    fn read(agent: &Agent, metric: &'static str) -> Self {
        let path = format!("/api/metrics/host/history?metric_name={metric}&limit=200000");
        let answer = agent.get(&path).json();
        let time = |text: &serde_json::Value| millis(text.as_str().unwrap_or_default());
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let mut points: Vec<i64> = list("data").iter().map(|point| time(&point["timestamp"])).collect();
        points.sort_unstable();
        let gaps: Vec<(i64, i64)> =
            list("gaps").iter().map(|gap| (time(&gap["from"]), time(&gap["to"]))).collect();
        let reasons =
            list("gaps").iter().map(|gap| gap["reason"].as_str().unwrap_or_default().into()).collect();
        let [.., before_last, last] = points[..] else { panic!("{metric} has no history: {answer}") };
        // the two collections at the start lie beside the grid
        let grid = last.rem_euclid(1000);
        assert_eq!(before_last.rem_euclid(1000), grid, "{metric}: the last points lie on no grid");
        let first = points.iter().copied().find(|point| point.rem_euclid(1000) == grid).unwrap_or(last);
        let ticks: Vec<i64> = (first..=last).step_by(1000).collect();
        // a tick that was late by more than the tolerance is stamped with its own time, within its second
        let present = |tick: i64| points.iter().any(|point| (tick..tick + 1000).contains(point));
        let explained = |tick: i64| gaps.iter().any(|(from, to)| (*from..=*to).contains(&tick));
        let unexplained = ticks.iter().copied().filter(|tick| !present(*tick) && !explained(*tick)).collect();
        let present = ticks.iter().filter(|tick| present(**tick)).count();
        Self { metric, ticks: ticks.len(), present, unexplained, reasons }
    }

    /// Whether it reaches over all of this time, and nothing is missing without a reason.
    fn is_whole(&self, time: Duration) -> bool {
        self.unexplained.is_empty() && self.ticks + ENDS >= time.as_secs() as usize
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { metric, ticks, present, unexplained, reasons } = self;
        write!(f, "{metric}: {present} of {ticks} ticks, gaps {reasons:?}")?;
        match unexplained.first() {
            Some(first) => {
                write!(f, ", {} missing, the first at {}", unexplained.len(), Timestamp::from_millis(*first))
            }
            None => Ok(()),
        }
    }
}

/// The milliseconds of `2026-11-20T22:00:05.000000Z`.
fn millis(text: &str) -> i64 {
    let digits: Option<Vec<i64>> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect();
    let Some([year, month, day, hour, minute, second, micros]) =
        digits.and_then(|digits| <[i64; 7]>::try_from(digits).ok())
    else {
        panic!("`{text}` is no time of the API");
    };
    // days since 1970 in a calendar whose years begin in March
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + micros / 1000
}

/// What the agent says of its own plugins.
fn own_account(agent: &Agent) -> String {
    let answer = agent.get("/api/plugins").json();
    let mut text = String::new();
    for plugin in answer["plugins"].as_array().into_iter().flatten() {
        let number = |key: &str| plugin[key].as_u64().unwrap_or_default();
        let name = plugin["name"].as_str().unwrap_or_default();
        let [collections, failures, missed, skipped] =
            ["collections", "failures", "missed_deadlines", "skipped"].map(number);
        // to a string: can't fail
        let _ = writeln!(
            text,
            "{name}: {collections} collections, {failures} failures, {missed} missed deadlines, {skipped} skipped"
        );
    }
    text
}
