//! Histories in steps, and label matchers, from the real agent.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use twarga_agent::{
    model::{Kind, Labels, Metric, SeriesDef, SeriesId, Timestamp},
    store::{Commit, Options, Retention, Store, StoredBatch, StoredSample},
};
use twarga_tests::{Agent, Home, config};

const MINUTE: i64 = 60_000;

/// An hour that is over, less than a day ago: its samples are kept.
fn then() -> i64 {
    Timestamp::now().as_millis().div_euclid(60 * MINUTE) * 60 * MINUTE - 120 * MINUTE
}

struct Past {
    store: Store,
    from: i64,
}

impl Past {
    fn new(home: &Home) -> Self {
        let options = Options {
            file: home.data().join("history.db"),
            retention: Retention::default(),
            max_loss: Duration::ZERO,
            max_size: 1 << 30,
        };
        Self { store: Store::open(options).unwrap(), from: then() }
    }

    fn series(&mut self, kind: Kind, name: &str, labels: &[(&str, &str)]) -> SeriesId {
        let metric = Metric {
            name: name.into(),
            kind,
            unit: "By".into(),
            help: "A value.".into(),
            label_keys: labels.iter().map(|(key, _)| (*key).into()).collect(),
            plugin: "past".into(),
        };
        let def = SeriesDef { metric: Arc::new(metric), labels: Labels::new(labels.iter().copied()) };
        self.store.series(&def, "past").unwrap()
    }

    fn put(&mut self, second: i64, values: &[(SeriesId, f64)]) {
        let sample = |&(series, value): &(SeriesId, f64)| StoredSample { series, reset: false, value };
        let samples = values.iter().map(sample).collect();
        let batch = StoredBatch { time: Timestamp::from_millis(self.from + second * 1000), samples };
        self.store.commit(&Commit { batches: vec![batch], ..Commit::default() }).unwrap();
    }
}

/// An agent with ten minutes of history, a sample every ten seconds: a gauge of two devices that counts the samples
/// (and 1000 more of the other one), a counter that grows by 100 a sample and began anew after five minutes, and the
/// counter of the view `host_net_recv_speed`, 1 MiB a second.
fn agent() -> (Agent, i64) {
    let home = Home::new(&config("1h", &[], ""));
    let mut past = Past::new(&home);
    let gauges =
        ["eth0", "lo"].map(|device| past.series(Kind::Gauge, "past_value_bytes", &[("device", device)]));
    let counter = past.series(Kind::Counter, "past_bytes_total", &[]);
    let received = past.series(Kind::Counter, "host_network_all_receive_bytes_total", &[]);
    for n in 0..60_u32 {
        let values = [
            (gauges[0], f64::from(n)),
            (gauges[1], f64::from(n + 1000)),
            (counter, f64::from(100 * if n < 30 { n } else { n - 30 })),
            (received, f64::from(n) * 10_485_760.0),
        ];
        past.put(i64::from(n) * 10, &values);
    }
    let from = past.from;
    past.store.close().unwrap();
    (home.start(), from)
}

