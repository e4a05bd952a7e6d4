//! The two clocks, and whether the wall clock can be trusted with deleting.

use crate::model::{SINCE_BOOT, Timestamp, clock_time};
use std::time::Duration;

/// Where the writer takes the time from.
pub trait Clock: Send + 'static {
    /// The wall clock, which may be stepped.
    fn wall(&self) -> Timestamp;
    /// Time since some start, which only rises, and goes on while the machine sleeps.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        clock_time(SINCE_BOOT)
    }
}

/// A wall clock that moves ahead of the monotonic one by more than this has jumped.
const JUMP: i64 = 60_000;
/// For how long the wall clock is not trusted after a jump.
const DOUBT: Duration = Duration::from_secs(3600);

/// Whether the wall clock can be trusted with deleting what is old: not within an hour after it jumped forward, since a
/// clock that is wrong by years would make everything old at once.
#[derive(Debug)]
pub(super) struct Trust {
    /// Wall clock less monotonic clock in milliseconds: the lowest since `since`.
    offset: i64,
    since: Duration,
    doubt_until: Option<Duration>,
}

impl Trust {
    /// At the start. The time since the last commit may be long because the agent was down, or because the clock is wrong:
    /// nobody knows, so it counts as a jump.
    pub(super) fn new(last_commit: Option<Timestamp>, wall: Timestamp, monotonic: Duration) -> Self {
        let jumped = last_commit.is_some_and(|last| wall.millis_since(last) > JUMP);
        Self {
            offset: offset(wall, monotonic),
            since: monotonic,
            doubt_until: jumped.then(|| monotonic.saturating_add(DOUBT)),
        }
    }

    /// Compares the clocks, at every round.
    pub(super) fn observe(&mut self, wall: Timestamp, monotonic: Duration) {
        let new = offset(wall, monotonic);
        let ahead = new.saturating_sub(self.offset);
        if ahead > JUMP {
            self.doubt_until = Some(monotonic.saturating_add(DOUBT));
        }
        // small steps add up within an hour; a slow drift over days does not
        if !(0..=JUMP).contains(&ahead) || monotonic.saturating_sub(self.since) > DOUBT {
            self.offset = new;
            self.since = monotonic;
        }
    }

    /// Whether there was no jump forward within the last hour.
    pub(super) fn holds(&self, monotonic: Duration) -> bool {
        self.doubt_until.is_none_or(|until| monotonic >= until)
    }
}

fn offset(wall: Timestamp, monotonic: Duration) -> i64 {
    wall.as_millis().saturating_sub(i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_jump_forward_is_doubted_for_an_hour() {
        let mut trust = Trust::new(Some(at(NOW - 5000)), at(NOW), seconds(0));
        trust.observe(at(NOW + 1000), seconds(1));
        assert!(trust.holds(seconds(1)));
        trust.observe(at(NOW + HOUR), seconds(2));
        assert!(!trust.holds(seconds(2)));
        trust.observe(at(NOW + HOUR + 3_598_000), seconds(3600));
        assert!(!trust.holds(seconds(3600)));
        assert!(trust.holds(seconds(3602)));
    }

    #[test]
    fn a_step_back_is_trusted_and_the_way_forth_again_is_not() {
        let mut trust = Trust::new(None, at(NOW), seconds(0));
        trust.observe(at(0), seconds(1));
        assert!(trust.holds(seconds(1)));
        trust.observe(at(NOW), seconds(2));
        assert!(!trust.holds(seconds(2)));
    }

    #[test]
    fn small_steps_add_up_and_a_slow_drift_does_not() {
        let mut trust = Trust::new(None, at(NOW), seconds(0));
        for step in 1..=4 {
            trust.observe(at(NOW + step * 20_000), seconds(1));
        }
        assert!(!trust.holds(seconds(1)));

        let mut trust = Trust::new(None, at(NOW), seconds(0));
        for hour in 1..1000_u64 {
            let drift = hour as i64 * 1000;
            trust.observe(at(NOW + hour as i64 * HOUR + drift), seconds(hour * 3600));
            assert!(trust.holds(seconds(hour * 3600)), "{hour}");
        }
    }

    #[test]
    fn a_start_long_after_the_last_commit_is_doubted() {
        assert!(!Trust::new(Some(at(0)), at(NOW), seconds(0)).holds(seconds(3599)));
        assert!(Trust::new(Some(at(0)), at(NOW), seconds(0)).holds(seconds(3600)));
        assert!(Trust::new(Some(at(NOW)), at(0), seconds(0)).holds(seconds(0)));
        assert!(Trust::new(None, at(NOW), seconds(0)).holds(seconds(0)));
    }
}
