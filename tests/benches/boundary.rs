//! What the boundary of a plugin costs in process: a collector that is called natively, linked in and inlined as the
//! compiler likes, beside the same one in a shared library, called through the ABI, its samples checked by the host.
//!
//! `cargo bench -p twarga-tests --bench boundary`; `ROUNDS` sets how many measurements the median is of (501).

use std::{
    fs::{self, Permissions},
    hint::black_box,
    os::unix::fs::PermissionsExt,
    process::ExitCode,
    sync::Arc,
    time::Instant,
};
use twarga_agent::{
    collect::Source,
    host::{Claims, Instance, InstanceOptions, load},
    model::{Batch, CollectorId, Sample},
};

/// Samples of one measurement, so that reading the clock costs nothing of it.
const SAMPLES: usize = 100_000;

fn main() -> ExitCode {
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(501);
    println!("ns a sample, median of {rounds} (fastest)");
    println!("samples |        native |     in process |  difference");
    for samples in [10, 100, 1000] {
        let mut native = Native::new(samples);
        let mut loaded = Loaded::new(samples);
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            own.push(nanos(samples, || native.collect()));
            other.push(nanos(samples, || loaded.collect()));
        }
        let [own, other] = [own, other].map(|mut all| {
            all.sort_by(f64::total_cmp);
            (all[all.len() / 2], all[0])
        });
        let (difference, least) = (other.0 - own.0, other.1 - own.1);
        println!(
            "{samples:>7} | {:>5.2} ({:>5.2}) | {:>6.2} ({:>5.2}) | {difference:>4.2} ({least:>4.2})",
            own.0, own.1, other.0, other.1
        );
    }
    ExitCode::SUCCESS
}

/// Nanoseconds a sample, of [`SAMPLES`] in all.
fn nanos(samples: usize, mut cycle: impl FnMut()) -> f64 {
    let cycles = SAMPLES / samples;
    let began = Instant::now();
    (0..cycles).for_each(|_| cycle());
    began.elapsed().as_nanos() as f64 / (cycles * samples) as f64
}

/// The collector of `examples/synthetic.rs`, as it would be without any boundary.
struct Native {
    gauges: Vec<u32>,
    collections: u64,
    samples: Vec<Sample>,
}

impl Native {
    /// The plugin has two series of its own beside its gauges.
    fn new(samples: usize) -> Self {
        Self { gauges: (2..).take(samples).collect(), collections: 0, samples: Vec::new() }
    }

    fn collect(&mut self) {
        let Self { gauges, collections, samples } = black_box(self);
        samples.clear();
        *collections += 1;
        let c = *collections as f64;
        for (n, series) in (0_u32..).zip(gauges.iter()) {
            let value = 1000.0 * f64::from(n) + c;
            samples.push(Sample { series: *series, reset: false, value });
        }
    }
}

struct Loaded {
    instance: Instance,
    batch: Batch,
    samples: usize,
    /// Holds the plugin's file.
    _dir: tempfile::TempDir,
}

impl Loaded {
    fn new(samples: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("libsynthetic.so");
        fs::copy(twarga_tests::build().library("synthetic"), &file).expect("a copy of the plugin");
        fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("its own file");
        let claims = Arc::new(Claims::new(|_| false));
        let library = load(&file, "synthetic", &claims).expect("a sound plugin");
        let options = InstanceOptions {
            config: format!(r#"{{"gauges":{},"counters":0}}"#, samples - 2),
            instance: None,
            max_series: 10_000,
            claims,
            owner: None, // the mark of its threads is no part of the boundary
        };
        let instance = Instance::new(&library, &options, 0).expect("a sound collector");
        Self { instance, batch: Batch::new(CollectorId(0)), samples, _dir: dir }
    }

    fn collect(&mut self) {
        self.batch.clear();
        self.instance.collect(&mut self.batch).expect("a collection");
        assert_eq!(black_box(&self.batch).samples.len(), self.samples);
    }
}
