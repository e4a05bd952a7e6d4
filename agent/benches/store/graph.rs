//! A graph's points.

use anyhow::Result;
use std::collections::BTreeMap;
use twarga_agent::{
    model::SeriesId,
    store::{AggregateQuery, Reader},
};

/// How many steps of a series have a value. Format 1 has no roll-ups: the means are made of all points.
pub(crate) fn ask(reader: &Reader, series: SeriesId, query: &AggregateQuery) -> Result<usize> {
    let mut steps: BTreeMap<i64, (f64, u32)> = BTreeMap::new();
    for point in reader.last(series, query.range, usize::MAX)? {
        let (sum, count) = steps.entry(point.time.as_millis() / query.step).or_default();
        *sum += point.value;
        *count += 1;
    }
    let means: Vec<f64> = steps.values().map(|(sum, count)| sum / f64::from(*count)).collect();
    Ok(std::hint::black_box(means).len())
}
