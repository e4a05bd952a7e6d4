//! `plugins inspect`: any file, and nothing of it is run.

use crate::{
    cli::table::columns,
    host::{Metadata, Provenance, Refusal, describe, open_file, provenance},
};
use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use std::{
    fs::{File, FileType},
    io::{self, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// The shared library
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Success where this agent could load the file, whoever it belongs to: that is told beside it.
pub(super) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let (metadata, problem) = match open_file(&args.file) {
        Ok(file) => {
            let (metadata, refusal) = describe(&file);
            (metadata, refusal.map(|refusal| Problem::of(&refusal, &file)))
        }
        Err(error) => (None, Some(Problem { message: error.to_string(), advice: None })),
    };
    let provenance = metadata.as_ref().and_then(|_| provenance(&args.file).ok());
    let mut out = io::stdout().lock();
    if args.json || args.format == Format::Json {
        let answer = to_json(&args.file, metadata.as_ref(), provenance.as_ref(), problem.as_ref());
        writeln!(out, "{answer:#}")?;
        return Ok(if problem.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(metadata) = &metadata {
        write!(out, "{}", to_text(metadata, provenance.as_ref()))?;
    }
    match problem {
        None => Ok(ExitCode::SUCCESS),
        Some(Problem { message, advice: Some(advice) }) if metadata.is_some() => {
            Err(anyhow!("{}: can't be loaded here: {message}; {advice}", args.file.display()))
        }
        Some(Problem { message, .. }) => Err(anyhow!("{}: {message}", args.file.display())),
    }
}

/// Why this agent would not load the file.
struct Problem {
    message: String,
    advice: Option<&'static str>,
}

impl Problem {
    fn of(refusal: &Refusal, file: &File) -> Self {
        let meta = file.metadata().ok();
        let message = match (refusal, &meta) {
            (Refusal::NotAFile, Some(meta)) => format!("not a file, but {}", kind(meta.file_type())),
            (Refusal::NotElf, Some(meta)) if meta.len() == 0 => {
                "not an ELF shared library: it is empty".into()
            }
            _ => refusal.to_string(),
        };
        Self { message, advice: Some(refusal.advice()) }
    }
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn to_text(metadata: &Metadata, provenance: Option<&Provenance>) -> String {
    let Metadata { name, version, description, authors, api, rustc, target, panic, profile, .. } = metadata;
    let namespaces = metadata.namespaces.join(" ");
    // a plugin in C has nothing that could panic
    let (abi, panic) =
        if metadata.is_c() { (" (C)", String::new()) } else { ("", format!(", panic={panic}")) };
    let mut text = format!(
        "{name} {version}: {description}\n\nauthors     {authors}\nplugin API  {api}{abi}\nbuilt by    {rustc} for {target}, \
         {profile}{panic}\nnamespaces  {namespaces}\n"
    );
    if let Some(Provenance { digest, distrust }) = provenance {
        text += &format!("to pin it   sha256 = \"{digest}\"\n");
        text += &match distrust {
            None => "trust       owner and mode are as they should be\n".to_owned(),
            Some(refusal) => format!("trust       would not be loaded: {refusal}; {}\n", refusal.advice()),
        };
    }
    text.push('\n');
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
        let schema = serde_json::from_str::<Json>(&metadata.schema);
        text += &schema
            .map_or_else(|_| String::new(), |schema| format!("\nconfiguration (JSON Schema):\n{schema:#}\n"));
    }
    text
}

fn to_json(
    file: &Path,
    metadata: Option<&Metadata>,
    provenance: Option<&Provenance>,
    problem: Option<&Problem>,
) -> Json {
    let mut answer = metadata.map_or_else(|| json!({}), described);
    answer["file"] = json!(file.display().to_string());
    if let Some(Provenance { digest, distrust }) = provenance {
        answer["sha256"] = json!(digest.to_string());
        answer["distrust"] = json!(distrust.as_ref().map(ToString::to_string));
    }
    answer["is_plugin"] = json!(metadata.is_some());
    answer["loadable"] = json!(problem.is_none());
    answer["problem"] = json!(problem.map(|problem| &problem.message));
    answer["advice"] = json!(problem.and_then(|problem| problem.advice));
    answer
}

fn described(metadata: &Metadata) -> Json {
    let metrics = metadata.metrics.iter().map(|metric| {
        let labels: Vec<&str> = metric.label_keys.split(',').filter(|key| !key.is_empty()).collect();
        json!({
            "name": metric.name, "kind": metric.kind.word(), "unit": metric.unit, "labels": labels, "help": metric.help,
        })
    });
    json!({
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
        "metrics": metrics.collect::<Vec<_>>(),
        "config_schema": serde_json::from_str::<Json>(&metadata.schema).ok(),
    })
}
