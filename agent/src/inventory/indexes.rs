//! Which lists of machines were read. A machine that nobody tells of is destroyed, unless the list that it stood in could
//! not be read: a broken file, a home that is not mounted yet.

use crate::model::{Snapshot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A gauge of a collector of machines, with the label `owner`: 1 where that user's list was read, else 0. Without a
/// series, there is no such list, or nobody can see it.
const METRIC: &str = "vm_index_read";

/// Under this name the store keeps whose lists were ever read.
pub(super) const KEPT: &str = "machines.indexes";

/// A list that was not read for so long is not waited for any more.
const FORGOTTEN: i64 = 30 * 24 * 3_600_000;

/// The owners, and when their lists were last read, in milliseconds since 1970.
type Owners = BTreeMap<String, i64>;

#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// By the collector's name.
    ever_read: BTreeMap<String, Owners>,
    read: BTreeMap<String, BTreeSet<String>>,
    /// The lists that are there and could not be read.
    unread: BTreeMap<String, BTreeSet<String>>,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct Kept(BTreeMap<String, Owners>);

impl Indexes {
    /// From what was kept; what can't be read is as good as nothing.
    pub(super) fn load(kept: Option<&str>) -> Self {
        let kept: Option<Kept> = kept.and_then(|text| serde_json::from_str(text).ok());
        Self { ever_read: kept.map_or_else(BTreeMap::new, |kept| kept.0), ..Self::default() }
    }

    /// What the store should keep, where that changed; with `all`, the times too.
    pub(super) fn take_changes(&mut self, all: bool) -> Option<String> {
        let keep = std::mem::take(&mut self.changed) || (all && !self.ever_read.is_empty());
        // of texts and numbers alone: can always be written as JSON
        keep.then(|| serde_json::to_string(&Kept(self.ever_read.clone())).ok()).flatten()
    }

    /// Reads the last word of each collector on its lists, however old it is: one that has fallen silent has read nothing
    /// since.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, now: Timestamp) {
        for owners in self.read.values_mut().chain(self.unread.values_mut()) {
            owners.clear();
        }
        let catalog = &snapshot.catalog;
        for &index in catalog.of_metric(METRIC) {
            let (Some(live), Some(latest)) = (catalog.series.get(index), snapshot.latest.get(index)) else {
                continue;
            };
            let Some(collector) = catalog.collectors.get(live.collector.0 as usize) else { continue };
            let (collector, owner) = (collector.name.to_string(), live.def.labels.get("owner").to_owned());
            let told = if latest.value == Ok(1.0) { &mut self.read } else { &mut self.unread };
            told.entry(collector).or_default().insert(owner);
        }
        self.remember(now.as_millis());
    }

    fn remember(&mut self, now: i64) {
        for (collector, owners) in &self.read {
            for owner in owners {
                let known = self.ever_read.entry(collector.clone()).or_default();
                self.changed |= known.insert(owner.clone(), now).is_none();
            }
        }
        for (collector, owners) in &mut self.ever_read {
            // only beside others that are read: a clock that was set forward makes nobody forgotten by itself
            if self.read.get(collector).is_some_and(|read| !read.is_empty()) {
                let before = owners.len();
                owners.retain(|_, read| now - *read < FORGOTTEN);
                self.changed |= owners.len() != before;
            }
        }
    }

    /// Whether a machine of this owner, which the collector does not tell of, may stand in a list that was not read. Of
    /// an owner without a list of that name, any one may be it.
    pub(super) fn may_hide(&self, collector: &str, owner: Option<&str>) -> bool {
        let is_told = |told: &BTreeMap<String, BTreeSet<String>>, owner: &str| {
            told.get(collector).is_some_and(|owners| owners.contains(owner))
        };
        let unread = self.unread.get(collector).is_some_and(|owners| !owners.is_empty());
        let known = self.ever_read.get(collector);
        if let Some(owner) = owner {
            if is_told(&self.unread, owner) {
                return true;
            }
            if known.is_some_and(|owners| owners.contains_key(owner)) {
                return !is_told(&self.read, owner);
            }
        }
        unread || known.is_some_and(|owners| owners.keys().any(|owner| !is_told(&self.read, owner)))
    }
}
