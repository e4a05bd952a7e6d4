//! One collector with its schedule: runs a collection, judges the outcome, says when to run next.

mod account;
mod judgement;
mod renewal;

pub(super) use renewal::let_go;
pub use renewal::{NotTaken, Successor, Times, Upgrade, UpgradeTold};

use super::{
    budget::Budget,
    cadence::Cadence,
    cost::Meter,
    coverage::Coverage,
    health::Health,
    source::{Factory, Source, Usage},
};
use crate::model::{
    Batch, ClockId, CollectorId, Event, Gap, GapScope, LocalSeries, OwnThreads, PluginStatus, Resets,
    Severity, Timestamp, clock_time,
};
use judgement::Failure;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use twarga_plugin_api::{Error, ErrorKind};

/// Collections at the start: rates need two readings.
const PRIMINGS: u8 = 2;

/// What a job is made from.
pub struct JobOptions {
    /// The collector's number.
    pub id: CollectorId,
    /// The key of its table in the configuration.
    pub name: Arc<str>,
    /// When its ticks are.
    pub cadence: Cadence,
    /// The time between them.
    pub interval: Duration,
    /// The time that a collection may take.
    pub deadline: Duration,
    /// Ticks are spread over this much time.
    pub jitter: Duration,
    /// The share of one processor that it may use, 0 to 1; beyond it the interval is stretched.
    pub max_cpu: Option<f64>,
    /// Makes the collector.
    pub factory: Box<dyn Factory>,
    /// What is told of it; the job keeps it up to date.
    pub status: Arc<Mutex<PluginStatus>>,
}

impl JobOptions {
    /// When it collects.
    pub fn times(&self) -> Times {
        let Self { cadence, interval, deadline, jitter, .. } = *self;
        Times { cadence, interval, deadline, jitter }
    }
}

/// Why a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// One of the [`PRIMINGS`].
    Priming,
    /// This tick.
    Tick(Timestamp),
    /// Somebody asked for it.
    Manual,
    /// Its process has ended between two calls: the next one says why, and need not wait for a tick.
    Ended,
}

/// What a run brought, beside the job's next time.
#[derive(Default)]
pub(super) struct Outcome {
    /// Why it failed, for whoever asked.
    pub(super) error: Option<String>,
    pub(super) batch: Option<Batch>,
    pub(super) gaps: Vec<Gap>,
    pub(super) events: Vec<Event>,
}

/// When a job runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// After this pause from now.
    In(Duration),
    /// For the next tick that has not had its turn: at once, where that came due during the call.
    Following,
    /// At the first tick that comes after this pause.
    TickAfter(Duration),
    /// Never again: it can't work until something changes.
    Never,
}

pub(super) struct Job {
    pub(super) id: CollectorId,
    pub(super) name: Arc<str>,
    pub(super) cadence: Cadence,
    pub(super) interval: Duration,
    /// Cadence and interval of the configuration: the present ones may be stretched.
    pub(super) configured: (Cadence, Duration),
    pub(super) budget: Option<Budget>,
    /// That it costs more than it may, and what follows.
    pub(super) over: Option<String>,
    meter: Meter,
    pub(super) deadline: Duration,
    pub(super) jitter: Duration,
    pub(super) status: Arc<Mutex<PluginStatus>>,
    factory: Box<dyn Factory>,
    source: Option<Box<dyn Source>>,
    /// Series of a source that was lost; ingest must hear of their end.
    orphans: Vec<LocalSeries>,
    base: LocalSeries,
    /// What its own process had used after this collection.
    usage: Option<Usage>,
    /// What its own threads had.
    threads: Option<OwnThreads>,
    /// It was ended at its deadline in the call that is under way.
    overran: bool,
    /// Samples, and series, refused of sources that were lost.
    refused: u64,
    refused_series: u64,
    /// An event tells that it may have no more series once more than this have been refused; nothing where it was told.
    limit_untold: Option<u64>,
    /// Resets in samples that came too late, for the next ones of their series.
    resets: Resets<LocalSeries>,
    health: Health,
    /// What takes over with the next collection.
    upgrade: Option<Upgrade>,
    /// Primings that are left.
    primings: u8,
    /// The last tick that was due.
    pub(super) last_tick: Option<Timestamp>,
    /// Steps of the clock up to its last run: over a step no tick was skipped.
    pub(super) steps: u64,
    /// Which ticks have samples, or a reason.
    pub(super) coverage: Coverage,
    /// An event told that it fails.
    pub(super) told: bool,
    /// It was made once.
    made: bool,
    /// The last call took long: give way before the next one.
    pub(super) slow: bool,
    /// Names the plugin in all that is logged while it collects. Made once: that costs more than many collections.
    span: tracing::Span,
    /// How many samples its last collection brought: room for the next one.
    samples: usize,
}

