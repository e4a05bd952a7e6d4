//! Machines through the writer.

use super::*;
use crate::inventory::State;

pub(super) fn state(vm: &'static str, state: &'static str) -> Arc<SeriesDef> {
    def("vm_state", Kind::StateSet, &[("vm", vm), ("state", state)])
}

pub(super) fn info(vm: &'static str, name: &'static str) -> Arc<SeriesDef> {
    def(
        "vm_info",
        Kind::Info,
        &[("vm", vm), ("name", name), ("provider", "libvirt"), ("ip_address", "10.0.0.7")],
    )
}

fn appear(batch: &mut Batch) {
    batch.registered = vec![
        (0, state("u-1", "running")),
        (1, state("u-1", "shutoff")),
        (2, info("u-1", "web")),
        (3, gauge("other")),
    ];
    batch.samples = vec![sample(0, 1.0), sample(1, 0.0), sample(2, 1.0), sample(3, 1.0)];
}

fn machine(bench: &Bench) -> crate::inventory::Machine {
    bench.published().machines.by_id(1).unwrap().clone()
}

#[test]
fn a_machine_has_a_number_a_name_and_a_state() {
    let mut bench = Bench::new();
    assert!(bench.published().machines.by_id(1).is_none());
    bench.batch(appear);
    let web = machine(&bench);
    assert_eq!((web.vm_id, web.state, web.last_seen), (1, State::Running, Some(at(NOW + 1000))));
    assert_eq!(web.info.name.as_deref(), Some("web"));
    assert_eq!(web.info.ip_address.as_deref(), Some("10.0.0.7"));
    bench.batch(|batch| batch.samples = vec![sample(0, 0.0), sample(1, 1.0), sample(2, 1.0)]);
    assert_eq!(machine(&bench).state, State::Shutoff);
    assert_eq!(bench.event_kinds(), ["vm_stopped"]);
    assert_eq!(bench.events()[0].message, "web: stopped (shutoff, was running)");
    assert_eq!(bench.events()[0].vm_id, Some(1));
}

#[test]
fn a_machine_that_its_collector_no_longer_tells_of_is_destroyed() {
    let mut bench = Bench::new();
    bench.batch(appear);
    bench.batch(|batch| {
        batch.samples = vec![sample(3, 1.0)];
        batch.retired = vec![0, 1, 2];
    });
    assert_eq!(machine(&bench).state, State::Running, "perhaps the collector is stopping");
    bench.batch(|batch| batch.samples = vec![sample(3, 1.0)]);
    assert_eq!(machine(&bench).state, State::Destroyed);
    assert_eq!(machine(&bench).last_seen, Some(at(NOW + 1000)));
    assert_eq!(machine(&bench).info.name.as_deref(), Some("web"));
    assert_eq!(bench.event_kinds(), ["vm_destroyed"]);
}

#[test]
fn a_stopped_collector_destroys_nothing() {
    let mut bench = Bench::new();
    bench.batch(appear);
    bench.writer.round(&mut Round { vacated: vec![CollectorId(0)], ..Round::default() });
    for _ in 0..100 {
        bench.round(Round::default());
    }
    assert_eq!(machine(&bench).state, State::Running);
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("other"))];
        batch.samples = vec![sample(0, 1.0)];
    });
    assert_eq!(machine(&bench).state, State::Destroyed, "it was started again, and knows of no machine");
}

#[test]
fn a_state_that_is_not_to_be_had_is_unknown() {
    let mut bench = Bench::new();
    bench.batch(appear);
    bench.batch(|batch| batch.absent = vec![absence(0, "libvirt is away"), absence(1, "libvirt is away")]);
    assert_eq!(machine(&bench).state, State::Unknown);
    bench.batch(|batch| batch.samples = vec![sample(0, 1.0), sample(1, 0.0)]);
    assert_eq!(machine(&bench).state, State::Running);
    for _ in 0..30 {
        bench.round(Round::default());
    }
    assert_eq!(
        machine(&bench).state,
        State::Running,
        "nothing else was said; that it is old is told elsewhere"
    );
    assert_eq!(bench.event_kinds(), [""; 0], "not knowing is no change");
}

#[test]
fn a_new_address_is_taken_over() {
    let mut bench = Bench::new();
    bench.batch(appear);
    bench.batch(|batch| {
        batch.registered =
            vec![(9, def("vm_info", Kind::Info, &[("vm", "u-1"), ("ip_address", "10.0.0.8")]))];
        batch.retired = vec![2];
        batch.samples = vec![sample(9, 1.0), sample(0, 1.0), sample(1, 0.0), sample(3, 1.0)];
    });
    assert_eq!(machine(&bench).info.ip_address.as_deref(), Some("10.0.0.8"));
    assert_eq!(machine(&bench).info.name, None);
    assert_eq!(machine(&bench).state, State::Running);
}

#[test]
fn machines_outlive_a_restart() {
    let mut bench = Bench::new();
    bench.batch(appear);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    let web = machine(&bench);
    assert_eq!((web.state, web.last_seen), (State::Running, Some(at(NOW + 1000))));
    assert_eq!(web.info.name.as_deref(), Some("web"));
    bench.batch(|batch| {
        appear(batch);
        batch.registered.push((7, state("u-2", "paused")));
        batch.samples.push(sample(7, 1.0));
    });
    assert_eq!(machine(&bench).state, State::Running);
    assert_eq!(bench.published().machines.by_uuid("u-2").unwrap().vm_id, 2);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    bench.batch(|batch| {
        batch.registered = vec![(7, state("u-2", "paused"))];
        batch.samples = vec![sample(7, 1.0)];
    });
    assert_eq!(machine(&bench).state, State::Destroyed, "its collector is back without it");
    assert_eq!(bench.published().machines.all().len(), 2);
}

#[test]
fn a_machine_waits_for_its_number() {
    let mut bench = Bench::new();
    bench.batch(|batch| batch.registered = vec![(9, gauge("x"))]);
    bench.batch(appear);
    let mut other = Bench::new();
    other.store.disk().no_numbers = true;
    other.batch(appear);
    assert!(other.published().machines.all().is_empty());
    other.store.disk().no_numbers = false;
    other.batch(|batch| batch.samples = vec![sample(0, 1.0)]);
    assert_eq!(machine(&other).state, State::Running);
}

#[test]
fn a_failed_collection_destroys_nothing() {
    let mut bench = Bench::new();
    bench.batch(appear);
    bench.batch(|batch| {
        batch.retired = vec![0, 1, 2, 3]; // the collector was lost
        batch.complete = false;
    });
    for _ in 0..3 {
        bench.batch(|batch| batch.complete = false);
    }
    assert_eq!(machine(&bench).state, State::Running);
    assert!(bench.event_kinds().is_empty());
}
