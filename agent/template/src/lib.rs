//! Context switches, forks and tasks of the kernel's scheduler, from `/proc/stat`.
#![forbid(unsafe_code)]

pub mod parse;

use std::path::PathBuf;
use twarga_plugin_api::{prelude::*, pseudo_file::PseudoFile};

// Names are Prometheus names in base units; what breaks a rule does not compile.
const CONTEXT_SWITCHES: Metric = Metric::counter(
    "{{prefix}}_context_switches_total",
    Unit::NONE,
    "Context switches since the boot.",
);
const FORKS: Metric = Metric::counter(
    "{{prefix}}_forks_total",
    Unit::NONE,
    "Forks, vforks and clones since the boot of this machine.",
);
const TASKS: Metric = Metric::gauge(
    "{{prefix}}_tasks",
    Unit::NONE,
    "Tasks that are running, or blocked by a disk.",
)
.labels("state");

/// The table `[plugins.{{name}}.config]` of agent.toml; `config.schema.json` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Prefix of `/proc`: a folder of fixtures in tests.
    root: PathBuf,
    /// Whether to count running and blocked tasks.
    tasks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: "/".into(),
            tasks: true,
        }
    }
}

/// The collector: the file that it keeps open, and its series.
pub struct Scheduler {
    stat: PseudoFile,
    context_switches: Series,
    forks: Series,
    tasks: Option<Tasks>,
}

struct Tasks {
    running: Series,
    blocked: Series,
}

impl Collector for Scheduler {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["{{prefix}}_"];
    const METRICS: &'static [Metric<'static>] = &[CONTEXT_SWITCHES, FORKS, TASKS];
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    /// Opens what is needed and registers the series, once.
    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        let tasks = match config.tasks {
            true => Some(Tasks {
                running: host.series(&TASKS, &["running"])?,
                blocked: host.series(&TASKS, &["blocked"])?,
            }),
            false => None,
        };
        Ok(Self {
            stat: PseudoFile::open(&config.root, "proc/stat")?,
            context_switches: host.series(&CONTEXT_SWITCHES, &[])?,
            forks: host.series(&FORKS, &[])?,
            tasks,
        })
    }

    /// Reads the file again and puts what it says. Counters are put as they are: the agent makes rates.
    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let stat = parse::parse(self.stat.read()?);
        put(sink, self.context_switches, stat.context_switches);
        put(sink, self.forks, stat.forks);
        if let Some(tasks) = &self.tasks {
            put(sink, tasks.running, stat.running);
            put(sink, tasks.blocked, stat.blocked);
        }
        Ok(())
    }
}

/// No value is better than a wrong one: the reason is stored with the gap.
fn put(sink: &mut Sink<'_>, series: Series, value: Option<f64>) {
    match value {
        Some(value) => sink.put(series, value),
        None => sink.unavailable(series, "missing_line"),
    }
}

export_plugin!(Scheduler);
