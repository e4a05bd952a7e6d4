//! What one CPU's columns of `/proc/stat` become: counters that never fall, and the busy part of a time.

use crate::{
    parse::stat::{COLUMNS, IDLE, IOWAIT, MODES, Times},
    reading::TOO_SHORT,
};

/// A fall of a CPU's whole time by more than this is a restart of its columns.
const RESET_SECONDS: u64 = 3;
/// Ticks by which a column may fall because the kernel reads it while it changes.
const JITTER: u64 = 2;

/// The readings of one CPU so far.
///
/// The kernel's columns fall sometimes. `idle` and `iowait` share the time asleep, and the share of a sleep that
/// still lasts moves from one to the other when a waiting task wakes elsewhere: `iowait` falls by as much as `idle`
/// rises, by seconds even, and nothing started anew. So a column that fell alone is held at its highest. When a CPU
/// comes back after hot-plug, its idle time starts at zero: then the *sum* of the modes falls, which is the sign.
#[derive(Debug)]
pub(crate) struct History {
    last: Times,
    held: [u64; COLUMNS],
}

/// What a new reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The counters, in ticks.
    pub(crate) held: [u64; COLUMNS],
    /// The columns that started anew, by bit.
    reset: u16,
    /// Ticks busy and idle since the reading before; absent where the columns contradict each other.
    pub(crate) spent: Option<Spent>,
}

/// Ticks of one or more CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) busy: u64,
    pub(crate) idle: u64,
}

impl Step {
    pub(crate) fn is_reset(&self, column: usize) -> bool {
        self.reset & (1 << column) != 0
    }
}

impl History {
    /// Begins with the first reading.
    pub(crate) fn new(first: Times) -> Self {
        Self { last: first, held: first.ticks }
    }

    /// The counters of the last reading.
    pub(crate) fn held(&self) -> [u64; COLUMNS] {
        self.held
    }

    /// Takes the next reading; `hertz` is USER_HZ.
    pub(crate) fn advance(&mut self, new: Times, hertz: u64) -> Step {
        let restarted = restarted(&self.last, &new, hertz);
        let mut reset = 0;
        for column in 0..new.known {
            let (held, now) = (&mut self.held[column], new.ticks[column]);
            if now < *held && restarted {
                reset |= 1 << column;
                *held = now;
            }
            *held = now.max(*held);
        }
        let spent = if restarted { None } else { spent(&self.last, &new) };
        self.last = new;
        Step { held: self.held, reset, spent }
    }
}

fn restarted(last: &Times, new: &Times, hertz: u64) -> bool {
    let modes = last.known.min(new.known).min(MODES.len());
    let sum = |times: &Times| times.ticks[..modes].iter().fold(0_u64, |sum, tick| sum.saturating_add(*tick));
    let (before, now) = (sum(last), sum(new));
    // "near zero" for a CPU that had been up for less than that before it went
    before.saturating_sub(now) > RESET_SECONDS.saturating_mul(hertz) || now < before / 4
}

/// The ticks between two readings. The modes contain the columns of guests, which are left out for that reason. Idle
/// is taken as one with iowait, from the raw columns: their sum doesn't fall when time moves between the two, and
/// a held column would stand still afterwards and make the CPU look busy.
fn spent(last: &Times, new: &Times) -> Option<Spent> {
    let idle = rise(asleep(last), asleep(new))?;
    let mut busy = 0_u64;
    for mode in (0..MODES.len()).filter(|mode| !matches!(*mode, IDLE | IOWAIT)) {
        busy = busy.checked_add(rise(last.ticks[mode], new.ticks[mode])?)?;
    }
    Some(Spent { busy, idle })
}

fn asleep(times: &Times) -> u64 {
    times.ticks[IDLE].saturating_add(times.ticks[IOWAIT])
}

fn rise(last: u64, new: u64) -> Option<u64> {
    new.checked_sub(last).or_else(|| (last - new <= JITTER).then_some(0))
}

/// Adds up what was spent until it is enough to divide.
#[derive(Debug, Default)]
pub(crate) struct Window {
    spent: Spent,
    cpus: u64,
}

impl Window {
    /// Adds the ticks of one CPU.
    pub(crate) fn add(&mut self, spent: Spent) {
        self.spent.busy = self.spent.busy.saturating_add(spent.busy);
        self.spent.idle = self.spent.idle.saturating_add(spent.idle);
        self.cpus += 1;
    }

