//! What the codecs cost: bytes and processor time a sample, of a recording.
//!
//! `cargo bench -p twarga-agent --bench codec -- RECORDING.tsv`: lines of numbers, the first of each its time in
//! milliseconds, the others one series a column. Without a recording there is nothing to measure.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use twarga_agent::store::bench_codec::{
    ColumnEncoder, Counter, Counters, Effort, Gauge, Gauges, Rollups, decode_column, decode_rollups,
    encode_rollups, on_grid,
};

/// How many samples the recording is repeated to.
const SAMPLES: usize = 7200;
/// Each measurement is of the fastest of so many.
const TRIALS: usize = 5;

fn main() {
    let Some(file) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        println!("codec: give the path of a recording");
        return;
    };
    let text = std::fs::read_to_string(&file).expect("a readable recording");
    let raw = columns(&text);
    let counters: Vec<Vec<f64>> = raw.iter().filter(|column| ascends(column)).cloned().collect();
    let gauges: Vec<Vec<f64>> = raw.iter().map(|column| gauge(column)).collect();
    // what never changes tells nothing of a codec
    let lively: Vec<Vec<f64>> = gauges.iter().filter(|column| changes(column)).cloned().collect();
    println!(
        "{} series, {} of them counters, {} gauges that change",
        raw.len(),
        counters.len(),
        lively.len()
    );
    println!("{:<10} {:>6} {:>6}  {:>8} {:>9} {:>9}", "", "n", "", "B/sample", "encode ns", "decode ns");
    for (name, set) in [("raw", &raw), ("gauges", &gauges), ("lively", &lively)] {
        for (length, effort) in [
            (120, Effort::Fast),
            (720, Effort::Small),
            (1440, Effort::Small),
            (3600, Effort::Small),
            (7200, Effort::Small),
        ] {
            measure(name, set, length, effort);
        }
    }
    for samples in [12, 60] {
        measure_rollups("gauges", &gauges, samples, |column| Rollups::Gauges(roll_gauge(column, samples)));
        measure_rollups("lively", &lively, samples, |column| Rollups::Gauges(roll_gauge(column, samples)));
        measure_rollups("counters", &counters, samples, |column| {
            Rollups::Counters(roll_counter(column, samples))
        });
    }
}

/// The recording's columns, without the time, repeated to [`SAMPLES`].
fn columns(text: &str) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> = text
        .lines()
        .map(|line| line.split('\t').skip(1).map(|cell| cell.parse().expect("a number")).collect())
        .collect();
    let width = rows.iter().map(Vec::len).min().expect("a recording with a line");
    (0..width).map(|at| rows.iter().cycle().take(SAMPLES).map(|row| row[at]).collect()).collect()
}

fn ascends(column: &[f64]) -> bool {
    let falls = column.windows(2).filter(|pair| pair[1] < pair[0]).count();
    // where the recording begins anew, it falls
    changes(column) && falls <= 1
}

fn changes(column: &[f64]) -> bool {
    column.windows(2).any(|pair| pair[0] != pair[1])
}

/// A counter's differences in hundredths, anything else as it is.
fn gauge(column: &[f64]) -> Vec<f64> {
    if !ascends(column) {
        return column.to_vec();
    }
    let rate = |pair: &[f64]| ((pair[1] - pair[0]).max(0.0) * 100.0).round() / 100.0;
    std::iter::once(0.0).chain(column.windows(2).map(rate)).collect()
}

fn measure(name: &str, set: &[Vec<f64>], length: usize, effort: Effort) {
    let parts: Vec<&[f64]> = set.iter().flat_map(|column| column.chunks_exact(length)).collect();
    let mut encoder = ColumnEncoder::default();
    let mut encoded = Vec::new();
    let encode = fastest(|| {
        encoded.clear();
        for part in &parts {
            let mut bytes = Vec::new();
            encoder.encode(part, effort, &mut bytes);
            encoded.push(bytes);
        }
    });
    let mut values = Vec::new();
    let decode = fastest(|| {
        for bytes in &encoded {
            values.clear();
            decode_column(bytes, length, &mut values).expect("what was encoded");
        }
    });
    let samples = (parts.len() * length) as f64;
    let bytes: usize = encoded.iter().map(Vec::len).sum();
    print_line(name, length, &format!("{effort:?}"), bytes, samples, [encode, decode]);
}

fn measure_rollups(name: &str, set: &[Vec<f64>], samples: usize, roll: impl Fn(&[f64]) -> Rollups) {
    // a day of minutes, where the recording repeats: its shape is what counts
    let day =
        |column: &Vec<f64>| -> Vec<f64> { column.iter().copied().cycle().take(1440 * samples).collect() };
    let rolled: Vec<Rollups> = set.iter().map(|column| roll(&day(column))).collect();
    let mut encoder = ColumnEncoder::default();
    let mut encoded = Vec::new();
    let encode = fastest(|| {
        encoded.clear();
        for rollups in &rolled {
            let mut bytes = Vec::new();
            encode_rollups(&mut encoder, rollups, Effort::Small, &mut bytes);
            encoded.push(bytes);
        }
    });
    let decode = fastest(|| {
        for bytes in &encoded {
            decode_rollups(bytes, 1440).expect("what was encoded");
        }
    });
    let bytes: usize = encoded.iter().map(Vec::len).sum();
    let buckets = (rolled.len() * 1440) as f64;
    print_line(&format!("1m {name}"), samples, "bucket", bytes, buckets, [encode, decode]);
}

fn print_line(name: &str, length: usize, what: &str, bytes: usize, count: f64, times: [Duration; 2]) {
    let [encode, decode] = times.map(|time| time.as_secs_f64() * 1e9 / count);
    println!("{name:<11} {length:>5} {what:>6}  {:>8.3} {encode:>9.1} {decode:>9.1}", bytes as f64 / count);
}

fn roll_gauge(values: &[f64], samples: usize) -> Gauges {
    let mut rolled = Gauges::default();
    for bucket in values.chunks_exact(samples) {
        rolled.push(Gauge {
            count: samples as u32,
            sum: on_grid(bucket.iter().sum()),
            min: bucket.iter().copied().fold(f64::INFINITY, f64::min),
            max: bucket.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            last: bucket[samples - 1],
        });
    }
    rolled
}

fn roll_counter(values: &[f64], samples: usize) -> Counters {
    let mut rolled = Counters::default();
    let mut before = values[0];
    for bucket in values.chunks_exact(samples) {
        let mut increase = 0.0;
        for &value in bucket {
            increase += if value < before { value } else { value - before };
            before = value;
        }
        rolled.push(Counter {
            count: samples as u32,
            increase: on_grid(increase),
            covered: 60_000,
            last: before,
        });
    }
    rolled
}

fn fastest(mut run: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..TRIALS {
        let before = processor_time();
        run();
        best = best.min(processor_time() - before);
    }
    best
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
