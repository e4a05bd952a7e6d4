//! Histories read from a store.

use super::*;
use crate::{
    model::{GapReason, GapScope, Kind, Metric, SeriesDef},
    store::{Commit, Options, Store, StoredBatch, StoredSample},
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

/// 2026-11-20T22:00:00Z
const NOW: i64 = 1_795_212_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW + millis)
}

struct Bench {
    store: Store,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = Store::open(Options {
            file: directory.path().join("history.db"),
            retention: Duration::from_secs(7 * 24 * 3600),
            max_loss: Duration::from_secs(10),
            max_size: 1 << 30,
        });
        Self { store: store.unwrap(), _directory: directory }
    }

    fn series(&mut self, name: &str, labels: &[(&str, &str)]) -> SeriesId {
        let metric = Metric {
            name: name.into(),
            kind: Kind::Gauge,
            unit: "By".into(),
            help: "Help.".into(),
            label_keys: Vec::new(),
            plugin: "plugin".into(),
        };
        let labels = Labels::new(labels.iter().copied());
        self.store.series(&SeriesDef { metric: Arc::new(metric), labels }, "one").unwrap()
    }

    fn put(&mut self, millis: i64, values: &[(SeriesId, f64)]) {
        let sample = |&(series, value): &(SeriesId, f64)| StoredSample { series, reset: false, value };
        let samples = values.iter().map(sample).collect();
        let batches = vec![StoredBatch { time: at(millis), samples }];
        self.store.commit(&Commit { batches, ..Commit::default() }).unwrap();
    }

    fn gaps(&mut self, scope: &GapScope, times: impl Iterator<Item = i64>) {
        let gap = |millis| Gap {
            scope: scope.clone(),
            from: at(millis),
            to: at(millis + 10),
            reason: GapReason::Failed(format!("no {millis}")),
        };
        let commit = Commit { gaps: times.map(gap).collect(), ..Commit::default() };
        self.store.commit(&commit).unwrap();
    }

    fn ask(&self, query: &HistoryQuery) -> Result<History, HistoryError> {
        history(&self.store.readers().reader().unwrap(), query, "/")
    }
}

fn of_host(metric: &str, labels: &[(&str, &str)]) -> HistoryQuery {
    HistoryQuery {
        target: Target::Host,
        metric: metric.into(),
        labels: Labels::new(labels.iter().copied()),
        range: Range::ALL,
        limit: 100,
    }
}

/// From when on there are gaps.
fn froms(history: &History) -> Vec<i64> {
    history.gaps.iter().map(|gap| gap.from.as_millis() - NOW).collect()
}

#[test]
fn gaps_before_the_points_that_the_limit_left_are_not_told() {
    let mut bench = Bench::new();
    let id = bench.series("m", &[]);
    for second in 0..10 {
        bench.put(second * 1000, &[(id, 1.0)]);
    }
    bench.gaps(&GapScope::Series(id), [-500, 500, 6985, 6990, 8500, 9500].into_iter());
    bench.gaps(&GapScope::Agent, [1500, 7500].into_iter());
    let all = bench.ask(&of_host("m", &[])).unwrap();
    assert_eq!(froms(&all), [-500, 500, 1500, 6985, 6990, 7500, 8500, 9500]);
    let cut = bench.ask(&HistoryQuery { limit: 3, ..of_host("m", &[]) }).unwrap();
    assert_eq!(cut.points.last(), Some(&(at(7000), 1.0)));
    assert_eq!(froms(&cut), [6990, 7500, 8500, 9500], "also the one after the newest point");
    let range = Range { from: at(7000), to: at(8000) };
    let within = bench.ask(&HistoryQuery { range, ..of_host("m", &[]) }).unwrap();
    assert_eq!(froms(&within), [6990, 7500]);
    assert!(!all.gaps_truncated && !cut.gaps_truncated);
}

#[test]
fn of_many_gaps_the_newest_thousand_are_told() {
    let mut bench = Bench::new();
    let id = bench.series("host_memory_usage_ratio", &[]);
    bench.gaps(&GapScope::Series(id), (0..1000).map(|n| n * 1000));
    for metric in ["host_memory_usage_ratio", "host_memory_percent"] {
        let found = bench.ask(&of_host(metric, &[])).unwrap();
        assert_eq!((found.gaps.len(), found.gaps_truncated), (1000, false), "{metric}");
    }
    bench.gaps(&GapScope::Agent, (0..700).map(|n| n * 1000 + 500));
    for metric in ["host_memory_usage_ratio", "host_memory_percent"] {
        let found = bench.ask(&of_host(metric, &[])).unwrap();
        assert_eq!((found.gaps.len(), found.gaps_truncated), (1000, true), "{metric}");
        assert_eq!((froms(&found)[0], froms(&found)[999]), (350_000, 999_000), "{metric}");
        assert!(found.gaps.is_sorted());
    }
}
