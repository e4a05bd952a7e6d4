//! Up to which tick a collector's history is explained: by samples, or by a gap and its reason. Gaps are told when they
//! have happened, never ahead.

use super::cadence::Cadence;
use crate::model::{Gap, GapReason, GapScope, Timestamp};

/// What is known of a collector's ticks.
#[derive(Debug)]
pub(super) struct Coverage {
    cadence: Cadence,
    scope: GapScope,
    /// The last tick that is explained; nothing at the start, and after a step of the clock where all is well.
    until: Option<Timestamp>,
    /// Why samples are missing at present.
    missing: Option<GapReason>,
}

impl Coverage {
    pub(super) fn new(cadence: Cadence, scope: GapScope) -> Self {
        Self { cadence, scope, until: None, missing: None }
    }

    /// The ticks between the last explained one and `tick` were left out: the gap, and how many for no known reason.
    pub(super) fn left_out(&mut self, tick: Timestamp) -> Option<(Gap, u64)> {
        let last = self.until?;
        let count = self.cadence.between(last, tick);
        if count == 0 {
            return None;
        }
        let (from, to) = (self.cadence.after(last), self.cadence.before(tick));
        self.until = Some(to);
        let unexplained = if self.missing.is_none() { count } else { 0 };
        let reason = self.missing.clone().unwrap_or(GapReason::Overrun);
        Some((Gap { scope: self.scope.clone(), from, to, reason }, unexplained))
    }

    /// What is missing up to now, where samples are known to be missing.
    pub(super) fn missing_up_to(&mut self, now: Timestamp) -> Option<Gap> {
        self.missing.as_ref()?;
        let next = self.cadence.after(self.cadence.at_or_before(now));
        self.left_out(next).map(|(gap, _)| gap)
    }

    /// The collection for `tick`, made at `time`, brought nothing.
    pub(super) fn missed(&mut self, tick: Timestamp, time: Timestamp, reason: GapReason) -> Gap {
        self.reach(tick);
        self.missing = Some(reason.clone());
        Gap { scope: self.scope.clone(), from: time, to: time, reason }
    }

    /// The collection for `tick` brought something, and failed all the same.
    pub(super) fn partly(&mut self, tick: Timestamp, reason: GapReason) {
        self.reach(tick);
        self.missing = Some(reason);
    }

    /// The collection for `tick` went well.
    pub(super) fn collected(&mut self, tick: Timestamp) {
        self.reach(tick);
        self.missing = None;
    }

    /// Up to here somebody else has told the gap.
    pub(super) fn told_up_to(&mut self, time: Timestamp) {
        self.reach(self.cadence.at_or_before(time));
    }

    /// The clock was stepped: ticks before it can't be compared with those after it. `tick` is the last one by the new
    /// clock; what is missing is missing from there on.
    pub(super) fn restart(&mut self, tick: Timestamp) {
        self.until = self.missing.is_some().then_some(tick);
    }

    /// Its ticks are others from `now` on: those before can't be compared with them.
    pub(super) fn begin_cadence(&mut self, cadence: Cadence, now: Timestamp) {
        self.cadence = cadence;
        self.restart(cadence.at_or_before(now));
    }

    /// The ticks lie on another grid from here on. What was explained by the old one is by the new one.
    pub(super) fn set_cadence(&mut self, cadence: Cadence) {
        self.cadence = cadence;
        self.until = self.until.map(|until| cadence.at_or_before(until));
    }

    fn reach(&mut self, tick: Timestamp) {
        self.until = Some(self.until.map_or(tick, |until| until.max(tick)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn coverage() -> Coverage {
        Coverage::new(Cadence::new(Duration::from_secs(1), Duration::ZERO), GapScope::Agent)
    }

    fn span(gap: &Gap) -> (i64, i64, String) {
        (gap.from.as_millis() / 1000, gap.to.as_millis() / 1000, gap.reason.to_string())
    }

    #[test]
    fn ticks_in_a_row_leave_nothing_out() {
        let mut coverage = coverage();
        for second in 10..20 {
            assert_eq!(coverage.left_out(at(second)), None);
            coverage.collected(at(second));
        }
    }

    #[test]
    fn what_is_left_out_while_all_is_well_is_an_overrun() {
        let mut coverage = coverage();
        coverage.collected(at(10));
        let (gap, unexplained) = coverage.left_out(at(14)).unwrap();
        assert_eq!((span(&gap), unexplained), ((11, 13, "overrun".into()), 3));
        coverage.collected(at(14));
        assert_eq!(coverage.left_out(at(15)), None);
    }

    #[test]
    fn failures_explain_what_follows_until_it_is_well_again() {
        let mut coverage = coverage();
        coverage.collected(at(10));
        assert_eq!(span(&coverage.missed(at(11), at(11), GapReason::Timeout)), (11, 11, "timeout".into()));
        assert_eq!(span(&coverage.missing_up_to(at(15)).unwrap()), (12, 15, "timeout".into()));
        assert_eq!(coverage.missing_up_to(at(15)), None, "told once");
        let (gap, unexplained) = coverage.left_out(at(18)).unwrap();
        assert_eq!((span(&gap), unexplained), ((16, 17, "timeout".into()), 0));
        coverage.collected(at(18));
        assert_eq!(coverage.missing_up_to(at(30)), None);
    }

    #[test]
    fn a_step_of_the_clock_leaves_nothing_out() {
        let mut coverage = coverage();
        coverage.collected(at(10));
        coverage.restart(at(3609));
        assert_eq!(coverage.left_out(at(3610)), None);
        coverage.collected(at(3610));
        coverage.restart(at(19));
        coverage.collected(at(20));
        assert_eq!(coverage.left_out(at(21)), None);
    }

    #[test]
    fn rarer_and_more_frequent_ticks_leave_nothing_out() {
        let mut coverage = coverage();
        let every = |times| Cadence::new(Duration::from_secs(1), Duration::ZERO).stretched(times);
        coverage.collected(at(10));
        coverage.set_cadence(every(4));
        for second in [12, 16, 20] {
            assert_eq!(coverage.left_out(at(second)), None, "{second}");
            coverage.collected(at(second));
        }
        coverage.set_cadence(every(2));
        assert_eq!(coverage.left_out(at(22)), None);
        coverage.collected(at(22));
        let (gap, unexplained) = coverage.left_out(at(28)).unwrap();
        assert_eq!((span(&gap), unexplained), ((24, 26, "overrun".into()), 2), "what is missing still is");
    }

    #[test]
    fn what_fails_is_missing_by_the_new_clock_too() {
        let mut coverage = coverage();
        coverage.missed(at(3600), at(3600), GapReason::Timeout);
        coverage.restart(at(10));
        assert_eq!(span(&coverage.missing_up_to(at(12)).unwrap()), (11, 12, "timeout".into()));
    }
}
