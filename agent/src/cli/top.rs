//! `plugins top`: what the plugins of a running agent cost, as a table that lives.

use super::{
    api::{Api, Whom},
    table::columns,
};
use crate::config::{self, Flags};
use anyhow::Result;
use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};
use twarga_plugin_api::duration;

/// Between two looks.
const REFRESH: Duration = Duration::from_secs(1);
/// Figures are those of this time, where the agent has been asked for so long; else of all its life.
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// Print once and end, as is done where the output is no terminal: means since the agent's start
    #[arg(long)]
    once: bool,
    /// For people, or for programs: one JSON text a look
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// What is read of `GET /api/plugins`.
#[derive(Deserialize)]
struct Answer {
    plugins: Vec<Plugin>,
    timestamp: String,
}

#[derive(Clone, Deserialize)]
struct Plugin {
    name: String,
    state: String,
    interval_seconds: f64,
    configured_interval_seconds: f64,
    series: u64,
    collections: u64,
    missed_deadlines: u64,
    restarts: u64,
    cost: Cost,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Cost {
    cpu_seconds: f64,
    wall_seconds: f64,
    samples: u64,
    bytes_stored: u64,
    rss_bytes: Option<u64>,
}

/// One line of the table. Ratios are `null` before the first collection.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    name: String,
    state: String,
    /// The share of one processor: 0.01 is one percent.
    cpu_ratio: Option<f64>,
    wall_seconds_per_collection: Option<f64>,
    samples_per_second: Option<f64>,
    series: u64,
    bytes_per_sample: Option<f64>,
    rss_bytes: Option<u64>,
    restarts: u64,
    missed_deadlines: u64,
    interval_seconds: f64,
    configured_interval_seconds: f64,
}

pub(super) fn run(flags: &Flags, args: &TopArgs) -> Result<ExitCode> {
    let api = Api::user(&config::load(flags)?.config, &args.whom)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shown = runtime.block_on(show(&api, args));
    match shown.as_ref().err().and_then(|error| error.downcast_ref::<io::Error>()) {
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS), // | head
        _ => shown.map(|()| ExitCode::SUCCESS),
    }
}

async fn show(api: &Api, args: &TopArgs) -> Result<()> {
    let live = !args.once && io::stdout().is_terminal();
    let mut looks = Looks::default();
    let mut answer = look(api).await?;
    loop {
        let rows = looks.rows(Instant::now(), answer.plugins);
        let text = match args.format {
            Format::Json => {
                let count = rows.len();
                let json =
                    serde_json::json!({ "plugins": rows, "count": count, "timestamp": answer.timestamp });
                format!("{json}\n")
            }
            Format::Table if live => fitted(&table(&rows)),
            Format::Table => table(&rows),
        };
        write(&text)?;
        if !live {
            return Ok(());
        }
        answer = loop {
            tokio::time::sleep(REFRESH).await;
            match look(api).await {
                Ok(answer) => break answer,
                // it may be on its way up again
                Err(error) if args.format == Format::Table => write(&fitted(&format!("{error:#}\n")))?,
                Err(error) => return Err(error),
            }
        };
    }
}

async fn look(api: &Api) -> Result<Answer> {
    api.get("/api/plugins").await?.json()
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The looks of the last minute.
#[derive(Default)]
struct Looks {
    earlier: VecDeque<(Instant, Vec<Plugin>)>,
}

impl Looks {
    /// The table at `now`, the dearest first.
    fn rows(&mut self, now: Instant, mut plugins: Vec<Plugin>) -> Vec<Row> {
        plugins.retain(|plugin| !matches!(plugin.state.as_str(), "available" | "disabled"));
        while self.earlier.front().is_some_and(|(time, _)| now.duration_since(*time) > WINDOW) {
            self.earlier.pop_front();
        }
        let mut rows: Vec<Row> = plugins.iter().map(|plugin| plugin.row(self.before(plugin))).collect();
        rows.sort_by(|a, b| {
            let cpu = |row: &Row| row.cpu_ratio.unwrap_or(-1.0);
            cpu(b).total_cmp(&cpu(a)).then_with(|| a.name.cmp(&b.name))
        });
        self.earlier.push_back((now, plugins));
        rows
    }

    /// The plugin as it was at the first of the looks, if it has collected since, in the same agent.
    fn before(&self, now: &Plugin) -> Option<&Plugin> {
        let (_, plugins) = self.earlier.front()?;
        let before = plugins.iter().find(|plugin| plugin.name == now.name)?;
        let goes_on =
            before.cost.cpu_seconds <= now.cost.cpu_seconds && before.cost.samples <= now.cost.samples;
        (goes_on && before.collections < now.collections).then_some(before)
    }
}

impl Plugin {
    /// Means by collection, of those since `before`, or of all. By the time between two looks instead, a plugin that
    /// collects once a minute would cost nothing for 59 seconds.
    fn row(&self, before: Option<&Self>) -> Row {
        let (old, collected) =
            before.map_or((Cost::default(), 0), |before| (before.cost, before.collections));
        let collections = (self.collections - collected) as f64;
        let each = |total: f64| (collections > 0.0).then(|| total / collections);
        let a_second =
            |each: Option<f64>| Some(each? / self.interval_seconds).filter(|rate| rate.is_finite());
        let stored = (self.cost.bytes_stored as f64, self.cost.samples);
        Row {
            name: self.name.clone(),
            state: self.state.clone(),
            cpu_ratio: a_second(each(self.cost.cpu_seconds - old.cpu_seconds)),
            wall_seconds_per_collection: each(self.cost.wall_seconds - old.wall_seconds),
            samples_per_second: a_second(each((self.cost.samples - old.samples) as f64)),
            series: self.series,
            bytes_per_sample: (stored.1 > 0).then(|| stored.0 / stored.1 as f64),
            rss_bytes: self.cost.rss_bytes,
            restarts: self.restarts,
            missed_deadlines: self.missed_deadlines,
            interval_seconds: self.interval_seconds,
            configured_interval_seconds: self.configured_interval_seconds,
        }
    }
}

fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>, text: fn(f64) -> String| value.map_or_else(|| "-".into(), text);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                row.state.clone(),
                number(row.cpu_ratio, |ratio| format!("{:.3}%", ratio * 100.0)),
                number(row.wall_seconds_per_collection, |seconds| format!("{:.3} ms", seconds * 1000.0)),
                number(row.samples_per_second, |rate| format!("{rate:.1}")),
                row.series.to_string(),
                number(row.bytes_per_sample, |bytes| format!("{bytes:.2}")),
                row.rss_bytes.map_or_else(|| "-".into(), |bytes| ByteSize(bytes).display().iec().to_string()),
                row.restarts.to_string(),
                row.missed_deadlines.to_string(),
                interval(row),
            ]
        })
        .collect();
    let heading = [
        "PLUGIN",
        "STATE",
        "CPU",
        "WALL",
        "SAMPLES/S",
        "SERIES",
        "B/SAMPLE",
        "RSS",
        "RESTARTS",
        "MISSED",
        "EVERY",
    ];
    columns(&heading, &lines)
}

