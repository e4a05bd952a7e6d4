//! The processes of machines: pid, age, processor time and memory out of /proc. See proc_pid_stat(5).

use crate::machine::Run;
use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
};

/// A process, as /proc/PID/stat tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) run: Run,
    /// `R`, `S`, `T` …
    pub(crate) state: char,
    /// User and system time of all its threads, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory.
    pub(crate) rss_bytes: f64,
}

/// Reads /proc below a root.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    proc: PathBuf,
    ticks_per_second: f64,
    page_bytes: f64,
}

/// Command lines are read up to here. QEMU's are some 5 KB.
const MAX_COMMAND_LINE: u64 = 256 << 10;

/// Longer than any line of numbers in /proc.
const LINE: usize = 2048;

/// Files in /proc are told whole by one call; more calls, as those of `fs::read`, cost more than what is read.
fn read_line<'a>(path: &std::path::Path, buffer: &'a mut [u8; LINE]) -> io::Result<&'a [u8]> {
    let length = fs::File::open(path)?.read(buffer)?;
    Ok(&buffer[..length])
}

impl Processes {
    /// `root` is `/`, or a folder in which `proc` lies.
    pub(crate) fn below(root: &std::path::Path) -> Self {
        Self {
            proc: root.join("proc"),
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as f64,
        }
    }

    /// The process of this pid.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none (any more).
    pub(crate) fn read(&self, pid: u32) -> io::Result<Process> {
        let mut buffer = [0; LINE];
        let text = read_line(&self.proc.join(pid.to_string()).join("stat"), &mut buffer)?;
        self.parse(text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no process status"))
    }

    /// How long the process has run, in seconds.
    ///
    /// # Errors
    /// Where /proc/uptime can't be read.
    pub(crate) fn age(&self, run: Run) -> io::Result<f64> {
        let mut buffer = [0; LINE];
        let text = read_line(&self.proc.join("uptime"), &mut buffer)?;
        let text = std::str::from_utf8(text).unwrap_or_default();
        let up = text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
        let up = up.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no uptime"))?;
        Ok((up - run.start as f64 / self.ticks_per_second).max(0.0))
    }

    /// The arguments of a process, its own name first. Empty for threads of the kernel and zombies.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is no such process.
    pub(crate) fn arguments(&self, pid: u32) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.proc.join(pid.to_string()).join("cmdline"))?;
        file.take(MAX_COMMAND_LINE).read_to_end(&mut bytes)?;
        let arguments =
            bytes.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into());
        let mut arguments: Vec<String> = arguments.collect();
        if arguments.last().is_some_and(String::is_empty) {
            arguments.pop();
        }
        Ok(arguments)
    }

    /// All pids.
    ///
    /// # Errors
    /// Where /proc can't be listed.
    pub(crate) fn pids(&self) -> io::Result<impl Iterator<Item = u32>> {
        let entries = fs::read_dir(&self.proc)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
    }

    fn parse(&self, stat: &[u8]) -> Option<Process> {
        // the name, in brackets, may hold spaces and brackets
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(&stat[..open]).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // the first of them is field 3
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let state = fields.first()?.chars().next()?;
        let cpu_seconds = (number(14)? as f64 + number(15)? as f64) / self.ticks_per_second;
        let rss_bytes = number(24)? as f64 * self.page_bytes;
        Some(Process { run: Run { pid, start: number(22)? }, state, cpu_seconds, rss_bytes })
    }
}
