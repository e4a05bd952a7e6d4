//! What is told of a plugin at `/api/plugins` and by `plugins list`.

use super::{Digest, Timestamp};
use std::{path::PathBuf, time::Duration};

/// Where a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PluginState {
    /// Collects.
    Running,
    /// Switched off in the configuration.
    Disabled,
    /// Found in a plugin directory, not named in the configuration.
    Available,
    /// Not loaded, or not started: the reason says why.
    Refused,
    /// A call has outlasted its deadline and has not come back.
    Stuck,
    /// Failed; tried again later.
    BackingOff,
    /// Failed again and again; tried again seldom.
    Quarantined,
}

impl PluginState {
    /// The word that the API uses.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Disabled => "disabled",
            Self::Available => "available",
            Self::Refused => "refused",
            Self::Stuck => "stuck",
            Self::BackingOff => "backing_off",
            Self::Quarantined => "quarantined",
        }
    }
}

impl PluginStatus {
    /// Of a plugin that has not collected yet.
    pub fn new(name: &str, plugin: &str, state: PluginState, interval: Duration, deadline: Duration) -> Self {
        Self {
            name: name.into(),
            plugin: plugin.into(),
            version: None,
            api: None,
            file: None,
            sha256: None,
            mode: "in_process",
            state,
            reason: None,
            interval,
            configured_interval: interval,
            deadline,
            series: 0,
            last_run: None,
            last_success: None,
            last_error: None,
            last_error_at: None,
            collections: 0,
            failures: 0,
            missed_deadlines: 0,
            skipped: 0,
            refused_samples: 0,
            refused_series: 0,
            restarts: 0,
            cost: Cost::default(),
        }
    }
}

impl PluginStatus {
    /// Why it does not collect, where its last collection failed or there is none.
    pub fn failing(&self) -> Option<&str> {
        let failed_last = self.last_error_at.is_some() && self.last_error_at >= self.last_success;
        let is_failing = match self.state {
            PluginState::Running => failed_last,
            PluginState::Refused
            | PluginState::Stuck
            | PluginState::BackingOff
            | PluginState::Quarantined => true,
            PluginState::Disabled | PluginState::Available => false,
        };
        let why = self.reason.as_deref().filter(|_| self.state != PluginState::Running);
        is_failing.then(|| why.or(self.last_error.as_deref()).unwrap_or_default())
    }

    /// Goes on counting where another one of the same plugin ended.
    pub fn carry_on(&mut self, before: &Self) {
        self.last_run = before.last_run;
        self.last_success = before.last_success;
        self.collections = before.collections;
        self.failures = before.failures;
        self.missed_deadlines = before.missed_deadlines;
        self.skipped = before.skipped;
        self.refused_samples = before.refused_samples;
        self.refused_series = before.refused_series;
        self.restarts = before.restarts;
        self.cost = before.cost.clone();
    }
}

/// What a plugin has cost since the agent started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// Processor time of its collections, of its own process and of its own threads, seconds.
    pub cpu_seconds: f64,
    /// Wall time of its collections, seconds.
    pub wall_seconds: f64,
    /// Samples that it delivered.
    pub samples: u64,
    /// Bytes of the journal that its samples took.
    pub bytes_stored: u64,
    /// Memory of its process; nothing where it has none of its own.
    pub rss_bytes: Option<u64>,
    /// What its own threads in the agent's process have used of the processor time; nothing where it is in none.
    pub threads: Option<OwnThreads>,
}

impl Cost {
    /// Its own threads have used so much up to now: told as often as one likes, each time counts once.
    pub fn of_threads(&mut self, now: OwnThreads) {
        let before = self.threads.map_or(Duration::ZERO, |threads| threads.cpu);
        // a smaller figure is an older one, told late
        if let Some(since) = now.cpu.checked_sub(before) {
            self.cpu_seconds += since.as_secs_f64();
            self.threads = Some(now);
        }
    }
}

/// What the threads use that a collector started in the agent's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnThreads {
    /// Those that live.
    pub count: usize,
    /// Processor time since the agent's start: of all of them, and of calls that had not come back when it was read.
    pub cpu: Duration,
    /// What of it is of calls that came back after all. Each call's own time has it too.
    pub returned: Duration,
}

/// One plugin, or one instance of it, or a file that could be one.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginStatus {
    /// The key of its table in the configuration; the plugin's name where it has none.
    pub name: String,
    /// The plugin's name.
    pub plugin: String,
    /// Its version, where the file could be read.
    pub version: Option<String>,
    /// The API version that it was built with, such as `1.0`.
    pub api: Option<String>,
    /// Its file, where one was found.
    pub file: Option<PathBuf>,
    /// The digest of what is loaded.
    pub sha256: Option<Digest>,
    /// `in_process` or `isolated`.
    pub mode: &'static str,
    /// Where it stands.
    pub state: PluginState,
    /// Why it stands there, where that is not plain.
    pub reason: Option<String>,
    /// Time between two collections, as it is now.
    pub interval: Duration,
    /// As the configuration has it: shorter than [`interval`](Self::interval) where the plugin costs more than it may.
    pub configured_interval: Duration,
    /// Time that a collection may take.
    pub deadline: Duration,
    /// Series that are alive.
    pub series: usize,
    /// Start of the last collection.
    pub last_run: Option<Timestamp>,
    /// Start of the last collection without an error.
    pub last_success: Option<Timestamp>,
    /// The last error, also when later collections went well.
    pub last_error: Option<String>,
    /// When that was noticed; nothing where it never ran.
    pub last_error_at: Option<Timestamp>,
    /// Collections that ended.
    pub collections: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Collections that outlasted their deadline.
    pub missed_deadlines: u64,
    /// Ticks that were left out because the collection before still ran, or one began only after the next tick.
    pub skipped: u64,
    /// Samples that were refused: of an unknown series, not finite, or the second of a series.
    pub refused_samples: u64,
    /// Registrations that were refused because it has as many series as it may.
    pub refused_series: u64,
    /// How often the collector was made anew.
    pub restarts: u64,
    /// What it has cost.
    pub cost: Cost,
}
