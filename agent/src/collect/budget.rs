//! What a collector may cost, and how its interval is stretched when it costs more. Pure: told the cost of each
//! collection, it says by how much to stretch.
//!
//! So many collections in a row are judged at once ([`WINDOW`]), the dearest left out: one spike proves nothing. Over the
//! budget, the interval is doubled as often as it takes, up to [`LONGEST`] times; well below it, it is halved. Between
//! the two nothing changes, and each change begins a new window, so that the interval does not go to and fro.

use std::time::Duration;

/// Collections that are judged together.
const WINDOW: u32 = 8;
/// The interval is stretched up to so many times: a power of two.
pub(super) const LONGEST: u32 = 16;
/// The interval is halved where that would take no more than this part of the budget.
const COMFORT: f64 = 0.8;

/// How a collector stands to its budget after a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// The share of one processor that it would use at the configured interval.
    pub(super) share: f64,
    /// The interval is so many times the configured one from now on.
    pub(super) stretch: u32,
    /// It was so many times that before.
    pub(super) before: u32,
}

/// A collector's budget and what it used of it.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    /// The share of one processor that it may use, 0 to 1.
    pub(super) most: f64,
    interval: Duration,
    stretch: u32,
    /// Of the window so far: collections, their cost, and that of the dearest.
    collections: u32,
    cost: Duration,
    dearest: Duration,
}

impl Budget {
    /// Of a collector with this interval.
    pub(super) fn new(most: f64, interval: Duration) -> Self {
        let (cost, dearest) = (Duration::ZERO, Duration::ZERO);
        Self { most, interval, stretch: 1, collections: 0, cost, dearest }
    }

    /// The interval is so many times the configured one.
    pub(super) fn stretch(&self) -> u32 {
        self.stretch
    }

    /// A collection cost so much processor time. At the end of a window it is judged.
    pub(super) fn spend(&mut self, cost: Duration) -> Option<Verdict> {
        self.collections += 1;
        self.cost += cost;
        self.dearest = self.dearest.max(cost);
        if self.collections < WINDOW {
            return None;
        }
        let each = (self.cost - self.dearest) / (WINDOW - 1);
        *self = Self { stretch: self.stretch, ..Self::new(self.most, self.interval) };
        let share = each.as_secs_f64() / self.interval.as_secs_f64();
        let (before, stretch) = (self.stretch, self.fitting(share));
        self.stretch = stretch;
        Some(Verdict { share, stretch, before })
    }

    /// By how much to stretch the interval of who would use this share of a processor without.
    fn fitting(&self, share: f64) -> u32 {
        let fits = |stretch: u32, part: f64| share <= part * self.most * f64::from(stretch);
        let mut stretch = self.stretch;
        while stretch < LONGEST && !fits(stretch, 1.0) {
            stretch *= 2;
        }
        if stretch == self.stretch && stretch > 1 && fits(stretch / 2, COMFORT) {
            stretch / 2
        } else {
            stretch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// One percent of a processor at an interval of a second: 10 ms a collection.
    fn budget() -> Budget {
        Budget::new(0.01, SECOND)
    }

    /// The stretch after a window of collections that cost so much each.
    fn after(budget: &mut Budget, each: Duration) -> u32 {
        for _ in 1..WINDOW {
            assert_eq!(budget.spend(each), None, "not judged before the window is full");
        }
        let before = budget.stretch();
        let verdict = budget.spend(each).unwrap();
        assert_eq!((verdict.before, verdict.stretch), (before, budget.stretch()));
        assert!((verdict.share - each.as_secs_f64()).abs() < 1e-9, "{verdict:?}");
        budget.stretch()
    }

    #[test]
    fn who_fits_is_left_alone() {
        let mut budget = budget();
        for cost in [0, 1, 9, 10] {
            assert_eq!(after(&mut budget, millis(cost)), 1, "{cost} ms");
        }
    }

    #[test]
    fn the_interval_is_doubled_until_it_fits() {
        for (cost, stretch) in [(11, 2), (20, 2), (21, 4), (80, 8), (81, 16), (160, 16), (900, 16)] {
            assert_eq!(after(&mut budget(), millis(cost)), stretch, "{cost} ms");
        }
    }

    #[test]
    fn one_spike_changes_nothing_and_two_do() {
        let mut one = budget();
        for at in 0..WINDOW * 3 {
            one.spend(if at % WINDOW == 3 { SECOND } else { millis(9) });
        }
        assert_eq!(one.stretch(), 1);
        let mut two = budget();
        for at in 0..WINDOW {
            two.spend(if at < 2 { SECOND } else { millis(1) });
        }
        assert_eq!(two.stretch(), 16);
    }

    #[test]
    fn it_comes_back_step_by_step() {
        let mut budget = budget();
        assert_eq!(after(&mut budget, millis(150)), 16);
        let way = [8, 4, 2, 1, 1].map(|_| after(&mut budget, millis(1)));
        assert_eq!(way, [8, 4, 2, 1, 1]);
    }

    #[test]
    fn near_the_budget_the_interval_does_not_go_to_and_fro() {
        let mut budget = budget();
        assert_eq!(after(&mut budget, millis(11)), 2);
        for cost in [9, 11, 10, 9, 20, 9] {
            assert_eq!(
                after(&mut budget, millis(cost)),
                2,
                "{cost} ms: half of it is over 80 % of the budget"
            );
        }
        assert_eq!(after(&mut budget, millis(8)), 1);
    }

    #[test]
    fn a_plugin_that_grows_dearer_is_stretched_further() {
        let mut budget = budget();
        let way = [11, 30, 70, 5000].map(|cost| after(&mut budget, millis(cost)));
        assert_eq!(way, [2, 4, 8, 16]);
    }
}
