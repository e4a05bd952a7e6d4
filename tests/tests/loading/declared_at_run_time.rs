//! Families and series that come and go while a collector runs.

use super::{Run, Shelf};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc, time::Duration};
use twarga_agent::{
    collect::Source,
    host::{Claims, InstanceOptions},
    model::Kind,
};
use twarga_plugin_api::ErrorKind;

/// `dynamic` with this script: a list of actions for each collection.
fn scripted(script: &Value) -> Run {
    scripted_with(script, |_| {})
}

fn scripted_with(script: &Value, change: impl FnOnce(&mut InstanceOptions)) -> Run {
    let mut shelf = Shelf::new();
    shelf.claims = Arc::new(Claims::new(|name| name == "dynamic_reserved"));
    let library = shelf.loaded("dynamic");
    let mut options = shelf.options(&json!({ "script": script }).to_string());
    change(&mut options);
    Run::new(&library, &options).unwrap()
}

fn declare(name: &str, kind: &str, labels: &str) -> Value {
    json!({"declare": {"name": name, "kind": kind, "help": "Help.", "labels": labels}})
}

fn put(name: &str, labels: &[&str], value: f64) -> Value {
    json!({"put": {"name": name, "labels": labels, "value": value}})
}

#[test]
fn a_family_that_is_declared_late() {
    let declaration = json!({"declare": {"name": "dynamic_x_bytes", "kind": "gauge", "unit": "By", "help": "X.", "labels": "a,b"}});
    let mut run = scripted(&json!([[], [declaration, put("dynamic_x_bytes", &["1", "two"], 5.0)]]));
    run.collect().unwrap();
    assert!(run.batch.samples.is_empty() && run.batch.registered.is_empty());
    run.collect().unwrap();
    assert_eq!(run.value(r#"dynamic_x_bytes{a="1",b="two"}"#), Some(5.0));
    let metric = &run.batch.registered[0].1.metric;
    assert_eq!((metric.kind, &*metric.unit, &*metric.help), (Kind::Gauge, "By", "X."));
    assert_eq!(&*metric.plugin, "dynamic");
    run.collect().unwrap(); // the same declaration again is the same family
    assert_eq!(run.value(r#"dynamic_x_bytes{a="1",b="two"}"#), Some(5.0));
    assert!(run.batch.registered.is_empty());
}

#[test]
fn declarations_that_are_refused() {
    let first = declare("dynamic_x", "gauge", "a");
    for (bad, what) in [
        (declare("other_x", "gauge", ""), "none of the plugin's namespaces (dynamic_)"),
        (declare("dynamic_reserved", "gauge", ""), "already claimed by a view of the agent"),
        (declare("dynamic_x", "counter", "a"), "already declared otherwise"),
        (declare("dynamic_x", "gauge", "b"), "already declared otherwise"),
        (declare("dynamic_x-y", "gauge", ""), "not a Prometheus metric name"),
        (declare("dynamic_x_bytes", "gauge", ""), "the unit disagrees"),
        (declare("dynamic_y", "gauge", "a,a"), "a label key stands twice"),
        (put("dynamic_x", &[], 1.0), "has 1 labels, not 0"),
        (put("dynamic_x", &["a", "b"], 1.0), "has 1 labels, not 2"),
    ] {
        let mut run = scripted(&json!([[first, put("dynamic_x", &["1"], 1.0), bad]]));
        let error = run.collect().unwrap_err();
        assert!(error.message().contains(what), "{bad}: {error}");
        assert_eq!(run.value(r#"dynamic_x{a="1"}"#), Some(1.0), "what came before counts");
        assert_ne!(error.kind(), ErrorKind::Panicked);
    }
}

#[test]
fn two_plugins_do_not_declare_one_metric() {
    // a collector of another name would have other namespaces, so the claim is made by hand here: by a second library
    let shelf = Shelf::new();
    let library = shelf.loaded("dynamic");
    let config =
        json!({"script": [[declare("dynamic_x", "gauge", ""), put("dynamic_x", &[], 1.0)]]}).to_string();
    let (mut a, mut b) = (shelf.run(&library, &config).unwrap(), shelf.run(&library, &config).unwrap());
    a.collect().unwrap();
    b.collect().unwrap(); // two collectors of one plugin may
    assert_eq!(b.value("dynamic_x"), Some(1.0));
}

#[test]
fn a_series_that_ends_and_comes_back() {
    let name = "dynamic_x";
    let retire = json!({"retire": {"name": name, "labels": ["1"]}});
    let mut run = scripted(&json!([
        [declare(name, "gauge", "a"), put(name, &["1"], 1.0), put(name, &["2"], 2.0)],
        [put(name, &["2"], 2.0), retire],
        [put(name, &["1"], 3.0), put(name, &["2"], 2.0)],
    ]));
    run.collect().unwrap();
    let first = run.samples()[r#"dynamic_x{a="1"}"#].series;
    assert_eq!(run.instance.live_series(), 2);
    run.collect().unwrap();
    assert_eq!(run.batch.retired, [first]);
    assert_eq!((run.instance.live_series(), run.batch.samples.len()), (1, 1));
    run.collect().unwrap();
    let second = run.samples()[r#"dynamic_x{a="1"}"#];
    assert_eq!((second.value, run.batch.registered.len()), (3.0, 1));
    assert_eq!(second.series, first, "the host's number is used again; the plugin's id never is");
    assert!(run.batch.retired.is_empty());
    assert_eq!(run.instance.refused(), 0);
}

#[test]
fn a_series_that_is_put_and_ends_in_one_collection() {
    let name = "dynamic_x";
    let retire = json!({"retire": {"name": name}});
    let mut run = scripted(&json!([[declare(name, "gauge", ""), put(name, &[], 1.0), retire]]));
    for _ in 0..3 {
        run.collect().unwrap();
        assert_eq!((run.batch.registered.len(), run.batch.retired.len()), (1, 1));
        assert_eq!(run.batch.registered[0].0, run.batch.retired[0]);
        assert_eq!(run.instance.live_series(), 0);
    }
}

#[test]
fn facts_that_change() {
    let name = "dynamic_app_info";
    let fact = |version: &str| put(name, &[version], 1.0);
    let retire = json!({"retire": {"name": name, "labels": ["1.0"]}});
    let mut run = scripted(&json!([[declare(name, "info", "version"), fact("1.0")], [retire, fact("1.1")]]));
    run.collect().unwrap();
    assert_eq!(run.batch.registered[0].1.metric.kind, Kind::Info);
    run.collect().unwrap();
    assert_eq!(run.samples().keys().collect::<Vec<_>>(), [&r#"dynamic_app_info{version="1.1"}"#]);
    assert_eq!((run.batch.retired.len(), run.batch.registered.len()), (1, 1));
}

#[test]
fn states() {
    let name = "dynamic_state";
    let states = |current: Value| json!({"put_states": {"name": name, "labels": ["web"], "states": ["up", "down"], "current": current}});
    let mut run = scripted(&json!([
        [declare(name, "stateset", "service,state"), states(json!(0))],
        [states(json!(1))],
        [states(json!(null))],
    ]));
    for expected in [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)] {
        run.collect().unwrap();
        let value = |state| run.value(&format!(r#"dynamic_state{{service="web",state="{state}"}}"#)).unwrap();
        assert_eq!((value("up"), value("down")), expected);
    }
}

#[test]
fn resets_that_the_plugin_knows() {
    let name = "dynamic_x_total";
    let reset = json!({"put": {"name": name, "value": 9.0, "reset": true}});
    let mut run = scripted(&json!([
        [declare(name, "counter", ""), put(name, &[], 5.0)],
        [reset],
        [put(name, &[], 9.0)]
    ]));
    let flags = [false, true, false].map(|expected| {
        run.collect().unwrap();
        (run.samples()[name].reset, expected)
    });
    assert!(flags.iter().all(|(flag, expected)| flag == expected), "{flags:?}");
}

#[test]
fn a_gauge_that_falls_was_not_reset() {
    let name = "dynamic_x";
    let mut run =
        scripted(&json!([[declare(name, "gauge", ""), put(name, &[], 5.0)], [put(name, &[], 1.0)]]));
    run.collect().unwrap();
    run.collect().unwrap();
    assert!(!run.samples()[name].reset);
}

#[test]
fn times_of_the_plugin() {
    let now = twarga_agent::model::Timestamp::now();
    let day = Duration::from_secs(24 * 3600);
    let early = now.minus(Duration::from_secs(30));
    let far = [now.minus(2 * day).as_millis(), now.plus(2 * day).as_millis(), i64::MIN, i64::MAX];
    let script: Vec<Value> = [early.as_millis()]
        .iter()
        .chain(&far)
        .map(|millis| json!([{"time": millis}]))
        .chain([json!([])])
        .collect();
    let mut run = scripted(&script.into());
    run.collect().unwrap();
    assert_eq!(run.batch.time, early);
    for _ in 0..=far.len() {
        run.collect().unwrap();
        assert!(run.batch.time >= now && run.batch.time < now.plus(day), "{}", run.batch.time);
    }
}

#[test]
fn absences_keep_their_reason() {
    let name = "dynamic_x";
    let absent = |reason: &str| json!({"unavailable": {"name": name, "reason": reason}});
    let long = "ä\n".repeat(1000);
    let mut run = scripted(&json!([[declare(name, "gauge", ""), absent("stale balloon")], [absent(&long)]]));
    run.collect().unwrap();
    assert_eq!(&*run.batch.absent[0].reason, "stale balloon");
    run.collect().unwrap();
    let reason = &run.batch.absent[0].reason;
    assert!(reason.len() <= 200 && reason.starts_with("ä ä "), "{reason}");
}

#[test]
fn a_label_of_its_own_called_instance() {
    let name = "dynamic_x";
    let script =
        json!([[declare(name, "gauge", "instance"), put(name, &["1"], 1.0), put(name, &["2"], 2.0)]]);
    let mut run = scripted_with(&script, |options| options.instance = Some("lab".into()));
    run.collect().unwrap();
    let names: HashSet<String> = run.batch.registered.iter().map(|(_, def)| def.to_string()).collect();
    assert_eq!(names.len(), 2, "two series stay two: {names:?}");
    assert!(names.iter().all(|name| name.contains(r#"instance="lab""#)), "{names:?}");
}

#[test]
fn registering_and_ending_in_a_loop_is_limited() {
    let name = "dynamic_x";
    let round = |n: u32| {
        let label = n.to_string();
        [put(name, &[&label], 1.0), json!({"retire": {"name": name, "labels": [label]}})]
    };
    let actions: Vec<Value> =
        [declare(name, "gauge", "n")].into_iter().chain((0..100).flat_map(round)).collect();
    let mut run = scripted_with(&json!([actions]), |options| options.max_series = 20);
    let error = run.collect().unwrap_err();
    assert!(error.message().contains("the limit of 20 series is reached"), "{error}");
    assert!(run.batch.registered.len() <= 20);
}
