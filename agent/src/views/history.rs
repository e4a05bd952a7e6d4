//! The history of a view, from the points of its series.

use super::{Source, View, percent};
use crate::{
    model::Timestamp,
    store::{Aggregate, Point},
};

/// Milliseconds that a rate is made over at least. A collection on demand may come just beside a scheduled one: over so
/// little time, the few bytes that both happened to see would make a wild rate.
const SHORTEST: i64 = 50;

/// How the steps of a view come about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Folding {
    /// The steps of its one series under this aggregate, times a factor.
    Scaled(Aggregate, f64),
    /// 100 × the mean of the first series over the mean of the second.
    PercentOfMeans,
    /// The view's own values, which are made of samples, are folded.
    Values,
}

impl View {
    /// How steps of the view come about under an aggregate.
    pub fn folding(&self, aggregate: Aggregate) -> Folding {
        match (self.from, aggregate) {
            (Source::Scaled(..), Aggregate::Count) => Folding::Scaled(aggregate, 1.0),
            (Source::Scaled(_, factor), _) => Folding::Scaled(aggregate, factor),
            (Source::Rate(_, factor), Aggregate::Avg) => Folding::Scaled(Aggregate::Rate, factor),
            (Source::Percent(..), Aggregate::Avg) => Folding::PercentOfMeans,
            (Source::Rate(..) | Source::Percent(..), _) => Folding::Values,
        }
    }

    /// 100 × the first over the second at the times that both have; where the second is not positive there is none.
    pub fn percents(parts: &[(Timestamp, f64)], wholes: &[(Timestamp, f64)]) -> Vec<(Timestamp, f64)> {
        let of_part = |(time, part): &(Timestamp, f64)| {
            let at = wholes.binary_search_by_key(time, |(time, _)| *time).ok()?;
            percent(*part, wholes[at].1).ok().map(|value| (*time, value))
        };
        parts.iter().filter_map(of_part).collect()
    }

    /// How many points of each series to read for `limit` points of the view: a rate takes two, and some are lost at
    /// resets and restarts. Too few only make the answer shorter.
    pub fn points_needed(&self, limit: usize) -> usize {
        match self.from {
            Source::Scaled(..) => limit,
            Source::Rate(..) | Source::Percent(..) => limit.saturating_add(limit / 16).saturating_add(16),
        }
    }

    /// The newest `limit` values, unrounded, newest first; of the points of each of [`inputs`](View::inputs), newest
    /// first.
    ///
    /// A rate stands at the later of its two points, which must be of one run, without a reset or a fall between, and
    /// the nearest that are 50 ms apart or more. A ratio stands where both series have a point of the same time.
    pub fn history(&self, points: &[Vec<Point>], limit: usize) -> Vec<(Timestamp, f64)> {
        match (self.from, points) {
            (Source::Scaled(_, factor), [points]) => {
                points.iter().take(limit).map(|point| (point.time, point.value * factor)).collect()
            }
            (Source::Rate(_, factor), [points]) => {
                let rates = (0..points.len()).filter_map(|at| rate(&points[at..]));
                rates.map(|(time, rate)| (time, rate * factor)).take(limit).collect()
            }
            (Source::Percent(..), [parts, wholes]) => joined(parts, wholes).take(limit).collect(),
            _ => Vec::new(),
        }
    }
}

/// The increase per second up to the newest of the points, at its time.
fn rate(points: &[Point]) -> Option<(Timestamp, f64)> {
    let (last, earlier) = points.split_first()?;
    let mut later = last;
    for point in earlier {
        if point.run != later.run || later.reset || later.value < point.value {
            return None;
        }
        let millis = last.time.millis_since(point.time);
        if millis >= SHORTEST {
            return Some((last.time, (last.value - point.value) / (millis as f64 / 1000.0)));
        }
        later = point;
    }
    None
}

/// Percent at the times that both have. The two are in the order of the writing, and a run's times only rise: so a
/// run that one of them has no points of is passed over, and within a run the later one waits for the other.
fn joined<'a>(parts: &'a [Point], wholes: &'a [Point]) -> impl Iterator<Item = (Timestamp, f64)> + 'a {
    let mut wholes = wholes.iter().copied().peekable();
    parts.iter().filter_map(move |part| {
        let key = |point: &Point| (point.run, point.time);
        while wholes.next_if(|whole| key(whole) > key(part)).is_some() {}
        let whole = wholes.next_if(|whole| key(whole) == key(part))?;
        percent(part.value, whole.value).ok().map(|value| (part.time, value))
    })
}