impl Job {
    pub(super) fn new(mut options: JobOptions) -> Self {
        // another one of the same plugin may have counted before
        let (refused, refused_series) = {
            let status = options.status.lock().unwrap_or_else(PoisonError::into_inner);
            (status.refused_samples, status.refused_series)
        };
        Self {
            span: tracing::info_span!("plugin", name = &*options.name),
            samples: 0,
            id: options.id,
            name: Arc::clone(&options.name),
            cadence: options.cadence,
            interval: options.interval,
            configured: (options.cadence, options.interval),
            budget: options.max_cpu.map(|most| Budget::new(most, options.interval)),
            over: None,
            meter: Meter::from(options.factory.threads()),
            deadline: options.deadline,
            jitter: options.jitter,
            status: options.status,
            factory: options.factory,
            source: None,
            orphans: Vec::new(),
            base: 0,
            usage: None,
            threads: None,
            overran: false,
            refused,
            refused_series,
            limit_untold: Some(refused_series),
            resets: Resets::default(),
            health: Health::default(),
            upgrade: None,
            primings: PRIMINGS,
            last_tick: None,
            steps: 0,
            coverage: Coverage::new(options.cadence, GapScope::Collector(Arc::clone(&options.name))),
            told: false,
            made: false,
            slow: false,
        }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, PluginStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn scope(&self) -> GapScope {
        GapScope::Collector(Arc::clone(&self.name))
    }

    /// Whether it has been primed, or has shown that it can't be.
    pub(super) fn primed(&self) -> bool {
        self.primings == 0
    }

    /// Whether it has collected, or failed to, since it was added or made anew.
    pub(super) fn begun(&self) -> bool {
        self.primings < PRIMINGS
    }

    /// Whether its process has ended since its last call.
    pub(super) fn ended(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.ended())
    }

    /// Runs one collection.
    pub(super) fn run(&mut self, trigger: Trigger) -> (Outcome, Next) {
        let span = std::mem::replace(&mut self.span, tracing::Span::none());
        let brought = span.in_scope(|| self.run_once(trigger));
        self.span = span;
        brought
    }

