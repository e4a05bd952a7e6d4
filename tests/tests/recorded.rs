//! A real hour, put into a store, comes back from `/history` as it was.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::{sync::Arc, time::Duration};
use twarga_agent::{
    model::{Kind, Labels, Metric, SeriesDef, SeriesId, Timestamp},
    store::{Commit, Options, Retention, Store, StoredBatch, StoredSample},
};
use twarga_tests::{Home, config};

#[path = "../../agent/benches/recording/table.rs"]
#[allow(dead_code, reason = "of those who read the table, this test wants the columns alone")]
mod table;

/// A sample every two and a half seconds: longer than a part of time, so that blocks, segments and memory have some.
const STEP: i64 = 2500;

/// The metric of a column: letters, digits and `_` alone.
fn metric(column: usize, name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("recorded_{column}_{name}")
}

fn store(home: &Home, table: &table::Table, from: i64) -> Vec<String> {
    let mut store = Store::open(Options {
        file: home.data().join("history.db"),
        retention: Retention::default(),
        max_loss: Duration::from_secs(3600),
        max_size: 1 << 30,
    })
    .unwrap();
    let mut series = |name: String| -> SeriesId {
        let metric = Metric {
            name: name.into(),
            kind: Kind::Gauge,
            unit: "1".into(),
            help: "Recorded.".into(),
            label_keys: Vec::new(),
            plugin: "recorded".into(),
        };
        let def = SeriesDef { metric: Arc::new(metric), labels: Labels::default() };
        store.series(&def, "recorded").unwrap()
    };
    let names: Vec<String> = table.columns().enumerate().map(|(at, (name, _))| metric(at, name)).collect();
    let ids: Vec<SeriesId> = names.iter().cloned().map(&mut series).collect();
    for row in 0..table.rows() {
        let sample = |(id, (_, values)): (&SeriesId, (&str, &[f64]))| StoredSample {
            series: *id,
            reset: false,
            value: values[row],
        };
        let samples = ids.iter().zip(table.columns()).map(sample).collect();
        let time = Timestamp::from_millis(from + row as i64 * STEP);
        let batches = vec![StoredBatch { time, samples }];
        store.commit(&Commit { batches, ..Commit::default() }).unwrap();
    }
    store.close().unwrap();
    names
}

#[test]
fn a_recording_comes_back_from_the_history_as_it_was() {
    let table = table::Table::parse(include_bytes!("../../agent/benches/data/host-1s.tsv.gz")).unwrap();
    let home = Home::new(&config("1h", &[], ""));
    let part = 2 * 3_600_000;
    let from = Timestamp::now().as_millis().div_euclid(part) * part - 3 * part;
    let names = store(&home, &table, from);
    let agent = home.start();
    // some columns of each kind: constant ones, counters, gauges
    for (name, (_, values)) in names.iter().zip(table.columns()).step_by(12) {
        let answer = agent.get(&format!("/api/metrics/host/history?metric_name={name}&limit=200000"));
        assert_eq!(answer.status, 200, "{name}");
        let points = answer.json()["data"].as_array().unwrap().clone();
        assert_eq!(points.len(), values.len(), "{name}");
        let oldest_first = points.iter().rev().zip(values).enumerate();
        for (row, (point, value)) in oldest_first {
            assert_eq!(
                point["value"].as_f64().map(f64::to_bits),
                Some(value.to_bits()),
                "{name} {row}: {point}"
            );
            let time = Timestamp::from_millis(from + row as i64 * STEP);
            assert_eq!(point["timestamp"], Value::from(time.to_string()), "{name} {row}");
        }
    }
    agent.stop();
}
