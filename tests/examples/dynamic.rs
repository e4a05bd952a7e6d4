//! A plugin that does what its configuration says, step by step: `script` is a list of lists of actions, one list a
//! collection; the last one is repeated. It knows no family before it runs, as a plugin that starts programs.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use twarga_plugin_api::prelude::*;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    script: Vec<Vec<Action>>,
    /// Errors of the host are logged, and the rest of the list goes on.
    go_on: bool,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    Declare {
        name: String,
        kind: String,
        #[serde(default)]
        unit: String,
        help: String,
        #[serde(default)]
        labels: String,
    },
    Put {
        name: String,
        #[serde(default)]
        labels: Vec<String>,
        value: f64,
        #[serde(default)]
        reset: bool,
    },
    /// The states are the last label's values.
    PutStates {
        name: String,
        #[serde(default)]
        labels: Vec<String>,
        states: Vec<String>,
        current: Option<usize>,
    },
    Retire {
        name: String,
        #[serde(default)]
        labels: Vec<String>,
    },
    Unavailable {
        name: String,
        #[serde(default)]
        labels: Vec<String>,
        reason: String,
    },
    /// Milliseconds since 1970.
    Time(i64),
    Log(String),
    Fail(String),
}

pub struct Dynamic {
    config: Config,
    families: HashMap<String, Family>,
    collections: usize,
}

impl Collector for Dynamic {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["dynamic_"];
    const METRICS: &'static [Metric<'static>] = &[];

    fn new(config: Config, _: &mut Host<'_>) -> Result<Self> {
        Ok(Self { config, families: HashMap::new(), collections: 0 })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let step = self.collections.min(self.config.script.len().saturating_sub(1));
        self.collections += 1;
        for action in self.config.script.get(step).cloned().unwrap_or_default() {
            match self.act(action, sink) {
                Err(error) if self.config.go_on => sink.host().log(Level::Warn, error.message()),
                other => other?,
            }
        }
        Ok(())
    }
}

impl Dynamic {
    fn act(&mut self, action: Action, sink: &mut Sink<'_>) -> Result<()> {
        match action {
            Action::Declare { name, kind, unit, help, labels } => {
                let kind = Kind::from_word(&kind).context("no such kind")?;
                let metric = Metric::try_new(kind, &name, unit_of(&unit)?, &help, &labels)?;
                let family = sink.host().declare(&metric)?;
                self.families.insert(name, family);
            }
            Action::Put { name, labels, value, reset } => {
                let series = self.series(&name, &labels, sink)?;
                if reset {
                    sink.put_after_reset(series, value);
                } else {
                    sink.put(series, value);
                }
            }
            Action::PutStates { name, labels, states, current } => {
                let mut all = Vec::new();
                for state in states {
                    let labels: Vec<String> = labels.iter().cloned().chain([state]).collect();
                    all.push(self.series(&name, &labels, sink)?);
                }
                sink.put_states(&all, current);
            }
            Action::Retire { name, labels } => {
                let series = self.series(&name, &labels, sink)?;
                sink.host().retire(series);
            }
            Action::Unavailable { name, labels, reason } => {
                let series = self.series(&name, &labels, sink)?;
                sink.unavailable(series, &reason);
            }
            Action::Time(unix_ms) => sink.set_time(unix_ms),
            Action::Log(line) => sink.host().log(Level::Info, &line),
            Action::Fail(message) => return Err(Error::transient(message)),
        }
        Ok(())
    }

    fn series(&self, name: &str, labels: &[String], sink: &mut Sink<'_>) -> Result<Series> {
        let family = *self.families.get(name).context(format_args!("`{name}` is not declared"))?;
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        sink.host().series_of(family, &labels)
    }
}

fn unit_of(code: &str) -> Result<Unit> {
    [Unit::NONE, Unit::BYTES, Unit::SECONDS, Unit::RATIO, Unit::HERTZ, Unit::CELSIUS]
        .into_iter()
        .find(|unit| unit.code() == code)
        .context("no such unit")
}

export_plugin!(Dynamic, name = "dynamic");
