//! Makes `format-1.db` and `expected.txt`, with the store as it was when it wrote format 1: see README.md. No part of the
//! tests.

#[path = "listing.rs"]
mod listing;

use std::{fs, sync::Arc, time::Duration};
use twarga_agent::{
    model::{
        Event, Gap, GapReason, GapScope, Kind, Labels, Metric, SeriesDef, SeriesId, Severity, Timestamp,
    },
    store::{Commit, Options, Store, StoredBatch, StoredSample},
};

/// Twenty minutes before a part of the later format begins: 2026-11-20T21:40:00Z.
const START: i64 = 1_795_212_000_000 - 20 * 60_000;
const MINUTE: i64 = 60_000;

fn open() -> Store {
    let options = Options {
        file: "format-1.db".into(),
        retention: Duration::from_secs(7 * 24 * 3600),
        max_loss: Duration::from_secs(10),
        max_size: 1 << 30,
    };
    Store::open(options).unwrap()
}

fn series(store: &mut Store, collector: &str, kind: Kind, name: &str, labels: &[(&str, &str)]) -> SeriesId {
    let metric = Metric {
        name: name.into(),
        kind,
        unit: if kind == Kind::Counter { "By" } else { "" }.into(),
        help: format!("Says \"{name}\".").into(),
        label_keys: labels.iter().map(|(key, _)| (*key).into()).collect(),
        plugin: format!("host-{collector}").into(),
    };
    let def = SeriesDef { metric: Arc::new(metric), labels: Labels::new(labels.iter().copied()) };
    store.series(&def, collector).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn sample(series: SeriesId, value: f64) -> StoredSample {
    StoredSample { series, reset: false, value }
}

fn batch(millis: i64, samples: Vec<StoredSample>) -> StoredBatch {
    StoredBatch { time: at(millis), samples }
}

fn put(store: &mut Store, batches: Vec<StoredBatch>) {
    store.commit(&Commit { batches, ..Commit::default() }).unwrap();
}

/// The series that live throughout.
struct Living {
    counter: SeriesId,
    gauge: SeriesId,
    info: SeriesId,
    states: Vec<SeriesId>,
    odd: SeriesId,
}

impl Living {
    fn of(store: &mut Store) -> Self {
        let mut state =
            |word: &str| series(store, "vm", Kind::StateSet, "vm_state", &[("vm", "a"), ("vm_state", word)]);
        let states = vec![state("running"), state("paused")];
        Self {
            states,
            counter: series(store, "net", Kind::Counter, "net_bytes_total", &[("device", "eth\"0\"")]),
            gauge: series(store, "net", Kind::Gauge, "net_speed", &[]),
            info: series(store, "vm", Kind::Info, "vm_info", &[("vm", "a"), ("name", "ä b")]),
            odd: series(store, "odd", Kind::Gauge, "odd_values", &[]),
        }
    }

    /// The batches of a tick: two collectors, one of which was a little earlier.
    fn tick(&self, millis: i64, n: u32) -> Vec<StoredBatch> {
        const ODD: [f64; 8] =
            [-0.0, 1.0 / 3.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1, -1e15, 9_007_199_254_740_993.0];
        let mut counter = sample(self.counter, f64::from(n % 97) * 1500.0 + 0.25);
        counter.reset = n % 97 == 0;
        let mut net = vec![counter];
        if n % 5 != 4 {
            net.push(sample(self.gauge, f64::from(n * n % 31) / 10.0));
        }
        let mut vm = vec![sample(self.info, 1.0)];
        vm.extend(self.states.iter().zip([n % 40 < 30, n % 40 >= 30]).map(|(id, on)| sample(*id, on.into())));
        let odd = sample(self.odd, ODD[n as usize % ODD.len()]);
        vec![batch(millis, net), batch(millis - 15_000, vm), batch(millis - 3, vec![odd])]
    }
}

fn first_run(store: &mut Store) {
    let living = Living::of(store);
    series(store, "net", Kind::Gauge, "never_sampled", &[]);
    for n in 0..90 {
        put(store, living.tick(START + i64::from(n) * MINUTE, n));
    }
    // more series than a batch, or a group, has; and they come and go
    for round in 0..4_i64 {
        let many: Vec<StoredSample> = (0..150_u32)
            .filter(|n| round != 2 || n % 3 == 0)
            .map(|n| {
                let id = series(store, "many", Kind::Gauge, "many_values", &[("n", &n.to_string())]);
                sample(id, f64::from(n) + round as f64 / 4.0)
            })
            .collect();
        put(store, vec![batch(START + 30 * MINUTE + round * 7000, many)]);
    }
    // long after, before 1970, and at the same moment again
    let late = |millis, value| batch(millis, vec![sample(living.gauge, value)]);
    put(store, vec![late(START - 400 * MINUTE, -1.0), late(START + 89 * MINUTE, 777.0)]);
    put(store, vec![late(-1, -2.0)]);
    put(store, vec![late(START + 45 * MINUTE, 1001.0)]);
    put(store, vec![late(START + 45 * MINUTE, 1002.0)]);
    put(store, vec![late(START + 50 * MINUTE, 1003.0), late(START + 50 * MINUTE, 1004.0)]);
}

fn events_and_names(store: &mut Store) {
    assert_eq!(store.vm_id("00000000-0000-0000-0000-00000000000a").unwrap(), 1);
    assert_eq!(store.vm_id("00000000-0000-0000-0000-00000000000b").unwrap(), 2);
    store.put_meta("alerts", "{\"cpu\":\"firing\"}").unwrap();
    store.put_meta("empty", "").unwrap();
    for n in 0..5_i64 {
        let event = Event {
            kind: format!("kind_{n}"),
            severity: [Severity::Info, Severity::Warning, Severity::Critical][n as usize % 3],
            message: format!("what happened: \"{n}\""),
            details: serde_json::json!({ "n": n, "list": [1.5, null] }),
            time: at(START + n * 17 * MINUTE),
            vm_id: (n % 2 == 1).then_some(n),
        };
        store.commit(&Commit { events: vec![event], ..Commit::default() }).unwrap();
    }
}

fn second_run(store: &mut Store) {
    let living = Living::of(store);
    // the clock was set back by ten minutes: the times are those of the first run once more
    let begin = START + 80 * MINUTE;
    for n in 0..60 {
        let scopes = [GapScope::Agent, GapScope::Collector("net".into()), GapScope::Series(living.odd)];
        let reasons = [GapReason::ClockStep, GapReason::Timeout, GapReason::Unavailable("no: value".into())];
        let gap = |(scope, reason)| Gap { scope, from: at(begin), to: at(begin + 5000), reason };
        let commit = Commit {
            batches: living.tick(begin + i64::from(n) * MINUTE, n + 1),
            new_run: n == 0,
            gaps: if n == 0 { scopes.into_iter().zip(reasons).map(gap).collect() } else { Vec::new() },
            ..Commit::default()
        };
        store.commit(&commit).unwrap();
    }
}

fn third_run(store: &mut Store) {
    let living = Living::of(store);
    let begin = START + 170 * MINUTE;
    let down = Gap {
        scope: GapScope::Agent,
        from: at(begin - 30 * MINUTE),
        to: at(begin),
        reason: GapReason::AgentDown,
    };
    store.commit(&Commit { gaps: vec![down], ..Commit::default() }).unwrap();
    for n in 0..120 {
        put(store, living.tick(begin + i64::from(n) * MINUTE + 137, n));
    }
}

fn main() {
    let mut store = open();
    first_run(&mut store);
    events_and_names(&mut store);
    second_run(&mut store);
    store.close().unwrap();
    let mut store = open();
    third_run(&mut store);
    let reader = store.readers().reader().unwrap();
    fs::write("expected.txt", listing::listing(&store, &reader)).unwrap();
    drop(reader);
    store.close().unwrap();
}
