//! What a plugin's process says, said again to the agent's own tables. They believe nothing of it.

use super::{
    super::intake::{Intake, error_of},
    frames::{Call, Calls, Frame, FrameError, decode},
};
use crate::model::Batch;
use abi_stable::std_types::RStr;
use std::sync::Once;
use twarga_plugin_api::{
    Error,
    abi::{RawError, services::HostServices},
};

/// The agent's side of one process.
pub(super) struct Replay {
    pub(super) intake: Intake,
    /// What the child refused by itself.
    refused_samples: u64,
    refused_series: u64,
    /// Series that the child has and the agent refused.
    disputed: usize,
}

impl Replay {
    pub(super) fn new(intake: Intake) -> Self {
        Self { intake, refused_samples: 0, refused_series: 0, disputed: 0 }
    }

    /// Samples refused by both.
    pub(super) fn refused(&self) -> u64 {
        self.intake.refused().total().saturating_add(self.refused_samples)
    }

    /// Registrations refused by both.
    pub(super) fn refused_series(&self) -> u64 {
        self.intake.table.refused.saturating_add(self.refused_series)
    }

    /// Takes an answer; the plugin's error, or what is wrong with the answer.
    pub(super) fn take(&mut self, frame: &[u8], batch: Option<&mut Batch>) -> Result<Option<Error>, String> {
        let understood = |error: FrameError| format!("what it sent can't be understood: {error}");
        let Frame::Answer(answer) = decode(frame).map_err(understood)? else {
            return Err("what it sent is no answer".into());
        };
        confined_once(answer.confined);
        self.replay(answer.calls)?;
        self.intake.table.said.unlogged += answer.unlogged as usize;
        self.refused_samples = self.refused_samples.max(answer.refused_samples);
        self.refused_series = self.refused_series.max(answer.refused_series);
        if let Some(batch) = batch {
            self.intake.take_samples(answer.samples.iter(), batch);
            self.intake.take_said(batch);
        }
        Ok(answer.error.map(|(kind, message, location)| {
            error_of(RawError { kind, message: message.into(), location: location.into() })
        }))
    }

    /// Says to the agent's table what the plugin said to the child's. Both count alike, so that an id means the same
    /// series in both; what the agent refuses is left out of its count.
    fn replay(&mut self, calls: Calls<'_>) -> Result<(), String> {
        let table = &mut *self.intake.table;
        for call in calls {
            match call.map_err(|error| format!("what it sent can't be understood: {error}"))? {
                Call::Metric { id, metric } => {
                    expect("family", id, table.next_family())?;
                    match table.metric(&metric) {
                        Ok(known) => expect("family", known, id)?,
                        Err(refused) => {
                            table.log(1, &refused);
                            table.skip_family().ok_or("it declares too many metrics")?;
                        }
                    }
                }
                Call::Series { id, metric, labels } => {
                    expect("series", id, table.next_id())?;
                    let labels: Vec<RStr<'_>> = labels.map(RStr::from_str).collect();
                    match table.series(metric, &labels) {
                        Ok(known) => expect("series", known, id)?,
                        Err(refused) => {
                            table.log(1, &refused);
                            table.skip_id();
                            self.disputed += 1;
                        }
                    }
                    if self.disputed > table.max_series() {
                        return Err("it registers series that are refused, again and again".into());
                    }
                }
                Call::Retire(series) => table.retire(series),
                Call::Unavailable { series, reason } => table.unavailable(series, reason),
                Call::Log { level, message } => table.log(level, message),
                Call::BatchTime(time) => table.batch_time(time),
            }
        }
        Ok(())
    }
}

/// Ids are given in turn by child and agent alike.
fn expect(what: &str, said: u32, expected: u32) -> Result<(), String> {
    match said == expected {
        true => Ok(()),
        false => Err(format!("it says {what} {said} where {expected} comes next")),
    }
}

/// Says once that the kernel can't keep plugins from writing.
fn confined_once(confined: bool) {
    static TOLD: Once = Once::new();
    if !confined {
        TOLD.call_once(|| {
            tracing::info!("this kernel has no Landlock: isolated plugins can write wherever their user may");
        });
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
