//! The agent's metrics about itself, collected, stored and served like any other.

use crate::{
    collect::{Factory, JobOptions, Source},
    host::threads,
    ingest::Stats,
    model::{
        Batch, ClockId, CollectorId, Kind, Labels, LocalSeries, Metric, PluginStatus, Resets, Sample,
        SeriesDef, clock_time,
    },
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use twarga_plugin_api::Error;

/// The name of the built-in collector, which no plugin table can have.
pub(super) const NAME: &str = crate::config::OWN_NAME;

/// A counter or gauge of the whole agent, read when it is collected.
struct OwnValue {
    /// Its name below `twarga_agent_`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The UCUM code of its unit.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Its present value.
    pub read: Box<dyn Fn() -> f64 + Send + Sync>,
}

type PluginValue = (&'static str, Kind, &'static str, &'static str, fn(&PluginStatus) -> f64);

/// The metric that only a plugin with a process of its own has.
const OF_A_PROCESS: &str = "plugin_resident_memory_bytes";

/// One series a plugin each.
const OF_PLUGINS: &[PluginValue] = &[
    ("plugin_collections_total", Kind::Counter, "", "Collections that ended.", |s| s.collections as f64),
    ("plugin_failures_total", Kind::Counter, "", "Collections that failed.", |s| s.failures as f64),
    ("plugin_missed_deadlines_total", Kind::Counter, "", "Collections that outlasted their deadline.", |s| {
        s.missed_deadlines as f64
    }),
    (
        "plugin_skipped_ticks_total",
        Kind::Counter,
        "",
        "Ticks left out because a collection lasted too long, or began too late.",
        |s| s.skipped as f64,
    ),
    ("plugin_restarts_total", Kind::Counter, "", "Times that the collector was made anew.", |s| {
        s.restarts as f64
    }),
    ("plugin_samples_total", Kind::Counter, "", "Samples that were taken.", |s| s.cost.samples as f64),
    (
        "plugin_refused_samples_total",
        Kind::Counter,
        "",
        "Samples that were refused: unknown series, not finite, twice.",
        |s| s.refused_samples as f64,
    ),
    (
        "plugin_refused_series_total",
        Kind::Counter,
        "",
        "Series that were refused because the plugin has as many as it may.",
        |s| s.refused_series as f64,
    ),
    (
        "plugin_cpu_seconds_total",
        Kind::Counter,
        "s",
        "Processor time of the plugin: its collections, its process, its threads.",
        |s| s.cost.cpu_seconds,
    ),
    ("plugin_wall_seconds_total", Kind::Counter, "s", "Wall time of the collections.", |s| {
        s.cost.wall_seconds
    }),
    ("plugin_stored_bytes_total", Kind::Counter, "By", "Bytes of the journal that the samples took.", |s| {
        s.cost.bytes_stored as f64
    }),
    ("plugin_interval_seconds", Kind::Gauge, "s", "Time between two collections, as it is now.", |s| {
        s.interval.as_secs_f64()
    }),
    (OF_A_PROCESS, Kind::Gauge, "By", "Memory of the plugin's own process that is in RAM.", |s| {
        s.cost.rss_bytes.map_or(f64::NAN, |bytes| bytes as f64)
    }),
    ("plugin_series", Kind::Gauge, "", "Series that are alive.", |s| s.series as f64),
];

/// Makes the built-in collector.
#[derive(Clone, Default)]
pub(super) struct OwnMetrics {
    plugins: Vec<(CollectorId, Arc<Mutex<PluginStatus>>)>,
    values: Arc<Vec<OwnValue>>,
    stats: Arc<Stats>,
}

impl OwnMetrics {
    /// Of these plugins, the process, the writer and what never reached it.
    pub(super) fn new(plugins: &[JobOptions], stats: &Arc<Stats>, dropped: &Arc<AtomicU64>) -> Self {
        let mut values = of_process();
        values.extend(of_writer(stats, dropped));
        Self {
            plugins: plugins.iter().map(|job| (job.id, Arc::clone(&job.status))).collect(),
            values: Arc::new(values),
            stats: Arc::clone(stats),
        }
    }
}

impl OwnMetrics {
    /// The same of other plugins.
    pub(super) fn of_plugins(&self, plugins: Vec<(CollectorId, Arc<Mutex<PluginStatus>>)>) -> Self {
        Self { plugins, values: Arc::clone(&self.values), stats: Arc::clone(&self.stats) }
    }
}

impl Factory for OwnMetrics {
    fn make(&mut self, base: LocalSeries) -> Result<Box<dyn Source>, Error> {
        let mut collector = OwnCollector {
            base,
            values: Arc::clone(&self.values),
            of_plugins: Vec::new(),
            in_process: Vec::new(),
            stats: Arc::clone(&self.stats),
            registered: Vec::new(),
            announced: false,
        };
        collector.register(&self.plugins);
        Ok(Box::new(collector))
    }
}

/// A value of one plugin: whose, where it stands, how it is read.
type OfPlugin = (CollectorId, Arc<Mutex<PluginStatus>>, fn(&PluginStatus) -> f64);

struct OwnCollector {
    base: LocalSeries,
    values: Arc<Vec<OwnValue>>,
    of_plugins: Vec<OfPlugin>,
    /// Those that are in this process, by name.
    in_process: Vec<(String, Arc<Mutex<PluginStatus>>)>,
    stats: Arc<Stats>,
    registered: Vec<Arc<SeriesDef>>,
    announced: bool,
}

impl OwnCollector {
    /// What their own threads cost, also of those that are in no collection: a call may not come back.
    fn look_at_threads(&self) {
        for (name, status) in &self.in_process {
            if let Some(threads) = threads::used_by(name) {
                status.lock().unwrap_or_else(PoisonError::into_inner).cost.of_threads(threads);
            }
        }
    }

    /// The series in the order in which `collect` puts them.
    fn register(&mut self, plugins: &[(CollectorId, Arc<Mutex<PluginStatus>>)]) {
        for value in self.values.iter() {
            let metric = metric(value.name, value.kind, value.unit, value.help, &[]);
            self.registered.push(Arc::new(SeriesDef { metric, labels: Labels::default() }));
        }
        for (_, plugin) in plugins {
            let status = plugin.lock().unwrap_or_else(PoisonError::into_inner);
            if status.mode == "in_process" {
                self.in_process.push((status.name.clone(), Arc::clone(plugin)));
            }
        }
        for (name, kind, unit, help, read) in OF_PLUGINS {
            let metric = metric(name, *kind, unit, help, &["plugin"]);
            for (id, plugin) in plugins {
                let status = plugin.lock().unwrap_or_else(PoisonError::into_inner);
                if *name == OF_A_PROCESS && status.mode == "in_process" {
                    continue; // it has none of its own
                }
                let labels = Labels::new([("plugin", status.name.clone())]);
                self.registered.push(Arc::new(SeriesDef { metric: Arc::clone(&metric), labels }));
                self.of_plugins.push((*id, Arc::clone(plugin), *read));
            }
        }
    }
}

fn metric(name: &str, kind: Kind, unit: &str, help: &str, label_keys: &[&str]) -> Arc<Metric> {
    Arc::new(Metric {
        name: format!("twarga_agent_{name}").into(),
        kind,
        unit: unit.into(),
        help: help.into(),
        label_keys: label_keys.iter().map(|key| (*key).into()).collect(),
        plugin: NAME.into(),
    })
}

impl Source for OwnCollector {
    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if !std::mem::replace(&mut self.announced, true) {
            batch.registered.extend((self.base..).zip(self.registered.iter().cloned()));
        }
        self.look_at_threads();
        let own = self.values.iter().map(|value| (value.read)());
        let of_plugins = self.of_plugins.iter().map(|(id, plugin, read)| {
            let mut status = plugin.lock().unwrap_or_else(PoisonError::into_inner);
            status.cost.bytes_stored = self.stats.journal_bytes(*id);
            read(&status)
        });
        let values = (self.base..).zip(own.chain(of_plugins)).filter(|(_, value)| value.is_finite());
        batch.samples.extend(values.map(|(series, value)| Sample { series, reset: false, value }));
        Ok(())
    }

    fn live_series(&self) -> usize {
        self.registered.len()
    }

    fn live_ids(&self) -> Vec<LocalSeries> {
        (self.base..self.next_base()).collect()
    }

    fn next_base(&self) -> LocalSeries {
        self.base + u32::try_from(self.registered.len()).unwrap_or(u32::MAX)
    }

    fn renumber(&mut self, base: LocalSeries, _: &mut Resets<LocalSeries>) {
        (self.base, self.announced) = (base, false);
    }

    fn refused(&self) -> u64 {
        0
    }
}

/// What the kernel says of this process.
fn of_process() -> Vec<OwnValue> {
    let started = crate::model::Timestamp::now().as_millis() as f64 / 1000.0;
    let statm = File::open("/proc/self/statm").ok();
    vec![
        OwnValue {
            name: "cpu_seconds_total",
            kind: Kind::Counter,
            unit: "s",
            help: "Processor time of the agent's process.",
            read: Box::new(|| clock_time(ClockId::ProcessCPUTime).as_secs_f64()),
        },
        OwnValue {
            name: "resident_memory_bytes",
            kind: Kind::Gauge,
            unit: "By",
            help: "Memory of the agent's process that is in RAM.",
            read: Box::new(move || statm.as_ref().and_then(resident_pages).unwrap_or(f64::NAN)),
        },
        OwnValue {
            name: "start_time_seconds",
            kind: Kind::Gauge,
            unit: "s",
            help: "When the agent started, in seconds since 1970.",
            read: Box::new(move || started),
        },
    ]
}

/// What the writer counts, and what never reached it.
fn of_writer(stats: &Arc<Stats>, dropped: &Arc<AtomicU64>) -> Vec<OwnValue> {
    type Read = fn(&Stats) -> f64;
    const WRITER: &[(&str, Kind, &str, &str, Read)] = &[
        ("rounds_total", Kind::Counter, "", "Rounds of batches that the writer took.", |s| {
            s.rounds.get() as f64
        }),
        ("samples_total", Kind::Counter, "", "Samples that the writer took.", |s| s.samples.get() as f64),
        ("dropped_samples_total", Kind::Counter, "", "Samples that the writer dropped.", |s| {
            let dropped =
                [&s.dropped_unknown, &s.dropped_unregistered, &s.dropped_duplicate, &s.dropped_not_finite];
            let lost = s.dropped_backlog.get() + s.dropped_refused.get();
            (dropped.iter().map(|count| count.get()).sum::<u64>() + lost) as f64
        }),
        ("dropped_events_total", Kind::Counter, "", "Events that the writer dropped.", |s| {
            s.dropped_events.get() as f64
        }),
        ("commits_total", Kind::Counter, "", "Transactions of the store.", |s| s.commits.get() as f64),
        ("commit_errors_total", Kind::Counter, "", "Transactions of the store that failed.", |s| {
            s.commit_errors.get() as f64
        }),
        ("store_errors_total", Kind::Counter, "", "Other calls of the store that failed.", |s| {
            s.store_errors.get() as f64
        }),
        ("commit_seconds_total", Kind::Counter, "s", "Wall time of the transactions.", |s| {
            s.commit_time().as_secs_f64()
        }),
        ("expired_samples_total", Kind::Counter, "", "Samples deleted by retention.", |s| {
            s.expired.get() as f64
        }),
        (
            "disk_full",
            Kind::Gauge,
            "",
            "1 while the disk is full and the oldest history is deleted for it, else 0.",
            |s| s.disk_full.get() as f64,
        ),
        ("live_series", Kind::Gauge, "", "Series that are alive.", |s| s.live_series.get() as f64),
        ("backlog_bytes", Kind::Gauge, "By", "Samples that wait for the store.", |s| {
            s.backlog_bytes.get() as f64
        }),
    ];
    let writer = WRITER.iter().map(|(name, kind, unit, help, read)| {
        let (stats, read) = (Arc::clone(stats), *read);
        OwnValue { name, kind: *kind, unit, help, read: Box::new(move || read(&stats)) }
    });
    let dropped = Arc::clone(dropped);
    let shed = OwnValue {
        name: "dropped_batches_total",
        kind: Kind::Counter,
        unit: "",
        help: "Batches whose samples were dropped because the writer was behind.",
        read: Box::new(move || dropped.load(Relaxed) as f64),
    };
    writer.chain([shed]).collect()
}

/// Field 2 of `/proc/PID/statm` (proc_pid_statm(5)), in bytes.
fn resident_pages(statm: &File) -> Option<f64> {
    let mut content = [0; 128];
    let length = statm.read_at(&mut content, 0).ok()?;
    let text = std::str::from_utf8(&content[..length]).ok()?;
    let pages: f64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as f64)
}
