//! The table of samples. It is read in windows of time and groups of series, so that neither memory nor the time of one
//! transaction grows with the history.

use super::{
    bounds::Bounds,
    vtab::{Compared, Condition, Plan, Scan, Table},
};
use crate::{
    model::{Labels, SeriesId, Timestamp},
    store::{Point, Range, Reader, Readers, Selector, StoreError, StoredSeries},
};
use rusqlite::types::{ToSqlOutput, Value};
use std::ffi::CStr;

/// Series that are read together.
const GROUP: usize = 64;
/// Milliseconds that are read at once, to begin with.
const WINDOW: i64 = 2 * 3600 * 1000;
/// Points of one series that are read at once at most; where there are more, the window is halved.
const MOST: usize = 8192;
/// A window in which no series has so many, and all together no more than [`FEW_IN_ALL`], is doubled.
const FEW: usize = MOST / 4;
const FEW_IN_ALL: usize = FEW * 8;
/// The widest window.
const WIDEST: i64 = 1 << 56;
/// Rows of a history, for want of a better guess.
const ROWS: f64 = 1e8;

const NULL: ToSqlOutput<'_> = ToSqlOutput::Owned(Value::Null);

const NAME: usize = 0;
const LABELS: usize = 1;
const TS: usize = 2;
const VALUE: usize = 3;
const TIME: usize = 4;
const SERIES: usize = 5;
const KIND: usize = 6;
const UNIT: usize = 7;
const RUN: usize = 8;

/// `metrics`: a row a sample.
pub(super) struct Metrics;

impl Table for Metrics {
    const NAME: &'static str = "metrics";
    const DECLARATION: &'static CStr = c"CREATE TABLE metrics(
  name TEXT, labels TEXT, ts INTEGER, value REAL,
  time TEXT HIDDEN, series INTEGER HIDDEN, kind TEXT HIDDEN, unit TEXT HIDDEN, run INTEGER HIDDEN)";
    type Scan = MetricsScan;

    fn plan(conditions: &[Condition], order: &[(usize, bool)]) -> Plan {
        let mut plan = Plan { rows: ROWS, ..Plan::default() };
        let mut one = [false; 3];
        for (at, condition) in conditions.iter().enumerate() {
            let (letter, share) = match (condition.column, condition.compared) {
                (NAME, Compared::Equal) => ('n', 0.02),
                (LABELS, Compared::Equal) => ('l', 0.02),
                (SERIES, Compared::Equal) => ('s', 0.0005),
                (TS | TIME, compared) => (Bounds::letter(compared), 0.25),
                _ => continue,
            };
            match letter {
                'n' => one[0] = true,
                'l' => one[1] = true,
                's' => one[2] = true,
                _ => {}
            }
            plan.uses.push(at);
            plan.text.push(letter);
            plan.rows *= share;
        }
        // of one series, and of no other, rows come in the order of time
        let one_series = one[2] || (one[0] && one[1]);
        if let ([(TS | TIME, descending)], true) = (order, one_series) {
            plan.ordered = true;
            if *descending {
                plan.text.push('D');
            }
        }
        plan.rows = plan.rows.max(1.0);
        plan
    }

    fn scan(readers: &Readers, plan: &str, values: &[Value]) -> Result<MetricsScan, StoreError> {
        let reader = readers.reader()?;
        let mut wanted = Wanted::default();
        let mut bounds = Bounds::default();
        for (letter, value) in plan.chars().zip(values) {
            match letter {
                'n' => wanted.name = Some(value.clone()),
                'l' => wanted.labels = Some(value.clone()),
                's' => wanted.id = Some(value.clone()),
                letter => bounds.narrow(letter, value),
            }
        }
        let series = wanted.select(&reader)?;
        let range = match reader.extent()? {
            Some(extent) if !series.is_empty() => bounds.within(extent),
            _ => None,
        };
        MetricsScan::begin(reader, series, range, plan.contains('D'))
    }
}

/// Which series are asked for.
#[derive(Default)]
struct Wanted {
    name: Option<Value>,
    labels: Option<Value>,
    id: Option<Value>,
}

