//! Histories in steps: one value for each minute, five minutes, hour …

mod merging;

use super::{History, HistoryError, HistoryQuery};
use crate::{
    model::{SeriesId, Timestamp},
    store::{Aggregate, AggregateQuery, Folder, LeftOut, Point, Range, Reader, Steps, Tier, step_of},
    views::{Folding, View},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The most steps that an answer goes over, empty ones included.
pub const MOST_STEPS: usize = 11_000;
/// The most samples of a series that a view's own values are made of for an answer: 24 MB.
const MOST_SAMPLES: usize = 1_000_000;
/// The longest step: as long as the longest retention.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// Which steps are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepQuery {
    /// How long each is: whole milliseconds, at least one.
    pub length: Duration,
    /// What becomes of the samples of each; by default the rate of a counter, and the mean of anything else.
    pub aggregate: Option<Aggregate>,
}

/// What the steps of an answer are.
#[derive(Clone, Debug, PartialEq)]
pub struct StepInfo {
    /// How long each is.
    pub length: Duration,
    /// What became of the samples.
    pub aggregate: Aggregate,
    /// The coarsest tier that was read; nothing where there was no data.
    pub tier: Option<Tier>,
    /// Why steps are left out though they have samples.
    pub unavailable: Option<String>,
}

/// A text that is no length of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length of time from 1ms to 36500d, such as 30s, 5m, 1h or 1d, or a number of seconds")]
pub struct BadStep;

/// Reads `5m`, `250ms`, `1.5h`, or a number of seconds.
///
/// # Errors
/// Something else, or out of bounds.
pub fn parse_step(text: &str) -> Result<Duration, BadStep> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "ms" => 1.0,
        "" | "s" => 1000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        "w" => 604_800_000.0,
        _ => return Err(BadStep),
    };
    // of digits and a point alone, so neither negative nor NaN
    let millis = (number.parse::<f64>().map_err(|_| BadStep)? * unit).round();
    if !(1.0..=LONGEST.as_millis() as f64).contains(&millis) {
        return Err(BadStep);
    }
    Ok(Duration::from_millis(millis as u64))
}

/// Why there is no answer, and what would do.
pub(super) fn too_many(step: &Duration, enough: &Option<Duration>) -> String {
    let what = match enough {
        Some(enough) => format!("use a step of {} or more, or a shorter time", written(*enough)),
        None => "use a longer step, or say from when on".to_owned(),
    };
    format!("more than {MOST_STEPS} steps of {} lie in the time asked for: {what}", written(*step))
}

/// As [`parse_step`] reads it.
fn written(step: Duration) -> String {
    if step.subsec_millis() == 0 { format!("{}s", step.as_secs()) } else { format!("{}ms", step.as_millis()) }
}

/// A history in steps, about to be read.
pub(super) struct Stepped<'a> {
    pub(super) reader: &'a Reader,
    pub(super) query: &'a HistoryQuery,
    pub(super) steps: StepQuery,
    pub(super) view: Option<&'a View>,
    /// The series of one thing, one after the other under different labels; each with its partners.
    pub(super) things: &'a [Vec<SeriesId>],
    /// Whether the values are a counter's.
    pub(super) is_counter: bool,
}

/// Steps of a window of time.
#[derive(Debug, Default)]
struct Found {
    /// Oldest first.
    values: Vec<(Timestamp, f64)>,
    tier: Option<Tier>,
    unavailable: Option<String>,
}

