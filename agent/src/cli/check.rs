//! `check`: everything that is wrong with the configuration.

use crate::{
    app::check::{Loading, problems},
    config::{self, Flags},
};
use anyhow::Result;
use std::{io::Write, process::ExitCode};

pub(super) fn run(flags: &Flags) -> Result<ExitCode> {
    let mut examined = config::examine(flags);
    for (level, problem) in problems(&examined, Loading::Never) {
        examined.add(level, problem);
    }
    let outcome = examined.finish();
    let warnings = match &outcome {
        Ok(loaded) => &loaded.warnings,
        Err(errors) => &errors.warnings,
    };
    let mut out = std::io::stdout().lock();
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let config = outcome?.config;
    let files: Vec<String> = config.files.iter().map(|file| file.display().to_string()).collect();
    let enabled = config.plugins.values().filter(|plugin| plugin.enabled).count();
    let from = if files.is_empty() { "built-in defaults, no file found".into() } else { files.join(", ") };
    let alerts = config.alerts.len();
    writeln!(out, "ok: {enabled} plugins enabled, {alerts} alert rules ({from})")?;
    Ok(ExitCode::SUCCESS)
}
