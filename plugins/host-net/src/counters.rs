//! The counters of one interface: what rose, what fell, and what that means.

use crate::{
    metrics::{COLUMNS, COUNTERS, RECEIVED_BYTES, TRANSMITTED_BYTES},
    parse::dev::Values,
};
use twarga_plugin_api::prelude::*;

/// Where counters of 32 bits start anew.
const WRAP: u64 = 1 << 32;

/// How a collection's values relate to those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The counters that started anew, by column.
    resets: [bool; COLUMNS],
    /// By how much received and transmitted bytes rose; nothing where there is nothing to compare with.
    pub(crate) rises: [Option<u64>; 2],
}

/// Whether any counter is below what it was.
pub(crate) fn any_fell(last: &Values, now: &Values) -> bool {
    falls(last, now) > 0
}

fn falls(last: &Values, now: &Values) -> usize {
    last.iter().zip(now).filter(fell).count()
}

fn fell((last, now): &(&Option<u64>, &Option<u64>)) -> bool {
    matches!((last, now), (Some(last), Some(now)) if now < last)
}

/// Compares two readings. `recreated` says that another interface took over the name in between: its counters all
/// start anew, and nothing of theirs is a rise.
pub(crate) fn compare(last: &Values, now: &Values, recreated: bool) -> Change {
    let mut change = Change::default();
    for (reset, pair) in change.resets.iter_mut().zip(last.iter().zip(now)) {
        *reset = fell(&pair) || (recreated && pair.0.is_some());
    }
    // a driver that starts anew clears all its counters, a wrap meets one at a time
    let may_wrap = !recreated && falls(last, now) == 1;
    let rise = |column: usize| match (last[column], now[column]) {
        // it may have a past of its own under another name, which is not for the totals
        _ if recreated => None,
        (Some(last), Some(now)) if now >= last => Some(now - last),
        (Some(last), Some(now)) if may_wrap && is_wrap(last, now) => Some(WRAP - last + now),
        (Some(_), now) => now,
        (None, _) => None,
    };
    change.rises = [rise(RECEIVED_BYTES), rise(TRANSMITTED_BYTES)];
    change
}

/// Whether a fall looks like a counter of 32 bits that went past its end: from its last quarter to its first.
fn is_wrap(last: u64, now: u64) -> bool {
    (WRAP / 4 * 3..WRAP).contains(&last) && now < WRAP / 4
}

/// The series of an interface's counters with their last values.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    series: [Option<Series>; COLUMNS],
    last: Values,
    now: Values,
    change: Change,
}

impl Counters {
    /// Registers the counters that have a value.
    pub(crate) fn register(&mut self, host: &mut Host<'_>, device: &str, values: &Values) -> Result<()> {
        for ((series, metric), _) in
            self.series.iter_mut().zip(&COUNTERS).zip(values).filter(|(_, value)| value.is_some())
        {
            *series = Some(host.series(metric, &[device])?);
        }
        Ok(())
    }

    pub(crate) fn last(&self) -> &Values {
        &self.last
    }

    /// Takes a collection's values.
    pub(crate) fn observe(&mut self, values: &Values, recreated: bool) {
        self.change = compare(&self.last, values, recreated);
        self.now = *values;
        for (last, value) in self.last.iter_mut().zip(values) {
            *last = value.or(*last);
        }
    }

    /// By how much received and transmitted bytes rose since the last collection. Of an interface that is
    /// `first` seen at the plugin's own start, all that it ever counted; of one that appeared later, nothing.
    pub(crate) fn rises(&self, first: bool) -> [u64; 2] {
        let begun = [self.now[RECEIVED_BYTES], self.now[TRANSMITTED_BYTES]];
        let rises = if first { begun } else { self.change.rises };
        rises.map(Option::unwrap_or_default)
    }

    pub(crate) fn put(&self, sink: &mut Sink<'_>) {
        for (column, series) in self.series.iter().enumerate() {
            match (series, self.now[column]) {
                (Some(series), Some(value)) if self.change.resets[column] => {
                    sink.put_after_reset(*series, value as f64);
                }
                (Some(series), Some(value)) => sink.put(*series, value as f64),
                (Some(series), None) => sink.unavailable(*series, "not a number in /proc/net/dev"),
                (None, _) => {}
            }
        }
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = Series> {
        self.series.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(received: u64, packets: u64, transmitted: u64) -> Values {
        let mut values = [Some(0); COLUMNS];
        (values[0], values[1], values[8]) = (Some(received), Some(packets), Some(transmitted));
        values
    }

    fn resets(change: &Change) -> Vec<usize> {
        (0..COLUMNS).filter(|column| change.resets[*column]).collect()
    }

    #[test]
    fn counters_rise() {
        let change = compare(&values(10, 1, 5), &values(30, 2, 5), false);
        assert_eq!((resets(&change), change.rises), (vec![], [Some(20), Some(0)]));
    }

    #[test]
    fn a_wrap_of_32_bits_rises_past_the_end() {
        let end = u64::from(u32::MAX);
        let change = compare(&values(end - 9, 7, 5), &values(90, 8, 6), false);
        assert_eq!((resets(&change), change.rises), (vec![0], [Some(100), Some(1)]));
    }

    #[test]
    fn a_driver_that_starts_anew_counts_from_zero() {
        let end = u64::from(u32::MAX);
        let change = compare(&values(end - 9, 7, 5), &values(90, 1, 6), false);
        assert_eq!((resets(&change), change.rises), (vec![0, 1], [Some(90), Some(1)]));
        let change = compare(&values(end * 2, 7, 5), &values(90, 7, 5), false);
        assert_eq!((resets(&change), change.rises), (vec![0], [Some(90), Some(0)]));
    }

    #[test]
    fn another_interface_of_the_same_name_starts_all_counters_anew() {
        let change = compare(&values(10, 1, 5), &values(30, 2, 4), true);
        assert_eq!((resets(&change).len(), change.rises), (COLUMNS, [None, None]));
    }

    #[test]
    fn a_gap_is_caught_up() {
        let mut counters = Counters::default();
        counters.observe(&values(10, 1, 5), false);
        assert_eq!((counters.rises(true), counters.rises(false)), ([10, 5], [0, 0]));
        counters.observe(&[None; COLUMNS], false);
        assert_eq!(counters.rises(false), [0, 0]);
        counters.observe(&values(25, 1, 6), false);
        assert_eq!(counters.rises(false), [15, 1]);
    }

    proptest! {
        #[test]
        fn no_reading_panics(last: [Option<u64>; 16], now: [Option<u64>; 16], recreated: bool) {
            let change = compare(&last, &now, recreated);
            for column in 0..COLUMNS {
                if fell(&(&last[column], &now[column])) {
                    prop_assert!(change.resets[column]);
                }
            }
        }
    }
}
