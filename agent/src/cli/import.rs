//! `import`: samples of a file, or of the old system's database, into the history. The agent must be stopped.

use super::{export::TextFormat, progress::Progress};
use crate::{
    app,
    config::{self, Config, Flags},
    model::Timestamp,
    store::Store,
    transfer::{self, Format, Sink, Source, Tally, TransferError, old_system},
};
use anyhow::{Result, anyhow};
use clap::Args;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file of an export, or of another program in one of its formats; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "from_twarga")]
    file: Option<PathBuf>,
    /// The format [default: as FILE ends]
    #[arg(long, value_enum, conflicts_with = "from_twarga")]
    format: Option<TextFormat>,
    /// The SQLite database of the old Python system; it is only read
    #[arg(long, value_name = "FILE.db", conflicts_with = "file")]
    from_twarga: Option<PathBuf>,
    /// Also the values 15, 45 and 30 of machines, which the old system invented
    #[arg(long, requires = "from_twarga", conflicts_with = "file")]
    keep_constants: bool,
    /// Read and count everything, store nothing; also while the agent runs
    #[arg(long)]
    dry_run: bool,
    /// Begin anew, where an import of the same file was stopped or done; what is stored is not stored twice
    #[arg(long)]
    from_start: bool,
}

pub(super) fn run(flags: &Flags, args: &ImportArgs) -> Result<ExitCode> {
    let config = config::load(flags)?.config;
    let source = match (&args.file, &args.from_twarga) {
        (Some(file), _) => Some((open(file)?, format(file, args.format)?)),
        (None, _) => None,
    };
    let mut sink = match args.dry_run {
        true => Sink::dry(&app::store_file(&config.agent.data_dir))?,
        false => Sink::into_store(Store::open(app::store_options(&config))?)?,
    };
    let outcome = match (source, &args.from_twarga) {
        (Some((source, format)), _) => {
            let bar = Progress::new("bytes");
            let mut show = |done, of| bar.show(done, of);
            transfer::import(source, format, args.from_start, &mut sink, &mut show)
        }
        (None, Some(database)) => from_twarga(database, args, &config, &mut sink).map(|()| false),
        (None, None) => return Err(anyhow!("name a file")),
    };
    let tally = sink.tally().clone();
    summary(&tally, args.dry_run)?;
    let closed = sink.close();
    let done_before = outcome?;
    closed?;
    if done_before {
        tracing::info!("this file was imported before; --from-start reads it again");
    }
    let oldest_kept = Timestamp::now().minus(config.storage.retention);
    if tally.oldest.is_some_and(|oldest| oldest < oldest_kept) && !args.dry_run {
        tracing::warn!(
            "some samples are older than storage.retention: the agent deletes them when it runs; raise it first, \
             if they are to stay"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn from_twarga(
    database: &Path,
    args: &ImportArgs,
    config: &Config,
    sink: &mut Sink,
) -> Result<(), TransferError> {
    let bar = Progress::new("rows");
    let options = old_system::Options {
        keep_constants: args.keep_constants,
        disk: &config.views.disk,
        from_start: args.from_start,
    };
    old_system::import(database, options, sink, &mut |done, of| bar.show(done, of))
}

fn open(file: &Path) -> Result<Source, TransferError> {
    if file.as_os_str() == "-" { Ok(Source::standard_input()) } else { Source::file(file) }
}

fn format(file: &Path, given: Option<TextFormat>) -> Result<Format> {
    given.map(Format::from).or_else(|| Format::of_file(file)).ok_or_else(|| {
        anyhow!(
            "{}: its name does not tell the format; add --format openmetrics, csv or jsonl",
            file.display()
        )
    })
}

/// What became of it, on standard output.
fn summary(tally: &Tally, dry_run: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let stored = if dry_run { "would be stored" } else { "stored" };
    writeln!(out, "{} samples read, {} {stored}", tally.read, tally.stored)?;
    if tally.events > 0 {
        writeln!(out, "{} events {stored}", tally.events)?;
    }
    for (reason, count) in &tally.skipped {
        writeln!(out, "{count} skipped: {reason}")?;
    }
    Ok(())
}
