//! What a running process uses, as the kernel counts it (proc(5)): for benchmarks and for limits in tests.
//!
//! Processor time comes from the scheduler's own nanoseconds, thread by thread, because `/proc/PID/stat` counts whole
//! ticks of 10 ms, which is as much as an agent uses in several seconds.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

/// What a process and its children used between two moments.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Wall time between the two.
    pub wall: Duration,
    /// Processor time by the scheduler's count.
    pub cpu: Duration,
    /// The same by the count of `/proc/PID/stat`, in ticks of 10 ms: to check the other one.
    pub cpu_by_ticks: Duration,
    /// Times that a thread went to sleep by itself.
    pub voluntary_switches: u64,
    /// Times that a thread was made to wait for others.
    pub involuntary_switches: u64,
    /// Bytes handed to write calls.
    pub written: u64,
    /// Bytes that are to reach the disk, whole pages of files.
    pub to_disk: u64,
    /// Processor time by the name of the thread.
    pub by_thread: BTreeMap<String, Duration>,
}

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes in RAM.
    pub resident: u64,
    /// The same, where pages that several processes share count in parts.
    pub proportional: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    nanos: u64,
    voluntary: u64,
    involuntary: u64,
}

struct Task {
    name: String,
    base: Counted,
    last: Counted,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfProcess {
    ticks: u64,
    written: u64,
    to_disk: u64,
}

/// Measures a process and its children from now on. [`Meter::look`] now and then, so that threads that end in between
/// are counted nearly to their end.
pub struct Meter {
    pid: u32,
    began: Instant,
    tasks: HashMap<(u32, u32), Task>,
    processes: HashMap<u32, (OfProcess, OfProcess)>,
}

impl Meter {
    /// Begins.
    ///
    /// # Errors
    /// Where there is no such process.
    pub fn start(pid: u32) -> io::Result<Self> {
        let mut meter = Self { pid, began: Instant::now(), tasks: HashMap::new(), processes: HashMap::new() };
        meter.look()?;
        for task in meter.tasks.values_mut() {
            task.base = task.last;
        }
        for (base, last) in meter.processes.values_mut() {
            *base = *last;
        }
        Ok(meter)
    }

