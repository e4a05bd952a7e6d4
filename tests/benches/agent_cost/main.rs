//! What the agent costs beside collectd: the same machine, the same minutes, an interval of one second each.
//!
//! `cargo bench -p twarga-tests --bench agent_cost`; `BENCH_SECONDS` sets how long is measured (120). Nothing is asserted:
//! a time is true for one machine only. What the figures mean is in `docs/benchmarks.md`.

mod collectd;
mod system_calls;

use std::{
    fmt::Write as _,
    thread::sleep,
    time::{Duration, Instant},
};
use twarga_tests::{
    Agent, Home,
    process::{Memory, Meter, Usage, memory, threads},
};

const PLUGINS: [&str; 4] = ["host-cpu", "host-mem", "host-disk", "host-net"];
const WARM_UP: Duration = Duration::from_secs(10);
const STRACED: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

/// All figures of one program.
struct Figures {
    usage: Usage,
    memory: Memory,
    threads: usize,
    system_calls: Result<system_calls::Calls, String>,
}

/// What a plugin had used when it was asked: its name, seconds of processor time, samples.
struct Cost {
    plugin: String,
    cpu: f64,
    samples: u64,
}

fn main() {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let mut agent = start_agent();
    agent.until_ready();
    let collectd = collectd::start();
    if let Err(reason) = &collectd {
        println!("collectd is left out: {reason}");
    }
    let pids: Vec<u32> =
        [agent.pid()].into_iter().chain(collectd.as_ref().ok().map(collectd::Collectd::pid)).collect();
    sleep(WARM_UP);
    let before = costs(&agent);
    let usages = measure(&pids, Duration::from_secs(seconds));
    let after = costs(&agent);
    let figures: Vec<Figures> = pids.iter().zip(usages).map(|(pid, usage)| figures(*pid, usage)).collect();
    println!("{}", machine());
    println!("{} series, {seconds} s measured\n", series(&agent));
    println!("{}", table(&figures));
    println!("{}", parts(&figures[0].usage, &before, &after));
    for (name, figures) in ["agent", "collectd"].iter().zip(&figures) {
        match &figures.system_calls {
            Ok(calls) => println!("{name}: system calls a second: {}", calls.most(STRACED)),
            Err(reason) => println!("{name}: system calls were not counted: {reason}"),
        }
    }
    agent.stop();
}

fn start_agent() -> Agent {
    let tables: String = PLUGINS.iter().fold(String::new(), |mut text, plugin| {
        let _ = writeln!(text, "[plugins.{plugin}]\nmode = \"in_process\""); // to a string: can't fail
        text
    });
    let home = Home::new(&format!("[agent]\ninterval = \"1s\"\n{tables}"));
    PLUGINS.iter().fold(home, |home, plugin| home.plugin(plugin)).start()
}

/// Both at the same time: whatever else the machine does concerns both.
fn measure(pids: &[u32], time: Duration) -> Vec<Usage> {
    let gone = |error| panic!("a measured process has ended: {error}");
    let mut meters: Vec<Meter> = pids.iter().map(|pid| Meter::start(*pid).unwrap_or_else(gone)).collect();
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        sleep(left.min(SECOND));
        for meter in &mut meters {
            meter.look().unwrap_or_else(|error| panic!("a measured process has ended: {error}"));
        }
    }
    meters.into_iter().map(|meter| meter.finish().unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn figures(pid: u32, usage: Usage) -> Figures {
    let memory = memory(pid).unwrap_or_else(|error| panic!("no memory of process {pid}: {error}"));
    let threads = threads(pid);
    Figures { usage, memory, threads, system_calls: system_calls::count(pid, STRACED) }
}

fn costs(agent: &Agent) -> Vec<Cost> {
    let answer = agent.get("/api/plugins").json();
    let plugins = answer["plugins"].as_array().cloned().unwrap_or_default();
    let cost = |plugin: &serde_json::Value| Cost {
        plugin: plugin["name"].as_str().unwrap_or_default().into(),
        cpu: plugin["cost"]["cpu_seconds"].as_f64().unwrap_or(f64::NAN),
        samples: plugin["cost"]["samples"].as_u64().unwrap_or_default(),
    };
    plugins.iter().map(cost).collect()
}

fn series(agent: &Agent) -> u64 {
    let answer = agent.get("/api/plugins").json();
    let plugins = answer["plugins"].as_array().cloned().unwrap_or_default();
    plugins.iter().filter_map(|plugin| plugin["series"].as_u64()).sum()
}

fn machine() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("Linux {}, {cores} cores", release.trim())
}

fn table(figures: &[Figures]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, read: &dyn Fn(&Figures) -> Option<f64>| {
        let values: Vec<Option<f64>> = figures.iter().map(read).collect();
        let ratio = match values[..] {
            [Some(agent), Some(collectd)] if collectd > 0.0 => Some(agent / collectd),
            _ => None,
        };
        let cell = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.2}"));
        let (agent, collectd) = (cell(values[0]), cell(values.get(1).copied().flatten()));
        let _ = writeln!(text, "| {name:<38} | {agent:>9} | {collectd:>9} | {:>5} |", cell(ratio)); // to a string
    };
    line("CPU, ms a second", &|of| Some(per_second(of, millis(of.usage.cpu))));
    line("the same by ticks of 10 ms", &|of| Some(per_second(of, millis(of.usage.cpu_by_ticks))));
    line("PSS, MiB", &|of| Some(mebibytes(of.memory.proportional)));
    line("RSS, MiB", &|of| Some(mebibytes(of.memory.resident)));
    line("threads", &|of| Some(of.threads as f64));
    line("voluntary context switches a second", &|of| {
        Some(per_second(of, of.usage.voluntary_switches as f64))
    });
    line("involuntary context switches a second", &|of| {
        Some(per_second(of, of.usage.involuntary_switches as f64))
    });
    line("written, KiB a second", &|of| Some(per_second(of, of.usage.written as f64 / 1024.0)));
    line("written to files, KiB a second", &|of| Some(per_second(of, of.usage.to_disk as f64 / 1024.0)));
    line("system calls a second", &|of| {
        Some(of.system_calls.as_ref().ok()?.all as f64 / STRACED.as_secs_f64())
    });
    let head = format!("| {:<38} | {:>9} | {:>9} | {:>5} |\n", "", "agent", "collectd", "ratio");
    format!("{head}|{}|----------:|----------:|------:|\n{text}", "-".repeat(40))
}

/// Where the agent's time goes: by plugin, and by thread.
fn parts(usage: &Usage, before: &[Cost], after: &[Cost]) -> String {
    let mut text = String::from("the agent's CPU, ms a second\n");
    let seconds = usage.wall.as_secs_f64();
    for (before, after) in before.iter().zip(after) {
        let cpu = (after.cpu - before.cpu) * 1000.0 / seconds;
        let samples = after.samples.saturating_sub(before.samples) as f64 / seconds;
        let _ = writeln!(text, "  plugin {:<18} {cpu:6.3}  {samples:6.1} samples a second", after.plugin);
    }
    for (thread, cpu) in &usage.by_thread {
        let _ = writeln!(text, "  thread {thread:<18} {:6.3}", millis(*cpu) / seconds);
    }
    text
}

fn per_second(figures: &Figures, amount: f64) -> f64 {
    amount / figures.usage.wall.as_secs_f64()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
