//! What an author implements, and what the host lends for the length of a call.

use crate::{
    abi::{Sample, services::Lent},
    error::{Error, Result},
    metric::{MAX_LABELS, Metric},
};
use abi_stable::std_types::{RSlice, RStr, RVec};
use serde::de::DeserializeOwned;

/// A collector: made once from its configuration, then asked for samples at every interval.
///
/// The host calls it from one thread at a time, not always the same one. A call that outlasts its deadline is
/// counted and its samples are not fresh; a panic ends this collector alone. See the [crate's page](crate) for a whole one.
pub trait Collector: Sized + Send + 'static {
    /// The `[plugins.NAME.config]` table. Derive `Deserialize` with `#[serde(deny_unknown_fields)]`, and give every
    /// key a default: a plugin without configuration should work.
    type Config: DeserializeOwned;

    /// The prefixes of all metric names that this plugin uses, such as `["thermal_"]`: the host refuses others, and
    /// two plugins that claim one metric. `"*"` beside them is for a collector that learns its names from others: any
    /// name that lies in no namespace of another plugin that is loaded, and is no view's.
    const NAMESPACES: &'static [&'static str];

    /// The metric families that are known without running the plugin. Others are declared by [`Host::declare`].
    const METRICS: &'static [Metric<'static>];

    /// The JSON Schema of [`Collector::Config`], or empty. Often `include_str!("config.schema.json")`.
    const CONFIG_SCHEMA: &'static str = "";

    /// Opens what is needed and registers the series that are known already.
    ///
    /// # Errors
    /// [`Error::config`] for a wrong configuration, [`Error::unsupported`] where this machine has nothing to
    /// collect; anything else is tried again.
    fn new(config: Self::Config, host: &mut Host<'_>) -> Result<Self>;

    /// Puts this cycle's samples.
    ///
    /// # Errors
    /// What was put before the error is kept; the host counts a failure and tries again at the next interval.
    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()>;
}

/// One registered series: a metric with its label values. Cheap to copy; keep it in your struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Series(pub(crate) u32);

/// A metric family that was declared at run time by [`Host::declare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Family(u32);

/// How loud a line in the host's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something an operator must mend.
    Error,
    /// Something an operator may want to know.
    Warn,
    /// Said once: what was found, what was left out.
    Info,
    /// For authors.
    Debug,
}

/// The host's services, lent for the length of one call.
pub struct Host<'a> {
    lent: Lent<'a>,
    metrics: &'static [Metric<'static>],
}

impl<'a> Host<'a> {
    pub(crate) fn new(lent: Lent<'a>, metrics: &'static [Metric<'static>]) -> Self {
        Host { lent, metrics }
    }

    /// Registers a series of a metric of [`Collector::METRICS`], or finds it again. `labels` are the values, in the
    /// order of the metric's label keys. Register once, at the start or when the thing appears, and keep the [`Series`].
    ///
    /// # Errors
    /// Where the metric is not declared, the number of labels differs, or the host's limit of series is reached.
    pub fn series(&mut self, metric: &Metric<'_>, labels: &[&str]) -> Result<Series> {
        let name = metric.name();
        let index = (self.metrics.iter().position(|known| known.name() == name))
            .ok_or_else(|| Error::fatal(format_args!("metric `{name}` is not in METRICS")))?;
        self.register(u32::try_from(index)?, labels)
    }

    /// Declares a family whose name is known only at run time. The same declaration gives the same [`Family`].
    ///
    /// # Errors
    /// Where the name is outside the plugin's namespaces, claimed by another plugin, or declared otherwise before.
    pub fn declare(&mut self, metric: &Metric<'_>) -> Result<Family> {
        let answer = self.lent.metric(&metric.0);
        answer.into_result().map(Family).map_err(Error::fatal)
    }

    /// As [`Host::series`], of a family that was declared at run time.
    ///
    /// # Errors
    /// As [`Host::series`].
    pub fn series_of(&mut self, family: Family, labels: &[&str]) -> Result<Series> {
        self.register(family.0, labels)
    }

    fn register(&mut self, metric: u32, labels: &[&str]) -> Result<Series> {
        let mut values = [RStr::from_str(""); MAX_LABELS];
        if labels.len() > MAX_LABELS {
            return Err(Error::fatal(format_args!("{} labels, the most is {MAX_LABELS}", labels.len())));
        }
        for (value, label) in values.iter_mut().zip(labels) {
            *value = RStr::from_str(label);
        }
        let values = RSlice::from_slice(&values[..labels.len()]);
        let answer = self.lent.series(metric, values);
        answer.into_result().map(Series).map_err(Error::transient)
    }

    /// Ends a series whose thing is gone: an unplugged disk, a destroyed machine. Its history stays.
    /// Registering the same labels again begins a new [`Series`] of the same history.
    pub fn retire(&mut self, series: Series) {
        self.lent.retire(series.0);
    }

    /// Writes a line to the host's log, under the plugin's name.
    pub fn log(&mut self, level: Level, message: &str) {
        self.lent.log(level as u8, message);
    }
}

/// Takes the samples of one collection.
pub struct Sink<'a> {
    out: &'a mut RVec<Sample>,
    host: Host<'a>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(out: &'a mut RVec<Sample>, host: Host<'a>) -> Self {
        Sink { out, host }
    }

    /// A sample: the value in the metric's base unit. Values that are not finite are refused and counted by the host.
    #[inline]
    pub fn put(&mut self, series: Series, value: f64) {
        self.out.push(Sample { series: series.0, flags: 0, value });
    }

    /// A counter's sample after its source started anew (a restart, a wrap), where the plugin knows it. Without
    /// this, the host takes a counter that fell for one that was reset.
    #[inline]
    pub fn put_after_reset(&mut self, series: Series, value: f64) {
        self.out.push(Sample { series: series.0, flags: Sample::RESET, value });
    }

    /// The states of a [`Kind::StateSet`](crate::Kind::StateSet): 1 for the series at `current`, 0 for the others;
    /// all 0 where `current` is none of them.
    pub fn put_states(&mut self, states: &[Series], current: Option<usize>) {
        for (index, series) in states.iter().enumerate() {
            self.put(*series, f64::from(u8::from(current == Some(index))));
        }
    }

    /// Says that a series has no value this time, and why, in few words: `"stale balloon"`. The reason is stored with
    /// the gap and shown to consumers in place of the value.
    pub fn unavailable(&mut self, series: Series, reason: &str) {
        self.host.lent.unavailable(series.0, reason);
    }

    /// The time at which these samples were true, in milliseconds since 1970 UTC. Without it, the host's own time.
    pub fn set_time(&mut self, unix_ms: i64) {
        self.host.lent.batch_time(unix_ms);
    }

    /// The host's services: to register a series that appeared, to log.
    pub fn host(&mut self) -> &mut Host<'a> {
        &mut self.host
    }
}
