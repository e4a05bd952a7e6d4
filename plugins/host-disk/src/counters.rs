//! The counters of one block device from one collection to the next: which of them wrapped, and whether the device is
//! another one than before.

use crate::diskstats::{FIELDS, Numbers};

/// Requests in progress: the one field that is no counter.
pub(crate) const IO_NOW: usize = 8;
/// Fields in milliseconds. The kernel prints them as 32-bit numbers even where it counts in more.
const MILLISECONDS: u32 = 1 << 3 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 16;
/// By how much a field of milliseconds may fall and still be the same count, read while it was being changed.
const JITTER_MS: u64 = 1000;

pub(crate) const fn is_milliseconds(field: usize) -> bool {
    MILLISECONDS >> field & 1 == 1
}

/// What became of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It rose or stayed.
    On(u64),
    /// It went beyond 32 bits and started anew.
    Wrapped(u64),
    /// The device is new under an old name, or its driver set the counter back.
    Reset(u64),
    /// Not told this time.
    Absent,
}

impl Step {
    /// By how much it rose since `last`; all of it after a reset.
    pub(crate) fn increase(self, last: Option<u64>) -> u64 {
        match (self, last) {
            (Step::On(now), Some(last)) => now.saturating_sub(last),
            (Step::Wrapped(now), Some(last)) => (now + (1 << 32)).saturating_sub(last),
            (Step::On(now) | Step::Wrapped(now), None) | (Step::Reset(now), _) => now,
            (Step::Absent, _) => 0,
        }
    }
}

/// The last known numbers of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) last: Numbers,
}

impl Counters {
    /// What became of each counter, without taking the numbers.
    pub(crate) fn steps(&self, now: &Numbers) -> [Step; FIELDS] {
        let mut steps: [Step; FIELDS] =
            std::array::from_fn(|field| step(field, self.last[field], now[field]));
        // A count of requests or sectors never falls while a device lives: then all counts are those of another one.
        let reset = |(field, step): (usize, &Step)| !is_milliseconds(field) && matches!(step, Step::Reset(_));
        if steps.iter().enumerate().any(reset) {
            for (field, now) in now.iter().enumerate().filter(|(field, _)| *field != IO_NOW) {
                steps[field] = now.map_or(Step::Absent, Step::Reset);
            }
        }
        steps
    }

    /// Remembers the numbers that `steps` stand for.
    pub(crate) fn take(&mut self, steps: &[Step; FIELDS]) {
        for (last, step) in self.last.iter_mut().zip(steps) {
            if let Step::On(now) | Step::Wrapped(now) | Step::Reset(now) = step {
                *last = Some(*now);
            }
        }
    }
}

fn step(field: usize, last: Option<u64>, now: Option<u64>) -> Step {
    match (last, now) {
        (_, None) => Step::Absent,
        (Some(last), Some(now)) if now < last && field != IO_NOW => {
            // the top and the bottom quarter of 32 bits
            let wrapped = last >> 30 == 3 && now >> 30 == 0;
            if wrapped {
                Step::Wrapped(now)
            } else if is_milliseconds(field) && last - now <= JITTER_MS {
                Step::On(last)
            } else {
                Step::Reset(now)
            }
        }
        (_, Some(now)) => Step::On(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WRITE_MS: usize = 7;

    fn numbers(of: impl Fn(usize) -> u64) -> Numbers {
        std::array::from_fn(|field| Some(of(field)))
    }

    fn after(last: &Numbers) -> Counters {
        Counters { last: *last }
    }

    #[test]
    fn a_wrap_of_the_milliseconds_leaves_the_rest_alone() {
        let mut last = numbers(|_| 5000);
        last[WRITE_MS] = Some(u64::from(u32::MAX) - 10);
        let mut now = numbers(|_| 5001);
        now[WRITE_MS] = Some(20);
        let steps = after(&last).steps(&now);
        assert_eq!(steps[WRITE_MS], Step::Wrapped(20));
        assert_eq!(steps[WRITE_MS].increase(last[WRITE_MS]), 31);
        assert_eq!(steps[0], Step::On(5001));
        assert_eq!(steps[0].increase(last[0]), 1);
    }

    #[test]
    fn a_fall_of_a_count_is_another_device() {
        let mut now = numbers(|_| 9000);
        now[2] = Some(10);
        let steps = after(&numbers(|_| 5000)).steps(&now);
        assert_eq!(steps[0], Step::Reset(9000));
        assert_eq!(steps[2], Step::Reset(10));
        assert_eq!(steps[IO_NOW], Step::On(9000));
        assert_eq!(steps[0].increase(Some(5000)), 9000);
    }

    #[test]
    fn a_fall_of_time_alone_concerns_the_time_alone() {
        let (mut last, mut now) = (numbers(|_| 5000), numbers(|_| 5000));
        now[WRITE_MS] = Some(4990);
        let steps = after(&last).steps(&now);
        assert_eq!(steps[WRITE_MS], Step::On(5000), "jitter");
        last[WRITE_MS] = Some(500_000);
        let steps = after(&last).steps(&now);
        assert_eq!(steps[WRITE_MS], Step::Reset(4990));
        assert_eq!(steps[0], Step::On(5000));
    }

    #[test]
    fn requests_in_progress_come_and_go() {
        let mut now = numbers(|_| 7);
        now[IO_NOW] = Some(0);
        assert_eq!(after(&numbers(|_| 7)).steps(&now)[IO_NOW], Step::On(0));
    }

    #[test]
    fn what_is_absent_keeps_its_last_value() {
        let mut counters = after(&numbers(|_| 7));
        let steps = counters.steps(&[None; FIELDS]);
        assert_eq!(steps, [Step::Absent; FIELDS]);
        counters.take(&steps);
        assert_eq!(counters, after(&numbers(|_| 7)));
    }

    proptest! {
        /// However the numbers go, what is put never falls without a reset or a wrap.
        #[test]
        fn no_fall_without_a_flag(series in prop::collection::vec(prop::array::uniform17(0u64..1 << 33), 1..20)) {
            let mut counters = Counters::default();
            for numbers in series {
                let before = counters.last;
                let steps = counters.steps(&numbers.map(Some));
                counters.take(&steps);
                for (field, step) in steps.iter().enumerate() {
                    if let (Step::On(now), Some(last), true) = (step, before[field], field != IO_NOW) {
                        prop_assert!(*now >= last);
                    }
                }
            }
        }
    }
}