impl Wanted {
    fn select(&self, reader: &Reader) -> Result<Vec<StoredSeries>, StoreError> {
        let mut series = match &self.name {
            Some(Value::Text(name)) => {
                reader.select(&Selector::with_labels(name.as_str(), &Labels::default()))?
            }
            // no name is a number, nothing, or bytes
            Some(_) => Vec::new(),
            None => reader.all_series()?,
        };
        if let Some(labels) = &self.labels {
            let text = if let Value::Text(text) = labels { text.as_str() } else { return Ok(Vec::new()) };
            series.retain(|series| series.def.labels.to_string() == text);
        }
        if let Some(Value::Integer(id)) = self.id {
            series.retain(|series| i64::from(series.id.0) == id);
        }
        Ok(series)
    }
}

/// A running read of samples.
pub(super) struct MetricsScan {
    reader: Reader,
    series: Vec<StoredSeries>,
    windows: Option<Windows>,
    /// Where the group that is read begins, and its labels as text.
    group: usize,
    labels: Vec<String>,
    /// Of each series of the group, newest first.
    points: Vec<Vec<Point>>,
    /// The series of the row, within the group, and its point.
    slot: usize,
    at: usize,
    descending: bool,
}

impl MetricsScan {
    fn begin(
        reader: Reader,
        series: Vec<StoredSeries>,
        range: Option<Range>,
        descending: bool,
    ) -> Result<Self, StoreError> {
        let windows = range.map(|range| Windows::new(range, descending));
        let (labels, points) = (Vec::new(), Vec::new());
        let mut scan = Self { reader, series, windows, group: 0, labels, points, slot: 0, at: 0, descending };
        scan.name_group();
        scan.fill()?;
        Ok(scan)
    }

    fn ids(&self) -> &[StoredSeries] {
        &self.series[self.group..self.series.len().min(self.group + GROUP)]
    }

    fn name_group(&mut self) {
        self.labels = self.ids().iter().map(|series| series.def.labels.to_string()).collect();
    }

    /// Reads on until there are points, or nothing is left.
    fn fill(&mut self) -> Result<(), StoreError> {
        (self.slot, self.at) = (0, 0);
        self.points.clear();
        let Some(mut windows) = self.windows.take() else { return Ok(()) };
        loop {
            let Some(window) = windows.window() else {
                self.group += GROUP;
                if self.group >= self.series.len() {
                    return Ok(());
                }
                self.name_group();
                windows.restart();
                continue;
            };
            let ids: Vec<SeriesId> = self.ids().iter().map(|series| series.id).collect();
            let limit = if windows.width > 1 { MOST + 1 } else { usize::MAX };
            let points = self.reader.last_of_many(&ids, window, limit)?;
            if !windows.accept(&points) {
                continue;
            }
            if let Some(slot) = points.iter().position(|points| !points.is_empty()) {
                (self.points, self.slot) = (points, slot);
                self.windows = Some(windows);
                return Ok(());
            }
        }
    }

    fn point(&self) -> Option<&Point> {
        let points = self.points.get(self.slot)?;
        points.get(if self.descending { self.at } else { points.len().checked_sub(self.at + 1)? })
    }
}

impl Scan for MetricsScan {
    fn at_end(&self) -> bool {
        self.points.is_empty()
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.at += 1;
        while self.at >= self.points.get(self.slot).map_or(0, Vec::len) {
            (self.slot, self.at) = (self.slot + 1, 0);
            if self.slot >= self.points.len() {
                return self.fill();
            }
        }
        Ok(())
    }

    fn cell(&self, column: usize) -> ToSqlOutput<'_> {
        let Some((point, series)) = self.point().zip(self.series.get(self.group + self.slot)) else {
            return NULL;
        };
        let metric = &*series.def.metric;
        match column {
            NAME => ToSqlOutput::from(&*metric.name),
            LABELS => self.labels[self.slot].as_str().into(),
            TS => point.time.as_millis().into(),
            VALUE => point.value.into(),
            TIME => point.time.to_string().into(),
            SERIES => series.id.0.into(),
            KIND => metric.kind.word().into(),
            UNIT => ToSqlOutput::from(&*metric.unit),
            RUN => point.run.into(),
            _ => NULL,
        }
    }
}

/// Cuts a range into windows, whose width follows how much they hold. They begin at multiples of their width, as the
/// store's own parts do.
#[derive(Debug)]
struct Windows {
    range: Range,
    descending: bool,
    width: i64,
    /// The first millisecond that was not read yet, seen from where reading begins; nothing at the end.
    next: Option<i64>,
}

impl Windows {
    fn new(range: Range, descending: bool) -> Self {
        let mut windows = Self { range, descending, width: WINDOW, next: None };
        windows.restart();
        windows
    }