impl Stepped<'_> {
    /// Reads the newest steps into a history.
    pub(super) fn read(&self, history: History) -> Result<History, HistoryError> {
        let default = if self.is_counter { Aggregate::Rate } else { Aggregate::Avg };
        let aggregate = self.steps.aggregate.unwrap_or(default);
        if aggregate.of_counters_only() && !self.is_counter && !self.things.is_empty() {
            return Err(HistoryError::NotACounter(aggregate));
        }
        let found = self.newest(aggregate)?;
        let length = self.steps.length;
        let steps = StepInfo { length, aggregate, tier: found.tier, unavailable: found.unavailable };
        let mut points = found.values;
        points.reverse();
        points.truncate(self.query.limit);
        Ok(History { unit: unit(&history.unit, aggregate), points, steps: Some(steps), ..history })
    }

    /// The newest steps with values, as many as are asked for or more; so many that lie side by side first.
    fn newest(&self, aggregate: Aggregate) -> Result<Found, HistoryError> {
        let step = millis(self.steps.length);
        let first = step_of(self.query.range.from.as_millis(), step);
        let end = step_of(self.query.range.to.as_millis(), step).saturating_add(step - 1);
        let Some(newest) = self.newest_data(first, end)? else { return Ok(Found::default()) };
        let last = step_of(newest, step);
        let limit = self.query.limit.min(MOST_STEPS);
        let mut windows = vec![limit, MOST_STEPS];
        windows.dedup();
        for steps in windows {
            let reach = step.saturating_mul(i64::try_from(steps).unwrap_or(i64::MAX) - 1);
            let from = first.max(last.saturating_sub(reach));
            let range = Range { from: Timestamp::from_millis(from), to: Timestamp::from_millis(last) };
            let found = self.window(AggregateQuery { range, step, aggregate })?;
            if found.values.len() >= limit || from <= first {
                return Ok(found);
            }
            if steps == MOST_STEPS && self.newest_data(first, from.saturating_sub(1))?.is_none() {
                return Ok(found);
            }
        }
        Err(HistoryError::TooManySteps { step: self.steps.length, enough: self.enough(newest) })
    }

    /// When the newest data of any of the series is, in milliseconds.
    fn newest_data(&self, from: i64, to: i64) -> Result<Option<i64>, HistoryError> {
        let range = Range { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) };
        let newest = self.reader.newest(&self.things.concat(), range)?;
        Ok(newest.into_iter().flatten().max().map(Timestamp::as_millis))
    }

    /// A step that would do for the time up to the newest data: whole seconds, where it is longer than one.
    fn enough(&self, newest: i64) -> Option<Duration> {
        let from = self.query.range.from;
        let long = u64::try_from(Timestamp::from_millis(newest).millis_since(from)).ok()?;
        let least = long.div_ceil(MOST_STEPS as u64 - 2);
        let least = if least > 1000 { least.next_multiple_of(1000) } else { least };
        // without a beginning, or with one before everything, no step is told
        Some(Duration::from_millis(least)).filter(|least| *least <= LONGEST)
    }

    fn window(&self, query: AggregateQuery) -> Result<Found, HistoryError> {
        match self.view.map_or(Folding::Scaled(query.aggregate, 1.0), |view| view.folding(query.aggregate)) {
            Folding::Scaled(aggregate, factor) => self.of_series(&query, |ids| {
                let steps = self.aggregate(&ids[..1], AggregateQuery { aggregate, ..query })?.remove(0);
                let values = steps.values.iter().map(|(time, value)| (*time, value * factor)).collect();
                Ok(Steps { values, ..steps })
            }),
            Folding::PercentOfMeans => self.of_series(&query, |ids| {
                let both = self.aggregate(ids, query)?;
                let [part, whole] = both.as_slice() else { return Ok(Steps::default()) };
                Ok(Steps {
                    values: View::percents(&part.values, &whole.values),
                    tier: part.tier.max(whole.tier),
                    left_out: part.left_out.or(whole.left_out),
                })
            }),
            Folding::Values => self.of_values(&query),
        }
    }

    /// One answer for each of the series.
    fn aggregate(&self, ids: &[SeriesId], query: AggregateQuery) -> Result<Vec<Steps>, HistoryError> {
        let steps = self.reader.aggregate(ids, &query)?;
        debug_assert_eq!(steps.len(), ids.len(), "one answer a series");
        Ok(steps)
    }

    /// Of each of the things' series, and of all of them together.
    fn of_series(
        &self,
        query: &AggregateQuery,
        steps_of: impl Fn(&[SeriesId]) -> Result<Steps, HistoryError>,
    ) -> Result<Found, HistoryError> {
        let parts = self.things.iter().map(|ids| steps_of(ids)).collect::<Result<Vec<Steps>, _>>()?;
        let tier = parts.iter().filter_map(|steps| steps.tier).max();
        let left_out = parts.iter().find_map(|steps| steps.left_out);
        let mut unavailable = left_out.map(|why| reason(query, why));
        let (values, mixed) = merging::merged(parts, query.aggregate);
        if mixed {
            unavailable.get_or_insert_with(|| {
                format!("a step in which a series followed another one has no {}", query.aggregate)
            });
        }
        Ok(Found { values, tier, unavailable })
    }

    /// Folds the values that the view has of samples. Where samples are over, it has none.
    fn of_values(&self, query: &AggregateQuery) -> Result<Found, HistoryError> {
        let Some(view) = self.view else { return Ok(Found::default()) };
        let mut found = Found::default();
        let mut values: Vec<(Timestamp, f64)> = Vec::new();
        // steps not all of whose samples are there
        let mut partial: BTreeSet<Timestamp> = BTreeSet::new();
        for ids in self.things {
            let points = self.samples(view, ids, query)?;
            for (id, points) in ids.iter().zip(&points) {
                let missing = self.missing(*id, query, points)?;
                found.tier = found.tier.max(missing.tier);
                if let Some(why) = missing.why {
                    found.unavailable.get_or_insert(why);
                }
                partial.extend(missing.steps);
            }
            values.extend(view.history(&points, usize::MAX));
        }
        values.sort_by_key(|(time, _)| *time);
        let mut folder = Folder::new(query, false);
        for (time, value) in values {
            // what is a rate already is paired with nothing: run and reset don't matter
            folder.push(&Point { time, value, reset: false, run: 0 });
        }
        let steps = folder.finish();
        if let Some(why) = steps.left_out {
            found.unavailable.get_or_insert_with(|| reason(query, why));
        }
        found.values = steps.values;
        found.values.retain(|(time, _)| !partial.contains(time));
        Ok(found)
    }

    /// The samples of whole steps, newest first, and those before that the first rate takes.
    fn samples(
        &self,
        view: &View,
        ids: &[SeriesId],
        query: &AggregateQuery,
    ) -> Result<Vec<Vec<Point>>, HistoryError> {
        let from = Timestamp::from_millis(step_of(query.range.from.as_millis(), query.step));
        let to = Timestamp::from_millis(query.range.to.as_millis().saturating_add(query.step - 1));
        super::points_of(self.reader, view, ids, Range { from, to }, MOST_SAMPLES)
    }

    /// Which steps have more samples than were read of a series: of those that are left in roll-ups alone.
    fn missing(
        &self,
        id: SeriesId,
        query: &AggregateQuery,
        points: &[Point],
    ) -> Result<Missing, HistoryError> {
        let count = AggregateQuery { aggregate: Aggregate::Count, ..*query };
        let stored = self.aggregate(&[id], count)?.remove(0);
        let mut missing = Missing { tier: stored.tier, why: None, steps: Vec::new() };
        let cut = points.len() >= MOST_SAMPLES;
        let Some(tier) = stored.tier.filter(|tier| *tier > Tier::Raw || cut) else { return Ok(missing) };
        let mut folder = Folder::new(&count, false);
        points.iter().rev().for_each(|point| folder.push(point));
        let read: BTreeMap<Timestamp, f64> = folder.finish().values.into_iter().collect();
        // meanwhile the newest step may have got more
        let last = Timestamp::from_millis(step_of(query.range.to.as_millis(), query.step));
        let gone = |(time, count): &(Timestamp, f64)| {
            *time != last && read.get(time).is_none_or(|read| read < count)
        };
        missing.steps = stored.values.iter().filter(|step| gone(step)).map(|(time, _)| *time).collect();
        if cut {
            let why = format!("made of the newest {MOST_SAMPLES} samples: choose a shorter time");
            missing.why = Some(why);
        } else if let Some(why) = stored.left_out {
            missing.why = Some(reason(query, why));
        } else if !missing.steps.is_empty() {
            missing.why = Some(reason(query, LeftOut::RolledUp(tier)));
        }
        Ok(missing)
    }
}

/// What is not there of a series.
struct Missing {
    tier: Option<Tier>,
    why: Option<String>,
    /// The beginnings of steps.
    steps: Vec<Timestamp>,
}

/// For people.
fn reason(query: &AggregateQuery, why: LeftOut) -> String {
    let aggregate = query.aggregate;
    match why {
        LeftOut::RolledUp(tier) => {
            format!(
                "{aggregate} needs samples: steps of which only roll-ups of {} are kept are left out",
                tier.word()
            )
        }
        LeftOut::TooCoarse(tier) => {
            let tier = tier.word();
            format!(
                "steps of which only roll-ups of {tier} are kept must be multiples of {tier}: they are left out"
            )
        }
        LeftOut::TooMany => format!("{aggregate} of so many samples is too much: choose a shorter step"),
    }
}

/// The unit of an aggregate of values of a unit.
fn unit(unit: &str, aggregate: Aggregate) -> String {
    match (aggregate, unit) {
        (Aggregate::Count, _) => "1".into(),
        (Aggregate::Rate, "" | "1") => "1/s".into(),
        (Aggregate::Rate, unit) => format!("{unit}/s"),
        (_, unit) => unit.into(),
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1)
}