/// The interval; where it is stretched for what the plugin costs, with the one that is set.
fn interval(row: &Row) -> String {
    let text = |seconds: f64| match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => duration::words(Duration::from_millis(duration.as_millis() as u64)).to_string(),
        Err(_) => "-".into(),
    };
    if row.interval_seconds > row.configured_interval_seconds {
        format!("{} (set {})", text(row.interval_seconds), text(row.configured_interval_seconds))
    } else {
        text(row.interval_seconds)
    }
}

/// A text in place of what the terminal shows, as much of it as there is room for. Each line ends with what clears the
/// rest of it: the whole screen cleared at once would flicker.
fn fitted(text: &str) -> String {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let known = size.ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    let (rows, width) = known.map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()));
    let cut = |line: &str| format!("{}\x1b[K\n", line.chars().take(width).collect::<String>());
    let lines: String = text.lines().take(usize::max(rows, 2) - 1).map(cut).collect();
    format!("\x1b[H{lines}\x1b[J")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str, collections: u64, cost: Cost) -> Plugin {
        Plugin {
            name: name.into(),
            state: "running".into(),
            interval_seconds: 2.0,
            configured_interval_seconds: 2.0,
            series: 3,
            collections,
            missed_deadlines: 0,
            restarts: 0,
            cost,
        }
    }

    fn cost(cpu_seconds: f64, samples: u64) -> Cost {
        Cost {
            cpu_seconds,
            wall_seconds: 2.0 * cpu_seconds,
            samples,
            bytes_stored: 2 * samples,
            rss_bytes: None,
        }
    }

    #[test]
    fn means_of_all_collections_then_of_those_of_the_last_minute() {
        let (mut looks, began) = (Looks::default(), Instant::now());
        let first = looks.rows(began, vec![plugin("a", 10, cost(0.1, 30)), plugin("b", 0, Cost::default())]);
        assert_eq!((first[0].cpu_ratio, first[0].samples_per_second), (Some(0.005), Some(1.5)));
        assert_eq!(
            (first[0].wall_seconds_per_collection, first[0].bytes_per_sample),
            (Some(0.02), Some(2.0))
        );
        assert_eq!((first[1].cpu_ratio, first[1].bytes_per_sample), (None, None), "nothing is known yet");

        // nothing new: as before; then dearer collections alone
        let same = looks.rows(began + REFRESH, vec![plugin("a", 10, cost(0.1, 30))]);
        assert_eq!(same[0], first[0]);
        let dear = looks.rows(began + 3 * REFRESH, vec![plugin("a", 12, cost(0.5, 36))]);
        assert!((dear[0].cpu_ratio.unwrap() - 0.1).abs() < 1e-9, "{dear:?}");
        // a minute later they are forgotten
        let plugins = || vec![plugin("a", 12, cost(0.5, 36))];
        looks.rows(began + WINDOW, plugins());
        looks.rows(began + WINDOW + 4 * REFRESH, plugins());
        let cheap = looks.rows(began + WINDOW + 5 * REFRESH, vec![plugin("a", 22, cost(0.5, 66))]);
        assert_eq!(cheap[0].cpu_ratio, Some(0.0));
    }

    #[test]
    fn an_agent_that_was_started_anew_begins_anew() {
        let mut looks = Looks::default();
        looks.rows(Instant::now(), vec![plugin("a", 100, cost(5.0, 300))]);
        let rows = looks
            .rows(Instant::now(), vec![plugin("a", 101, cost(0.101, 303)), plugin("c", 2, cost(1.0, 6))]);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["c", "a"], "the dearest first");
        assert!((rows[1].cpu_ratio.unwrap() - 0.0005).abs() < 1e-9, "{rows:?}");
    }

    #[test]
    fn a_stretched_interval_is_told_beside_the_configured_one() {
        let mut plugin = plugin("a", 1, cost(0.1, 3));
        plugin.interval_seconds = 16.0;
        assert_eq!(interval(&plugin.row(None)), "16s (set 2s)");
    }
}
