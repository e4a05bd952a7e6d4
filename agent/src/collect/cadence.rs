//! When a collector's ticks are: on the wall clock, so that samples of all restarts lie on one grid.

use crate::model::Timestamp;
use std::time::Duration;

/// A sample this close to its tick is stamped with the tick itself: a hundredth of the interval, so that no rate is off
/// by more than that, but at least a timer's ordinary lateness.
const TOLERANCE_MS: std::ops::RangeInclusive<i64> = 5..=50;

/// A timer that fires before its tick does so by no more than this.
const EARLY_MS: i64 = 20;

/// The grid of a collector's ticks: the times `offset + n × interval` since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    interval: i64,
    offset: i64,
}

impl Cadence {
    /// Both are rounded to milliseconds; the interval is at least one.
    pub fn new(interval: Duration, offset: Duration) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
        let interval = millis(interval).max(1);
        Self { interval, offset: millis(offset) % interval }
    }

    /// The same grid with only every n-th tick.
    pub(super) fn stretched(&self, times: u32) -> Self {
        Self { interval: self.interval.saturating_mul(i64::from(times)), offset: self.offset }
    }

    /// The first tick after `now`, and after `last` where that is just ahead: a timer may fire a little early, and a
    /// tick must not come twice. A `last` further ahead means that the clock was stepped back, and counts no longer.
    pub fn next(&self, now: Timestamp, last: Option<Timestamp>) -> Timestamp {
        let since = now.as_millis().saturating_sub(self.offset).div_euclid(self.interval);
        let next = since.saturating_add(1).saturating_mul(self.interval).saturating_add(self.offset);
        match last.map(Timestamp::as_millis) {
            Some(last) if next <= last && last.saturating_sub(now.as_millis()) <= EARLY_MS => {
                Timestamp::from_millis(last.saturating_add(self.interval))
            }
            _ => Timestamp::from_millis(next),
        }
    }

    /// The tick to collect after `last`, from `now` on: one that is due already and has not had its turn comes late and is
    /// not lost, of several the latest; else the one that comes [`next`](Self::next).
    pub(super) fn following(&self, now: Timestamp, last: Timestamp) -> Timestamp {
        let due = self.at_or_before(now);
        if due > last { due } else { self.next(now, Some(last)) }
    }

    /// The tick that a collection serves which was meant for `tick` and begins at `now`: where it begins so late that
    /// others are due, the latest of them.
    pub(super) fn served(&self, tick: Timestamp, now: Timestamp) -> Timestamp {
        tick.max(self.at_or_before(now))
    }

    /// How many ticks lie between two ticks, neither counted; 0 where the clock was stepped back.
    pub fn between(&self, earlier: Timestamp, later: Timestamp) -> u64 {
        u64::try_from(later.millis_since(earlier) / self.interval - 1).unwrap_or(0)
    }

    /// The last tick that is not after `time`.
    pub fn at_or_before(&self, time: Timestamp) -> Timestamp {
        self.before(self.next(time, None))
    }

    /// The tick before this one.
    pub fn before(&self, tick: Timestamp) -> Timestamp {
        Timestamp::from_millis(tick.as_millis().saturating_sub(self.interval))
    }

    /// The tick after this one.
    pub fn after(&self, tick: Timestamp) -> Timestamp {
        Timestamp::from_millis(tick.as_millis().saturating_add(self.interval))
    }

    /// The time to stamp samples of `tick` with that were collected at `now`: the tick where that is nearly true, for
    /// times on a grid cost the store nothing; else `now`.
    pub fn stamp(&self, tick: Timestamp, now: Timestamp) -> Timestamp {
        let tolerance = (self.interval / 100).clamp(*TOLERANCE_MS.start(), *TOLERANCE_MS.end());
        if now.millis_since(tick).abs() <= tolerance { tick } else { now }
    }
}

