//! `backup`: a consistent copy of the history, also while the agent runs.

use super::progress::Progress;
use crate::{
    app,
    config::{self, Flags},
    store::{Overwrite, backup},
};
use anyhow::Result;
use clap::Args;
use std::{io::Write, path::PathBuf, process::ExitCode};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where the copy goes; it has this name only once it is complete
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(flags: &Flags, args: &BackupArgs) -> Result<ExitCode> {
    let config = config::load(flags)?.config;
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Refuse };
    let bar = Progress::new("pages");
    let store = app::store_file(&config.agent.data_dir);
    let copied = backup(&store, &args.file, overwrite, &mut |done, all| bar.show(done, all));
    drop(bar);
    let size = bytesize::ByteSize(copied?);
    writeln!(std::io::stdout(), "{}: {size}, complete and on the disk", args.file.display())?;
    Ok(ExitCode::SUCCESS)
}
