//! Passes on the metrics that a program prints: one that is started at every interval, or one that runs on.
//!
//! Formats, rules and metrics are in the README; the parsers are [`twarga_plugin_api::formats`].
#![forbid(unsafe_code)]

mod child;
mod config;
mod once;
mod output;
mod stream;

pub use config::{Config, Run};

use once::Once;
use output::Output;
use stream::Stream;
use twarga_plugin_api::prelude::*;

const DURATION: Metric = Metric::gauge("exec_duration_seconds", Unit::SECONDS, "How long the last run took.");
const REFUSED: Metric = Metric::counter(
    "exec_refused_total",
    Unit::NONE,
    "Lines and samples of the output that were left out; the log says why.",
);
const STRINGS: Metric = Metric::counter(
    "exec_strings_total",
    Unit::NONE,
    "Fields of the output that are texts, which are no samples.",
);
const STARTS: Metric = Metric::counter("exec_starts_total", Unit::NONE, "How often the program was started.");

/// The collector.
pub struct Exec {
    program: Program,
    output: Output,
    own: Own,
}

enum Program {
    Once(Once),
    Stream(Stream),
}

/// The series of the collector itself.
struct Own {
    duration: Option<Series>,
    refused: Series,
    strings: Series,
    starts: Series,
}

impl Own {
    fn new(run: Run, host: &mut Host<'_>) -> Result<Self> {
        let duration = match run {
            Run::Once => Some(host.series(&DURATION, &[])?),
            Run::Stream => None,
        };
        Ok(Self {
            duration,
            refused: host.series(&REFUSED, &[])?,
            strings: host.series(&STRINGS, &[])?,
            starts: host.series(&STARTS, &[])?,
        })
    }
}

impl Collector for Exec {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["exec_", "*"];
    const METRICS: &'static [Metric<'static>] = &[DURATION, REFUSED, STRINGS, STARTS];
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        config.check()?;
        let output = Output::new(&config);
        let own = Own::new(config.run, host)?;
        let program = match config.run {
            Run::Once => Program::Once(Once::new(config)),
            Run::Stream => Program::Stream(Stream::new(config)),
        };
        Ok(Self { program, output, own })
    }

    #[allow(clippy::cast_precision_loss, reason = "every sample is a float")]
    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let (outcome, starts) = match &mut self.program {
            Program::Once(once) => {
                let outcome = once.collect(&mut self.output, sink);
                if let (Some(series), Some(took)) = (self.own.duration, once.took) {
                    sink.put(series, took.as_secs_f64());
                }
                (outcome, once.starts)
            }
            Program::Stream(stream) => (stream.collect(&mut self.output, sink), stream.starts),
        };
        sink.put(self.own.starts, starts as f64);
        sink.put(self.own.refused, self.output.refused() as f64);
        sink.put(self.own.strings, self.output.strings() as f64);
        outcome
    }
}

export_plugin!(Exec);
