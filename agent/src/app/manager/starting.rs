//! Whether what a reload has started works: a collector comes to be with its first collection, after the answer would
//! have been given.

use super::Managing;
use crate::{
    config::Diff,
    model::{CollectorId, PluginState},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long first collections are waited for: shorter than a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

impl Managing {
    /// The enabled plugins that did not start, and why: those that could not be loaded, whenever that was,
    /// and those whose first collection since then failed.
    pub(super) async fn failed_to_start(&self, diff: &Diff) -> BTreeMap<String, String> {
        let is_new = |name: &String| {
            diff.started.contains(name) || diff.changed.get(name).is_some_and(|keys| !Diff::only_times(keys))
        };
        let overview = self.overview();
        let new = overview.collectors().filter(|(_, status)| is_new(&status.name)).map(|(id, _)| id);
        let new: Vec<CollectorId> = new.collect();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !new.iter().all(|id| self.collecting.begun(*id)) {
            sleep(LOOK).await;
        }
        let failing = overview.collectors().filter_map(|(_, status)| {
            let counts = status.state == PluginState::Refused || is_new(&status.name);
            let reason = status.failing().filter(|_| counts)?.to_owned();
            Some((status.name, reason))
        });
        overview.enabled_but_refused().chain(failing).collect()
    }
}
