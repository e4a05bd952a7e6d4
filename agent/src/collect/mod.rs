//! Runs collectors on time: aligned ticks, deadlines, back-off, and the status of each.
//!
//! `cadence` says when, `health` how often after failures, `clock` whether the wall clock jumped (all pure); `job` runs
//! one collection, `lanes` are the threads that do it.

mod cadence;
mod clock;
mod health;
mod job;
mod lanes;
mod outbox;
mod source;

pub use cadence::{Cadence, host_offset};
pub use clock::{ClockReading, ClockWatch, Steps};
pub use job::JobOptions;
pub use lanes::{Answer, CollectError, Collecting, Output, PRIMING_PAUSE};
pub use source::{Factory, Source};