    /// Forgets what was added: the next ratio begins with the next reading.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The busy part, from 0 to 1, and a new beginning; or nothing yet, where the CPUs spent less than 100 ms each
    /// on average (`cpus` is their number in this collection): a tick is 10 ms, and few of them make no ratio.
    pub(crate) fn take(&mut self, cpus: u64, hertz: u64) -> Result<f64, &'static str> {
        let Spent { busy, idle } = self.spent;
        let total = busy.saturating_add(idle);
        if self.cpus == 0 || total == 0 || total < (hertz / 10).saturating_mul(cpus) {
            return Err(TOO_SHORT);
        }
        self.clear();
        Ok(busy as f64 / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(ticks: [u64; COLUMNS]) -> Times {
        Times { ticks, known: COLUMNS }
    }

    const START: [u64; COLUMNS] = [1000, 10, 500, 90_000, 800, 5, 6, 7, 100, 1];

    fn step(change: impl FnOnce(&mut [u64; COLUMNS])) -> (History, Step) {
        let mut history = History::new(times(START));
        let mut next = START;
        change(&mut next);
        let step = history.advance(times(next), 100);
        (history, step)
    }

    #[test]
    fn guests_are_counted_once() {
        let (_, step) = step(|next| {
            next[0] += 60; // 40 of them in a guest
            next[8] += 40;
            next[3] += 40;
        });
        assert_eq!(step.spent, Some(Spent { busy: 60, idle: 40 }));
        assert_eq!(step.held[8], 140);
    }

    #[test]
    fn time_that_moves_from_iowait_to_idle_is_no_reset() {
        let (mut history, step) = step(|next| {
            next[4] -= 700;
            next[3] += 780;
            next[0] += 20;
        });
        assert_eq!(step.spent, Some(Spent { busy: 20, idle: 80 }));
        assert_eq!((step.held[4], step.reset), (800, 0));
        let mut next = START;
        next[4] = 900;
        next[3] += 780;
        assert_eq!(history.advance(times(next), 100).held[4], 900);
    }

    #[test]
    fn a_slight_fall_is_held() {
        let (_, step) = step(|next| next[3] -= 2);
        assert_eq!((step.held, step.reset), (START, 0));
        assert_eq!(step.spent, Some(Spent { busy: 0, idle: 0 }));
    }

    #[test]
    fn a_larger_fall_gives_no_ratio() {
        let (_, step) = step(|next| next[3] -= 200);
        assert_eq!((step.held, step.reset, step.spent), (START, 0, None));
    }

    #[test]
    fn hot_plug_starts_idle_anew() {
        let (mut history, step) = step(|next| {
            next[3] = 12;
            next[4] = 0;
            next[0] += 1;
        });
        assert!(step.is_reset(3) && step.is_reset(4) && !step.is_reset(0));
        assert_eq!((step.held[0], step.held[3], step.held[4], step.spent), (1001, 12, 0, None));
        let mut next = START;
        (next[0], next[3], next[4]) = (1001, 112, 0);
        let onward = history.advance(times(next), 100);
        assert_eq!((onward.reset, onward.spent), (0, Some(Spent { busy: 0, idle: 100 })));
    }

    #[test]
    fn near_zero_is_a_reset_of_a_young_cpu() {
        let mut history = History::new(times([10, 0, 5, 200, 0, 0, 0, 0, 0, 0]));
        let step = history.advance(times([10, 0, 5, 1, 0, 0, 0, 0, 0, 0]), 100);
        assert!(step.is_reset(3));
    }

    #[test]
    fn a_window_waits_for_100_ms_of_each_cpu() {
        let mut window = Window::default();
        assert_eq!(window.take(1, 100), Err(TOO_SHORT));
        window.add(Spent { busy: 3, idle: 6 });
        assert_eq!(window.take(1, 100), Err(TOO_SHORT));
        window.add(Spent { busy: 3, idle: 0 });
        assert_eq!(window.take(1, 100), Ok(0.5));
        assert_eq!(window.take(1, 100), Err(TOO_SHORT));
        window.add(Spent { busy: 15, idle: 0 });
        assert_eq!(window.take(2, 100), Err(TOO_SHORT));
        window.add(Spent { busy: 0, idle: 15 });
        assert_eq!(window.take(2, 100), Ok(0.5));
    }

    proptest! {
        #[test]
        fn counters_never_fall_unless_they_say_so(readings in prop::collection::vec(any::<[u64; COLUMNS]>(), 2..20)) {
            let mut history = History::new(times(readings[0]));
            let mut window = Window::default();
            for reading in &readings[1..] {
                let before = history.held();
                let step = history.advance(times(*reading), 100);
                for (column, before) in before.into_iter().enumerate() {
                    prop_assert!(step.held[column] >= before || step.is_reset(column));
                }
                if let Some(spent) = step.spent {
                    window.add(spent);
                }
                if let Ok(ratio) = window.take(1, 100) {
                    prop_assert!((0.0..=1.0).contains(&ratio));
                }
            }
        }
    }
}
