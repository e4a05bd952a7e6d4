//! Whether what a reload has started works: a collector comes to be with its first collection, after the answer would
//! have been given.

use super::Managing;
use crate::{
    config::Diff,
    model::{CollectorId, PluginState, PluginStatus},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long first collections are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a reload takes with them: a request may take 30 s, and for 10 of them its body may have been on its way.
const ALTOGETHER: Duration = Duration::from_secs(18);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Until when first collections are waited for: not at all where the reload itself took all its time.
pub(super) fn patience(began: Instant, applied: Instant) -> Instant {
    (applied + PATIENCE).min(began + ALTOGETHER)
}

impl Managing {
    /// The enabled plugins that did not start, and why: those that could not be loaded, whenever that was,
    /// and those whose first collection since then failed.
    pub(super) async fn failed_to_start(&self, diff: &Diff, until: Instant) -> BTreeMap<String, String> {
        let is_new = |name: &String| {
            diff.started.contains(name) || diff.changed.get(name).is_some_and(|keys| !Diff::only_times(keys))
        };
        let overview = self.overview();
        let new = overview.collectors().filter(|(_, status)| is_new(&status.name)).map(|(id, _)| id);
        let mut awaited: Vec<CollectorId> = new.collect();
        loop {
            awaited.retain(|id| !self.collecting.begun(*id));
            if awaited.is_empty() || Instant::now() >= until {
                break;
            }
            sleep(LOOK).await;
        }
        let failing = overview.collectors().filter_map(|(id, status)| {
            let begun_anew = is_new(&status.name) && !awaited.contains(&id);
            Some((status.name.clone(), why_not_started(&status, begun_anew)?))
        });
        overview.enabled_but_refused().chain(failing).map(|(name, reason)| (name, said(reason))).collect()
    }
}

/// Of a collector that has not begun anew yet, only older failures are known.
fn why_not_started(status: &PluginStatus, begun_anew: bool) -> Option<String> {
    let counts = status.state == PluginState::Refused || begun_anew;
    status.failing().filter(|_| counts).map(str::to_owned)
}

/// A plugin may fail without a word.
fn said(reason: String) -> String {
    if reason.is_empty() { "it gave no reason".into() } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Timestamp, serve::Limits};

    #[test]
    fn a_reload_is_answered_before_its_request_is_given_up() {
        let began = Instant::now();
        let waits = |seconds| {
            let applied = began + Duration::from_secs(seconds);
            patience(began, applied).saturating_duration_since(applied).as_secs()
        };
        assert_eq!([0, 8, 15, 18, 25].map(waits), [10, 10, 3, 0, 0]);
        let limits = Limits::default();
        assert!(ALTOGETHER + LOOK < limits.request - limits.body);
    }

    #[test]
    fn failures_of_before_are_not_told_of_what_has_not_begun() {
        let second = Duration::from_secs(1);
        let mut status = PluginStatus::new("x", "x", PluginState::Running, second, second);
        status.last_error_at = Some(Timestamp::now());
        status.last_error = Some("old".into());
        assert_eq!(why_not_started(&status, false), None);
        assert_eq!(why_not_started(&status, true).as_deref(), Some("old"));
        status.state = PluginState::Refused;
        assert_eq!(why_not_started(&status, false).as_deref(), Some("old"), "until it is mended");
        assert_eq!(said(String::new()), "it gave no reason");
    }
}
