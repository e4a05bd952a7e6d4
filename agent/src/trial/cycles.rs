//! Many collections one after the other, and what can be seen only so.

use super::{plugin::Collector, report::Answer};
use crate::model::LocalSeries;
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};
use twarga_plugin_api::{ErrorKind, duration};

/// The most collections.
const MOST_CYCLES: usize = 1000;
/// No more are begun after this time.
const MOST_TIME: Duration = Duration::from_secs(4);
/// With fewer nothing is said about memory.
const FEWEST_FOR_MEMORY: usize = 200;
/// Anonymous memory that may be added after the warm-up, bytes: the allocator takes pages, not bytes.
const MOST_GROWTH: u64 = 192 * 1024;
/// The part of the interval that a collection may take.
const PART_OF_INTERVAL: u32 = 10;

/// What the collections have shown so far.
#[derive(Default)]
struct Seen {
    walls: Vec<Duration>,
    cpus: Vec<Duration>,
    failures: usize,
    first_failure: Option<String>,
    fallen: Option<String>,
    vanished: Option<String>,
    last: HashMap<LocalSeries, f64>,
    falls: u64,
    /// Anonymous memory after the warm-up, and in which collection.
    warm: Option<(usize, u64)>,
}

/// Runs the collections and answers `cycles`, `values`, `counters`, `series`, `memory` and `cost`.
pub(super) fn run(collector: &mut Collector, interval: Duration) -> Vec<Answer> {
    let mut seen = Seen {
        walls: Vec::with_capacity(MOST_CYCLES),
        cpus: Vec::with_capacity(MOST_CYCLES),
        ..Seen::default()
    };
    for (series, value) in collector.values() {
        seen.last.insert(series, value);
    }
    let began = Instant::now();
    while seen.walls.len() < MOST_CYCLES && (began.elapsed() < MOST_TIME || seen.walls.len() < 2) {
        if !seen.cycle(collector, interval) {
            break;
        }
        if seen.walls.len() == MOST_CYCLES / 5 || (seen.warm.is_none() && began.elapsed() > MOST_TIME / 5) {
            seen.warm = anonymous_memory().map(|bytes| (seen.walls.len(), bytes));
        }
    }
    vec![
        seen.about_cycles(interval),
        about_values(collector),
        seen.about_counters(),
        seen.about_series(),
        seen.about_memory(),
        seen.about_cost(interval),
    ]
}

impl Seen {
    /// One collection; whether there may be another one.
    fn cycle(&mut self, collector: &mut Collector, interval: Duration) -> bool {
        let cpu = thread_time();
        let (wall, answer) = collector.collect();
        self.cpus.push(thread_time().saturating_sub(cpu));
        self.walls.push(wall);
        let mut failure = None;
        let mut goes_on = true;
        match &answer {
            Err(error) => {
                failure = Some(error.to_string());
                goes_on = error.kind() == ErrorKind::Transient;
            }
            Ok(()) if wall > interval => failure = Some(format!("it took {:.2} s", wall.as_secs_f64())),
            Ok(()) => {}
        }
        if let Some(failure) = failure {
            self.failures += 1;
            let number = self.walls.len();
            self.first_failure.get_or_insert_with(|| format!("collection {number}: {failure}"));
        }
        self.compare(collector, answer.is_ok());
        goes_on
    }

    fn compare(&mut self, collector: &Collector, complete: bool) {
        let now: HashMap<LocalSeries, f64> = collector.values().collect();
        let falls = collector.unmarked_falls();
        if falls > self.falls {
            self.falls = falls;
            let fell = now.iter().find_map(|(series, value)| {
                let last =
                    self.last.get(series).filter(|last| value < last && collector.is_counter(*series))?;
                Some(format!("{} fell from {last} to {value}", collector.name_of(*series)))
            });
            if self.fallen.is_none() {
                self.fallen = fell;
            }
        }
        let gone: HashSet<LocalSeries> = collector.retired().iter().copied().collect();
        let absent: HashSet<LocalSeries> = collector.absent_ids().collect();
        if complete && self.vanished.is_none() {
            let is_lost = |series: &&LocalSeries| {
                !now.contains_key(*series) && !gone.contains(*series) && !absent.contains(*series)
            };
            self.vanished = self.last.keys().find(is_lost).map(|series| collector.name_of(*series));
        }
        self.last.extend(now);
        // their numbers are given again
        self.last.retain(|series, _| !gone.contains(series));
    }

