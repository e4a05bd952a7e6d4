//! How many machines one owner may bring: each new one is a number for ever, a record and a score of series.

use crate::machine::MAX_OF_OWNER;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// So many new ones an hour, once [`MAX_OF_OWNER`] have come.
const AN_HOUR: f64 = 100.0;

const TOO_MANY: &str = "its owner has too many machines";
const TOO_FAST: &str = "its owner has had too many new machines within an hour";

/// Who was left out may be let in after so long.
const PAUSE: Duration = Duration::from_secs(36);

/// What each owner may still bring.
#[derive(Default)]
pub(super) struct Admission {
    owners: HashMap<u32, Left>,
    /// Somebody has to wait since then.
    refused: Option<Instant>,
}

struct Left {
    machines: f64,
    at: Instant,
}

/// One look at all indexes.
pub(super) struct Round<'a> {
    admission: &'a mut Admission,
    now: Instant,
    /// The machines of each owner so far.
    counts: HashMap<u32, usize>,
}

impl Admission {
    /// Whether those that were left out may come in now.
    pub(super) fn is_worth_asking(&self, now: Instant) -> bool {
        self.refused.is_some_and(|since| now.saturating_duration_since(since) >= PAUSE)
    }

    pub(super) fn round(&mut self, now: Instant) -> Round<'_> {
        self.refused = None;
        self.owners.retain(|_, left| left.refill(now) < MAX_OF_OWNER as f64);
        Round { admission: self, now, counts: HashMap::new() }
    }
}

impl Left {
    fn refill(&mut self, now: Instant) -> f64 {
        let time = now.saturating_duration_since(self.at);
        self.machines = (self.machines + time.as_secs_f64() / 3600.0 * AN_HOUR).min(MAX_OF_OWNER as f64);
        self.at = now;
        self.machines
    }
}

impl Round<'_> {
    /// A machine of this owner that is known.
    pub(super) fn counts(&mut self, uid: u32) {
        *self.counts.entry(uid).or_default() += 1;
    }

    /// A machine that was not tracked before; one that was `met` by another way costs nothing.
    ///
    /// # Errors
    /// Why it has to wait.
    pub(super) fn admit(&mut self, uid: u32, met: bool) -> Result<(), &'static str> {
        let count = self.counts.entry(uid).or_default();
        let fresh = Left { machines: MAX_OF_OWNER as f64, at: self.now };
        let left = self.admission.owners.entry(uid).or_insert(fresh);
        let refusal = match (*count < MAX_OF_OWNER, met || left.machines >= 1.0) {
            (true, true) => {
                left.machines -= if met { 0.0 } else { 1.0 };
                *count += 1;
                return Ok(());
            }
            (false, _) => TOO_MANY,
            (true, false) => TOO_FAST,
        };
        self.admission.refused = Some(self.now);
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_brings_so_many_at_once_and_then_so_many_an_hour() {
        let mut admission = Admission::default();
        let begin = Instant::now();
        let mut admitted = |after: u64, uid: u32, met| {
            let mut round = admission.round(begin + Duration::from_secs(after));
            (0..2 * MAX_OF_OWNER).filter(|_| round.admit(uid, met).is_ok()).count()
        };
        assert_eq!(admitted(0, 7, false), MAX_OF_OWNER);
        assert_eq!(admitted(1, 7, false), 0);
        assert_eq!(admitted(1, 8, false), MAX_OF_OWNER, "another one is not to blame");
        assert_eq!(admitted(1801, 7, false), 50);
        assert_eq!(admitted(1801, 7, true), MAX_OF_OWNER, "these are known");
        assert_eq!(admitted(100_000, 7, false), MAX_OF_OWNER);
        assert!(!admission.is_worth_asking(begin + Duration::from_secs(100_001)));
        assert!(admission.is_worth_asking(begin + Duration::from_secs(100_036)));
    }

    #[test]
    fn those_that_are_known_count() {
        let mut admission = Admission::default();
        let mut round = admission.round(Instant::now());
        (1..MAX_OF_OWNER).for_each(|_| round.counts(7));
        assert_eq!((round.admit(7, false), round.admit(7, false)), (Ok(()), Err(TOO_MANY)));
    }
}
