//! The samples of a plan as text, for other stores.

use crate::{Plan, feed::START, recording::Recording};
use anyhow::Result;
use std::io::{BufWriter, ErrorKind, Write};

/// Two expositions that differ in the unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For `promtool tsdb create-blocks-from openmetrics`: seconds.
    Openmetrics,
    /// For `/api/v1/import/prometheus`: milliseconds.
    Prometheus,
}

/// Writes all samples to standard output, in the order of their times.
pub(crate) fn write(plan: &Plan, format: Format, recording: &Recording) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    match dump(plan, plan.replicas()?, format, recording, &mut out) {
        // who reads it has enough
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn dump(
    plan: &Plan,
    replicas: usize,
    format: Format,
    recording: &Recording,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let millis = if format == Format::Prometheus { "000" } else { "" };
    for tick in 0..plan.commits() {
        let second = tick * plan.interval as usize;
        let seconds = START / 1000 + second as i64;
        for replica in 0..replicas {
            for (series, value) in recording.series().iter().zip(recording.values(second, replica)) {
                let name = &series.name;
                writeln!(out, "{name}{{replica=\"{replica}\"}} {value} {seconds}{millis}")?;
            }
        }
    }
    if format == Format::Openmetrics {
        writeln!(out, "# EOF")?;
    }
    out.flush()
}
