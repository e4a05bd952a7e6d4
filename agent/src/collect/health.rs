//! How a collector that fails is left alone for longer and longer, and how it comes back.

use std::time::Duration;

/// So many failures in a row are tried again at once, at the next tick.
const PATIENCE: u32 = 3;
/// From so many in a row on, the collector is quarantined.
const QUARANTINE_AFTER: u32 = 10;
/// The longest back-off.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// Time between two tries in quarantine.
const QUARANTINE: Duration = Duration::from_secs(600);

/// When to try a failing collector again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// At the next tick.
    NextTick,
    /// Not before this time has passed.
    BackOff(Duration),
    /// The same, after many failures.
    Quarantine(Duration),
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    failures: u32,
}

impl Health {
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(super) fn failed(&mut self, interval: Duration) -> Retry {
        self.failures = self.failures.saturating_add(1);
        self.retry(interval)
    }

    /// As after the last failure that counted.
    pub(super) fn retry(self, interval: Duration) -> Retry {
        if self.failures < PATIENCE {
            return Retry::NextTick;
        }
        if self.failures >= QUARANTINE_AFTER {
            return Retry::Quarantine(QUARANTINE.max(interval));
        }
        let doubled = interval.saturating_mul(1 << (self.failures - PATIENCE + 1));
        Retry::BackOff(doubled.min(LONGEST_BACK_OFF).max(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_and_comes_back() {
        let mut health = Health::default();
        let second = Duration::from_secs(1);
        assert_eq!([health.failed(second), health.failed(second)], [Retry::NextTick; 2]);
        for exponent in 1..=7 {
            assert_eq!(health.failed(second), Retry::BackOff(second * (1 << exponent)));
        }
        assert_eq!(health.failed(second), Retry::Quarantine(QUARANTINE));
        health.succeeded();
        assert_eq!(health.failed(second), Retry::NextTick);
    }

    #[test]
    fn never_tries_more_often_than_the_interval() {
        let mut health = Health { failures: 5 };
        let day = Duration::from_secs(86_400);
        assert_eq!(health.failed(day), Retry::BackOff(day));
        assert_eq!(Health { failures: 50 }.failed(day), Retry::Quarantine(day));
    }
}
