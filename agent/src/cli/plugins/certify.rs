//! `plugins certify`.

use super::own_config;
use crate::{
    host::{describe, open_file},
    trial::{CHECKS, Outcome, Report, certify},
};
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::{fmt::Write as _, io::Write, path::PathBuf, process::ExitCode, time::Duration};

#[derive(Debug, Args)]
#[command(after_help = checks())]
pub(in crate::cli) struct CertifyArgs {
    /// The shared library; it is loaded into processes of its own
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The plugin's own table: TOML, JSON, or a file .toml or .json; of an agent.toml its [plugins.NAME.config]
    // in place of the global option, so of its type
    #[arg(long, value_name = "TEXT|FILE")]
    config: Option<PathBuf>,
    /// The interval that it is meant for: the deadline of a collection, which should take a tenth of it at most
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = super::interval)]
    interval: Duration,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn checks() -> String {
    let mut text = String::from("Checks:\n");
    for (check, what) in CHECKS {
        let _ = writeln!(text, "  {check:<16}  {what}");
    }
    text + "\nExit code 1 where one fails."
}

pub(super) fn run(args: &CertifyArgs) -> Result<ExitCode> {
    // its table in an agent.toml is found by its name
    let name = open_file(&args.file).ok().and_then(|file| describe(&file).0).map(|metadata| metadata.name);
    let config = own_config::read(args.config.as_deref(), name.as_deref().unwrap_or_default())?;
    let report = certify(&args.file, &config, args.interval)?;
    let file = args.file.display().to_string();
    let text = match args.format {
        Format::Text => to_text(&file, &report),
        Format::Json => {
            let mut answer = serde_json::to_value(&report)?;
            answer["file"] = json!(file);
            answer["certified"] = json!(report.is_certified());
            format!("{answer:#}\n")
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if report.is_certified() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn to_text(file: &str, report: &Report) -> String {
    let mut text = match report.plugin.as_str() {
        "" => format!("{file}\n\n"),
        name => format!("{name} {} ({file})\n\n", report.version),
    };
    for answer in &report.checks {
        let _ = writeln!(text, "{}  {:<16}  {}", answer.outcome.word(), answer.check, answer.reason);
        if !answer.advice.is_empty() {
            let _ = writeln!(text, "{:24}to mend: {}", "", answer.advice);
        }
    }
    let [passed, failed, skipped] =
        [Outcome::Pass, Outcome::Fail, Outcome::Skip].map(|outcome| report.count(outcome));
    let _ = writeln!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
    text
}
