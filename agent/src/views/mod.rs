//! Views: percent, GB, MB/s over native series, under the names of the system that this one replaces. One table
//! ([`ALL`]), computed where they are shown, stored nowhere.

mod flat;
mod history;
mod likeness;
mod table;

pub use flat::{Flat, FlatHost, FlatValue, FlatVm, host_flat, vm_flat};
pub use history::Folding;
pub(crate) use likeness::{differing, is_of_one_thing, lasts};
pub use table::{ALL, NAMES, find, is_reserved};

use crate::{
    config::TimestampStyle,
    model::{Labels, Missing, Snapshot, Timestamp},
    store::Selector,
};

/// Bytes of a MiB: what the old names call `MB`.
pub const MIB: f64 = 1_048_576.0;
/// Bytes of a GiB: what the old names call `GB`.
pub const GIB: f64 = 1_073_741_824.0;

/// A view: how its value comes from native series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Its name; no metric may have it.
    pub name: &'static str,
    /// `%`, `GB` (GiB), `MB` (MiB), `MB/s` (MiB/s) or `seconds`.
    pub unit: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// Whether there is one, or one a machine.
    pub subject: Subject,
    /// From which metrics, and how.
    pub from: Source,
}

/// What a view tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The host: one value.
    Host(Select),
    /// The virtual machines: a value for each, told apart by the label `vm`.
    Vm,
}

/// Which of the host's series of a metric is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The only one.
    Only,
    /// The one with `cpu="all"`.
    AllCpus,
    /// The one with `mountpoint` as configured (`views.disk`).
    Disk,
}

/// How a value comes from native series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// A metric times a factor.
    Scaled(&'static str, f64),
    /// The increase of a counter per second times a factor.
    Rate(&'static str, f64),
    /// 100 × the first over the second.
    Percent(&'static str, &'static str),
}

/// What a view depends on beside the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ViewContext<'a> {
    /// The mount point of the disk views (`views.disk`).
    pub disk: &'a str,
    /// The present time: older values may be stale.
    pub now: Timestamp,
    /// How flat answers write times.
    pub timestamps: TimestampStyle,
}

impl View {
    /// The present values, unrounded: one a machine of a machine's view; one of a host's, without labels. Where several
    /// live series could be meant by a host's, such as those of two instances of a plugin, there is one of each, with
    /// the labels that tell them apart.
    pub fn now(&self, snapshot: &Snapshot, context: &ViewContext<'_>) -> Vec<(Labels, Result<f64, Missing>)> {
        let mut values = Vec::new();
        self.each(snapshot, context, |labels, value| values.push((labels.clone(), value)));
        values
    }

    /// [`now`](View::now) without an allocation in the usual case.
    pub fn each(
        &self,
        snapshot: &Snapshot,
        context: &ViewContext<'_>,
        mut take: impl FnMut(&Labels, Result<f64, Missing>),
    ) {
        if let Subject::Host(_) = self.subject {
            let found = series_with(snapshot, self.metric(), self.wanted(context, None));
            let compute = |(place, index)| self.compute(snapshot, context.now, index, place);
            return match likeness::things(snapshot, found.clone()) {
                None => take(&Labels::default(), best(snapshot, found.map(compute))),
                Some(things) => {
                    for (labels, found) in things {
                        take(&labels, best(snapshot, found.into_iter().map(compute)));
                    }
                }
            };
        }
        for (place, &index) in snapshot.catalog.of_metric(self.metric()).iter().enumerate() {
            let Some(live) = snapshot.catalog.series.get(index) else { continue };
            take(&live.def.labels, self.compute(snapshot, context.now, index, place));
        }
    }

    /// The present value, unrounded; of this machine (its label `vm`) where the view is a machine's. None where several
    /// live series could be meant: which of them it is would be chance.
    pub fn value(
        &self,
        snapshot: &Snapshot,
        context: &ViewContext<'_>,
        vm: Option<&str>,
    ) -> Result<f64, Missing> {
        let wanted = self.wanted(context, vm);
        let found = series_with(snapshot, self.metric(), wanted);
        likeness::refuse_several(snapshot, found.clone())?;
        best(snapshot, found.map(|(place, index)| self.compute(snapshot, context.now, index, place)))
    }

    /// The series that the history is made of, in the order in which [`history`](View::history) takes their points.
    pub fn inputs(&self, context: &ViewContext<'_>, vm: Option<&str>) -> Vec<Selector> {
        let labels = Labels::new(self.wanted(context, vm));
        let metrics = match self.from {
            Source::Scaled(metric, _) | Source::Rate(metric, _) => vec![metric],
            Source::Percent(part, whole) => vec![part, whole],
        };
        let selector = |metric: &str| Selector::with_labels(metric, &labels);
        metrics.into_iter().map(selector).collect()
    }

