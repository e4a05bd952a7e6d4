//! The history of a metric or a view: from the store's points to what the API and the `query` command show.

mod steps;

pub use steps::{BadStep, MOST_STEPS, StepInfo, StepQuery, parse_step};

use crate::{
    config::TimestampStyle,
    model::{Gap, Kind, SeriesId, Timestamp},
    store::{Aggregate, Matcher, Point, Range, Reader, Selector, StoreError, StoredSeries},
    views::{self, Source, View, ViewContext},
};
use std::time::Duration;
use steps::Stepped;

/// More gaps than this are not told.
const MOST_GAPS: usize = 1000;
/// How far before a range the point is looked for that the first rate within it takes.
const LOOK_BACK: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Which history is asked for.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    /// Whose.
    pub target: Target,
    /// A metric or a view.
    pub metric: String,
    /// What the labels must be. On a label that a view sets itself, these count in place of the view's.
    pub matchers: Vec<Matcher>,
    /// The time asked for.
    pub range: Range,
    /// The most points, or steps: the newest.
    pub limit: usize,
    /// One value a step, in place of the points.
    pub steps: Option<StepQuery>,
}

impl HistoryQuery {
    /// The matchers, and that of the machine, which counts in place of others on its label.
    fn matchers(&self, vm: Option<&str>) -> Vec<Matcher> {
        let others = self.matchers.iter().filter(|matcher| vm.is_none() || matcher.label() != "vm");
        others.cloned().chain(vm.map(|vm| Matcher::equal("vm", vm))).collect()
    }
}

/// Whose history is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The host's: any series.
    Host,
    /// A machine's: the series whose label `vm` is its UUID.
    Vm(i64),
}

/// The history of one series or view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The unit of the values: `%`, `GB`, `MB/s` … of a view, the UCUM code of a metric.
    pub unit: String,
    /// Whether it is a view: its values are shown with two decimals.
    pub view: bool,
    /// Newest first. A step stands at its beginning.
    pub points: Vec<(Timestamp, f64)>,
    /// Where steps were asked for: what they are.
    pub steps: Option<StepInfo>,
    /// Times without points, oldest first: of the time from the oldest point on where the limit cut the points, else of
    /// all the time asked for. At most the newest thousand.
    pub gaps: Vec<HistoryGap>,
    /// Whether there were more gaps.
    pub gaps_truncated: bool,
}

/// A time without points.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryGap {
    /// The first time at which a point is missing.
    pub from: Timestamp,
    /// The last time at which a point is missing.
    pub to: Timestamp,
    /// As [`GapReason`](crate::model::GapReason) writes it.
    pub reason: String,
}

/// Why there is no history.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistoryError {
    /// No series of this name was ever seen.
    #[error("no such metric")]
    Unknown,
    /// Several series match: the labels in which they differ, with their values.
    #[error("several series match: choose by label {}", choices(.labels))]
    Ambiguous {
        /// Label keys, each with the values to choose from.
        labels: Vec<(String, Vec<String>)>,
    },
    /// Only a counter has this aggregate.
    #[error("only a counter has a {0}; a gauge has avg, min, max, last, sum, count and percentiles")]
    NotACounter(Aggregate),
    /// The time asked for has more steps than an answer may go over.
    #[error("{}", steps::too_many(.step, .enough))]
    TooManySteps {
        /// The step.
        step: Duration,
        /// A step that would do, where it is known from when on the time is asked for.
        enough: Option<Duration>,
    },
    /// The store failed; for the log.
    #[error("{0}")]
    Store(String),
}

impl From<StoreError> for HistoryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// `device (eth0, lo), mode (idle)`
fn choices(labels: &[(String, Vec<String>)]) -> String {
    let each = labels.iter().map(|(key, values)| format!("{key} ({})", values.join(", ")));
    each.collect::<Vec<_>>().join(", ")
}

/// Reads a history. `disk` is the mount point of the disk views.
///
/// # Errors
/// Unknown, ambiguous, or the store's own.
pub fn history(reader: &Reader, query: &HistoryQuery, disk: &str) -> Result<History, HistoryError> {
    let vm = match query.target {
        Target::Host => None,
        Target::Vm(id) => {
            let known = reader.vms()?.into_iter().find(|(known, _)| *known == id);
            Some(known.ok_or(HistoryError::Unknown)?.1)
        }
    };
    match views::find(&query.metric) {
        Some(view) => view_history(reader, query, view, vm.as_deref(), disk),
        None => metric_history(reader, query, vm.as_deref()),
    }
}

fn view_history(
    reader: &Reader,
    query: &HistoryQuery,
    view: &View,
    vm: Option<&str>,
    disk: &str,
) -> Result<History, HistoryError> {
    let context = ViewContext { disk, now: Timestamp::now(), timestamps: TimestampStyle::Rfc3339 };
    // of a machine's view without a machine, the labels choose; with one, nothing else does
    let matchers = query.matchers(vm);
    let select = |mut selector: Selector| {
        selector.matchers.retain(|own| matchers.iter().all(|given| given.label() != own.label()));
        selector.matchers.extend(matchers.iter().cloned());
        reader.select(&selector)
    };
    let mut inputs = view.inputs(&context, vm).into_iter();
    let first = inputs.next().map_or_else(|| Ok(Vec::new()), select)?;
    let others = inputs.map(select).collect::<Result<Vec<_>, _>>()?;
    let series = of_one_thing(reader, first, query)?;
    let is_counter = series.first().is_some_and(is_counter) && matches!(view.from, Source::Scaled(..));
    let things: Vec<Vec<SeriesId>> =
        series.iter().filter_map(|series| with_partners(series, &others)).collect();
    let history = History { unit: view.unit.into(), view: true, ..History::default() };
    if let Some(steps) = query.steps {
        let stepped = Stepped { reader, query, steps, view: Some(view), things: &things, is_counter };
        return with_gaps(reader, query, &things.concat(), stepped.read(history)?);
    }
    let limit = view.points_needed(query.limit);
    let mut points = Vec::new();
    let mut of_gaps = Vec::new();
    for ids in things {
        // rates and ratios are of one series each, whatever it is called afterwards
        points.extend(view.history(&points_of(reader, view, &ids, query.range, limit)?, query.limit));
        if !of_gaps.is_empty() {
            points.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
            points.truncate(query.limit);
        }
        of_gaps.extend(ids);
    }
    with_gaps(reader, query, &of_gaps, History { points, ..history })
}

