//! The lines of the table, and the targets.

use crate::{Plan, figures::Figures};

pub(crate) const HEAD: &str =
    "| series × interval, span | figure | measured | target | |\n|---|---|--:|--:|---|";

/// What is not to be exceeded, for the plans that have targets.
#[derive(Clone, Copy, Default)]
struct Targets {
    bytes: Option<f64>,
    written_mb_a_day: Option<f64>,
    cpu_us: Option<f64>,
    latest_ms: Option<f64>,
    week_ms: Option<f64>,
    month_ms: Option<f64>,
    memory_mib: Option<f64>,
    stall_ms: Option<f64>,
}

impl Targets {
    fn of(plan: &Plan) -> Self {
        let few = Self {
            cpu_us: Some(0.15),
            latest_ms: Some(0.02),
            week_ms: Some(3.0),
            month_ms: Some(8.0),
            memory_mib: Some(4.0),
            stall_ms: Some(20.0),
            ..Self::default()
        };
        let many = Self {
            cpu_us: Some(0.18),
            week_ms: Some(4.0),
            memory_mib: Some(110.0),
            stall_ms: Some(60.0),
            ..few
        };
        match (plan.series, plan.interval) {
            (200, 1) => Self { bytes: Some(0.52), written_mb_a_day: Some(250.0), ..few },
            (200, 5) => Self { bytes: Some(0.85), written_mb_a_day: Some(100.0), ..few },
            (10_000, 1) => Self { bytes: Some(0.55), written_mb_a_day: Some(6000.0), ..many },
            (10_000, _) => many,
            // a month's roll-ups: only its graph is judged
            _ => Self { month_ms: Some(8.0), ..Self::default() },
        }
    }
}

/// A table being made.
struct Lines {
    title: String,
    lines: Vec<String>,
}

impl Lines {
    fn add(&mut self, figure: &str, measured: f64, unit: &str, target: Option<f64>) {
        let (target, verdict) = match target {
            None => (String::new(), ""),
            Some(target) => (format!("≤ {target} {unit}"), if measured <= target { "ok" } else { "MISSED" }),
        };
        let digits = if measured < 0.1 { 4 } else { 3 - measured.log10().clamp(0.0, 2.0) as usize };
        let title = &self.title;
        self.lines
            .push(format!("| {title} | {figure} | {measured:.digits$} {unit} | {target} | {verdict} |"));
    }
}

/// One line a figure.
pub(crate) fn lines(plan: &Plan, figures: &Figures, syncs: Option<f64>) -> Vec<String> {
    let title = format!("{} × {} s, {} h", plan.series, plan.interval, plan.hours);
    let mut table = Lines { title, lines: Vec::new() };
    let targets = Targets::of(plan);
    if plan.is_judged_by_costs() {
        costs(&mut table, plan, figures, syncs, &targets);
    }
    reads(&mut table, figures, &targets);
    table.lines
}

fn costs(table: &mut Lines, plan: &Plan, figures: &Figures, syncs: Option<f64>, targets: &Targets) {
    let samples = plan.samples() as f64;
    let a_day = plan.series as f64 * 86_400.0 / f64::from(plan.interval);
    table.add("file, all in", figures.file / samples, "B a sample", targets.bytes);
    for (part, bytes) in figures.parts.iter().filter(|(_, bytes)| *bytes as f64 > figures.file / 500.0) {
        table.add(&format!("– of it `{part}`"), *bytes as f64 / samples, "B a sample", None);
    }
    table.add("processor time", figures.cpu_us / samples, "µs a sample", targets.cpu_us);
    table.add("written", figures.written / samples, "B a sample", None);
    let written = figures.written / samples * a_day / 1e6;
    table.add("written", written, "MB a day", targets.written_mb_a_day);
    match syncs {
        Some(syncs) => table.add("syncs", syncs, "in 10 s", None),
        None => {
            table.lines.push(format!("| {} | syncs | not counted: install strace | | |", table.title));
        }
    }
    table.add("longest stall of the writer", figures.stall_wall_ms, "ms", targets.stall_ms);
    table.add("– its processor time", figures.stall_cpu_ms, "ms", None);
    table.add("memory, peak", figures.peak_kib / 1024.0, "MiB", targets.memory_mib);
    table.add("– after the last commit", figures.grown_kib / 1024.0, "MiB", None);
}

fn reads(table: &mut Lines, figures: &Figures, targets: &Targets) {
    let Some(reads) = &figures.reads else { return };
    // a shorter span than the target's proves nothing
    let whole_week = targets.week_ms.filter(|_| reads.all_points >= 120_960.0);
    let whole_month = targets.month_ms.filter(|_| reads.graph_days >= 30.0 && reads.graph_points >= 960.0);
    table.add("latest 100", reads.latest_ms, "ms", targets.latest_ms);
    table.add(&format!("{} points raw", reads.all_points), reads.all_ms, "ms", whole_week);
    let graph = format!("graph of {:.1} days, {} points", reads.graph_days, reads.graph_points);
    table.add(&graph, reads.graph_ms, "ms", whole_month);
    table.add("delete the oldest 1/7", reads.delete_wall_ms, "ms", None);
    table.add("– its processor time", reads.delete_cpu_ms, "ms", None);
}