    /// The metric that the value comes from; of a ratio, the part.
    fn metric(&self) -> &'static str {
        match self.from {
            Source::Scaled(metric, _) | Source::Rate(metric, _) | Source::Percent(metric, _) => metric,
        }
    }

    /// The label, and the value that it must have.
    fn wanted<'a>(&self, context: &ViewContext<'a>, vm: Option<&'a str>) -> Option<(&'static str, &'a str)> {
        match self.subject {
            Subject::Host(Select::Only) => None,
            Subject::Host(Select::AllCpus) => Some(("cpu", "all")),
            Subject::Host(Select::Disk) => Some(("mountpoint", context.disk)),
            Subject::Vm => vm.map(|vm| ("vm", vm)),
        }
    }

    /// The value of the series at `index`, which is the `place`th of its metric.
    fn compute(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
        index: usize,
        place: usize,
    ) -> Result<f64, Missing> {
        match self.from {
            Source::Scaled(_, factor) => Ok(snapshot.value(index, now)? * factor),
            Source::Rate(_, factor) => Ok(snapshot.rate(index, now)? * factor),
            Source::Percent(_, whole) => {
                let part = snapshot.value(index, now)?;
                let whole = partner(snapshot, whole, index, place).ok_or(Missing::NoSeries)?;
                percent(part, snapshot.value(whole, now)?)
            }
        }
    }
}

/// The series of `metric` with the labels of the series at `index`.
fn partner(snapshot: &Snapshot, metric: &str, index: usize, place: usize) -> Option<usize> {
    let of_metric = snapshot.catalog.of_metric(metric);
    let labels = &snapshot.catalog.series.get(index)?.def.labels;
    let fits = |candidate: &&usize| {
        snapshot.catalog.series.get(**candidate).is_some_and(|live| live.def.labels == *labels)
    };
    // series of one machine are registered together: the partner most often stands at the same place
    of_metric.get(place).filter(fits).or_else(|| of_metric.iter().find(fits)).copied()
}

/// 100 × part / whole.
fn percent(part: f64, whole: f64) -> Result<f64, Missing> {
    if whole > 0.0 { Ok(100.0 * part / whole) } else { Err(Missing::Unavailable("the total is zero".into())) }
}

/// The series of a metric with a label value: their places among the series of the metric, and their indices.
pub(crate) fn series_with<'a>(
    snapshot: &'a Snapshot,
    metric: &str,
    wanted: Option<(&'a str, &'a str)>,
) -> impl Iterator<Item = (usize, usize)> + Clone + 'a {
    let fits = move |index: usize| match (wanted, snapshot.catalog.series.get(index)) {
        (Some((key, value)), Some(live)) => live.def.labels.get(key) == value,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    snapshot.catalog.of_metric(metric).iter().copied().enumerate().filter(move |&(_, index)| fits(index))
}

/// The first value that is there; else why the first one isn't; else why there is none at all.
fn best(snapshot: &Snapshot, values: impl Iterator<Item = Result<f64, Missing>>) -> Result<f64, Missing> {
    let mut first = None;
    for value in values {
        match value {
            Ok(value) => return Ok(value),
            Err(missing) => first = first.or(Some(missing)),
        }
    }
    let nothing = if snapshot.time.is_none() { Missing::NotCollected } else { Missing::NoSeries };
    Err(first.unwrap_or(nothing))
}

/// The present value of a native metric: of the series with this label value, or the first of those of one mount point
/// that has one. None where several could be meant.
pub fn native(
    snapshot: &Snapshot,
    metric: &str,
    wanted: Option<(&str, &str)>,
    now: Timestamp,
) -> Result<f64, Missing> {
    let found = series_with(snapshot, metric, wanted);
    likeness::refuse_several(snapshot, found.clone())?;
    best(snapshot, found.map(|(_, index)| snapshot.value(index, now)))
}

/// As values are shown: two decimals, halves away from zero, and no negative zero.
pub fn rounded(value: f64) -> f64 {
    let scaled = value * 100.0;
    // beyond 2⁵³ there are no decimals to round, and far beyond the product would be infinite
    if scaled.abs() >= 9.0e15 {
        return value;
    }
    let rounded = scaled.round() / 100.0;
    if rounded == 0.0 { 0.0 } else { rounded }
}

#[cfg(test)]
mod tests;
