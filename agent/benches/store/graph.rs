//! A graph's points.

use anyhow::Result;
use twarga_agent::{
    model::SeriesId,
    store::{AggregateQuery, Reader},
};

/// How many steps of a series have a value.
pub(crate) fn ask(reader: &Reader, series: SeriesId, query: &AggregateQuery) -> Result<usize> {
    let steps = std::hint::black_box(reader.aggregate(&[series], query)?);
    Ok(steps.iter().map(|steps| steps.values.len()).sum())
}