    fn about_cycles(&self, interval: Duration) -> Answer {
        const CHECK: &str = "cycles";
        let (count, failures) = (self.walls.len(), self.failures);
        match &self.first_failure {
            None => Answer::pass(CHECK, format!("{count} collections without an error")),
            Some(first) => {
                let advice = format!(
                    "mend `collect`; its deadline is the interval, {} (--interval)",
                    duration::words(interval)
                );
                Answer::fail(CHECK, format!("{failures} of {count} went wrong; {first}"), advice)
            }
        }
    }

    fn about_counters(&self) -> Answer {
        const CHECK: &str = "counters";
        match (&self.fallen, self.falls) {
            (None, 0) => Answer::pass(CHECK, format!("none fell in {} collections", self.walls.len())),
            (fallen, times) => {
                let advice = "declare it as a gauge, or say put_after_reset where its source began anew";
                let first = fallen.as_deref().unwrap_or("a counter fell");
                Answer::fail(CHECK, format!("{first}; {times} times in all"), advice)
            }
        }
    }

    fn about_series(&self) -> Answer {
        const CHECK: &str = "series";
        match &self.vanished {
            None => Answer::pass(CHECK, "none vanished without a word"),
            Some(name) => Answer::fail(
                CHECK,
                format!("{name} had a value, then none, and nothing was said of it"),
                "say sink.unavailable(series, reason) where there is no value now, host.retire(series) where its \
                 thing is gone",
            ),
        }
    }

    /// The plugin's allocator is its own: from outside only the memory of the process can be seen.
    fn about_memory(&self) -> Answer {
        const CHECK: &str = "memory";
        let (Some((from, warm)), Some(end)) = (self.warm, anonymous_memory()) else {
            return Answer::skip(CHECK, "too few collections, or /proc/self/smaps_rollup can't be read");
        };
        let cycles = self.walls.len() - from;
        if cycles < FEWEST_FOR_MEMORY {
            return Answer::skip(CHECK, format!("only {cycles} collections in the time that there is"));
        }
        let growth = end.saturating_sub(warm);
        let seen = format!(
            "anonymous memory of the process grew by {} KiB in {cycles} collections ({} bytes each); single allocations \
             can't be counted from outside",
            growth / 1024,
            growth / cycles as u64
        );
        if growth > MOST_GROWTH {
            return Answer::fail(
                CHECK,
                seen,
                "find what is kept for each collection: a Vec that is pushed to, a map \
                                              that is never cleaned",
            );
        }
        Answer::pass(CHECK, seen)
    }

    fn about_cost(&self, interval: Duration) -> Answer {
        const CHECK: &str = "cost";
        let (wall, cpu) = (median(&self.walls), median(&self.cpus));
        let seen = format!(
            "median of {}: {}, and {} of processor time in the calling thread",
            self.walls.len(),
            figure(wall),
            figure(cpu)
        );
        let most = interval / PART_OF_INTERVAL;
        if wall > most {
            let most = duration::words(most);
            let advice = format!(
                "stay below {most}, a tenth of the interval: keep files open, wait in a thread of its own; or certify \
                 it for a longer one by --interval"
            );
            return Answer::fail(CHECK, seen, advice);
        }
        Answer::pass(CHECK, seen)
    }
}

fn about_values(collector: &Collector) -> Answer {
    const CHECK: &str = "values";
    let refused = collector.refused();
    let kinds = [
        (refused.not_finite, "not finite"),
        (refused.duplicates, "of a series that was put twice"),
        (refused.unknown_series, "of a series that was never registered or is retired"),
    ];
    let told: Vec<String> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if told.is_empty() {
        return Answer::pass(CHECK, "all samples are finite, of registered series, once a collection");
    }
    let advice = "say sink.unavailable(series, reason) where there is no value, and put each series once";
    Answer::fail(CHECK, format!("samples that the agent drops: {}", told.join(", ")), advice)
}

fn figure(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.001 => format!("{:.1} µs", seconds * 1e6),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}

fn median(values: &[Duration]) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Memory of this process that is no file's, bytes.
fn anonymous_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
