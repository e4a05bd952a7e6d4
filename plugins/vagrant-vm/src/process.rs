//! The processes of machines: pid, age, processor time and memory out of /proc. See proc_pid_stat(5).

use crate::machine::Run;
use rustix::{
    fs::{PROC_SUPER_MAGIC, fstatfs, statfs},
    io::Errno,
    time::{ClockId, clock_gettime},
};
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
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
    /// When this was read.
    pub(crate) at: Instant,
}

/// Reads /proc below a root.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    proc: PathBuf,
    /// It is the kernel's, wherever it is mounted, whose clock can be read without a file.
    real: bool,
    ticks_per_second: f64,
    page_bytes: f64,
}

/// The open status of a process: reading it again costs half of what opening it costs. It never becomes that of another
/// process that gets the pid.
#[derive(Debug)]
pub(crate) struct Kept {
    pid: u32,
    file: fs::File,
    permit: Permit,
}

/// How many files are kept open in the whole process: there are other uses for descriptors, and users can have any number
/// of machines asked for.
#[derive(Debug)]
struct Permits(AtomicUsize);

static PERMITS: Permits = Permits(AtomicUsize::new(0));
const MAX_KEPT: usize = 256;

/// One file may be kept open until this is dropped.
#[derive(Debug)]
struct Permit(&'static Permits);

impl Permits {
    fn take(&'static self) -> Option<Permit> {
        let one_more = |taken| (taken < MAX_KEPT).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Permit(self))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Other files are read up to here: a line, or some sixty.
const MAX_STATUS: u64 = 16 << 10;
/// Command lines are read up to here. QEMU's are some 5 KB.
const MAX_COMMAND_LINE: u64 = 256 << 10;

/// Longer than any line of numbers in /proc.
const LINE: usize = 2048;

/// Files in /proc are told whole by one call; more calls, as those of `fs::read`, cost more than what is read.
fn read_line<'a>(path: &Path, buffer: &'a mut [u8; LINE]) -> io::Result<&'a [u8]> {
    let length = fs::File::open(path)?.read(buffer)?;
    Ok(&buffer[..length])
}

/// A process that ends while its file is open answers with ESRCH.
fn ended(error: io::Error) -> io::Error {
    match error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) {
        true => io::ErrorKind::NotFound.into(),
        false => error,
    }
}

impl Processes {
    /// `root` is `/`, or a folder in which `proc` lies.
    pub(crate) fn below(root: &Path) -> Self {
        let proc = root.join("proc");
        Self {
            real: statfs(&proc).is_ok_and(|about| about.f_type == PROC_SUPER_MAGIC),
            proc,
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
        let text = read_line(&self.path(pid, "stat"), &mut buffer).map_err(ended)?;
        self.checked(pid, text)
    }

    /// The same; the status stays open in `kept` for the next time, unless too many are.
    ///
    /// # Errors
    /// As [`Processes::read`].
    pub(crate) fn read_again(&self, pid: u32, kept: &mut Option<Kept>) -> io::Result<Process> {
        let mut buffer = [0; LINE];
        let known = kept.take().filter(|kept| kept.pid == pid);
        let (file, permit) = match known {
            Some(Kept { file, permit, .. }) => (file, Some(permit)),
            None => {
                let file = fs::File::open(self.path(pid, "stat"))?;
                // a file elsewhere that is removed can still be read
                let may_be_kept = fstatfs(&file).is_ok_and(|about| about.f_type == PROC_SUPER_MAGIC);
                (file, if may_be_kept { PERMITS.take() } else { None })
            }
        };
        let length = file.read_at(&mut buffer, 0).map_err(ended)?;
        *kept = permit.map(|permit| Kept { pid, file, permit });
        self.checked(pid, &buffer[..length])
    }

    fn checked(&self, pid: u32, text: &[u8]) -> io::Result<Process> {
        let process = self.parse(text).filter(|process| process.run.pid == pid);
        process.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no process status"))
    }

    /// Whose process it is: its real user.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is no such process.
    pub(crate) fn uid(&self, pid: u32) -> io::Result<u32> {
        let text = self.file(pid, "status", MAX_STATUS)?;
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"));
        let real =
            line.and_then(|line| std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse().ok());
        real.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no user in the process status"))
    }

    /// Whether the processes of other users can be seen: not where /proc is mounted with `hidepid`, or is none.
    pub(crate) fn shows_others(&self) -> bool {
        self.read(1).is_ok()
    }

    /// How long the process has run, in seconds.
    ///
    /// # Errors
    /// Where /proc/uptime can't be read.
    pub(crate) fn age(&self, run: Run) -> io::Result<f64> {
        Ok((self.uptime()? - run.start as f64 / self.ticks_per_second).max(0.0))
    }

    fn uptime(&self) -> io::Result<f64> {
        if self.real {
            // what /proc/uptime tells, in time namespaces too
            let up = clock_gettime(ClockId::Boottime);
            return Ok(up.tv_sec as f64 + up.tv_nsec as f64 / 1e9);
        }
        let mut buffer = [0; LINE];
        let text = read_line(&self.proc.join("uptime"), &mut buffer)?;
        let text = std::str::from_utf8(text).unwrap_or_default();
        let up = text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
        up.filter(|up| up.is_finite()).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no uptime"))
    }

    /// The arguments of a process, its own name first. Empty for threads of the kernel and zombies.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is no such process.
    pub(crate) fn arguments(&self, pid: u32) -> io::Result<Vec<String>> {
        let mut bytes = self.file(pid, "cmdline", MAX_COMMAND_LINE)?;
        if bytes.len() as u64 == MAX_COMMAND_LINE {
            // the last one may be cut, and then it is another than it seems
            let whole = bytes.iter().rposition(|byte| *byte == 0).map_or(0, |end| end + 1);
            bytes.truncate(whole);
        }
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        let arguments = bytes.split(|byte| *byte == 0);
        let arguments = arguments.map(|argument| String::from_utf8_lossy(argument).into()).collect();
        Ok(arguments)
    }

    /// All pids.
    ///
    /// # Errors
    /// Where /proc can't be listed.
    pub(crate) fn pids(&self) -> io::Result<impl Iterator<Item = u32> + use<>> {
        let entries = fs::read_dir(&self.proc)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
    }

    fn path(&self, pid: u32, name: &str) -> PathBuf {
        self.proc.join(pid.to_string()).join(name)
    }

    fn file(&self, pid: u32, name: &str, most: u64) -> io::Result<Vec<u8>> {
        read_up_to(&self.path(pid, name), most).map_err(ended)
    }

    fn parse(&self, stat: &[u8]) -> Option<Process> {
        // a number that is cut is another number
        let stat = stat.strip_suffix(b"\n")?;
        // the name, in brackets, may hold spaces and brackets
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(&stat[..open]).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
        // the first of them is field 3
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut at = 3;
        let mut number = |field: usize| {
            let between = field - at - 1;
            at = field;
            fields.nth(between)?.parse::<u64>().ok()
        };
        let cpu_seconds = (number(14)? as f64 + number(15)? as f64) / self.ticks_per_second;
        let start = number(22)?;
        let rss_bytes = number(24)? as f64 * self.page_bytes;
        Some(Process { run: Run { pid, start }, state, cpu_seconds, rss_bytes, at: Instant::now() })
    }
}

fn read_up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
