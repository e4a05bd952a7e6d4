//! How much the writer keeps in memory: for tests that watch it over a long time.

use super::Store;

/// Entries of the writer's structures.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Groups in memory.
    pub groups: usize,
    /// Series in these.
    pub series: usize,
    /// Series whose place is known.
    pub stays: usize,
    /// Places that the file does not know to be left yet.
    pub left: usize,
    /// Series that wait for a place.
    pub homeless: usize,
    /// Counters whose last sealed samples are known.
    pub tails: usize,
    /// Series whose collector is known.
    pub owners: usize,
    /// Whether there are blocks to be made.
    pub sealing: bool,
}

impl Store {
    /// How much is kept in memory.
    #[doc(hidden)]
    pub fn sizes(&self) -> Sizes {
        Sizes { owners: self.owners.len(), ..self.samples.sizes() }
    }
}
