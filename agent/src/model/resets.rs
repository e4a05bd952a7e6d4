//! Resets of counters whose samples were dropped. They go on with the next sample of the series: without them the rate to
//! it would pair two lives of the counter.

use std::{collections::HashSet, hash::Hash};

/// Series whose next sample begins a counter anew.
#[derive(Clone, Debug)]
pub struct Resets<S>(HashSet<S>);

impl<S> Default for Resets<S> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<S: Copy + Eq + Hash> Resets<S> {
    /// Keeps the resets of dropped samples.
    pub fn keep(&mut self, series: impl IntoIterator<Item = S>) {
        self.0.extend(series);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the next sample of a series, which this is, begins a counter anew.
    pub fn take(&mut self, series: S) -> bool {
        !self.0.is_empty() && self.0.remove(&series)
    }

    /// All series of which this holds ended.
    pub fn forget_all(&mut self, ended: impl Fn(&S) -> bool) {
        self.0.retain(|series| !ended(series));
    }

    /// The series ended, or its number means another one now.
    pub fn forget(&mut self, series: S) {
        self.0.remove(&series);
    }
}
