//! Tells of a full disk: when it begins to cost history, and when it is over.

use super::{
    backlog::{Notes, Now},
    stats::Stats,
};
use crate::model::{Event, Severity};
use std::time::Duration;

/// What was told of the disk.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Since when it is full, and how many samples that has cost so far.
    full: Option<(Duration, u64)>,
}

impl Space {
    /// Looks once a round; `lost` is how many samples the full disk has cost, nothing while there is room. Adds what is
    /// worth telling to the next transaction.
    pub(super) fn look(&mut self, lost: Option<u64>, now: Now, stats: &Stats, notes: &mut Notes) {
        stats.disk_full.set(usize::from(lost.is_some()));
        match (lost, self.full) {
            (Some(lost), before) => {
                let (since, known) = before.unwrap_or((now.monotonic, 0));
                stats.expired.add(usize::try_from(lost.saturating_sub(known)).unwrap_or(usize::MAX));
                self.full = Some((since, lost));
                if before.is_none() {
                    tracing::error!("the disk is full; the oldest history is deleted to keep the newest");
                    notes.events.push(event(
                        "store_full",
                        Severity::Critical,
                        "The disk is full; the oldest history is deleted to keep the newest".into(),
                        serde_json::json!({ "source": "ingest" }),
                        now,
                    ));
                }
            }
            (None, Some((since, lost))) => {
                self.full = None;
                let seconds = now.monotonic.saturating_sub(since).as_secs();
                tracing::info!(seconds, lost, "there is room on the disk again");
                notes.events.push(event(
                    "store_recovered",
                    Severity::Info,
                    format!("There is room on the disk again after {seconds} s; {lost} samples were deleted"),
                    serde_json::json!({ "source": "ingest", "seconds": seconds, "deleted_samples": lost }),
                    now,
                ));
            }
            (None, None) => {}
        }
    }
}

fn event(kind: &str, severity: Severity, message: String, details: serde_json::Value, now: Now) -> Event {
    Event { kind: kind.into(), severity, message, details, time: now.wall, vm_id: None }
}
