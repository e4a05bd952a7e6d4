//! Drives a plugin through the very entry points that the agent uses, under plain `cargo test`.
//!
//! ```
//! # mod plugin {
//! # use twarga_plugin_api::prelude::*;
//! # #[derive(Deserialize)] pub struct Config {}
//! # pub struct Answer(Series);
//! # const ANSWER: Metric = Metric::gauge("answer", Unit::NONE, "The answer.");
//! # impl Collector for Answer {
//! #     type Config = Config;
//! #     const NAMESPACES: &'static [&'static str] = &["answer"];
//! #     const METRICS: &'static [Metric<'static>] = &[ANSWER];
//! #     fn new(_: Config, host: &mut Host) -> Result<Self> { Ok(Answer(host.series(&ANSWER, &[])?)) }
//! #     fn collect(&mut self, sink: &mut Sink) -> Result<()> { sink.put(self.0, 42.0); Ok(()) }
//! # }
//! # export_plugin!(Answer);
//! # }
//! use twarga_plugin_api::testing::Harness;
//! let mut harness = Harness::new(plugin::plugin(), "{}").unwrap();
//! let collected = harness.collect().unwrap();
//! assert_eq!(collected.value("answer"), Some(42.0));
//! ```

mod documents;

pub use documents::wrong_in_documents;

use crate::{
    abi::{
        PluginMod_Ref, RawCollectorBox, RawMetric, Sample, glue,
        metadata::in_a_namespace,
        services::{self, HostServices},
    },
    collector::Level,
    error::Result,
    metric::{Kind, declaration_problem, label_keys_problem},
};
use abi_stable::std_types::{RStr, RVec};
use std::{collections::BTreeMap, fmt::Write};

/// A running collector in a test.
pub struct Harness {
    // dropped before the host that it may still call
    collector: RawCollectorBox,
    host: Box<TestHost>,
    samples: RVec<Sample>,
}

/// What one collection brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// The samples in the order in which they were put.
    pub readings: Vec<Reading>,
    /// The series that were said to have no value, with the reason.
    pub unavailable: BTreeMap<String, String>,
    /// The time that the plugin gave the batch, in milliseconds since 1970 UTC.
    pub time: Option<i64>,
}

/// One sample with the name of its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// As in the Prometheus exposition: `host_cpu_seconds_total{cpu="0",mode="idle"}`.
    pub series: String,
    /// The kind of its metric.
    pub kind: Kind,
    /// The value.
    pub value: f64,
    /// Put after a reset of the counter.
    pub reset: bool,
}

impl Collected {
    /// The value of a series, by its name as in the exposition.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.readings.iter().find(|reading| reading.series == series).map(|reading| reading.value)
    }

    /// All readings as lines `series value`, sorted, then the unavailable series with their reasons: made for
    /// comparison with a golden file.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> = self.readings.iter().map(Reading::to_line).collect();
        lines.sort();
        lines.extend(
            self.unavailable.iter().map(|(series, reason)| format!("# unavailable {series}: {reason}")),
        );
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Reading {
    fn to_line(&self) -> String {
        format!("{} {}{}", self.series, self.value, if self.reset { " # reset" } else { "" })
    }
}

impl Harness {
    /// Makes the collector with this configuration, a JSON object.
    ///
    /// # Errors
    /// What the plugin's `new` answers.
    pub fn new(plugin: PluginMod_Ref, config: &str) -> Result<Self> {
        let mut host = Box::new(TestHost::new(plugin));
        let created = plugin.create()(config.into(), services::handle(&mut *host)).into_result();
        let collector = created.map_err(glue::from_raw)?;
        Ok(Self { collector, host, samples: RVec::new() })
    }

    /// From now on it may have so many series at once and no more, as `max_series` of a plugin's table says; without this,
    /// any number.
    pub fn limit_series(&mut self, most: usize) {
        self.host.most = most;
    }

    /// Collects once.
    ///
    /// # Errors
    /// What the plugin's `collect` answers; [`Harness::partial`] has what it put before.
    ///
    /// # Panics
    /// Where the plugin breaks a rule that the agent enforces: an unknown series, a value that is not finite, a
    /// counter that fell without a reset, two samples of one series.
    pub fn collect(&mut self) -> Result<Collected> {
        self.samples.clear();
        self.host.unavailable.clear();
        self.host.time = None;
        let answer = self.collector.collect(&mut self.samples, services::handle(&mut *self.host));
        let collected = self.partial();
        self.host.check(&self.samples);
        answer.into_result().map_err(glue::from_raw)?;
        Ok(collected)
    }

    /// What the last collection put, also where it failed.
    pub fn partial(&self) -> Collected {
        let host = &self.host;
        Collected {
            readings: self.samples.iter().map(|sample| host.reading(sample)).collect(),
            unavailable: host.unavailable.iter().map(|(id, why)| (host.name(*id), why.clone())).collect(),
            time: host.time,
        }
    }

    /// What the plugin logged so far.
    pub fn logs(&self) -> &[(Level, String)] {
        &self.host.logs
    }

    /// How many series are registered and not retired.
    pub fn series_count(&self) -> usize {
        self.host.live()
    }
}

#[derive(PartialEq)]
struct Family {
    name: String,
    kind: Kind,
    unit: String,
    help: String,
    label_keys: Vec<String>,
}

struct Registered {
    family: usize,
    labels: Vec<String>,
    retired: bool,
    last: Option<f64>,
}

