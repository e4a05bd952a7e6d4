//! What the store costs, on the values of a real machine: a table, each line with its target. docs/benchmarks.md says
//! how each figure is taken.
//!
//! `cargo bench -p twarga-agent --bench store [-- --quick] [--dir DIR] [--recording FILE.tsv.gz]`

mod dump;
mod feed;
mod figures;
mod graph;
mod measure;
mod reads;
#[path = "../recording/mod.rs"]
mod recording;
mod syncs;
mod table;
mod write;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use figures::Figures;
use recording::Recording;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

#[derive(Parser)]
#[command(bin_name = "cargo bench -p twarga-agent --bench store --", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// About a minute: shorter spans, one run each.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    place: Place,
    /// What cargo adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    command: Option<Work>,
}

#[derive(Args, Clone)]
struct Place {
    /// Where the stores are made, on a real disk [default: the build's own target folder]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// Another recording [default: benches/data/host-1s.tsv.gz]
    #[arg(long, global = true)]
    recording: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Work {
    /// One store, written, read and cut; prints its figures as JSON
    One(Plan),
    /// Prints the samples of a plan instead of storing them
    Dump {
        #[command(flatten)]
        plan: Plan,
        #[arg(long)]
        format: dump::Format,
    },
}

/// What is stored.
#[derive(Args, Clone, Debug)]
struct Plan {
    /// How many series, in whole sets of 200.
    #[arg(long, default_value_t = 200)]
    series: usize,
    /// Seconds from commit to commit.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    interval: u32,
    /// For how long, in hours.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=24 * 366))]
    hours: u32,
    /// Only writes; neither reads nor deletes.
    #[arg(long)]
    write_only: bool,
}

impl Plan {
    fn commits(&self) -> usize {
        self.hours as usize * 3600 / self.interval as usize
    }

    fn samples(&self) -> usize {
        self.commits() * self.series
    }

    /// Not so for a span longer than the retention of raw samples: it is written for its roll-ups, and they are read.
    fn is_judged_by_costs(&self) -> bool {
        self.hours <= 7 * 24
    }

    fn replicas(&self) -> Result<usize> {
        let sets = self.series / recording::SERIES;
        ensure!(
            sets > 0 && self.series.is_multiple_of(recording::SERIES),
            "--series {}: the recording is replayed in sets of {}; give a multiple of it",
            self.series,
            recording::SERIES
        );
        Ok(sets)
    }

    fn arguments(&self) -> Vec<String> {
        let Self { series, interval, hours, write_only } = self;
        let mut arguments =
            vec![format!("--series={series}"), format!("--interval={interval}"), format!("--hours={hours}")];
        arguments.extend(write_only.then(|| "--write-only".into()));
        arguments
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let place = &arguments.place;
    let directory = match &place.dir {
        Some(directory) => directory.clone(),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
    };
    match &arguments.command {
        None => all(arguments.quick, place, &directory),
        Some(Work::One(plan)) => one(plan, &load(place)?, &directory),
        Some(Work::Dump { plan, format }) => dump::write(plan, *format, &load(place)?),
    }
}

fn load(place: &Place) -> Result<Recording> {
    let shown = || place.recording.as_deref().unwrap_or(Path::new("the default one")).display().to_string();
    Recording::load(place.recording.as_deref()).with_context(shown)
}

/// In a process of its own, so that one store's memory isn't another's.
fn one(plan: &Plan, recording: &Recording, directory: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(directory)
        .with_context(|| format!("--dir {}: cannot make a folder in it", directory.display()))?;
    let figures = write::measure(plan, recording, &folder.path().join("history.db"))?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// The columns of the table, and how often each is measured.
fn plans(quick: bool) -> Vec<(Plan, usize)> {
    let plan = |series, interval, hours| Plan { series, interval, hours, write_only: false };
    if quick {
        vec![(plan(200, 1, 6), 1), (plan(200, 5, 48), 1), (plan(10_000, 1, 1), 1), (plan(10_000, 5, 3), 1)]
    } else {
        let week = 7 * 24;
        vec![
            (plan(200, 1, week), 3),
            (plan(200, 5, week), 3),
            (plan(10_000, 1, 25), 1),
            (plan(10_000, 5, 12), 1),
            // a month of roll-ups: how many samples each was made of matters little to who reads them
            (plan(200, 30, 31 * 24), 1),
        ]
    }
}

fn all(quick: bool, place: &Place, directory: &Path) -> Result<()> {
    let begin = Instant::now();
    // a recording that is no good is told before anything starts
    load(place)?;
    println!("{}", measure::machine(directory)?);
    println!("\n{}", table::HEAD);
    for (plan, runs) in plans(quick) {
        plan.replicas()?;
        let outcomes = (0..runs).map(|_| child(&plan, place, directory)).collect::<Result<Vec<_>>>()?;
        let syncs = syncs::count(&plan, place, directory)?;
        println!("{}", table::lines(&plan, &Figures::median(outcomes), syncs).join("\n"));
    }
    println!("\nfinished in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn child(plan: &Plan, place: &Place, directory: &Path) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(child_arguments(plan, place, directory));
    let output = command.stderr(Stdio::inherit()).output().context("cannot start the bench's own program")?;
    ensure!(output.status.success(), "measuring {plan:?} failed: {}", output.status);
    serde_json::from_slice(&output.stdout).context("the figures of a run")
}

fn child_arguments(plan: &Plan, place: &Place, directory: &Path) -> Vec<std::ffi::OsString> {
    let mut arguments = vec!["one".into(), "--dir".into(), directory.into()];
    arguments.extend(plan.arguments().into_iter().map(Into::into));
    if let Some(recording) = &place.recording {
        arguments.extend(["--recording".into(), recording.into()]);
    }
    arguments
}