    fn run_once(&mut self, trigger: Trigger) -> (Outcome, Next) {
        let (mut wall, cpu, mut began) = (Timestamp::now(), thread_cpu(), Instant::now());
        if trigger == Trigger::Priming {
            self.primings = self.primings.saturating_sub(1);
        }
        let mut batch = Batch::new(self.id);
        let mut time = self.stamp(trigger, wall);
        batch.time = time;
        batch.samples.reserve(self.samples);
        (self.usage, self.overran) = (None, false);
        let mut outcome = Outcome::default();
        let upgrading = self.upgrade.is_some();
        let result = match self.take_over(&mut batch, &mut outcome) {
            Some(result) => result,
            None => {
                if upgrading {
                    // what the new version took is none of the old one's time
                    (wall, began) = (Timestamp::now(), Instant::now());
                    time = self.stamp(trigger, wall);
                    batch.time = time;
                    self.last_tick = self.last_tick.map(|tick| self.cadence.served(tick, wall));
                }
                self.collect(&mut batch)
            }
        };
        self.samples = batch.samples.len();
        let (took, late) = (began.elapsed(), began.elapsed() > self.deadline);
        let cpu = thread_cpu().saturating_sub(cpu);
        // to look for new threads is the agent's own work; the call may have lost the source, or made none
        self.threads = self.factory.threads();
        let spent = self.cost(cpu);
        self.count(wall, took, spent, &batch, &result, late);
        outcome.events.extend(self.series_limit());
        let tick = match trigger {
            Trigger::Tick(tick) => self.cadence.served(tick, time),
            _ => self.cadence.at_or_before(time),
        };
        // the pause between the two primings is no tick's
        if trigger != Trigger::Priming
            && let Some((gap, unexplained)) = self.coverage.left_out(tick)
        {
            self.status().skipped += unexplained;
            outcome.gaps.push(gap);
        }
        let failure = Failure { late: late || self.overran, trigger, tick };
        // what ended it says more than how long that took
        let result = if late && !self.overran { Err(self.too_late(&mut batch, took)) } else { result };
        for sample in &mut batch.samples {
            sample.reset |= self.resets.take(sample.series);
        }
        for series in &batch.retired {
            self.resets.forget(*series);
        }
        let next = match result {
            Ok(()) => {
                self.coverage.collected(tick);
                self.succeeded(&mut outcome)
            }
            Err(error) => {
                outcome.error = Some(error.to_string());
                self.failed(&error, failure, &batch, &mut outcome)
            }
        };
        // who asks often must not make it dear, and its first collections do more than the later ones
        if matches!(trigger, Trigger::Tick(_)) {
            self.keep_to_budget(spent.call + spent.threads, &mut outcome);
        }
        batch.stretch = self.budget.as_ref().map_or(1, Budget::stretch);
        batch.complete = outcome.error.is_none();
        if next == Next::Never {
            batch.retired.append(&mut self.orphans); // no later batch would tell
        }
        outcome.batch = Some(batch);
        (outcome, next)
    }

    /// The time of samples that are collected at this one.
    fn stamp(&self, trigger: Trigger, now: Timestamp) -> Timestamp {
        match trigger {
            Trigger::Tick(tick) => self.cadence.stamp(tick, now),
            _ => now,
        }
    }

    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
        batch.retired.append(&mut self.orphans);
        let source = match &mut self.source {
            Some(source) => source,
            None => {
                let made = self.factory.make(self.base)?;
                self.meter.restarted();
                let again = std::mem::replace(&mut self.made, true);
                self.status.lock().unwrap_or_else(PoisonError::into_inner).restarts += u64::from(again);
                self.source.insert(made)
            }
        };
        let result = source.collect(batch);
        self.collected(&result);
        result
    }

    /// Notes what a collection left behind. One that can't go on is lost with it.
    fn collected(&mut self, result: &Result<(), Error>) {
        let Some(source) = &mut self.source else { return };
        self.base = source.next_base();
        self.overran = source.overran();
        // also of one that is lost now
        self.usage = source.usage();
        if let Err(error) = result
            && matches!(error.kind(), ErrorKind::Panicked | ErrorKind::Fatal | ErrorKind::Config)
        {
            drop(self.lose_source()); // in the call, so that the plugin's code is watched here too
        }
    }

    pub(super) fn event(&self, kind: &str, severity: Severity, what: &str) -> Event {
        Event {
            kind: kind.into(),
            severity,
            message: format!("plugin {}: {what}", self.name),
            details: serde_json::json!({ "source": "agent", "plugin": &*self.name }),
            time: Timestamp::now(),
            vm_id: None,
        }
    }
}

fn thread_cpu() -> Duration {
    clock_time(ClockId::ThreadCPUTime)
}
