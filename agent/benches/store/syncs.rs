//! How often a store syncs: counted by strace in a run of its own, because counting costs time.

use crate::{Place, Plan, child_arguments};
use anyhow::{Context, Result, ensure};
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Long enough for parts of two hours to be sealed.
const HOURS: u32 = 3;

/// Syncs in ten seconds of the samples' time; nothing where strace isn't installed.
pub(crate) fn count(plan: &Plan, place: &Place, directory: &Path) -> Result<Option<f64>> {
    if !plan.is_judged_by_costs() {
        return Ok(None);
    }
    if Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let plan = Plan { hours: plan.hours.min(HOURS), write_only: true, ..plan.clone() };
    let report = tempfile::NamedTempFile::new_in(directory)?;
    let mut strace = Command::new("strace");
    // by seccomp: all other calls run as fast as ever
    strace.args(["-f", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync", "-o"]).arg(report.path());
    strace.arg(std::env::current_exe()?).args(child_arguments(&plan, place, directory));
    let output = strace.output().context("cannot start strace")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "counting the syncs of {plan:?} failed: {complaint}");
    let calls = calls(&std::fs::read_to_string(report.path())?);
    Ok(Some(calls as f64 / (f64::from(plan.hours) * 360.0)))
}

/// The sum of the calls in strace's summary.
fn calls(report: &str) -> u64 {
    let calls = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // share, seconds, µs a call, calls, maybe errors, name
        let is_sync = fields.last().is_some_and(|name| ["fsync", "fdatasync"].contains(name));
        if is_sync { fields.get(3)?.parse().ok() } else { None }
    };
    report.lines().filter_map(calls).sum()
}
