//! `store`: what the file of the history holds, whether it is sound, and giving its free space back.

use super::{progress::Progress, table::columns};
use crate::{
    app,
    config::{self, Flags},
    store::{self, Bad, Info, Report, compact, info, verify},
};
use anyhow::Result;
use bytesize::ByteSize;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Print what it holds: series, samples, bytes, times, and who writes it
    Info {
        /// For people, or for programs
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Read everything once and print what can't be read; exit code 1 if anything is bad
    Verify {
        /// For people, or for programs
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Give free space back to the file system; the agent must not run
    Compact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

pub(super) fn run(flags: &Flags, command: &StoreCommand) -> Result<ExitCode> {
    let config = config::load(flags)?.config;
    let file = app::store_file(&config.agent.data_dir);
    let (text, code) = match command {
        StoreCommand::Info { format } => {
            let info = info(&file)?;
            (if *format == Format::Json { info_json(&info) } else { info_text(&info) }, ExitCode::SUCCESS)
        }
        StoreCommand::Verify { format } => {
            let report = verify_with_bar(&file)?;
            let text = if *format == Format::Json { report_json(&report) } else { report_text(&report) };
            (text, if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        StoreCommand::Compact => (compact_with_bar(&file)?, ExitCode::SUCCESS),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code), // | head
        written => Ok(written.map(|()| code)?),
    }
}

fn verify_with_bar(file: &Path) -> store::Result<Report> {
    let bar = Progress::new("rows");
    verify(file, &mut |table, done, all| {
        bar.name(format!("rows of {table}"));
        bar.show(done, all);
    })
}

fn compact_with_bar(file: &Path) -> store::Result<String> {
    let bar = Progress::new("pages");
    let compacted = compact(file, &mut |done, all| bar.show(done, all))?;
    let [before, after] = [compacted.before, compacted.after].map(ByteSize);
    Ok(format!("{}: {before} before, {after} now\n", file.display()))
}

fn info_text(info: &Info) -> String {
    let time = |time: Option<_>| {
        time.map_or_else(|| "-".to_owned(), |time: crate::model::Timestamp| time.to_string())
    };
    let free = ByteSize(info.free_pages * info.page_size);
    let lines = [
        ("file", info.file.display().to_string()),
        ("format", info.format.to_string()),
        ("size", ByteSize(info.file_bytes).to_string()),
        ("log (-wal)", ByteSize(info.wal_bytes).to_string()),
        ("free", format!("{free} ({} of {} pages of {} bytes)", info.free_pages, info.pages, info.page_size)),
        ("series", format!("{}, {} of them alive", info.series, info.live_series)),
        (
            "bytes per sample",
            info.bytes_per_sample().map_or_else(|| "-".into(), |bytes| format!("{bytes:.3}")),
        ),
        ("last commit", time(info.last_commit)),
        ("written by", info.holder.as_ref().map_or_else(|| "nobody now".into(), ToString::to_string)),
    ];
    let head: String = lines.iter().map(|(name, value)| format!("{name:<16}  {value}\n")).collect();
    let tiers: Vec<Vec<String>> = info
        .tiers
        .iter()
        .map(|tier| {
            let (samples, bytes) = (tier.samples.to_string(), ByteSize(tier.bytes).to_string());
            vec![tier.tier.word().into(), samples, bytes, time(tier.oldest), time(tier.newest)]
        })
        .collect();
    format!("{head}\n{}", columns(&["TIER", "SAMPLES", "SIZE", "OLDEST", "NEWEST"], &tiers))
}

fn info_json(info: &Info) -> String {
    let tiers: Vec<Value> = info
        .tiers
        .iter()
        .map(|tier| {
            json!({
                "tier": tier.tier.word(), "samples": tier.samples, "bytes": tier.bytes,
                "oldest": tier.oldest.map(|time| time.to_string()), "newest": tier.newest.map(|time| time.to_string()),
            })
        })
        .collect();
    let holder = info.holder.as_ref().map(|holder| json!({"pid": holder.pid, "name": holder.name}));
    let value = json!({
        "file": info.file.display().to_string(), "format": info.format, "page_size": info.page_size,
        "pages": info.pages, "free_pages": info.free_pages, "file_bytes": info.file_bytes,
        "wal_bytes": info.wal_bytes, "series": info.series, "live_series": info.live_series, "tiers": tiers,
        "bytes_per_sample": info.bytes_per_sample(), "written_by": holder,
        "last_commit": info.last_commit.map(|time| time.to_string()),
    });
    format!("{value:#}\n")
}

fn bad_text(bad: &Bad) -> String {
    let key = bad.key.map_or_else(String::new, |key| format!(" {key}"));
    let time = bad.time.map_or_else(String::new, |time| format!(" (from {} to {})", time.from, time.to));
    format!("bad: {}{key}: {}{time}\n", bad.table, bad.why)
}

fn report_text(report: &Report) -> String {
    let mut text: String = report.bad.iter().map(bad_text).collect();
    if report.more_bad > 0 {
        text += &format!("bad: {} more\n", report.more_bad);
    }
    let checked = report.checked.iter().map(|checked| format!("{} of {}", checked.rows, checked.table));
    let checked = checked.collect::<Vec<_>>().join(", ");
    let count = report.bad.len() as u64 + report.more_bad;
    let outcome = if report.is_sound() { "ok".into() } else { format!("{count} bad") };
    text + &format!("{outcome}: rows read: {checked}\n")
}

fn report_json(report: &Report) -> String {
    let checked: serde_json::Map<String, Value> =
        report.checked.iter().map(|checked| (checked.table.to_owned(), checked.rows.into())).collect();
    let bad: Vec<Value> = report
        .bad
        .iter()
        .map(|bad| {
            let [from, to] = [bad.time.map(|time| time.from), bad.time.map(|time| time.to)];
            json!({
                "table": bad.table, "key": bad.key, "why": bad.why,
                "from": from.map(|time| time.to_string()), "to": to.map(|time| time.to_string()),
            })
        })
        .collect();
    let value = json!({"sound": report.is_sound(), "rows": checked, "bad": bad, "more_bad": report.more_bad});
    format!("{value:#}\n")
}
