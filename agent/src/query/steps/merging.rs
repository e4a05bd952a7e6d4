//! Steps of several series of one thing: a file system whose disk got another name in the middle of a step.

use crate::{
    model::Timestamp,
    store::{Aggregate, Steps},
};
use std::collections::BTreeMap;

/// The steps of all series, oldest first. Where several have one step, it is made of their values; where that can't be
/// done, it is left out: then the second is true.
pub(super) fn merged(mut parts: Vec<Steps>, aggregate: Aggregate) -> (Vec<(Timestamp, f64)>, bool) {
    if parts.len() <= 1 {
        return (parts.pop().unwrap_or_default().values, false);
    }
    let mut all: BTreeMap<Timestamp, Option<f64>> = BTreeMap::new();
    for (time, value) in parts.into_iter().flat_map(|steps| steps.values) {
        let together = match all.get(&time) {
            Some(known) => known.and_then(|known| both(known, value, aggregate)),
            None => Some(value),
        };
        all.insert(time, together);
    }
    let mixed = all.values().any(Option::is_none);
    (all.into_iter().filter_map(|(time, value)| Some((time, value?))).collect(), mixed)
}

/// One value of two.
fn both(one: f64, other: f64, aggregate: Aggregate) -> Option<f64> {
    match aggregate {
        Aggregate::Min => Some(one.min(other)),
        Aggregate::Max => Some(one.max(other)),
        Aggregate::Sum | Aggregate::Count | Aggregate::Increase => Some(one + other),
        Aggregate::Avg | Aggregate::Last | Aggregate::Rate | Aggregate::Quantile(_) => None,
    }
}
