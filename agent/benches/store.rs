//! What the store costs: a commit (processor time, bytes), a read, a deletion. Prints one line each.
//!
//! `cargo bench -p twarga-agent --bench store [-- COMMITS [SERIES]]`

use rustix::time::{ClockId, clock_gettime};
use std::{path::Path, sync::Arc, time::Duration};
use twarga_agent::{
    model::{Kind, Labels, Metric, SeriesDef, SeriesId, Timestamp},
    store::{Commit, Options, Range, Retention, Store, StoredBatch, StoredSample},
};

const START: i64 = 1_795_212_000_000;
const COLLECTORS: usize = 4;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let commits = numbers.first().copied().unwrap_or(20_000);
    let series = numbers.get(1).copied().unwrap_or(400);
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, max_loss) in [("NORMAL", 3600), ("FULL every 10th", 10), ("FULL", 0)] {
        let file = directory.path().join(format!("{max_loss}.db"));
        write(name, &file, Duration::from_secs(max_loss), commits, series);
    }
    read_and_delete(&directory.path().join("3600.db"), series);
}

fn open(file: &Path, max_loss: Duration) -> Store {
    let retention = Retention::default();
    let options = Options { file: file.into(), retention, max_loss, max_size: 1 << 34 };
    Store::open(options).expect("a new store")
}

/// Commits at one second, and prints what each cost.
fn write(name: &str, file: &Path, max_loss: Duration, commits: usize, series: usize) {
    // the bench doesn't wait a second between commits: "every 10th" is made by hand
    let by_hand = max_loss == Duration::from_secs(10);
    let memory = resident();
    let mut store = open(file, if by_hand { Duration::from_micros(3000) } else { max_loss });
    let ids: Vec<SeriesId> = (0..series).map(|n| store.series(&def(n), "bench").expect("a series")).collect();
    let mut values = Values::new(series);
    let (mut busy, mut bytes, mut worst) = (Duration::ZERO, 0, Duration::ZERO);
    for tick in 0..commits {
        let commit = values.tick(tick, &ids);
        let before = processor_time();
        bytes += store.commit(&commit).expect("a commit");
        let spent = processor_time() - before;
        busy += spent;
        worst = worst.max(spent);
    }
    let memory = resident().saturating_sub(memory);
    store.close().expect("closed");
    let size = std::fs::metadata(file).map_or(0, |meta| meta.len());
    let samples = (commits * series) as f64;
    println!(
        "commit {name:<16} {:>7.1} µs CPU a commit of {series} (worst {:.1} ms); {:.2} B a sample, {:.2} with the file \
         around it; {memory} KiB of memory",
        busy.as_secs_f64() * 1e6 / commits as f64,
        worst.as_secs_f64() * 1e3,
        bytes as f64 / samples,
        size as f64 / samples,
    );
}

fn read_and_delete(file: &Path, series: usize) {
    let mut store = open(file, Duration::from_secs(10));
    let reader = store.readers().reader().expect("a reader");
    let all = reader.all_series().expect("the series");
    let (first, middle) = (all[0].id, all[series / 2].id);
    for limit in [1, 100, 10_000, 200_000] {
        let points = timed(&format!("read, newest {limit}"), || {
            reader.last(middle, Range::ALL, limit).expect("points")
        });
        println!("    {} points", points.len());
    }
    let ids: Vec<SeriesId> = all.iter().map(|series| series.id).collect();
    timed("read, newest 2 of all series", || reader.last_of_many(&ids, Range::ALL, 2).expect("points"));
    timed("read a series that isn't there", || {
        reader.last(SeriesId(u32::MAX), Range::ALL, 10).expect("none")
    });
    let hour = Timestamp::from_millis(START + 3_600_000);
    let deleted = timed("delete an hour", || store.delete_before(hour).expect("deleted"));
    println!("    {} samples", deleted.samples);
    let oldest = reader.last(first, Range::ALL, usize::MAX).expect("points").pop();
    assert!(oldest.is_none_or(|point| point.time >= hour), "deleted");
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = processor_time();
    let result = work();
    println!("{what}: {:.3} ms CPU", (processor_time() - before).as_secs_f64() * 1e3);
    result
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process in KiB; the write-ahead log's mapped index is part of it.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}

fn def(n: usize) -> SeriesDef {
    let metric = Metric {
        name: format!("bench_{}_total", n / 8).into(),
        kind: Kind::Counter,
        unit: "By".into(),
        help: "One of many.".into(),
        label_keys: vec!["n".into()],
        plugin: "bench".into(),
    };
    SeriesDef { metric: Arc::new(metric), labels: Labels::new([("n", n.to_string())]) }
}

/// Values as a host has them: of ten series three stand still, four are counters (bytes, hundredths of a second), two
/// are gauges in bytes or hundredths, one is a ratio with all its digits.
struct Values {
    random: u64,
    counters: Vec<u64>,
}

impl Values {
    fn new(series: usize) -> Self {
        Self {
            random: 0x2545_f491_4f6c_dd1d,
            counters: (0..series as u64).map(|n| n * n * 104_729).collect(),
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn value(&mut self, n: usize) -> f64 {
        let random = self.random();
        match n % 10 {
            0..=2 => self.counters[n] as f64,
            3 | 4 => {
                self.counters[n] += random % 200_000;
                self.counters[n] as f64
            }
            5 | 6 => {
                self.counters[n] += random % 100;
                self.counters[n] as f64 / 100.0
            }
            7 => (8_000_000_000 + random % 1_000_000_000) as f64,
            8 => (random % 400) as f64 / 100.0,
            _ => (random % 1_000_003) as f64 / 1_000_003.0,
        }
    }

    fn tick(&mut self, tick: usize, ids: &[SeriesId]) -> Commit {
        let time = START + tick as i64 * 1000;
        let size = ids.len().div_ceil(COLLECTORS);
        let batch = |(collector, ids): (usize, &[SeriesId])| {
            let sample = |(n, series): (usize, &SeriesId)| {
                let value = self.value(collector * size + n);
                StoredSample { series: *series, reset: false, value }
            };
            StoredBatch {
                time: Timestamp::from_millis(time + collector as i64),
                samples: ids.iter().enumerate().map(sample).collect(),
            }
        };
        Commit { batches: ids.chunks(size).enumerate().map(batch).collect(), ..Commit::default() }
    }
}
