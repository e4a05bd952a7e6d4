//! What is told of the changes of machines, through the writer.

use super::{
    machines::{info, state},
    *,
};
use crate::inventory::State;

/// Of a machine: its numbers of series begin here.
type Place = (u32, &'static str);
const WEB: Place = (0, "u-web");
const DB: Place = (10, "u-db");
/// An id of Vagrant's index.
const INDEX: Place = (20, "0123456789abcdef0123456789abcdef");
const STATES: [&str; 5] = ["running", "paused", "shutoff", "crashed", "not_created"];

fn register(batch: &mut Batch, (first, vm): Place, name: &'static str) {
    batch.registered.extend((first..).zip(STATES).map(|(local, word)| (local, state(vm, word))));
    batch.registered.push((first + 5, info(vm, name)));
}

/// It is in this state; nothing is known of it where there is no such state.
fn tell(batch: &mut Batch, (first, _): Place, word: &str) {
    for (local, of) in (first..).zip(STATES) {
        if word == "unknown" {
            batch.absent.push(absence(local, "libvirt is away"));
        } else {
            batch.samples.push(sample(local, f64::from(u8::from(of == word))));
        }
    }
    batch.samples.push(sample(first + 5, 1.0));
}

fn end(batch: &mut Batch, (first, _): Place) {
    batch.retired.extend(first..first + 6);
}

/// A collection that finds these machines for the first time.
fn first(bench: &mut Bench, machines: &[(Place, &'static str, &str)]) {
    bench.batch(|batch| {
        for (place, name, word) in machines {
            register(batch, *place, name);
            tell(batch, *place, word);
        }
    });
}

fn next(bench: &mut Bench, machines: &[(Place, &str)]) {
    bench.batch(|batch| machines.iter().for_each(|(place, word)| tell(batch, *place, word)));
}

fn state_of(bench: &Bench, vm_id: i64) -> State {
    bench.published().machines.by_id(vm_id).unwrap().state
}

#[test]
fn what_is_there_at_the_first_collection_was_not_created_just_now() {
    let mut bench = Bench::new();
    first(&mut bench, &[(WEB, "web", "running"), (DB, "db", "shutoff")]);
    next(&mut bench, &[(WEB, "running"), (DB, "shutoff")]);
    assert_eq!(bench.event_kinds(), [""; 0]);
}

#[test]
fn what_appears_later_was_created() {
    let mut bench = Bench::new();
    bench.batch(|_| {}); // a collection that finds no machine
    first(&mut bench, &[(WEB, "web", "running")]);
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started"]);
    let events = bench.events();
    assert_eq!((events[0].vm_id, events[0].time), (Some(1), at(NOW + 2000)));
    let expected =
        serde_json::json!({"vm_id": 1, "vm": "u-web", "name": "web", "from": "not_created", "to": "running"});
    assert_eq!(events[0].details, expected);
    first(&mut bench, &[(DB, "db", "shutoff")]);
    assert_eq!(bench.event_kinds()[2..], ["vm_created"], "and not started");
}

#[test]
fn a_failed_first_collection_tells_nothing_of_what_is_there() {
    let mut bench = Bench::new();
    bench.batch(|batch| batch.complete = false);
    first(&mut bench, &[(WEB, "web", "running")]);
    assert_eq!(bench.event_kinds(), [""; 0]);
}

#[test]
fn what_appears_while_the_agent_is_down_was_created() {
    let mut bench = Bench::new();
    first(&mut bench, &[(WEB, "web", "running")]);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "running"), (DB, "db", "running")]);
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started"]);
    assert!(bench.events().iter().all(|event| event.vm_id == Some(2)));

    // also where there was no machine before
    let mut bench = Bench::new();
    bench.batch(|_| {});
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "shutoff")]);
    assert_eq!(bench.event_kinds(), ["vm_created"]);
}

#[test]
fn a_restart_tells_what_changed_meanwhile_and_nothing_else() {
    let mut bench = Bench::new();
    first(&mut bench, &[(WEB, "web", "running"), (DB, "db", "running")]);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "running"), (DB, "db", "running")]);
    next(&mut bench, &[(WEB, "running"), (DB, "running")]);
    assert_eq!(bench.event_kinds(), [""; 0]);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "crashed")]);
    assert_eq!(bench.event_kinds(), ["vm_crashed", "vm_destroyed"]);
    assert_eq!(bench.events()[0].severity, Severity::Warning);
    assert_eq!(bench.events()[1].vm_id, Some(2));
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "crashed")]);
    next(&mut bench, &[(WEB, "crashed")]);
    assert_eq!(bench.event_kinds().len(), 2, "the end of db is told once");
}

#[test]
fn not_knowing_is_no_change_and_the_last_known_state_counts() {
    let mut bench = Bench::new();
    first(&mut bench, &[(WEB, "web", "running")]);
    next(&mut bench, &[(WEB, "unknown")]);
    assert_eq!(state_of(&bench, 1), State::Unknown);
    next(&mut bench, &[(WEB, "running")]);
    assert_eq!(bench.event_kinds(), [""; 0]);
    next(&mut bench, &[(WEB, "unknown")]);
    // also over a restart
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "unknown")]);
    next(&mut bench, &[(WEB, "unknown")]);
    assert_eq!((bench.event_kinds(), state_of(&bench, 1)), (Vec::new(), State::Unknown));
    next(&mut bench, &[(WEB, "shutoff")]);
    assert_eq!(bench.event_kinds(), ["vm_stopped"]);
    assert_eq!(bench.events()[0].details["from"], "running");
}