fn is_counter(series: &StoredSeries) -> bool {
    series.def.metric.kind == Kind::Counter
}

/// The points that a view takes of its series. A rate at the first point within the range takes the point before it.
fn points_of(
    reader: &Reader,
    view: &View,
    series: &[SeriesId],
    range: Range,
    limit: usize,
) -> Result<Vec<Vec<Point>>, HistoryError> {
    let mut points = reader.last_of_many(series, range, limit)?;
    if let Source::Rate(..) = view.from
        && points.iter().any(|points| points.len() < limit)
    {
        let before = Range { from: range.from.minus(LOOK_BACK), to: range.from.minus(MILLISECOND) };
        for (points, earlier) in points.iter_mut().zip(reader.last_of_many(series, before, 1)?) {
            points.extend(earlier);
        }
    }
    Ok(points)
}

/// The series that a view may take for one: all of them where all are of one thing, else those with points in the time
/// asked for, if these are.
fn of_one_thing(
    reader: &Reader,
    series: Vec<StoredSeries>,
    query: &HistoryQuery,
) -> Result<Vec<StoredSeries>, HistoryError> {
    let labels =
        |series: &[StoredSeries]| views::is_of_one_thing(series.iter().map(|series| &series.def.labels));
    if labels(&series) {
        return Ok(series);
    }
    let ids: Vec<SeriesId> = series.iter().map(|series| series.id).collect();
    let has_points: Vec<bool> = match &query.steps {
        Some(_) => reader.newest(&ids, query.range)?.iter().map(Option::is_some).collect(),
        None => reader.last_of_many(&ids, query.range, 1)?.iter().map(|points| !points.is_empty()).collect(),
    };
    let with_points = series.into_iter().zip(has_points).filter(|(_, has_points)| *has_points);
    let series: Vec<StoredSeries> = with_points.map(|(series, _)| series).collect();
    if labels(&series) { Ok(series) } else { Err(ambiguous(&series, views::lasts)) }
}

/// A series, and of each other input the one with its labels; nothing where there is none.
fn with_partners(series: &StoredSeries, others: &[Vec<StoredSeries>]) -> Option<Vec<SeriesId>> {
    let partners = others.iter().map(|input| {
        let partner = input.iter().find(|other| other.def.labels == series.def.labels);
        partner.map(|other| other.id)
    });
    std::iter::once(Some(series.id)).chain(partners).collect()
}

fn metric_history(reader: &Reader, query: &HistoryQuery, vm: Option<&str>) -> Result<History, HistoryError> {
    let series = reader.select(&Selector { metric: query.metric.clone(), matchers: query.matchers(vm) })?;
    let series = match series.as_slice() {
        [] => return Err(HistoryError::Unknown),
        [one] => one,
        several => return Err(ambiguous(several, |_| true)),
    };
    let mut history = History { unit: series.def.metric.unit.to_string(), ..History::default() };
    if let Some(steps) = query.steps {
        let (is_counter, things) = (is_counter(series), [vec![series.id]]);
        let stepped = Stepped { reader, query, steps, view: None, things: &things, is_counter };
        history = stepped.read(history)?;
    } else {
        let points = reader.last(series.id, query.range, query.limit)?;
        history.points = points.into_iter().map(|point| (point.time, point.value)).collect();
    }
    with_gaps(reader, query, &[series.id], history)
}

/// Adds the gaps of the series that a history is made of.
fn with_gaps(
    reader: &Reader,
    query: &HistoryQuery,
    series: &[SeriesId],
    mut history: History,
) -> Result<History, HistoryError> {
    let mut range = query.range;
    // before the oldest point there may be others that the limit cut off: nothing is said of that time
    if let Some((oldest, _)) = history.points.last().filter(|_| history.points.len() >= query.limit) {
        range.from = range.from.max(*oldest);
    }
    for series in series {
        // one more tells whether there are more
        let found = reader.gaps(*series, range, MOST_GAPS + 1)?.into_iter();
        let gap = |gap: Gap| HistoryGap { from: gap.from, to: gap.to, reason: gap.reason.to_string() };
        history.gaps.extend(found.map(gap));
        history.gaps.sort();
        // series have the gaps of the agent and of their collector in common
        history.gaps.dedup();
        if let Some(more) = history.gaps.len().checked_sub(MOST_GAPS).filter(|more| *more > 0) {
            history.gaps_truncated = true;
            drop_oldest(&mut history.gaps, more);
        }
    }
    Ok(history)
}

/// Drops the gaps that ended first.
fn drop_oldest(gaps: &mut Vec<HistoryGap>, count: usize) {
    gaps.sort_by_key(|gap| (gap.to, gap.from));
    gaps.drain(..count);
    gaps.sort();
}

/// Several series are there: tells the labels in which they differ, of those that count.
fn ambiguous(series: &[StoredSeries], counts: impl Fn(&str) -> bool) -> HistoryError {
    HistoryError::Ambiguous {
        labels: views::differing(&series.iter().map(|series| &series.def.labels), counts),
    }
}

#[cfg(test)]
mod tests;
