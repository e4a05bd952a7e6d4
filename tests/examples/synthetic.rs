//! A plugin whose values are known: in collection `c` (from 1) the gauge `n` is `1000 n + c`, the counter `n` is `(n + 1) c`.

#![allow(unsafe_code, reason = "a counting allocator")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use twarga_plugin_api::prelude::*;

const VALUE: Metric = Metric::gauge("synthetic_value", Unit::NONE, "1000 n + c.").labels("n");
const STEPS: Metric = Metric::counter("synthetic_steps_total", Unit::NONE, "(n + 1) c.").labels("n");
const CHURN: Metric =
    Metric::gauge("synthetic_churn", Unit::NONE, "A new series each time.").labels("generation");
const ALLOCATIONS: Metric =
    Metric::counter("synthetic_allocations_total", Unit::NONE, "Allocations inside this library.");
const INFO: Metric = Metric::info("synthetic_info", "Which file this is.").labels("mark");

/// Tests put another text of the same length in its place, to know one copy of this library from another. With
/// [`PANICS`] it panics in each collection, with [`SILENT`] it brings nothing, with [`HANGS`] it hangs in the third one,
/// in its place, with [`SLOW`] each collection takes `slow_ms` longer while the file `slow` is there: a new version gone
/// wrong.
#[used]
static MARK: [u8; 16] = *b"synthetic-mark-1";

const PANICS: &[u8; 16] = b"synthetic-panics";
const SILENT: &[u8; 16] = b"synthetic-silent";
const HANGS: &[u8; 16] = b"synthetic-hang-3";
const SLOW: &[u8; 16] = b"synthetic-slow-1";

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    gauges: u32,
    counters: u32,
    /// One series ends and another begins at every collection.
    churn: bool,
    slow: PathBuf,
    slow_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { gauges: 2, counters: 2, churn: false, slow: PathBuf::new(), slow_ms: 0 }
    }
}

pub struct Synthetic {
    gauges: Vec<Series>,
    counters: Vec<Series>,
    allocations: Series,
    info: Series,
    mark: [u8; 16],
    churn: bool,
    churned: Option<Series>,
    slow: (PathBuf, Duration),
    collections: u64,
}

impl Collector for Synthetic {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["synthetic_"];
    const METRICS: &'static [Metric<'static>] = &[VALUE, STEPS, CHURN, ALLOCATIONS, INFO];

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        let mut all = |metric: &Metric<'_>, count: u32| -> Result<Vec<Series>> {
            (0..count).map(|n| host.series(metric, &[&n.to_string()])).collect()
        };
        let (gauges, counters) = (all(&VALUE, config.gauges)?, all(&STEPS, config.counters)?);
        let mark = std::hint::black_box(MARK); // read at run time: it may have been replaced in the file
        Ok(Self {
            gauges,
            counters,
            allocations: host.series(&ALLOCATIONS, &[])?,
            info: host.series(&INFO, &[std::str::from_utf8(&mark)?])?,
            mark,
            churn: config.churn,
            churned: None,
            slow: (config.slow, Duration::from_millis(config.slow_ms)),
            collections: 0,
        })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.collections += 1;
        match &self.mark {
            PANICS => panic!("planned in collect"),
            SILENT => return Ok(()),
            HANGS if self.collections == 3 => std::thread::sleep(Duration::from_secs(3600)),
            SLOW if self.slow.0.exists() => std::thread::sleep(self.slow.1),
            _ => {}
        }
        let c = self.collections as f64;
        for (n, series) in (0_u32..).zip(&self.gauges) {
            sink.put(*series, 1000.0 * f64::from(n) + c);
        }
        for (n, series) in (0_u32..).zip(&self.counters) {
            sink.put(*series, f64::from(n + 1) * c);
        }
        sink.put(self.info, 1.0);
        if self.churn {
            if let Some(series) = self.churned.take() {
                sink.host().retire(series);
            }
            let series = sink.host().series(&CHURN, &[&self.collections.to_string()])?;
            self.churned = Some(series);
            sink.put(series, c);
        }
        sink.put(self.allocations, COUNT.load(Ordering::Relaxed) as f64);
        Ok(())
    }
}

export_plugin!(Synthetic, name = "synthetic");
