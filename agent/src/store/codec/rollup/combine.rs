//! Several finer buckets as one.

use super::{Counter, Gauge};

/// The finest decimal place that sums are kept on.
const GRID: f64 = 1e6;
/// How far from the grid, relative to itself, a sum may lie through rounding alone.
const ROUNDING: f64 = 1e-9;

impl Gauge {
    /// This bucket and a newer one as one. Sums of decimal fractions stay decimal fractions.
    #[must_use]
    pub fn combine(self, newer: Gauge) -> Gauge {
        Gauge {
            count: self.count.saturating_add(newer.count),
            sum: on_grid(self.sum + newer.sum),
            min: self.min.min(newer.min),
            max: self.max.max(newer.max),
            last: newer.last,
        }
    }
}

impl Counter {
    /// This bucket and a newer one as one. What lies between the two is the newer one's.
    #[must_use]
    pub fn combine(self, newer: Counter) -> Counter {
        Counter {
            count: self.count.saturating_add(newer.count),
            increase: on_grid(self.increase + newer.increase),
            covered: self.covered.saturating_add(newer.covered),
            last: newer.last,
        }
    }
}

/// A sum rounded to six decimal places, unless that changes it by more than adding up floats does. Keeps the sums of
/// short decimal fractions short.
pub fn on_grid(sum: f64) -> f64 {
    let rounded = (sum * GRID).round() / GRID;
    // NaN and infinity fail the comparison
    if (rounded - sum).abs() <= sum.abs() * ROUNDING { rounded } else { sum }
}