    /// To the beginning, for the next group.
    fn restart(&mut self) {
        let (from, to) = (self.range.from.as_millis(), self.range.to.as_millis());
        self.next = (from <= to).then_some(if self.descending { to } else { from });
    }

    fn ends(&self) -> Option<(i64, i64)> {
        let next = self.next?;
        let (from, to) = (self.range.from.as_millis(), self.range.to.as_millis());
        let begins = next.div_euclid(self.width).saturating_mul(self.width);
        Some(if self.descending {
            (begins.max(from), next)
        } else {
            (next, begins.saturating_add(self.width - 1).min(to))
        })
    }

    /// What is to be read now.
    fn window(&self) -> Option<Range> {
        let (from, to) = self.ends()?;
        Some(Range { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) })
    }

    /// Goes on after what was read, unless that was too much: then it is to be read again in a narrower window.
    fn accept(&mut self, points: &[Vec<Point>]) -> bool {
        let longest = points.iter().map(Vec::len).max().unwrap_or(0);
        if longest > MOST && self.width > 1 {
            self.width /= 2;
            return false;
        }
        let Some((from, to)) = self.ends() else { return true };
        let (first, last) = (self.range.from.as_millis(), self.range.to.as_millis());
        self.next =
            if self.descending { (from > first).then(|| from - 1) } else { (to < last).then(|| to + 1) };
        if longest <= FEW && points.iter().map(Vec::len).sum::<usize>() <= FEW_IN_ALL {
            self.width = (self.width * 2).min(WIDEST);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64) -> Range {
        Range { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to) }
    }

    /// All windows of a range over a history with a point every `every` milliseconds.
    fn walk(from: i64, to: i64, every: i64, descending: bool) -> Vec<(i64, i64)> {
        let mut windows = Windows::new(range(from, to), descending);
        let mut seen = Vec::new();
        while let Some(window) = windows.window() {
            let (from, to) = (window.from.as_millis(), window.to.as_millis());
            let count = to.div_euclid(every) - (from - 1).div_euclid(every);
            let point = Point { time: window.from, value: 0.0, reset: false, run: 1 };
            let count = usize::try_from(count).unwrap().min(MOST + 1);
            if windows.accept(&[vec![point; count]]) {
                seen.push((from, to));
            }
            assert!(seen.len() < 10_000);
        }
        seen
    }

    #[test]
    fn windows_cover_a_range_without_a_hole_and_without_overlap() {
        for (from, to, every) in [
            (0, 0, 1),
            (-5, 7_200_000, 1000),
            (1_700_000_000_123, 1_700_600_000_000, 1000),
            (1_700_000_000_123, 1_700_000_100_000, 1),
            (-(1 << 54), 1 << 54, 1 << 40),
        ] {
            let forward = walk(from, to, every, false);
            assert_eq!((forward[0].0, forward.last().unwrap().1), (from, to));
            assert!(forward.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{forward:?}");
            let backward = walk(from, to, every, true);
            assert_eq!((backward[0].1, backward.last().unwrap().0), (to, from));
            assert!(backward.windows(2).all(|pair| pair[0].0 == pair[1].1 + 1), "{backward:?}");
        }
        assert!(walk(1, 0, 1, false).is_empty());
    }

    #[test]
    fn dense_windows_shrink_and_sparse_ones_grow() {
        assert!(walk(0, 1_000_000, 1, false).iter().all(|(from, to)| to - from < MOST as i64));
        assert!(walk(0, 1 << 50, 1 << 30, false).len() < 700);
    }

    #[test]
    fn one_series_comes_in_order_and_nothing_else_does() {
        let equal = |column| Condition { column, compared: Compared::Equal };
        let plan = |conditions: &[Condition], order| Metrics::plan(conditions, order);
        assert!(plan(&[equal(NAME), equal(LABELS)], &[(TS, true)]).ordered);
        assert_eq!(plan(&[equal(NAME), equal(LABELS)], &[(TS, true)]).text, "nlD");
        assert!(plan(&[equal(SERIES)], &[(TS, false)]).ordered);
        assert!(!plan(&[equal(NAME)], &[(TS, false)]).ordered);
        assert!(!plan(&[equal(SERIES)], &[(VALUE, false)]).ordered);
        assert!(!plan(&[equal(SERIES)], &[(TS, false), (VALUE, false)]).ordered);
        let since = Condition { column: TS, compared: Compared::AtLeast };
        let plan = plan(&[equal(VALUE), since], &[]);
        assert_eq!((plan.uses, plan.text.len()), (vec![1], 1));
    }
}
