//! Tells a step of the wall clock, and a sleep of the machine, from the ordinary passing of time.

use crate::model::{ClockId, SINCE_BOOT, Timestamp, clock_time};
use std::time::Duration;

/// A difference below this is a timer's lateness, not a step.
const LEAST_STEP: i64 = 500;

/// Three clocks read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock.
    pub wall: Timestamp,
    /// Time since the boot without sleeps.
    pub monotonic: Duration,
    /// Time since the boot with sleeps.
    pub boot: Duration,
}

impl ClockReading {
    /// Now.
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            monotonic: clock_time(ClockId::Monotonic),
            boot: clock_time(SINCE_BOOT),
        }
    }
}

/// What happened to the clocks between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// The machine slept so long.
    pub suspended: Option<Duration>,
    /// The wall clock was stepped by so many milliseconds, forwards or (negative) back.
    pub stepped: Option<i64>,
}

/// Compares each reading with the one before.
#[derive(Debug)]
pub struct ClockWatch {
    last: ClockReading,
}

impl ClockWatch {
    /// Begins with this reading.
    pub fn new(now: ClockReading) -> Self {
        Self { last: now }
    }

    /// What happened since the reading before.
    pub fn observe(&mut self, now: ClockReading) -> Steps {
        let last = std::mem::replace(&mut self.last, now);
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let passed = millis(now.monotonic.saturating_sub(last.monotonic));
        let slept = millis(now.boot.saturating_sub(last.boot)).saturating_sub(passed).max(0);
        let suspended = (slept >= LEAST_STEP).then_some(slept);
        let expected = passed.saturating_add(suspended.unwrap_or(0));
        let drift = now.wall.millis_since(last.wall).saturating_sub(expected);
        // a clock that is slewed may run off by half a millisecond each second
        let least = LEAST_STEP.max(passed / 1000);
        Steps {
            suspended: suspended.map(|millis| Duration::from_millis(millis.unsigned_abs())),
            stepped: (drift.abs() >= least).then_some(drift),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, monotonic: u64, boot: u64) -> ClockReading {
        let (monotonic, boot) = (Duration::from_millis(monotonic), Duration::from_millis(boot));
        ClockReading { wall: Timestamp::from_millis(wall), monotonic, boot }
    }

    fn after(wall: i64, monotonic: u64, boot: u64) -> Steps {
        ClockWatch::new(reading(1_000_000, 0, 0)).observe(reading(1_000_000 + wall, monotonic, boot))
    }

    #[test]
    fn ordinary_time_is_no_step() {
        assert_eq!(after(1000, 1000, 1000), Steps::default());
        assert_eq!(after(1300, 1000, 1000), Steps::default());
        assert_eq!(after(86_400_000 + 40_000, 86_400_000, 86_400_000), Steps::default());
    }

    #[test]
    fn steps_are_told_both_ways() {
        assert_eq!(after(3_601_000, 1000, 1000).stepped, Some(3_600_000));
        assert_eq!(after(-3_599_000, 1000, 1000).stepped, Some(-3_600_000));
        assert_eq!(after(-1_000_000, 1000, 1000).stepped, Some(-1_001_000)); // to 1970
    }

    #[test]
    fn a_sleep_is_not_a_step() {
        let steps = after(3_601_000, 1000, 3_601_000);
        assert_eq!(steps, Steps { suspended: Some(Duration::from_secs(3600)), stepped: None });
    }

    #[test]
    fn the_real_clocks_agree() {
        let mut watch = ClockWatch::new(ClockReading::now());
        assert_eq!(watch.observe(ClockReading::now()), Steps::default());
    }
}
