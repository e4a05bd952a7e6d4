//! The store through its interface alone.

#![allow(clippy::unwrap_used)] // clippy takes the helpers of tests for ordinary code

mod churn;
mod crashes;
mod damage;
mod events;
mod files;
mod gaps;
mod history;
mod kills;
mod model;
mod recording;
mod retention;
mod rollups;
mod steps;
mod upgrade;

use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use twarga_agent::{
    model::{Kind, Labels, Metric, SeriesDef, SeriesId, Timestamp},
    store::{
        Aggregate, Commit, Options, Point, Range, Reader, Readers, Retention, Store, StoredBatch,
        StoredSample, verify,
    },
};

/// A usual time: 2026-11-20T22:00:00Z.
const NOW: i64 = 1_795_212_000_000;
const HOUR: i64 = 3_600_000;

fn options(directory: &Path) -> Options {
    Options {
        file: directory.join("history.db"),
        retention: Retention::default(),
        max_loss: Duration::from_secs(10),
        max_size: 1 << 30,
    }
}

fn open(directory: &TempDir) -> Store {
    Store::open(options(directory.path())).unwrap()
}

fn def(name: &str, labels: &[(&str, &str)]) -> SeriesDef {
    let metric = Metric {
        name: name.into(),
        kind: Kind::Counter,
        unit: "By".into(),
        help: "What it counts, with \"quotes\".".into(),
        label_keys: labels.iter().map(|(key, _)| (*key).into()).collect(),
        plugin: "host-test".into(),
    };
    SeriesDef { metric: Arc::new(metric), labels: Labels::new(labels.iter().copied()) }
}

/// That many series of the collector `test`.
fn series(store: &mut Store, count: usize) -> Vec<SeriesId> {
    (0..count).map(|n| store.series(&def("m_total", &[("n", &n.to_string())]), "test").unwrap()).collect()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn sample(series: SeriesId, value: f64) -> StoredSample {
    StoredSample { series, reset: false, value }
}

/// A batch with the same value for all series.
fn batch(millis: i64, series: &[SeriesId], value: f64) -> StoredBatch {
    StoredBatch { time: at(millis), samples: series.iter().map(|id| sample(*id, value)).collect() }
}

fn commit(batches: Vec<StoredBatch>) -> Commit {
    Commit { batches, ..Commit::default() }
}

fn put(store: &mut Store, millis: i64, series: &[SeriesId], value: f64) {
    assert!(store.commit(&commit(vec![batch(millis, series, value)])).unwrap() > 0);
}

/// As another process reads.
fn of_file(directory: &TempDir) -> Readers {
    Readers::of_file(&directory.path().join("history.db")).unwrap()
}

fn reader(store: &Store) -> Reader {
    store.readers().reader().unwrap()
}

fn all(reader: &Reader, series: SeriesId) -> Vec<Point> {
    reader.last(series, Range::ALL, usize::MAX).unwrap()
}

fn times(points: &[Point]) -> Vec<i64> {
    points.iter().map(|point| point.time.as_millis()).collect()
}

fn values(points: &[Point]) -> Vec<f64> {
    points.iter().map(|point| point.value).collect()
}
