//! Alerts through the writer: one event a transition, in the same transaction as its samples; also over restarts.

use super::{super::storage::Fault, *};

fn level(bench: &mut Bench, value: f64) {
    let first = bench.latest("level").is_none();
    bench.batch(|batch| {
        if first {
            batch.registered = vec![(0, gauge("level"))];
        }
        batch.samples = vec![sample(0, value)];
    });
}

fn high() -> Vec<AlertRule> {
    vec![rule("high", "level", 90.0, 0)]
}

#[test]
fn a_transition_is_one_event_beside_its_samples() {
    let mut bench = Bench::with_rules(high());
    for value in [10.0, 95.0, 96.0, 97.0, 20.0, 30.0, 90.0] {
        level(&mut bench, value);
    }
    assert_eq!(bench.event_kinds(), ["high", "high_resolved", "high"]);
    let commits = bench.store.commits();
    assert_eq!(commits[1].events[0].message, "Level at 95.0");
    assert_eq!(commits[1].events[0].time, commits[1].batches[0].time);
    let alerts = bench.published().alerts.clone();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].text, "\u{26a0}\u{fe0f} Level at 90.0");
    level(&mut bench, 1.0);
    assert!(bench.published().alerts.is_empty());
}

#[test]
fn a_restart_does_not_log_it_again() {
    let mut bench = Bench::with_rules(high());
    level(&mut bench, 95.0);
    let mut bench = bench.restart(Duration::from_secs(5), high());
    level(&mut bench, 96.0);
    assert_eq!(bench.event_kinds(), ["high"]);
    assert_eq!(bench.published().alerts[0].since, at(NOW + 1000), "since before the restart");
    let mut bench = bench.restart(Duration::from_secs(5), high());
    level(&mut bench, 50.0);
    assert_eq!(bench.event_kinds(), ["high", "high_resolved"]);
    let mut bench = bench.restart(Duration::from_secs(5), high());
    level(&mut bench, 50.0);
    assert_eq!(bench.event_kinds(), ["high", "high_resolved"]);
}

#[test]
fn a_removed_rule_resolves() {
    let mut bench = Bench::with_rules(high());
    level(&mut bench, 95.0);
    let mut bench = bench.restart(Duration::from_secs(5), Vec::new());
    level(&mut bench, 95.0);
    assert_eq!(bench.event_kinds(), ["high", "high_resolved"]);
    assert_eq!(bench.events()[1].details["reason"], "rule_removed");
    bench.writer.set_rules(high());
    bench.writer.set_rules(Vec::new());
    level(&mut bench, 95.0);
    assert_eq!(bench.event_kinds(), ["high", "high_resolved", "high", "high_resolved"]);
    let mut bench = bench.restart(Duration::from_secs(5), Vec::new());
    level(&mut bench, 95.0);
    assert_eq!(bench.event_kinds().len(), 4);
}

#[test]
fn while_the_store_fails_events_wait_with_their_samples() {
    let mut bench = Bench::with_rules(high());
    level(&mut bench, 10.0);
    bench.store.fail(Some(Fault::Busy));
    level(&mut bench, 95.0);
    assert_eq!(bench.published().alerts.len(), 1, "shown at once");
    assert!(!bench.store.disk().meta.contains_key("alerts.firing"), "not kept before its event is");
    level(&mut bench, 10.0);
    bench.store.fail(None);
    level(&mut bench, 10.0);
    assert_eq!(bench.event_kinds(), ["high", "high_resolved"]);
}

#[test]
fn a_stale_value_neither_fires_nor_resolves() {
    let mut bench = Bench::with_rules(vec![rule("high", "level", 90.0, 30)]);
    level(&mut bench, 95.0);
    // stale after 15 s: the 30 s of the rule pass without a value
    for _ in 0..60 {
        bench.round(Round::default());
    }
    assert_eq!(bench.event_kinds(), [""; 0]);
    level(&mut bench, 95.0);
    assert_eq!(bench.event_kinds(), ["high"]);
    for _ in 0..200 {
        bench.round(Round::default());
    }
    assert_eq!(bench.event_kinds(), ["high"]);
    for _ in 0..200 {
        bench.round(Round::default());
    }
    assert_eq!(bench.event_kinds(), ["high", "high_resolved"]);
    assert_eq!(bench.events()[1].details["reason"], "no_data");
}

#[test]
fn a_step_of_the_clock_does_not_shorten_the_hold() {
    let mut bench = Bench::with_rules(vec![rule("high", "level", 90.0, 30)]);
    for _ in 0..5 {
        level(&mut bench, 95.0);
    }
    bench.clock.step_to(NOW + HOUR);
    for _ in 0..25 {
        level(&mut bench, 95.0);
    }
    assert_eq!(bench.event_kinds(), [""; 0]);
    level(&mut bench, 95.0);
    assert_eq!(bench.event_kinds(), ["high"]);
}

#[test]
fn a_crash_at_any_commit_tells_each_transition_once() {
    let values = [10.0, 95.0, 96.0, 20.0, 95.0, 20.0, 30.0];
    for crash in 1..values.len() {
        let mut bench = Bench::with_rules(high());
        for value in &values[..crash] {
            level(&mut bench, *value);
        }
        // killed right after the commit: nothing that the writer does after it, or when it stops, is done
        let Bench { store, clock, writer, .. } = bench;
        drop(writer);
        let mut bench = Bench::start(store, clock, high());
        for value in &values[crash..] {
            level(&mut bench, *value);
        }
        let expected = ["high", "high_resolved", "high", "high_resolved"];
        assert_eq!(bench.event_kinds(), expected, "killed after {crash}");
        for commit in bench.store.commits() {
            let transitions = commit.events.iter().filter(|event| event.kind.starts_with("high")).count();
            let kept = commit.meta.iter().filter(|(key, _)| key == "alerts.firing").count();
            assert_eq!(transitions, kept, "in one transaction: {commit:?}");
        }
    }
}