/// A host's own offset within an interval, from its machine id: many hosts of one site then don't all work and send
/// in the same instant. FNV-1a: any hash that is the same in every version does.
pub fn host_offset(machine_id: &str, interval: Duration) -> Duration {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in machine_id.trim().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(hash % interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn ticks_lie_on_the_grid() {
        let cadence = Cadence::new(5 * SECOND, Duration::from_millis(1200));
        assert_eq!(cadence.next(at(0), None), at(1200));
        assert_eq!(cadence.next(at(1200), None), at(6200));
        assert_eq!(cadence.next(at(-1), None), at(1200));
        assert_eq!(cadence.next(at(-3801), None), at(-3800));
    }

    #[test]
    fn an_early_timer_makes_no_second_tick() {
        let cadence = Cadence::new(SECOND, Duration::ZERO);
        assert_eq!(cadence.next(at(9_999), Some(at(10_000))), at(11_000));
        assert_eq!(cadence.next(at(10_001), Some(at(10_000))), at(11_000));
    }

    #[test]
    fn a_stretched_grid_is_a_part_of_the_grid() {
        let cadence = Cadence::new(5 * SECOND, Duration::from_millis(1200));
        for times in [1, 2, 4, 16] {
            let stretched = cadence.stretched(times);
            for now in [-77_777, 0, 1_200, 99_999] {
                let tick = stretched.next(at(now), None);
                assert_eq!(cadence.at_or_before(tick), tick);
                assert_eq!(stretched.after(tick).millis_since(tick), 5_000 * i64::from(times));
            }
        }
    }

    #[test]
    fn a_step_back_does_not_stop_the_ticks() {
        let cadence = Cadence::new(SECOND, Duration::ZERO);
        assert_eq!(cadence.next(at(500), Some(at(3_600_000))), at(1_000));
        let cadence = Cadence::new(5 * SECOND, Duration::ZERO);
        assert_eq!(
            cadence.next(at(97_000), Some(at(100_000))),
            at(100_000),
            "stepped back by less than an interval"
        );
        let cadence = Cadence::new(SECOND, Duration::ZERO);
        assert_eq!(cadence.between(at(3_600_000), at(1_000)), 0);
    }

    #[test]
    fn ticks_between() {
        let cadence = Cadence::new(SECOND, Duration::ZERO);
        assert_eq!(cadence.between(at(1_000), at(2_000)), 0);
        assert_eq!(cadence.between(at(1_000), at(5_000)), 3);
    }

    #[test]
    fn a_tick_that_came_due_meanwhile_is_late_and_not_lost() {
        let cadence = Cadence::new(SECOND, Duration::ZERO);
        assert_eq!(cadence.following(at(1_400), at(1_000)), at(2_000));
        assert_eq!(cadence.following(at(2_100), at(1_000)), at(2_000), "due, and not served");
        assert_eq!(cadence.following(at(2_100), at(2_000)), at(3_000), "served");
        assert_eq!(cadence.following(at(4_100), at(1_000)), at(4_000), "of several the latest");
        assert_eq!(cadence.following(at(1_999), at(2_000)), at(3_000), "an early timer");
        assert_eq!(cadence.following(at(500), at(3_600_000)), at(1_000), "the clock was stepped back");
        assert_eq!(cadence.stretched(2).following(at(1_001), at(1_000)), at(2_000), "stretched meanwhile");
    }

    #[test]
    fn a_collection_that_begins_late_serves_the_latest_tick() {
        let cadence = Cadence::new(SECOND, Duration::ZERO);
        assert_eq!(cadence.served(at(1_000), at(1_900)), at(1_000));
        assert_eq!(cadence.served(at(1_000), at(2_100)), at(2_000));
        assert_eq!(cadence.served(at(1_000), at(995)), at(1_000), "an early timer");
    }

    #[test]
    fn stamps_are_true() {
        let cadence = Cadence::new(SECOND, Duration::ZERO);
        assert_eq!(cadence.stamp(at(1_000), at(1_003)), at(1_000));
        assert_eq!(cadence.stamp(at(1_000), at(1_011)), at(1_011));
        assert_eq!(cadence.stamp(at(1_000), at(3_601_003)), at(3_601_003));
    }

    #[test]
    fn offsets_are_within_the_interval_and_stay() {
        assert_eq!(host_offset("abc\n", SECOND), host_offset("abc", SECOND));
        assert!(host_offset("0123456789abcdef", 5 * SECOND) < 5 * SECOND);
        assert_ne!(host_offset("a", 3600 * SECOND), host_offset("b", 3600 * SECOND));
    }
}
