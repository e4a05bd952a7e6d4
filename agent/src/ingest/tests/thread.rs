//! The thread: order, answers, the end.

use super::{super::*, *};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

fn start(store: &FakeStore, clock: &FakeClock) -> (Sender<Input>, Handle, Receiver<Box<Round>>) {
    let (inputs, receiver) = channel();
    let (recycled, back) = sync_channel(4);
    let options =
        Options { collectors: vec![collector("one")], recycled: Some(recycled), ..Options::default() };
    let handle = spawn(store.clone(), clock.clone(), options, receiver).unwrap();
    (inputs, handle, back)
}

fn round(n: u32) -> Box<Round> {
    let mut batch = Batch::new(CollectorId(0));
    batch.time = at(NOW + i64::from(n) * 1000);
    if n == 0 {
        batch.registered = vec![(0, gauge("a"))];
    }
    batch.samples = vec![sample(0, f64::from(n))];
    Box::new(Round { batches: vec![batch], ..Round::default() })
}

fn ask<T: Send + 'static>(inputs: &Sender<Input>, make: impl FnOnce(Reply<T>) -> Input) -> T {
    let (answer, answered) = channel();
    inputs.send(make(Box::new(move |value| drop(answer.send(value))))).unwrap();
    answered.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn no_tick_is_lost_between_start_and_stop() {
    let store = FakeStore::default();
    let (inputs, handle, back) = start(&store, &FakeClock::new(NOW));
    for n in 0..1000 {
        inputs.send(Input::Round(round(n))).unwrap();
    }
    let stopped = ask(&inputs, |reply| Input::Stop { reply });
    assert_eq!(stopped, Stopped::default());
    assert!(handle.join_within(Duration::from_secs(20)));
    let values: Vec<f64> = store.points("a").iter().map(|point| point.value).collect();
    assert_eq!(values, (0..1000).map(f64::from).collect::<Vec<_>>());
    assert!(store.disk().closed);
    let mut returned = back.try_recv().unwrap();
    assert!(returned.batches[0].samples.is_empty() && returned.batches[0].samples.capacity() > 0);
    returned.batches.clear();
    assert!(returned.is_empty());
}

#[test]
fn a_flush_answers_after_the_rounds_before_it() {
    let store = FakeStore::default();
    let (inputs, handle, _back) = start(&store, &FakeClock::new(NOW));
    for n in 0..50 {
        inputs.send(Input::Round(round(n))).unwrap();
    }
    assert!(ask(&inputs, |reply| Input::Flush { reply }));
    assert_eq!(handle.published().load().round, 50);
    assert_eq!(handle.stats().rounds.get(), 50);
    let deleted = ask(&inputs, |reply| Input::Delete { before: at(NOW + 10_000), reply });
    assert_eq!(deleted.unwrap().samples, 10);
    let vacated = Round { vacated: vec![CollectorId(0)], ..Round::default() };
    inputs.send(Input::Round(Box::new(vacated))).unwrap();
    assert!(ask(&inputs, |reply| Input::Flush { reply }));
    assert!(handle.published().load().snapshot.catalog.series.is_empty());
    assert!(handle.is_running());
}

#[test]
fn the_store_hears_how_much_to_keep() {
    let store = FakeStore::default();
    let (inputs, _handle, _back) = start(&store, &FakeClock::new(NOW));
    let day = Duration::from_secs(86_400);
    let options = store::Options {
        file: "/nowhere".into(),
        retention: store::Retention { raw: day, minute: day, hour: day },
        max_loss: Duration::ZERO,
        max_size: 77,
    };
    inputs.send(Input::Storage(options)).unwrap();
    assert!(ask(&inputs, |reply| Input::Flush { reply }));
    assert_eq!(store.disk().options.as_ref().map(|options| options.max_size), Some(77));
}

#[test]
fn the_thread_ends_when_nobody_sends_any_more() {
    let store = FakeStore::default();
    let (inputs, handle, _back) = start(&store, &FakeClock::new(NOW));
    inputs.send(Input::Round(round(0))).unwrap();
    drop(inputs);
    assert!(handle.join_within(Duration::from_secs(20)));
    assert_eq!(store.points("a").len(), 1);
    assert!(store.disk().closed);
}
