//! `export`: raw samples as text, also while the agent runs.

use super::{progress::Progress, query::Moment};
use crate::{
    app,
    config::{self, Flags},
    store::{Range, Readers, Selector},
    transfer::{self, Format, TransferError},
};
use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// How samples are written [default: as --output ends, else openmetrics]
    #[arg(long, value_enum)]
    format: Option<TextFormat>,
    /// Only these series; may be given several times: 'host_load1', 'host_cpu_seconds_total{mode=~"idle|iowait"}'
    #[arg(long = "match", value_name = "SELECTOR", value_parser = transfer::parse_selector)]
    selectors: Vec<Selector>,
    /// From this time on: RFC 3339, or how long ago (10m, 2h, 7d)
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// Write here, in place of standard output; a file that is there is replaced once the new one is complete
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The formats of export and import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TextFormat {
    /// The OpenMetrics text format with times (.om, .prom, .txt)
    Openmetrics,
    /// name,labels,time,value (.csv)
    Csv,
    /// A JSON object a line; loses nothing (.jsonl)
    Jsonl,
}

impl From<TextFormat> for Format {
    fn from(format: TextFormat) -> Self {
        match format {
            TextFormat::Openmetrics => Self::OpenMetrics,
            TextFormat::Csv => Self::Csv,
            TextFormat::Jsonl => Self::JsonLines,
        }
    }
}

pub(super) fn run(flags: &Flags, args: &ExportArgs) -> Result<ExitCode> {
    let config = config::load(flags)?.config;
    let readers = Readers::of_file(&app::store_file(&config.agent.data_dir))?;
    let guessed = args.output.as_deref().and_then(Format::of_file);
    let format = args.format.map(Format::from).or(guessed).unwrap_or(Format::OpenMetrics);
    let range = Range {
        from: args.from.map_or(Range::ALL.from, |moment| moment.0),
        to: args.to.map_or(Range::ALL.to, |moment| moment.0),
    };
    let bar = Progress::new(if format == Format::OpenMetrics { "series" } else { "samples" });
    let reader = readers.reader()?;
    let write = |out: &mut dyn Write| {
        transfer::export(&reader, &args.selectors, range, format, out, &mut |done, of| bar.show(done, of))
    };
    match &args.output {
        Some(file) => {
            let exported = to_file(file, write)?;
            drop(bar);
            tracing::info!(samples = exported.samples, series = exported.series, file = %file.display(), "exported");
        }
        None => match write(&mut BufWriter::new(io::stdout().lock())) {
            Err(TransferError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {} // | head
            written => drop(written?),
        },
    }
    match readers.damaged_rows() {
        0 => Ok(ExitCode::SUCCESS),
        rows => Err(anyhow!("{rows} damaged rows of the history were left out; the log names them")),
    }
}

/// Writes beside the file first: a half export never bears its name.
fn to_file<T>(file: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T, TransferError>) -> Result<T> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let create = || {
        let mut out = BufWriter::new(File::create(&part).map_err(TransferError::Write)?);
        let written = write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&part, file)?;
        Ok::<T, TransferError>(written)
    };
    let written = create();
    if written.is_err() {
        let _ = fs::remove_file(&part); // the error is the one to tell
    }
    written.with_context(|| file.display().to_string())
}
