//! Roll-ups: made of samples, of finer roll-ups, and merged.

use super::{
    super::codec::{
        ColumnEncoder, Cursor, Damage, Effort, put_present,
        rollup::{Counter, Counters, Gauge, Gauges, Rollups, decode_rollups, encode_rollups, on_grid},
        take_present,
    },
    About,
    rows::RowMap,
};
use crate::{
    model::{Kind, Timestamp},
    store::{aggregate::Pairs, types::Point},
};
use std::collections::BTreeMap;

/// A sample of a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) time: i64,
    pub(super) run: u32,
    pub(super) value: f64,
    pub(super) reset: bool,
}

/// The bytes of a column: at which rows it has a roll-up, and the roll-ups.
pub(super) fn body(
    rows: &[usize],
    of: usize,
    rollups: &Rollups,
    effort: Effort,
    encoder: &mut ColumnEncoder,
) -> Vec<u8> {
    let mut present: Vec<std::ops::Range<usize>> = Vec::new();
    for row in rows {
        match present.last_mut() {
            Some(last) if last.end == *row => last.end += 1,
            _ => present.push(*row..row + 1),
        }
    }
    let mut body = Vec::new();
    put_present(&present, of, &mut body);
    encode_rollups(encoder, rollups, effort, &mut body);
    body
}

/// Reads the bytes of a column: the rows, and a roll-up for each.
pub(in super::super) fn read_body(
    bytes: &[u8],
    rows: usize,
    count: usize,
) -> Result<(Vec<usize>, Rollups), Damage> {
    let mut cursor = Cursor(bytes);
    let mut present = Vec::new();
    take_present(&mut cursor, rows, count, &mut present)?;
    let rollups = decode_rollups(cursor.0, count)?;
    Ok((present.into_iter().flatten().collect(), rollups))
}

/// The roll-ups of samples in their order, and when each begins.
pub(super) fn of_samples(
    samples: impl Iterator<Item = Sample>,
    width: i64,
    about: About,
) -> (Vec<i64>, Rollups) {
    let start = |sample: &Sample| sample.time.div_euclid(width) * width;
    if about.kind == Kind::Counter { counters(samples, start, about) } else { gauges(samples, start) }
}

fn gauges(samples: impl Iterator<Item = Sample>, start: impl Fn(&Sample) -> i64) -> (Vec<i64>, Rollups) {
    let (mut starts, mut gauges) = (Vec::new(), Gauges::default());
    let mut open: Option<(i64, Gauge)> = None;
    let mut close = |(start, mut gauge): (i64, Gauge)| {
        gauge.sum = on_grid(gauge.sum);
        starts.push(start);
        gauges.push(gauge);
    };
    for sample in samples {
        let (begun, value) = (start(&sample), sample.value);
        if let Some((_, gauge)) = open.as_mut().filter(|(known, _)| *known == begun) {
            gauge.count += 1;
            gauge.sum += value;
            gauge.min = gauge.min.min(value);
            gauge.max = gauge.max.max(value);
            gauge.last = value;
        } else {
            let gauge = Gauge { count: 1, sum: value, min: value, max: value, last: value };
            open.replace((begun, gauge)).into_iter().for_each(&mut close);
        }
    }
    open.into_iter().for_each(close);
    (starts, Rollups::Gauges(gauges))
}

fn counters(
    samples: impl Iterator<Item = Sample>,
    start: impl Fn(&Sample) -> i64,
    about: About,
) -> (Vec<i64>, Rollups) {
    let (mut starts, mut counters) = (Vec::new(), Counters::default());
    let mut open: Option<(i64, Counter)> = None;
    let mut close = |(start, mut counter): (i64, Counter)| {
        counter.increase = on_grid(counter.increase);
        starts.push(start);
        counters.push(counter);
    };
    let mut pairs = Pairs::default();
    let point = |sample: &Sample| Point {
        time: Timestamp::from_millis(sample.time),
        value: sample.value,
        reset: sample.reset,
        run: sample.run,
    };
    for (time, run, value) in about.tails {
        pairs.next(&point(&Sample { time, run, value, reset: false }));
    }
    for sample in samples {
        let growth = pairs.next(&point(&sample)).unwrap_or_default();
        let grown = growth.increase;
        let covered = u32::try_from(growth.covered_ms).unwrap_or(u32::MAX);
        let begun = start(&sample);
        if let Some((_, counter)) = open.as_mut().filter(|(known, _)| *known == begun) {
            counter.count += 1;
            counter.increase += grown;
            counter.covered = counter.covered.saturating_add(covered);
            counter.last = sample.value;
        } else {
            let counter = Counter { count: 1, increase: grown, covered, last: sample.value };
            open.replace((begun, counter)).into_iter().for_each(&mut close);
        }
    }
    open.into_iter().for_each(close);
    (starts, Rollups::Counters(counters))
}

/// The roll-ups of finer ones, and when each begins.
pub(super) fn of_rollups(times: &[i64], rollups: &Rollups, width: i64) -> (Vec<i64>, Rollups) {
    let mut merged = Combined::default();
    for (at, time) in times.iter().enumerate() {
        merged.add(time.div_euclid(width) * width, rollups, at);
    }
    merged.finish(matches!(rollups, Rollups::Counters(_)))
}

/// Several lists of roll-ups of one series, of groups that each have some of its samples: those that begin together
/// become one.
pub(in super::super) fn union(lists: &[(Vec<i64>, Rollups)]) -> (Vec<i64>, Rollups) {
    let mut merged = Combined::default();
    let mut counters = false;
    for (times, rollups) in lists {
        counters |= matches!(rollups, Rollups::Counters(_));
        for (at, time) in times.iter().enumerate() {
            merged.add(*time, rollups, at);
        }
    }
    merged.finish(counters)
}

