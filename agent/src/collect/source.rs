//! What `collect` needs of a collector, however it runs.

use crate::model::{Batch, LocalSeries, OwnThreads, Resets};
use std::time::Duration;
use twarga_plugin_api::Error;

/// What the process of a collector has used since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub resident: u64,
}

/// A running collector: in this process, in a child, or built in.
pub trait Source: Send {
    /// Collects once into a batch that was cleared and stamped. What it put before an error counts.
    ///
    /// # Errors
    /// What the plugin answered.
    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error>;

    /// The next collection alone may take no longer than this, where it can be held to that: one in this process can't.
    fn shorten_next(&mut self, _: Duration) {}

    /// How many series are alive.
    fn live_series(&self) -> usize;

    /// The numbers of the series that are alive.
    fn live_ids(&self) -> Vec<LocalSeries>;

    /// The first number that a successor may give to its series.
    fn next_base(&self) -> LocalSeries;

    /// Numbers its live series anew from `base`, and registers them again with the next batch, as if it had just been made:
    /// nobody knows of what it collected before. The next samples of these series begin their counters anew.
    fn renumber(&mut self, base: LocalSeries, resets: &mut Resets<LocalSeries>);

    /// Samples refused since it was made.
    fn refused(&self) -> u64;

    /// Registrations of series refused since it was made, because it has as many as it may.
    fn refused_series(&self) -> u64 {
        0
    }

    /// Whether its last error is that it was ended at its deadline.
    fn overran(&self) -> bool {
        false
    }

    /// Whether its own process has ended since its last call; never true of a collector in this one.
    fn ended(&self) -> bool {
        false
    }

    /// What its own process has used; nothing of a collector in this one.
    fn usage(&mut self) -> Option<Usage> {
        None
    }
}

/// Makes a collector, at the start and again after it was lost.
pub trait Factory: Send {
    /// Makes it; its series are numbered from `base`.
    ///
    /// # Errors
    /// What the plugin answered.
    fn make(&mut self, base: LocalSeries) -> Result<Box<dyn Source>, Error>;

    /// What the threads in this process have used that its collectors started, also those that it lost or could not make;
    /// nothing where they have processes of their own.
    fn threads(&mut self) -> Option<OwnThreads> {
        None
    }
}
