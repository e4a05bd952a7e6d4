//! Which series are of one thing, so that a view may take them for one: a file system whose disk has another name since
//! the last start. Others must not be taken for one: the counters of two instances of a plugin have nothing to do with
//! each other, and what is made of both is no value of anything.

use crate::model::{Labels, Missing, Snapshot};

/// Labels in which the series of one thing may differ.
const PASSING: [&str; 2] = ["device", "fstype"];

/// Whether a label tells things apart.
pub(crate) fn lasts(key: &str) -> bool {
    !PASSING.contains(&key)
}

/// Whether series with these labels are all of one thing.
pub(crate) fn is_of_one_thing<'a>(mut labels: impl Iterator<Item = &'a Labels>) -> bool {
    fn lasting(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
        labels.iter().filter(|(key, _)| lasts(key))
    }
    labels.next().is_none_or(|first| labels.all(|other| lasting(first).eq(lasting(other))))
}

/// The keys in which series differ, each with the values that there are.
pub(crate) fn differing<'a>(
    series: &(impl Iterator<Item = &'a Labels> + Clone),
    counts: impl Fn(&str) -> bool,
) -> Vec<(String, Vec<String>)> {
    let mut keys: Vec<(&str, Vec<String>)> = Vec::new();
    for (key, value) in series.clone().flat_map(Labels::iter).filter(|(key, _)| counts(key)) {
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) if values.iter().any(|known| known == value) => {}
            Some((_, values)) => values.push(value.to_owned()),
            None => keys.push((key, vec![value.to_owned()])),
        }
    }
    // one value that some series have and others lack tells them apart too
    keys.retain(|(key, values)| values.len() > 1 || series.clone().any(|labels| labels.get(key).is_empty()));
    keys.sort();
    keys.into_iter().map(|(key, values)| (key.to_owned(), values)).collect()
}

/// Places among the series of a metric, and indices.
type Found = (usize, usize);

fn labels_of(
    snapshot: &Snapshot,
    found: impl Iterator<Item = Found> + Clone,
) -> impl Iterator<Item = &Labels> + Clone {
    found.filter_map(|(_, index)| snapshot.catalog.series.get(index)).map(|live| &live.def.labels)
}

/// An error where live series are of several things, which says how they differ: `ambiguous: instance a, b`.
pub(super) fn refuse_several(
    snapshot: &Snapshot,
    found: impl Iterator<Item = Found> + Clone,
) -> Result<(), Missing> {
    let labels = labels_of(snapshot, found);
    if is_of_one_thing(labels.clone()) {
        return Ok(());
    }
    let differ = differing(&labels, lasts);
    let each = differ.into_iter().map(|(key, values)| format!("{key} {}", values.join(", ")));
    let text = format!("ambiguous: {}", each.collect::<Vec<_>>().join("; "));
    Err(Missing::Unavailable(text.into()))
}

/// Live series of several things, thing by thing, with the labels that tell the things apart. Nothing where all are of
/// one.
pub(super) fn things(
    snapshot: &Snapshot,
    found: impl Iterator<Item = Found> + Clone,
) -> Option<Vec<(Labels, Vec<Found>)>> {
    if is_of_one_thing(labels_of(snapshot, found.clone())) {
        return None;
    }
    let differ = differing(&labels_of(snapshot, found.clone()), lasts);
    let mut things: Vec<(Labels, Vec<Found>)> = Vec::new();
    for (place, index) in found {
        let Some(live) = snapshot.catalog.series.get(index) else { continue };
        let labels = Labels::new(differ.iter().map(|(key, _)| (key, live.def.labels.get(key))));
        match things.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, all)) => all.push((place, index)),
            None => things.push((labels, vec![(place, index)])),
        }
    }
    Some(things)
}