/// Several lists of roll-ups of one series and one group, as one blob after the other has them: of those that begin
/// together the last stays.
pub(in super::super) fn replaced(mut lists: Vec<(Vec<i64>, Rollups)>) -> Option<(Vec<i64>, Rollups)> {
    if lists.len() <= 1 || lists.is_sorted_by(|(a, _), (b, _)| a.last() < b.first()) {
        return joined(lists);
    }
    let mut newest: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for (list, (starts, _)) in lists.iter().enumerate() {
        newest.extend(starts.iter().enumerate().map(|(at, start)| (*start, (list, at))));
    }
    let mut merged = Combined::default();
    for (start, (list, at)) in newest {
        merged.add(start, &lists[list].1, at);
    }
    let counters = lists.pop().is_some_and(|(_, rollups)| matches!(rollups, Rollups::Counters(_)));
    Some(merged.finish(counters))
}

/// Lists that follow one another as one.
fn joined(lists: Vec<(Vec<i64>, Rollups)>) -> Option<(Vec<i64>, Rollups)> {
    let mut lists = lists.into_iter();
    let (mut starts, mut all) = lists.next()?;
    for (more, rollups) in lists {
        match (&mut all, rollups) {
            (Rollups::Gauges(all), Rollups::Gauges(gauges)) => {
                (0..gauges.len()).filter_map(|at| gauges.get(at)).for_each(|gauge| all.push(gauge));
            }
            (Rollups::Counters(all), Rollups::Counters(counters)) => {
                (0..counters.len()).filter_map(|at| counters.get(at)).for_each(|counter| all.push(counter));
            }
            // the series changed its kind
            _ => continue,
        }
        starts.extend(more);
    }
    Some((starts, all))
}

/// The roll-ups without those of fewer samples than a known one that begins with them.
pub(super) fn without_fewer(
    starts: Vec<i64>,
    rollups: Rollups,
    known: Option<(Vec<i64>, Rollups)>,
) -> (Vec<i64>, Rollups) {
    let Some((known_starts, known)) = known else { return (starts, rollups) };
    let is_fewer = |at: usize| {
        let of = known_starts.binary_search(&starts[at]);
        of.is_ok_and(|of| count(&known, of) > count(&rollups, at))
    };
    let wanted: Vec<usize> = (0..starts.len()).filter(|at| !is_fewer(*at)).collect();
    if wanted.len() == starts.len() {
        return (starts, rollups);
    }
    let mut merged = Combined::default();
    wanted.iter().for_each(|at| merged.add(starts[*at], &rollups, *at));
    merged.finish(matches!(rollups, Rollups::Counters(_)))
}

/// Of how many samples a roll-up is.
fn count(rollups: &Rollups, at: usize) -> u32 {
    match rollups {
        Rollups::Gauges(gauges) => gauges.get(at).map_or(0, |gauge| gauge.count),
        Rollups::Counters(counters) => counters.get(at).map_or(0, |counter| counter.count),
    }
}

/// The roll-ups of one series by their beginning, or by their row.
#[derive(Debug)]
struct Combined<K> {
    gauges: BTreeMap<K, Gauge>,
    counters: BTreeMap<K, Counter>,
}

impl<K> Default for Combined<K> {
    fn default() -> Self {
        Self { gauges: BTreeMap::new(), counters: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Combined<K> {
    /// Adds a roll-up to the one that is there.
    fn add(&mut self, key: K, rollups: &Rollups, at: usize) {
        match rollups {
            Rollups::Gauges(gauges) => {
                let Some(gauge) = gauges.get(at) else { return };
                self.gauges.entry(key).and_modify(|known| *known = known.combine(gauge)).or_insert(gauge);
            }
            Rollups::Counters(counters) => {
                let Some(counter) = counters.get(at) else { return };
                self.counters
                    .entry(key)
                    .and_modify(|known| *known = known.combine(counter))
                    .or_insert(counter);
            }
        }
    }

    /// Puts a roll-up in the place of the one that is there.
    fn replace(&mut self, key: K, rollups: &Rollups, at: usize) {
        match rollups {
            Rollups::Gauges(gauges) => self.gauges.extend(gauges.get(at).map(|gauge| (key, gauge))),
            Rollups::Counters(counters) => {
                self.counters.extend(counters.get(at).map(|counter| (key, counter)));
            }
        }
    }

    /// Those of counters, or of gauges.
    fn finish(self, counters: bool) -> (Vec<K>, Rollups) {
        if counters {
            let mut of = Counters::default();
            let keys = self.counters.keys().copied().collect();
            self.counters.into_values().for_each(|counter| of.push(counter));
            return (keys, Rollups::Counters(of));
        }
        let mut of = Gauges::default();
        let keys = self.gauges.keys().copied().collect();
        self.gauges.into_values().for_each(|gauge| of.push(gauge));
        (keys, Rollups::Gauges(of))
    }
}

/// The roll-ups of one series out of several blobs, by row; the later blob's win.
#[derive(Debug, Default)]
pub(super) struct Merged(Combined<usize>);

impl Merged {
    /// Takes the column of a source.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        rows: usize,
        count: usize,
        map: &RowMap,
    ) -> Result<(), Damage> {
        let (present, rollups) = read_body(bytes, rows, count)?;
        for (at, row) in present.into_iter().enumerate() {
            if let Some(row) = map.of(row) {
                self.0.replace(row, &rollups, at);
            }
        }
        Ok(())
    }

    /// The rows and a roll-up for each. Should a series have changed its kind, the kind that it has more of stays.
    pub(super) fn finish(self) -> (Vec<usize>, Rollups) {
        let counters = self.0.counters.len() > self.0.gauges.len();
        self.0.finish(counters)
    }
}
