//! Runs collectors on time: aligned ticks, deadlines, back-off, and the status of each.
//!
//! `cadence` says when, `coverage` which ticks have samples or a reason, `health` how often after failures, `budget` how
//! often for what it costs, `clock` whether the wall clock jumped (all pure); `cost` measures, `job` runs one collection, `roster` knows who is due, in a call or not running, `lanes` are the threads.

mod budget;
mod cadence;
mod clock;
mod cost;
mod coverage;
mod health;
mod job;

mod lanes;
mod outbox;
mod roster;
mod source;

pub use cadence::{Cadence, host_offset};
pub use clock::{ClockReading, ClockWatch, Steps};
pub use job::{JobOptions, NotTaken, Successor, Times, Upgrade, UpgradeTold};
pub use lanes::{Answer, CollectError, Collecting, Output, PRIMING_PAUSE};
pub use roster::{Change, Unchanged};
pub use source::{Factory, Source, Usage};
