//! What a plugin costs in a process of its own: time of a collection beside that in process, memory of a further process,
//! time from the start to the first sample.
//!
//! `cargo bench -p twarga-tests --bench isolation`; `CYCLES` sets how many collections are measured (2000).

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_agent::{
    collect::Source,
    host::{
        Claims, Instance, InstanceOptions,
        isolated::{self, Confinement, Isolated, Keeper, Prepared},
        load,
        threads::Owner,
    },
    model::{Batch, CollectorId, Timestamp},
};
use twarga_tests::process;

const DEADLINE: Duration = Duration::from_secs(10);
/// Processes for measuring the memory of one.
const PROCESSES: usize = 8;
/// Starts of which the median is told.
const STARTS: usize = 21;

fn main() -> ExitCode {
    // the host starts its own executable, which is this one here
    if std::env::args_os().nth(1).is_some_and(|command| command == isolated::SUBCOMMAND) {
        return isolated::run();
    }
    let cycles = std::env::var("CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let bench = Bench::new();
    for samples in [10, 1000] {
        let own = median(&mut times(&mut *bench.in_process(samples), cycles));
        let other = median(&mut times(&mut bench.isolated(samples), cycles));
        println!("{samples:>5} samples: {own:>9.1?} in process, {other:>9.1?} isolated (median of {cycles})");
    }
    let mut starts: Vec<Duration> = (0..STARTS).map(|_| bench.first_sample()).collect();
    println!("start to first sample: {:.1?} (median of {STARTS})", median(&mut starts));
    println!("memory of a further process: {} KiB (PSS, mean of {PROCESSES})", bench.memory() >> 10);
    ExitCode::SUCCESS
}

struct Bench {
    /// Holds the plugin's file.
    _dir: tempfile::TempDir,
    file: PathBuf,
    claims: Arc<Claims>,
    prepared: Prepared,
    keeper: Arc<Keeper>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("libsynthetic.so");
        fs::copy(twarga_tests::build().library("synthetic"), &file).expect("a copy of the plugin");
        fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("its own file");
        let claims = Arc::new(Claims::new(|_| false));
        let prepared = isolated::prepare(&file, "synthetic", None, &claims).expect("a sound plugin");
        Self { _dir: dir, file, claims, prepared, keeper: Arc::default() }
    }

    /// The plugin has two series of its own beside its gauges.
    fn options(&self, samples: usize) -> InstanceOptions {
        InstanceOptions {
            config: format!(r#"{{"gauges":{},"counters":0}}"#, samples.saturating_sub(2)),
            instance: None,
            max_series: 10_000,
            claims: Arc::clone(&self.claims),
            owner: Owner::of("isolation"),
        }
    }

    fn in_process(&self, samples: usize) -> Box<dyn Source> {
        let library = load(&self.file, "synthetic", &self.claims).expect("a sound plugin");
        Box::new(Instance::new(&library, &self.options(samples), 0).expect("a sound collector"))
    }

    fn isolated(&self, samples: usize) -> Isolated {
        let confinement = Confinement {
            deadline: DEADLINE,
            memory: 512 << 20,
            processes: 64,
            files: 256,
            user: None,
            environment: Vec::new(),
            writable: Vec::new(),
        };
        let options = self.options(samples);
        let started = Isolated::start("bench", &self.prepared, &confinement, &options, &self.keeper, 0);
        started.expect("a sound collector")
    }

    fn first_sample(&self) -> Duration {
        let began = Instant::now();
        let mut source = self.isolated(10);
        collect(&mut source, &mut Batch::new(CollectorId(0)));
        began.elapsed()
    }

    /// What a process more costs, of [`PROCESSES`] that have collected.
    fn memory(&self) -> u64 {
        let own = std::process::id();
        let pss = || process::memory(own).expect("memory of this process").proportional;
        let mut batch = Batch::new(CollectorId(0));
        let mut first = self.isolated(10);
        collect(&mut first, &mut batch);
        let before = pss();
        let mut sources: Vec<Isolated> = (0..PROCESSES).map(|_| self.isolated(10)).collect();
        sources.iter_mut().for_each(|source| collect(source, &mut batch));
        pss().saturating_sub(before) / PROCESSES as u64
    }
}

fn collect(source: &mut dyn Source, batch: &mut Batch) {
    batch.clear();
    batch.time = Timestamp::now();
    source.collect(batch).expect("a collection");
}

fn times(source: &mut dyn Source, cycles: usize) -> Vec<Duration> {
    let mut batch = Batch::new(CollectorId(0));
    let mut one = || {
        let began = Instant::now();
        collect(source, &mut batch);
        began.elapsed()
    };
    one(); // registers
    (0..cycles).map(|_| one()).collect()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