    /// Reads the counters again.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn look(&mut self) -> io::Result<()> {
        for pid in family(self.pid) {
            match self.look_at(pid) {
                Err(error) if pid == self.pid => return Err(error),
                // a child that has just ended
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn look_at(&mut self, pid: u32) -> io::Result<()> {
        let seen = of_process(pid)?;
        self.processes.entry(pid).or_default().1 = seen;
        for tid in numbers_in(&proc(pid, "task")) {
            let directory = proc(pid, &format!("task/{tid}"));
            let Ok(counted) = of_task(&directory) else { continue }; // it has just ended
            let task = self.tasks.entry((pid, tid)).or_insert_with(|| Task {
                name: fs::read_to_string(directory.join("comm")).unwrap_or_default().trim().into(),
                base: Counted::default(),
                last: Counted::default(),
            });
            task.last = counted;
        }
        Ok(())
    }

    /// Reads a last time and ends.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn finish(mut self) -> io::Result<Usage> {
        self.look()?;
        let mut usage = Usage { wall: self.began.elapsed(), ..Usage::default() };
        for task in self.tasks.into_values() {
            let cpu = Duration::from_nanos(task.last.nanos.saturating_sub(task.base.nanos));
            usage.cpu += cpu;
            *usage.by_thread.entry(task.name).or_default() += cpu;
            usage.voluntary_switches += task.last.voluntary.saturating_sub(task.base.voluntary);
            usage.involuntary_switches += task.last.involuntary.saturating_sub(task.base.involuntary);
        }
        for (base, last) in self.processes.into_values() {
            let ticks = last.ticks.saturating_sub(base.ticks);
            usage.cpu_by_ticks += Duration::from_secs(ticks) / clock_ticks();
            usage.written += last.written.saturating_sub(base.written);
            usage.to_disk += last.to_disk.saturating_sub(base.to_disk);
        }
        Ok(usage)
    }
}

/// What a process and its children hold in RAM (`smaps_rollup`).
///
/// # Errors
/// Where there is no such process, or it belongs to somebody else.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let mut memory = Memory::default();
    for member in family(pid) {
        let content = match fs::read_to_string(proc(member, "smaps_rollup")) {
            Err(error) if member == pid => return Err(error),
            Ok(content) => content,
            Err(_) => continue,
        };
        memory.resident += field::<u64>(&content, "Rss:")? * 1024;
        memory.proportional += field::<u64>(&content, "Pss:")? * 1024;
    }
    Ok(memory)
}

/// How many threads a process and its children have.
pub fn threads(pid: u32) -> usize {
    family(pid).into_iter().map(|pid| numbers_in(&proc(pid, "task")).len()).sum()
}

/// A process and the children of all its threads, and theirs.
fn family(pid: u32) -> Vec<u32> {
    let mut members = vec![pid];
    let mut at = 0;
    while let Some(parent) = members.get(at).copied() {
        for tid in numbers_in(&proc(parent, "task")) {
            let children = fs::read_to_string(proc(parent, &format!("task/{tid}/children")));
            // a kernel without these files: the process alone
            members.extend(
                children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        at += 1;
    }
    members
}

fn proc(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

fn numbers_in(directory: &Path) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn of_task(directory: &Path) -> io::Result<Counted> {
    let schedstat = fs::read_to_string(directory.join("schedstat"))?;
    let status = fs::read_to_string(directory.join("status"))?;
    Ok(Counted {
        nanos: number(schedstat.split_whitespace().next(), "schedstat")?,
        voluntary: field(&status, "voluntary_ctxt_switches:")?,
        involuntary: field(&status, "nonvoluntary_ctxt_switches:")?,
    })
}

fn of_process(pid: u32) -> io::Result<OfProcess> {
    let stat = fs::read_to_string(proc(pid, "stat"))?;
    let io = fs::read_to_string(proc(pid, "io"))?;
    Ok(OfProcess {
        ticks: ticks(&stat)?,
        written: field(&io, "wchar:")?,
        to_disk: field(&io, "write_bytes:")?,
    })
}

/// utime, stime, cutime and cstime: fields 14 to 17 of `/proc/PID/stat`. The second may hold blanks and brackets.
fn ticks(stat: &str) -> io::Result<u64> {
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let fields: Vec<&str> = after.split_whitespace().collect();
    (11..15).map(|at| number::<u64>(fields.get(at).copied(), "stat")).sum()
}

fn clock_ticks() -> u32 {
    u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100)
}

/// The number behind a name at the beginning of a line.
fn field<T: FromStr>(content: &str, name: &str) -> io::Result<T> {
    let rest = content.lines().find_map(|line| line.strip_prefix(name));
    number(rest.and_then(|rest| rest.split_whitespace().next()), name)
}

fn number<T: FromStr>(text: Option<&str>, what: &str) -> io::Result<T> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no number for {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194560 100 0 0 0 7 5 2 1 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat).unwrap(), 15);
        assert!(ticks("12 (a").is_err());
    }

    #[test]
    fn a_name_that_another_one_ends_with_is_not_taken_for_it() {
        let status = "nonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t4\n";
        assert_eq!(field::<u64>(status, "voluntary_ctxt_switches:").unwrap(), 4);
        assert!(field::<u64>(status, "Pss:").is_err());
    }

    #[test]
    fn a_busy_thread_is_seen() {
        let own = std::process::id();
        let mut meter = Meter::start(own).unwrap();
        let (told, tell) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::Builder::new().name("busy".into()).spawn(move || {
            let began = Instant::now();
            let mut sum = 0_u64;
            while began.elapsed() < Duration::from_millis(100) {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
            let _ = tell.recv();
        });
        std::thread::sleep(Duration::from_millis(150));
        while !meter.tasks.values().any(|task| task.name == "busy" && task.last.nanos > 0) {
            meter.look().unwrap();
        }
        drop(told);
        worker.unwrap().join().unwrap();
        let usage = meter.finish().unwrap();
        assert!(usage.by_thread["busy"] > Duration::ZERO, "{usage:?}");
        assert!(usage.cpu >= usage.by_thread["busy"], "{usage:?}");
        let memory = memory(own).unwrap();
        assert!(memory.proportional > 0 && memory.resident >= memory.proportional, "{memory:?}");
        assert!(threads(own) >= 1);
    }
}