#[test]
fn a_machine_whose_first_state_is_unknown_is_created_once_it_is_known() {
    let mut bench = Bench::new();
    bench.batch(|_| {});
    first(&mut bench, &[(WEB, "web", "unknown")]);
    assert_eq!(bench.event_kinds(), [""; 0]);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "running")]);
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started"]);
}

#[test]
fn a_collector_that_falls_silent_changes_no_state() {
    let mut bench = Bench::new();
    first(&mut bench, &[(WEB, "web", "running")]);
    for _ in 0..100 {
        bench.round(Round::default()); // quarantined, or hanging
    }
    assert_eq!(state_of(&bench, 1), State::Running);
    bench.writer.round(&mut Round { vacated: vec![CollectorId(0)], ..Round::default() });
    bench.round(Round::default()); // disabled
    assert_eq!((bench.event_kinds(), state_of(&bench, 1)), (Vec::new(), State::Running));
    first(&mut bench, &[(WEB, "web", "shutoff")]);
    assert_eq!(bench.event_kinds(), ["vm_stopped"], "what happened meanwhile");
}

/// Vagrant's index has the machine, libvirt does not know it yet; then it has the provider's UUID.
fn created(bench: &mut Bench, name: &'static str) {
    bench.batch(|batch| {
        end(batch, INDEX);
        register(batch, WEB, name);
        tell(batch, WEB, "running");
    });
}

#[test]
fn a_machine_keeps_its_number_when_it_is_created() {
    let mut bench = Bench::new();
    first(&mut bench, &[(DB, "db", "running"), (INDEX, "web", "not_created")]);
    assert_eq!(state_of(&bench, 2), State::NotCreated);
    created(&mut bench, "web");
    next(&mut bench, &[(WEB, "running")]);
    next(&mut bench, &[(WEB, "running")]);
    let machines = bench.published().machines.clone();
    assert_eq!(machines.all().len(), 2);
    let web = machines.by_uuid("u-web").unwrap();
    assert_eq!((web.vm_id, web.state, web.info.name.as_deref()), (2, State::Running, Some("web")));
    assert!(machines.by_uuid(INDEX.1).is_none());
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started"]);
    assert!(bench.events().iter().all(|event| event.vm_id == Some(2)));
    let bench = bench.restart(Duration::from_secs(60), Vec::new());
    assert_eq!(bench.published().machines.by_uuid("u-web").unwrap().vm_id, 2);
}

#[test]
fn a_machine_keeps_its_number_when_it_is_created_while_the_agent_is_down() {
    let mut bench = Bench::new();
    first(&mut bench, &[(INDEX, "web", "not_created")]);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    first(&mut bench, &[(WEB, "web", "shutoff")]);
    next(&mut bench, &[(WEB, "shutoff")]);
    assert_eq!(bench.published().machines.all().len(), 1);
    assert_eq!(state_of(&bench, 1), State::Shutoff);
    assert_eq!(bench.event_kinds(), ["vm_created"]);
}

#[test]
fn another_name_is_another_machine() {
    let mut bench = Bench::new();
    first(&mut bench, &[(INDEX, "web", "not_created")]);
    created(&mut bench, "other");
    next(&mut bench, &[(WEB, "running")]);
    assert_eq!(bench.published().machines.all().len(), 2);
    assert_eq!(state_of(&bench, 1), State::Destroyed);
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started"], "nothing was there to be destroyed");
    assert!(bench.events().iter().all(|event| event.vm_id == Some(2)));
}

#[test]
fn a_machine_that_exists_gives_its_number_to_no_other() {
    let mut bench = Bench::new();
    first(&mut bench, &[(DB, "web", "shutoff")]);
    bench.batch(|batch| {
        end(batch, DB);
        register(batch, WEB, "web");
        tell(batch, WEB, "running");
    });
    next(&mut bench, &[(WEB, "running")]);
    assert_eq!(bench.published().machines.by_uuid("u-web").unwrap().vm_id, 2);
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started", "vm_destroyed"]);
}

#[test]
fn two_that_are_there_at_once_are_two_machines() {
    let mut bench = Bench::new();
    first(&mut bench, &[(INDEX, "web", "not_created")]);
    bench.batch(|batch| {
        register(batch, WEB, "web");
        tell(batch, WEB, "running");
        tell(batch, INDEX, "not_created");
    });
    assert_eq!(bench.published().machines.by_uuid("u-web").unwrap().vm_id, 2);
    assert_eq!(state_of(&bench, 1), State::NotCreated);
}

