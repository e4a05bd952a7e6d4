//! Events, machines and small named values.

use super::*;
use twarga_agent::{
    model::{Event, Severity},
    store::{EventFilter, StoreError, StoredEvent},
};

fn event(n: i64) -> Event {
    let (kind, severity) = if n % 2 == 0 { ("even", Severity::Info) } else { ("odd", Severity::Critical) };
    Event {
        kind: kind.into(),
        severity,
        message: format!("event {n} ⚠️"),
        details: serde_json::json!({"source": "test", "n": n}),
        time: at(NOW + n * 1000),
        vm_id: (n == 3).then_some(7),
    }
}

fn numbers(events: &[StoredEvent]) -> Vec<i64> {
    events.iter().map(|event| event.event.details["n"].as_i64().unwrap()).collect()
}

#[test]
fn events_are_filtered_and_paged() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let events: Vec<Event> = (0..10).map(event).collect();
    assert_eq!(store.commit(&Commit { events: events.clone(), ..Commit::default() }).unwrap(), 0);
    let reader = reader(&store);
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    let found = reader.events(&all).unwrap();
    assert_eq!(found.iter().rev().map(|stored| stored.event.clone()).collect::<Vec<_>>(), events);
    assert!(found.is_sorted_by(|a, b| a.id > b.id));
    let ask = |filter: EventFilter| numbers(&reader.events(&filter).unwrap());
    assert_eq!(ask(EventFilter { since: Some(at(NOW + 8000)), ..all.clone() }), [9, 8]);
    assert_eq!(ask(EventFilter { kind: Some("even".into()), limit: 2, ..all.clone() }), [8, 6]);
    assert_eq!(ask(EventFilter { severity: Some("critical".into()), limit: 1, ..all.clone() }), [9]);
    assert_eq!(ask(EventFilter { severity: Some("warning".into()), ..all.clone() }), [] as [i64; 0]);
    assert_eq!(ask(EventFilter { limit: 0, ..all.clone() }), [] as [i64; 0]);
    let mut paged = Vec::new();
    let mut page = EventFilter { limit: 3, ..all };
    loop {
        let events = reader.events(&page).unwrap();
        let Some(last) = events.last() else { break };
        page.before = Some(last.id);
        paged.extend(numbers(&events));
    }
    assert_eq!(paged, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
}

#[test]
fn events_live_ninety_days_and_never_share_a_number() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    store.commit(&Commit { events: vec![event(0), event(1)], ..Commit::default() }).unwrap();
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    let day = 24 * HOUR;
    store.delete_before(at(NOW + 365 * day)).unwrap();
    store.expire(at(NOW + 90 * day), true).unwrap();
    store.expire(at(NOW + 365 * day), false).unwrap();
    let before = reader(&store).events(&all).unwrap();
    assert_eq!(before.len(), 2);
    store.expire(at(NOW + 91 * day), true).unwrap();
    assert_eq!(reader(&store).events(&all).unwrap(), []);
    store.commit(&Commit { events: vec![event(2)], ..Commit::default() }).unwrap();
    assert!(reader(&store).events(&all).unwrap()[0].id > before[0].id);
}

#[test]
fn machines_keep_their_numbers() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let (a, b) = (store.vm_id("a").unwrap(), store.vm_id("b").unwrap());
    assert_eq!((a, b), (1, 2));
    assert_eq!(store.vm_id("a").unwrap(), a);
    drop(store);
    let mut store = open(&directory);
    assert_eq!(store.vm_id("b").unwrap(), b);
    assert_eq!(store.vm_id("c").unwrap(), 3);
    let known = [(1, "a".to_owned()), (2, "b".to_owned()), (3, "c".to_owned())];
    assert_eq!(store.vms().unwrap(), known);
    assert_eq!(reader(&store).vms().unwrap(), known);
}

#[test]
fn small_values_outlive_a_restart() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    assert_eq!(store.meta("alerts").unwrap(), None);
    store.put_meta("alerts", "one").unwrap();
    store.put_meta("alerts", "two").unwrap();
    drop(store);
    assert_eq!(open(&directory).meta("alerts").unwrap().as_deref(), Some("two"));
}

#[test]
fn small_values_come_with_their_commit() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let meta = |value: &str| vec![("cursor".to_owned(), value.to_owned())];
    store.commit(&Commit { meta: meta("1"), ..Commit::default() }).unwrap();
    store.commit(&Commit { meta: meta("2"), ..Commit::default() }).unwrap();
    drop(store);
    assert_eq!(open(&directory).meta("cursor").unwrap().as_deref(), Some("2"));
}

#[test]
fn a_number_can_be_reserved_for_a_machine() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    store.reserve_vm(7, "old").unwrap();
    store.reserve_vm(7, "old").unwrap();
    assert_eq!((store.vm_id("old").unwrap(), store.vm_id("new").unwrap()), (7, 8));
    for (id, uuid) in [(7, "other"), (9, "old"), (8, "old")] {
        let refused = store.reserve_vm(id, uuid).unwrap_err();
        assert!(matches!(refused, StoreError::VmTaken { .. }), "{refused:?}");
    }
    store.reserve_vm(3, "third").unwrap();
    assert_eq!(store.vms().unwrap(), [(3, "third".into()), (7, "old".into()), (8, "new".into())]);
}
