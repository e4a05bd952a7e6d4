//! `plugins run`: a plugin's samples as they come.

use super::{own_config, render};
use crate::{
    model::{Kind, SeriesDef},
    trial::{Collector, Plugin, kind_word},
};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::{
    collections::HashMap,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::{Error, ErrorKind};

#[derive(Debug, Args)]
pub(in crate::cli) struct LiveArgs {
    /// The shared library; it is loaded into this process
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The plugin's own table: TOML, JSON, or a file .toml or .json; of an agent.toml its [plugins.NAME.config]
    // in place of the global option, so of its type
    #[arg(long, value_name = "TEXT|FILE")]
    config: Option<PathBuf>,
    /// How often it is asked
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = super::interval)]
    interval: Duration,
    /// End after so many collections; without it, with Ctrl-C
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// A table for people, a JSON object a line, or the Prometheus text format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Jsonl,
    Prometheus,
}

/// One collection, as it is shown.
pub(super) struct Shown<'a> {
    pub(super) collector: &'a Collector,
    pub(super) took: Duration,
    pub(super) readings: Vec<Reading>,
    pub(super) error: Option<&'a Error>,
    /// Samples that the agent would drop: ids that are not known, values that are not finite, series put twice.
    pub(super) refused: u64,
}

/// One sample.
pub(super) struct Reading {
    pub(super) series: Arc<SeriesDef>,
    pub(super) value: f64,
    pub(super) reset: bool,
    /// Of a counter, per second since its last sample.
    pub(super) rate: Option<f64>,
}

/// Success where every collection went well.
pub(super) fn run(args: &LiveArgs) -> Result<ExitCode> {
    let plugin = Plugin::load(&args.file)?;
    let config = own_config::read(args.config.as_deref(), plugin.name())?;
    let mut collector = plugin
        .start(&config)
        .map_err(|error| anyhow::anyhow!("{} ({})", error, kind_word(error.kind())))
        .with_context(|| format!("{} does not start", plugin.name()))?;
    let mut rates = Rates::default();
    let (mut refused, mut failed) = (0, false);
    let began = Instant::now();
    for number in 0_u32.. {
        if args.count.is_some_and(|count| u64::from(number) >= count) {
            break;
        }
        std::thread::sleep((args.interval * number).saturating_sub(began.elapsed()));
        let (took, answer) = collector.collect();
        let error = answer.err();
        let now_refused = collector.refused().total();
        let shown = Shown {
            collector: &collector,
            took,
            readings: rates.readings(&collector),
            error: error.as_ref(),
            refused: now_refused - refused,
        };
        refused = now_refused;
        failed |= error.is_some();
        let text = match args.format {
            Format::Table => render::table(&shown),
            Format::Jsonl => render::json_lines(&shown),
            Format::Prometheus => render::prometheus(&shown),
        };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break, // `| head`
            other => other?,
        }
        // the agent would make it anew, now or later: here it ends
        if error.as_ref().is_some_and(|error| error.kind() != ErrorKind::Transient) {
            break;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The last samples of counters.
#[derive(Default)]
struct Rates {
    last: HashMap<u32, (f64, i64)>,
}

impl Rates {
    fn readings(&mut self, collector: &Collector) -> Vec<Reading> {
        let now = collector.time().as_millis();
        let mut readings: Vec<Reading> = collector
            .samples()
            .map(|(series, sample)| {
                let is_counter = series.metric.kind == Kind::Counter;
                let last = is_counter.then(|| self.last.insert(sample.series, (sample.value, now))).flatten();
                let rate = last.filter(|(_, then)| !sample.reset && now > *then);
                let rate = rate.map(|(value, then)| (sample.value - value) / ((now - then) as f64 / 1000.0));
                Reading { series: Arc::clone(series), value: sample.value, reset: sample.reset, rate }
            })
            .collect();
        for ended in collector.retired() {
            self.last.remove(ended); // its number is given again
        }
        readings.sort_by_cached_key(|reading| {
            (reading.series.metric.name.clone(), reading.series.labels.clone())
        });
        readings
    }
}
