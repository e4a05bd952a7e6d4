//! A collection of an isolated plugin allocates nothing in steady state: not in the agent's process, not in the host's
//! half of the plugin's process, not in the plugin. This executable counts, and is both processes: the host starts its own
//! executable again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, mpsc},
    time::Duration,
};
use twarga_agent::{
    collect::Source,
    host::{
        Claims, InstanceOptions,
        isolated::{self, Confinement, Isolated, Keeper, Prepared},
    },
    model::{Batch, CollectorId},
};
use twarga_tests::counting::{Counting, allocations, counted};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the plugin's process says at its end; the agent logs it.
const WORDS: &str = "allocations of the host's half: ";
/// How long something may take that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Buffers have their size after so many collections.
const WARM: u32 = 3;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == isolated::SUBCOMMAND) {
        let code = isolated::run();
        let _ = writeln!(io::stderr(), "{WORDS}{}", allocations());
        return code;
    }
    let (sender, log) = mpsc::channel();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(sender.clone())).init();
    let bench = Bench::new();
    for series in [1, 400, 10_000] {
        let few = bench.allocations_of_a_life(series, WARM, &log);
        let many = bench.allocations_of_a_life(series, WARM + 100, &log);
        assert!(few > 0, "it counts");
        assert_eq!(many, few, "{series} series: 100 collections more, in the plugin's process");
        let _ = writeln!(io::stdout(), "{series} series: no allocation in 100 collections");
    }
    ExitCode::SUCCESS
}

/// Sends what is logged.
struct Lines(mpsc::Sender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned()); // the test may have ended
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Bench {
    /// Holds the plugin's file.
    _dir: tempfile::TempDir,
    prepared: Prepared,
    claims: Arc<Claims>,
    keeper: Arc<Keeper>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file: PathBuf = dir.path().join("libsynthetic.so");
        std::fs::copy(twarga_tests::build().library("synthetic"), &file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let claims = Arc::new(Claims::new(|_| false));
        let prepared = isolated::prepare(&file, "synthetic", None, &claims).unwrap();
        Self { _dir: dir, prepared, claims, keeper: Arc::default() }
    }

    /// Starts the plugin with so many gauges and as many counters.
    fn start(&self, series: u32) -> Isolated {
        let confinement = Confinement {
            deadline: PATIENCE,
            memory: 512 << 20,
            processes: 64,
            files: 256,
            user: None,
            environment: Vec::new(),
            writable: Vec::new(),
        };
        let options = InstanceOptions {
            config: format!(r#"{{"gauges":{series},"counters":{series}}}"#),
            instance: None,
            max_series: 100_000,
            claims: Arc::clone(&self.claims),
            owner: None,
        };
        Isolated::start("synthetic", &self.prepared, &confinement, &options, &self.keeper, 0).unwrap()
    }

    /// How often the host's half of the plugin's process asked for memory in a life of so many collections. Checks the
    /// agent's process and the plugin itself on the way.
    fn allocations_of_a_life(&self, series: u32, collections: u32, log: &mpsc::Receiver<String>) -> u64 {
        let mut source = self.start(series);
        let mut batch = Batch::new(CollectorId(0));
        let mut inside = None; // what the plugin's own allocator has counted
        for collection in 1..=collections {
            let (allocations, _) = counted(|| {
                batch.clear();
                source.collect(&mut batch).unwrap();
                assert!(source.usage().is_some());
            });
            assert_eq!(batch.samples.len(), 2 * series as usize + 2);
            let count = batch.samples.last().unwrap().value;
            if collection > WARM {
                assert_eq!(allocations, 0, "{series} series, collection {collection}, the agent's process");
                assert_eq!(
                    inside,
                    Some(count),
                    "{series} series, collection {collection}, inside the plugin"
                );
            }
            inside = Some(count);
        }
        assert_eq!(source.refused(), 0);
        drop(source);
        loop {
            let line = log.recv_timeout(PATIENCE).expect("the last words of the plugin's process");
            if let Some((_, count)) = line.split_once(WORDS) {
                return count.split_whitespace().next().unwrap().parse().unwrap();
            }
        }
    }
}