fn history(agent: &Agent, query: &str) -> Value {
    let answer = agent.get(&format!("/api/metrics/host/history?metric_name={query}"));
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn values(answer: &Value) -> Vec<f64> {
    answer["data"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap()).collect()
}

#[track_caller]
fn refused(agent: &Agent, query: &str, place: &str, text: &str) {
    let answer = agent.get(&format!("/api/metrics/host/history?metric_name={query}"));
    assert_eq!(answer.status, 422, "{query}: {}", answer.text());
    let wrong = answer.json()["detail"][0].take();
    assert_eq!(wrong["loc"], json!(["query", place]), "{wrong}");
    assert!(wrong["msg"].as_str().unwrap().contains(text), "{wrong}");
}

#[test]
fn a_gauge_in_steps() {
    let (agent, from) = agent();
    let eth0 = "past_value_bytes&label.device=eth0";
    let answer = history(&agent, &format!("{eth0}&step=5m"));
    let stamp = |minutes: i64| Timestamp::from_millis(from + minutes * MINUTE).to_string();
    assert_eq!(
        answer["data"],
        json!([
            {"value": 44.5, "unit": "By", "timestamp": stamp(5)},
            {"value": 14.5, "unit": "By", "timestamp": stamp(0)},
        ])
    );
    assert_eq!((&answer["count"], &answer["step_seconds"]), (&json!(2), &json!(300.0)));
    assert_eq!((&answer["agg"], &answer["tier"]), (&json!("avg"), &json!("raw")));
    assert!(answer.get("unavailable").is_none() && answer["gaps"].is_array(), "{answer}");
    for (agg, wanted) in [
        ("min", [30.0, 0.0]),
        ("max", [59.0, 29.0]),
        ("last", [59.0, 29.0]),
        ("sum", [1335.0, 435.0]),
        ("count", [30.0, 30.0]),
        ("p50", [44.5, 14.5]),
        ("p0", [30.0, 0.0]),
        ("p100", [59.0, 29.0]),
    ] {
        let answer = history(&agent, &format!("{eth0}&step=300&agg={agg}"));
        assert_eq!((values(&answer).as_slice(), &answer["agg"]), (&wanted[..], &json!(agg)));
    }
    let newest = history(&agent, &format!("{eth0}&step=1m&limit=2"));
    assert_eq!(values(&newest), [56.5, 50.5], "{newest}");
    let (begin, end) = (stamp(2), stamp(3));
    let within = history(&agent, &format!("{eth0}&step=1m&from={begin}&to={end}"));
    assert_eq!(values(&within), [20.5, 14.5]);
    let points = history(&agent, &format!("{eth0}&limit=2"));
    assert_eq!(values(&points), [59.0, 58.0]);
    assert!(points.get("step_seconds").is_none(), "{points}");
}

#[test]
fn a_counter_in_steps() {
    let (agent, _) = agent();
    let rate = history(&agent, "past_bytes_total&step=5m");
    assert_eq!((&rate["agg"], &rate["data"][0]["unit"]), (&json!("rate"), &json!("By/s")));
    // the reset cost the growth before it; the first step lacks its first pair
    assert_eq!(values(&rate), [2900.0 / 300.0, 10.0]);
    let increase = history(&agent, "past_bytes_total&step=5m&agg=increase");
    assert_eq!(values(&increase), [2900.0, 2900.0]);
    let last = history(&agent, "past_bytes_total&step=5m&agg=last");
    assert_eq!(values(&last), [2900.0, 2900.0]);
}

#[test]
fn a_view_in_steps() {
    let (agent, _) = agent();
    for (agg, wanted) in [("avg", 1.0), ("max", 1.0), ("p99.9", 1.0), ("count", 30.0)] {
        let answer = history(&agent, &format!("host_net_recv_speed&step=5m&agg={agg}"));
        assert_eq!(values(&answer)[0], wanted, "{agg}: {answer}");
        let unit = if agg == "count" { "1" } else { "MB/s" };
        assert_eq!(answer["data"][0]["unit"], unit);
    }
    refused(&agent, "host_net_recv_speed&step=5m&agg=rate", "agg", "only a counter has a rate");
}

#[test]
fn what_can_not_be_had_says_why() {
    let (agent, from) = agent();
    let eth0 = "past_value_bytes&label.device=eth0";
    refused(&agent, &format!("{eth0}&step=5m&agg=rate"), "agg", "only a counter has a rate");
    refused(&agent, &format!("{eth0}&agg=max"), "step", "Field required where 'agg' is given");
    refused(&agent, &format!("{eth0}&step=soon"), "step", "30s, 5m, 1h or 1d");
    refused(&agent, &format!("{eth0}&step=5m&agg=median"), "agg", "a percentile such as p95");
    let begin = Timestamp::from_millis(from).to_string();
    let fine = format!("{eth0}&from={begin}&step=10ms");
    refused(&agent, &fine, "step", "more than 11000 steps of 10ms");
    refused(&agent, &fine, "step", "use a step of 54ms or more");
    assert_eq!(history(&agent, &fine.replace("10ms", "54ms"))["count"], 60);
    refused(&agent, "past_value_bytes&step=5m", "metric_name", "label.device (eth0, lo)");
    assert_eq!(history(&agent, "no_such_metric&step=5m")["count"], 0);
}

#[test]
fn label_matchers() {
    let (agent, _) = agent();
    let newest = |matcher: &str| {
        let answer = history(&agent, &format!("past_value_bytes&limit=1&{matcher}"));
        values(&answer).first().copied()
    };
    let (eth0, lo) = (Some(59.0), Some(1059.0));
    for (matcher, wanted) in [
        ("label.device=eth0", eth0),
        ("label.device!=lo", eth0),
        ("label.device=~eth.*", eth0),
        ("label.device=~eth", None),
        ("label.device!~eth.*", lo),
        ("label.device!=~eth.*", lo),
        ("label.device=~eth0|lo&label.device!=eth0", lo),
        ("label.device=~lo&label.device=~eth0", None),
        ("label.device!=&label.device=lo", lo),
        ("label.device=eth0&label.device=lo", lo),
        ("label.other!=x&label.device=lo", lo),
        ("label.other=~.%2B&label.device=lo", None),
        ("label.device=~~eth0", None),
    ] {
        assert_eq!(newest(matcher), wanted, "{matcher}");
    }
    refused(&agent, "past_value_bytes&label.device=~.*", "metric_name", "label.device (eth0, lo)");
    refused(&agent, "past_value_bytes&label.device=~[", "label.device", "the pattern can't be used");
}