#[test]
fn a_number_that_the_store_could_not_change_yet_is_changed_later() {
    let mut bench = Bench::new();
    first(&mut bench, &[(INDEX, "web", "not_created")]);
    bench.store.disk().no_machines = true;
    created(&mut bench, "web");
    assert!(bench.published().machines.by_uuid("u-web").is_none());
    bench.store.disk().no_machines = false;
    next(&mut bench, &[(WEB, "running")]);
    assert_eq!(bench.published().machines.by_uuid("u-web").unwrap().vm_id, 1);
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started"]);
}

#[test]
fn a_crash_tells_each_event_once() {
    let words = ["running", "shutoff", "unknown", "running", "paused", "crashed"];
    let expected = ["vm_created", "vm_started", "vm_stopped", "vm_started", "vm_paused", "vm_crashed"];
    for crash in 1..=words.len() {
        let mut bench = Bench::new();
        bench.batch(|_| {});
        let tell_all = |bench: &mut Bench, words: &[&str]| {
            for (at, word) in words.iter().enumerate() {
                if at == 0 {
                    first(bench, &[(WEB, "web", word)]);
                } else {
                    next(bench, &[(WEB, word)]);
                }
            }
        };
        tell_all(&mut bench, &words[..crash]);
        // killed right after the commit
        let Bench { store, clock, writer, .. } = bench;
        drop(writer);
        let mut bench = Bench::start(store, clock, Vec::new());
        tell_all(&mut bench, &words[crash..]);
        assert_eq!(bench.event_kinds(), expected, "killed after {crash}");
    }
}

#[test]
fn a_crash_before_the_commit_loses_no_creation() {
    let mut bench = Bench::new();
    bench.batch(|_| {});
    bench.store.fail(Some(crate::ingest::storage::Fault::Busy));
    first(&mut bench, &[(WEB, "web", "running")]);
    let Bench { store, clock, writer, .. } = bench;
    drop(writer);
    store.fail(None);
    assert_eq!(store.disk().vms, ["u-web"], "it has its number, and nothing else is known");
    let mut bench = Bench::start(store, clock, Vec::new());
    first(&mut bench, &[(WEB, "web", "running")]);
    assert_eq!(bench.event_kinds(), ["vm_created", "vm_started"]);
}

fn index_of(owner: &'static str) -> Arc<SeriesDef> {
    def("vm_index_read", Kind::Gauge, &[("owner", owner)])
}

/// A collection in which the index of `me` is read or not, and its machines are in these states.
fn with_index(bench: &mut Bench, read: f64, machines: &[(Place, &str)]) {
    bench.batch(|batch| {
        machines.iter().for_each(|(place, word)| tell(batch, *place, word));
        batch.samples.push(sample(90, read));
    });
}

#[test]
fn what_could_not_be_read_about_since_the_start_was_not_destroyed() {
    let both = [(WEB, "running"), (DB, "running")];
    let mut bench = Bench::new();
    bench.batch(|batch| {
        both.iter().for_each(|(place, _)| register(batch, *place, "one"));
        batch.registered.push((90, index_of("me")));
        batch.samples.push(sample(90, 1.0));
    });
    with_index(&mut bench, 1.0, &both);
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    bench.batch(|batch| {
        register(batch, WEB, "one");
        tell(batch, WEB, "running");
        batch.registered.push((90, index_of("me")));
        batch.samples.push(sample(90, 0.0));
    });
    for _ in 0..3 {
        with_index(&mut bench, 0.0, &[(WEB, "running")]);
    }
    assert_eq!(bench.event_kinds(), [""; 0]);
    assert_eq!(state_of(&bench, 2), State::Running, "as it was known last");
    // what stood in it is destroyed, once it is read and does not have it
    for _ in 0..2 {
        with_index(&mut bench, 1.0, &[(WEB, "running")]);
    }
    assert_eq!(bench.event_kinds(), ["vm_destroyed"]);
    assert_eq!(state_of(&bench, 2), State::Destroyed);
    // and what was met is destroyed, however the index is now
    bench.batch(|batch| {
        end(batch, WEB);
        register(batch, DB, "two");
        tell(batch, DB, "running");
        batch.samples.push(sample(90, 0.0));
    });
    with_index(&mut bench, 0.0, &[(DB, "running")]);
    assert_eq!(bench.events().last().unwrap().vm_id, Some(1));
    assert_eq!(state_of(&bench, 1), State::Destroyed);
}

#[test]
fn machines_of_a_home_that_is_away_are_not_destroyed() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        register(batch, WEB, "web");
        tell(batch, WEB, "running");
        batch.registered.push((90, index_of("me")));
        batch.samples.push(sample(90, 1.0));
    });
    // nobody finds an index any more
    let mut bench = bench.restart(Duration::from_secs(60), Vec::new());
    for _ in 0..3 {
        bench.batch(|_| {});
    }
    assert_eq!(bench.event_kinds(), [""; 0]);
    assert_eq!(state_of(&bench, 1), State::Running);
    // it is back, without the machine
    bench.batch(|batch| {
        batch.registered.push((90, index_of("me")));
        batch.samples.push(sample(90, 1.0));
    });
    bench.batch(|batch| batch.samples.push(sample(90, 1.0)));
    assert_eq!(bench.event_kinds(), ["vm_destroyed"]);
}
