//! `check`: everything that is wrong with the configuration.

use crate::config::{self, Flags};
use anyhow::Result;
use std::{io::Write, process::ExitCode};

pub(super) fn run(flags: &Flags) -> Result<ExitCode> {
    let loaded = config::load(flags)?;
    let mut out = std::io::stdout().lock();
    for warning in &loaded.warnings {
        writeln!(out, "{warning}")?;
    }
    let files: Vec<String> = loaded.config.files.iter().map(|file| file.display().to_string()).collect();
    let enabled = loaded.config.plugins.values().filter(|plugin| plugin.enabled).count();
    let from = if files.is_empty() { "built-in defaults, no file found".into() } else { files.join(", ") };
    let alerts = loaded.config.alerts.len();
    writeln!(out, "ok: {enabled} plugins enabled, {alerts} alert rules ({from})")?;
    Ok(ExitCode::SUCCESS)
}
