//! Histories read from a store.

use super::*;
use crate::{
    model::{GapReason, GapScope, Labels, Metric, SeriesDef},
    store::{Commit, Options, Retention, Store, StoredBatch, StoredSample},
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

mod in_steps;

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
            retention: Retention::default(),
            max_loss: Duration::from_secs(10),
            max_size: 1 << 30,
        });
        Self { store: store.unwrap(), _directory: directory }
    }

    fn series(&mut self, name: &str, labels: &[(&str, &str)]) -> SeriesId {
        self.series_of(Kind::Gauge, name, labels)
    }

    fn series_of(&mut self, kind: Kind, name: &str, labels: &[(&str, &str)]) -> SeriesId {
        let metric = Metric {
            name: name.into(),
            kind,
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
        matchers: labels.iter().map(|(key, value)| Matcher::equal(*key, *value)).collect(),
        range: Range::ALL,
        limit: 100,
        steps: None,
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

const SPEED: &str = "host_net_recv_speed";
const RECEIVED: &str = "host_network_all_receive_bytes_total";
const MIB: f64 = views::MIB;

fn shown(history: &History) -> Vec<(i64, f64)> {
    history.points.iter().map(|(time, value)| (time.as_millis() - NOW, *value)).collect()
}

#[test]
fn two_counters_make_no_rate_together() {
    let mut bench = Bench::new();
    let a = bench.series(RECEIVED, &[("instance", "a")]);
    let b = bench.series(RECEIVED, &[("instance", "b")]);
    for (at, value) in [(0, MIB), (1000, 2.0 * MIB), (2000, 4.0 * MIB)] {
        bench.put(at, &[(a, value)]);
        bench.put(at + 100, &[(b, 5000.0 * MIB)]);
    }
    let several =
        Err(HistoryError::Ambiguous { labels: vec![("instance".into(), vec!["a".into(), "b".into()])] });
    assert_eq!(bench.ask(&of_host(SPEED, &[])), several);
    assert_eq!(bench.ask(&of_host(RECEIVED, &[])), several);
    let one = bench.ask(&of_host(SPEED, &[("instance", "a")])).unwrap();
    assert_eq!(shown(&one), [(2000, 2.0), (1000, 1.0)]);
    let other = bench.ask(&of_host(SPEED, &[("instance", "b")])).unwrap();
    assert_eq!(shown(&other), [(2100, 0.0), (1100, 0.0)]);
    assert_eq!(bench.ask(&of_host(SPEED, &[("instance", "c")])).unwrap().points, []);
}

#[test]
fn series_without_points_in_the_time_asked_for_are_in_nobodys_way() {
    let mut bench = Bench::new();
    let before = bench.series(RECEIVED, &[]);
    let a = bench.series(RECEIVED, &[("instance", "a")]);
    for at in [0, 1000] {
        bench.put(at, &[(before, MIB)]);
        bench.put(5000 + at, &[(a, MIB)]);
    }
    let instance = Err(HistoryError::Ambiguous { labels: vec![("instance".into(), vec!["a".into()])] });
    assert_eq!(bench.ask(&of_host(SPEED, &[])), instance);
    let within = |from, to| {
        let range = Range { from: at(from), to: at(to) };
        shown(&bench.ask(&HistoryQuery { range, ..of_host(SPEED, &[]) }).unwrap())
    };
    assert_eq!(within(0, 4000), [(1000, 0.0)]);
    assert_eq!(within(2000, 9000), [(6000, 0.0)]);
    assert_eq!(within(2000, 3000), []);
}

#[test]
fn a_mount_point_goes_on_under_another_name_and_rates_do_not() {
    let mut bench = Bench::new();
    let disk = |device| [("device", device), ("fstype", "ext4"), ("mountpoint", "/")];
    let used = "host_filesystem_used_bytes";
    let (old, new) = (bench.series(used, &disk("sda1")), bench.series(used, &disk("sdb1")));
    let (was, is) = (bench.series(RECEIVED, &[("device", "x")]), bench.series(RECEIVED, &[("device", "y")]));
    bench.put(0, &[(old, views::GIB), (was, MIB)]);
    bench.put(1000, &[(old, 2.0 * views::GIB), (was, 2.0 * MIB)]);
    bench.put(2000, &[(new, 3.0 * views::GIB), (is, 500.0 * MIB)]);
    bench.put(3000, &[(new, 4.0 * views::GIB), (is, 501.0 * MIB)]);
    let ask = |view: &str, limit| shown(&bench.ask(&HistoryQuery { limit, ..of_host(view, &[]) }).unwrap());
    assert_eq!(ask("host_disk_used_gb", 9), [(3000, 4.0), (2000, 3.0), (1000, 2.0), (0, 1.0)]);
    assert_eq!(ask("host_disk_used_gb", 3), [(3000, 4.0), (2000, 3.0), (1000, 2.0)]);
    assert_eq!(ask(SPEED, 9), [(3000, 1.0), (1000, 1.0)]);
}

#[test]
fn a_machines_history_is_that_machines() {
    let mut bench = Bench::new();
    let vm = bench.store.vm_id("u-1").unwrap();
    let mut ratio = |vm: &str| {
        let labels = [("vm", vm)];
        (bench.series("vm_memory_used_bytes", &labels), bench.series("vm_memory_total_bytes", &labels))
    };
    let (one, two) = (ratio("u-1"), ratio("u-2"));
    bench.put(0, &[(one.0, 1.0), (one.1, 10.0), (two.0, 2.0), (two.1, 4.0)]);
    let percent = |target, labels: &[(&str, &str)]| {
        bench.ask(&HistoryQuery { target, ..of_host("vm_memory_percent", labels) })
    };
    assert_eq!(shown(&percent(Target::Vm(vm), &[]).unwrap()), [(0, 10.0)]);
    assert_eq!(shown(&percent(Target::Vm(vm), &[("vm", "u-2")]).unwrap()), [(0, 10.0)], "the path counts");
    assert_eq!(shown(&percent(Target::Host, &[("vm", "u-2")]).unwrap()), [(0, 50.0)]);
    let machines = vec![("vm".into(), vec!["u-1".into(), "u-2".into()])];
    assert_eq!(percent(Target::Host, &[]), Err(HistoryError::Ambiguous { labels: machines }));
}