struct TestHost {
    namespaces: Vec<&'static str>,
    families: Vec<Family>,
    series: Vec<Registered>,
    most: usize,
    unavailable: BTreeMap<u32, String>,
    time: Option<i64>,
    logs: Vec<(Level, String)>,
}

impl TestHost {
    fn new(plugin: PluginMod_Ref) -> Self {
        let families = plugin.metrics().as_slice().iter().map(family).collect();
        let namespaces = plugin.namespaces().as_slice().iter().map(RStr::as_str).collect();
        Self {
            namespaces,
            families,
            series: vec![],
            most: usize::MAX,
            unavailable: BTreeMap::new(),
            time: None,
            logs: vec![],
        }
    }

    fn live(&self) -> usize {
        self.series.iter().filter(|series| !series.retired).count()
    }

    fn name(&self, series: u32) -> String {
        let registered = &self.series[series as usize];
        let family = &self.families[registered.family];
        let mut name = family.name.clone();
        for (index, (key, value)) in family.label_keys.iter().zip(&registered.labels).enumerate() {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(name, "{}{key}=\"{value}\"", if index == 0 { '{' } else { ',' });
        }
        if !registered.labels.is_empty() {
            name.push('}');
        }
        name
    }

    fn reading(&self, sample: &Sample) -> Reading {
        let registered =
            self.series.get(sample.series as usize).expect("the plugin put a sample of an unknown series");
        Reading {
            series: self.name(sample.series),
            kind: self.families[registered.family].kind,
            value: sample.value,
            reset: sample.flags & Sample::RESET != 0,
        }
    }

    fn check(&mut self, samples: &[Sample]) {
        let mut seen = vec![false; self.series.len()];
        for sample in samples {
            let name = self.name(sample.series);
            assert!(!std::mem::replace(&mut seen[sample.series as usize], true), "{name} was put twice");
            assert!(sample.value.is_finite(), "{name} is {}", sample.value);
            let series = &mut self.series[sample.series as usize];
            assert!(!series.retired, "{name} was put after it was retired");
            let counter = self.families[series.family].kind == Kind::Counter;
            let fell = series.last.is_some_and(|last| sample.value < last);
            assert!(!(counter && fell && sample.flags & Sample::RESET == 0), "{name} fell without a reset");
            series.last = Some(sample.value);
        }
    }
}

fn family(metric: &RawMetric<'_>) -> Family {
    let keys = metric.label_keys.as_str();
    Family {
        name: metric.name.as_str().into(),
        kind: Kind::from_raw(metric.kind),
        unit: metric.unit.as_str().into(),
        help: metric.help.as_str().into(),
        label_keys: keys.split(',').filter(|key| !key.is_empty()).map(Into::into).collect(),
    }
}

/// As the agent has it.
const MAX_LABEL_VALUE: usize = 1024;

impl HostServices for TestHost {
    fn metric(&mut self, metric: &RawMetric<'_>) -> std::result::Result<u32, String> {
        let name = metric.name.as_str();
        let problem = declaration_problem(metric.kind, name, metric.unit.as_str(), metric.help.as_str())
            .or(label_keys_problem(metric.label_keys.as_str()));
        if let Some(problem) = problem {
            return Err(format!("metric `{name}`: {problem}"));
        }
        if !in_a_namespace(name, &self.namespaces) {
            return Err(format!("metric `{name}` starts with none of the plugin's namespaces"));
        }
        let new = family(metric);
        let index = match self.families.iter().position(|known| known.name == new.name) {
            Some(index) if self.families[index] != new => {
                return Err(format!("metric `{name}` is already declared otherwise"));
            }
            Some(index) => index,
            None => {
                self.families.push(new);
                self.families.len() - 1
            }
        };
        u32::try_from(index).map_err(|error| error.to_string())
    }

    fn series(&mut self, metric: u32, labels: &[RStr<'_>]) -> std::result::Result<u32, String> {
        let family = self.families.get(metric as usize).ok_or("no such metric")?;
        if family.label_keys.len() != labels.len() {
            let (name, want) = (&family.name, family.label_keys.len());
            return Err(format!("metric `{name}` has {want} labels, not {}", labels.len()));
        }
        if labels.iter().any(|value| value.as_str().len() > MAX_LABEL_VALUE) {
            let name = &family.name;
            return Err(format!("metric `{name}`: a label's value has over {MAX_LABEL_VALUE} bytes"));
        }
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let known = |series: &Registered| {
            series.family == metric as usize && series.labels == labels && !series.retired
        };
        let index = match self.series.iter().position(known) {
            Some(index) => index,
            None if self.live() >= self.most => {
                return Err(format!("the plugin has {} series, as many as it may", self.most));
            }
            None => {
                self.series.push(Registered { family: metric as usize, labels, retired: false, last: None });
                self.series.len() - 1
            }
        };
        u32::try_from(index).map_err(|error| error.to_string())
    }

    fn retire(&mut self, series: u32) {
        if let Some(series) = self.series.get_mut(series as usize) {
            series.retired = true;
        }
    }

    fn unavailable(&mut self, series: u32, reason: &str) {
        self.unavailable.insert(series, reason.into());
    }

    fn batch_time(&mut self, unix_ms: i64) {
        self.time = Some(unix_ms);
    }

    fn log(&mut self, level: u8, message: &str) {
        let level = match level {
            0 => Level::Error,
            1 => Level::Warn,
            2 => Level::Info,
            _ => Level::Debug,
        };
        self.logs.push((level, message.into()));
    }
}
