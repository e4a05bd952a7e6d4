//! How many system calls a process makes, counted by strace(1) in a phase of its own: it makes each of them slower.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// What strace counted.
pub(super) struct Calls {
    /// All of them.
    pub(super) all: u64,
    /// Each with its count, the most frequent first.
    by_name: Vec<(String, u64)>,
}

impl Calls {
    /// The most frequent ones, a second each.
    pub(super) fn most(&self, counted: Duration) -> String {
        let most = self.by_name.iter().take(12);
        let most = most.map(|(name, count)| format!("{name} {:.1}", *count as f64 / counted.as_secs_f64()));
        most.collect::<Vec<_>>().join(", ")
    }
}

/// Counts; the error says why it can't.
pub(super) fn count(pid: u32, time: Duration) -> Result<Calls, String> {
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = home.path().join("summary");
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-o"]).arg(&file).args(["-p", &pid.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = command.spawn().map_err(|error| format!("strace: {error}"))?;
    sleep(time);
    // it writes its summary and lets go
    let _ = kill_process(Pid::from_child(&strace), Signal::INT);
    strace.wait().map_err(|error| format!("strace: {error}"))?;
    let summary = fs::read_to_string(&file).map_err(|error| format!("strace: {error}"))?;
    parse(&summary).ok_or_else(|| format!("strace wrote: {}", summary.trim()))
}

/// The fourth column is the count, the last one the name; the column of errors may be empty. The last line is the sum.
fn parse(summary: &str) -> Option<Calls> {
    let rows = summary.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Some((fields.last()?.to_string(), fields.get(3)?.parse::<u64>().ok()?))
    });
    let (sum, mut by_name): (Vec<_>, Vec<_>) = rows.partition(|(name, _)| name == "total");
    by_name.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Some(Calls { all: sum.first()?.1, by_name })
}
