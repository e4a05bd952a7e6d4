//! `plugins list`.

use crate::{
    app,
    cli::table::columns,
    config::{self, Flags},
    model::PluginState,
};
use anyhow::Result;
use std::{io::Write, process::ExitCode};

/// Loads what `run` would load, up to the point where a collector would be made.
pub(super) fn run(flags: &Flags, json: bool) -> Result<ExitCode> {
    let config = config::load(flags)?.config;
    let plugins = app::load_all(&config, app::Report::Quiet);
    let mut statuses = plugins.statuses();
    statuses.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", crate::serve::plugins_json(statuses.clone())?)?;
    } else {
        let rows: Vec<Vec<String>> = statuses
            .iter()
            .map(|status| {
                // loaded here, run by `run` only
                let state =
                    if status.state == PluginState::Running { "loadable" } else { status.state.word() };
                let file = status.file.as_ref().map(|file| file.display().to_string());
                let version = status.version.clone().unwrap_or_else(|| "-".into());
                let digest =
                    status.sha256.map_or_else(|| "-".into(), |digest| format!("{:.12}", digest.to_string()));
                vec![status.name.clone(), state.into(), version, digest, file.unwrap_or_else(|| "-".into())]
            })
            .collect();
        write!(out, "{}", columns(&["NAME", "STATE", "VERSION", "SHA256", "FILE"], &rows))?;
        for status in &statuses {
            if let Some(reason) = &status.reason {
                writeln!(out, "\n{}: {reason}", status.name)?;
            }
        }
    }
    let refused = statuses
        .iter()
        .any(|status| status.state == PluginState::Refused && config.plugins.contains_key(&status.name));
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
