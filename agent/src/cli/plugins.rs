//! `plugins list`, `plugins inspect`, and the way to `plugins top`.

use super::{table::columns, top};
use crate::{
    app,
    config::{self, Flags},
    host::{Inspected, Metadata, inspect as inspect_file},
    model::PluginState,
};
use anyhow::{Context, Result};
use clap::Subcommand;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Subcommand)]
pub(super) enum PluginsCommand {
    /// What is configured and found, and why something would not be loaded
    List {
        /// As JSON, in the shape of GET /api/plugins
        #[arg(long)]
        json: bool,
    },
    /// What each plugin of the running agent costs: processor, wall time, samples, bytes, memory; anew each second
    Top(top::TopArgs),
    /// What a plugin file says of itself, its SHA-256 digest, and whether its owner and mode would do; runs nothing of it
    Inspect {
        /// The shared library
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(flags: &Flags, command: PluginsCommand) -> Result<ExitCode> {
    match command {
        PluginsCommand::List { json } => list(flags, json),
        PluginsCommand::Top(args) => top::run(flags, &args),
        PluginsCommand::Inspect { file, json } => inspect(&file, json),
    }
}

/// Loads what `run` would load, up to the point where a collector would be made.
fn list(flags: &Flags, json: bool) -> Result<ExitCode> {
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

fn inspect(file: &Path, json: bool) -> Result<ExitCode> {
    let name = || file.display().to_string();
    let inspected = inspect_file(file).with_context(name)?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{:#}", to_json(&inspected))?;
    } else {
        write!(out, "{}", to_text(&inspected))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn to_text(inspected: &Inspected) -> String {
    let Inspected { metadata, digest, distrust } = inspected;
    let Metadata { name, version, description, authors, api, rustc, target, panic, profile, .. } = metadata;
    let namespaces = metadata.namespaces.join(" ");
    // a plugin in C has nothing that could panic
    let (abi, panic) =
        if metadata.is_c() { (" (C)", String::new()) } else { ("", format!(", panic={panic}")) };
    let mut text = format!(
        "{name} {version}: {description}\n\nauthors     {authors}\nplugin API  {api}{abi}\nbuilt by    {rustc} for {target}, \
         {profile}{panic}\nnamespaces  {namespaces}\nto pin it   sha256 = \"{digest}\"\n"
    );
    text += &match distrust {
        None => "trust       owner and mode are as they should be\n\n".to_owned(),
        Some(refusal) => format!("trust       would not be loaded: {refusal}; {}\n\n", refusal.advice()),
    };
    let rows: Vec<Vec<String>> = (metadata.metrics.iter())
        .map(|metric| {
            let labels = metric.label_keys.clone();
            vec![
                metric.name.clone(),
                metric.kind.word().into(),
                metric.unit.clone(),
                labels,
                metric.help.clone(),
            ]
        })
        .collect();
    text += &columns(&["METRIC", "KIND", "UNIT", "LABELS", "HELP"], &rows);
    if !metadata.schema.is_empty() {
        let schema = serde_json::from_str::<serde_json::Value>(&metadata.schema);
        text += &schema
            .map_or_else(|_| String::new(), |schema| format!("\nconfiguration (JSON Schema):\n{schema:#}\n"));
    }
    text
}

fn to_json(inspected: &Inspected) -> serde_json::Value {
    let Inspected { metadata, digest, distrust } = inspected;
    let metrics = metadata.metrics.iter().map(|metric| {
        let labels: Vec<&str> = metric.label_keys.split(',').filter(|key| !key.is_empty()).collect();
        serde_json::json!({
            "name": metric.name, "kind": metric.kind.word(), "unit": metric.unit, "labels": labels, "help": metric.help,
        })
    });
    serde_json::json!({
        "name": metadata.name,
        "version": metadata.version,
        "description": metadata.description,
        "authors": metadata.authors,
        "api": metadata.api,
        "abi": if metadata.is_c() { "c" } else { "rust" },
        "rustc": metadata.rustc,
        "target": metadata.target,
        "panic": metadata.panic,
        "profile": metadata.profile,
        "namespaces": metadata.namespaces,
        "sha256": digest.to_string(),
        "distrust": distrust.as_ref().map(ToString::to_string),
        "metrics": metrics.collect::<Vec<_>>(),
        "config_schema": serde_json::from_str::<serde_json::Value>(&metadata.schema).ok(),
    })
}
