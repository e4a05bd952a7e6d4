//! Collectors that come, change and go while others run.

use super::*;
use crate::collect::NotTaken;

fn name(id: u32) -> Arc<str> {
    format!("job{id}").into()
}

fn factory(script: impl FnMut(u64) -> Result<(), Error> + Send + 'static) -> Box<dyn Factory> {
    Box::new(Maker(Arc::new(Mutex::new(Box::new(script)))))
}

fn times(interval: Duration) -> Times {
    Times {
        cadence: Cadence::new(interval, Duration::ZERO),
        interval,
        deadline: interval,
        jitter: Duration::ZERO,
    }
}

/// Whether one of a round's batches is of this collector.
fn has_batch(round: &Round, id: u32) -> bool {
    round.batches.iter().any(|batch| batch.collector == CollectorId(id))
}

fn gaps(rounds: &[Round], id: u32) -> Vec<String> {
    let gaps = rounds.iter().flat_map(|round| &round.gaps);
    let own = gaps.filter(|gap| gap.scope == GapScope::Collector(name(id)));
    own.map(|gap| gap.reason.to_string()).collect()
}

#[test]
fn one_comes_and_another_goes_while_the_first_goes_on() {
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, |_| Ok(())), job(1, TICK, TICK, |_| Ok(()))]);
    until(&rounds, |round| has_batch(round, 1));
    collecting.remove(CollectorId(1), &name(1), Some(GapReason::Disabled));
    until(&rounds, |round| round.vacated == [CollectorId(1)]);
    assert_eq!(ask(&collecting, 1).recv_timeout(LIMIT).unwrap(), Err(CollectError::NotRunning));
    collecting.add(job(2, TICK, TICK, |_| Ok(()))).unwrap();
    let mut seen = until(&rounds, |round| has_batch(round, 2));
    seen.extend(until(&rounds, |round| has_batch(round, 0))); // a tick later
    assert!(!seen.iter().any(|round| has_batch(round, 1)));
    // under its old number and name, after which the gap is told
    collecting.add(job(1, TICK, TICK, |_| Ok(()))).unwrap();
    seen.extend(until(&rounds, |round| has_batch(round, 1)));
    seen.extend(until(&rounds, |round| has_batch(round, 0)));
    assert_eq!(gaps(&seen, 1), ["disabled"]);
    assert_eq!(collecting.stop(LIMIT), 0);
    assert_eq!(collecting.statuses().len(), 3);
    assert_eq!(collecting.statuses()[0].failures, 0);
}

#[test]
fn new_times_keep_the_source() {
    let hour = Duration::from_secs(3600);
    let (collecting, rounds) = start(vec![job(0, hour, hour, |_| Ok(()))]);
    until(&rounds, |_| collecting.primed());
    let Ok(()) = collecting.change(CollectorId(0), Change { times: times(TICK), factory: None }) else {
        panic!("it is there")
    };
    let seen = until(&rounds, |round| round.batches.iter().any(|batch| batch.samples[0].value >= 4.0));
    assert!(batches(&seen, 0).iter().all(|batch| batch.retired.is_empty()));
    assert_eq!(gaps(&seen, 0), [""; 0]);
    let status = &collecting.statuses()[0];
    assert_eq!((status.interval, status.restarts), (TICK, 0));
    collecting.stop(LIMIT);
}

#[test]
fn a_new_factory_takes_over_the_series_in_one_batch() {
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, |_| Ok(()))]);
    until(&rounds, |_| collecting.primed());
    let fresh = Some(factory(|_| Ok(())));
    let Ok(()) = collecting.change(CollectorId(0), Change { times: times(TICK), factory: fresh }) else {
        panic!("it is there")
    };
    let seen = until(&rounds, |round| round.batches.iter().any(|batch| !batch.retired.is_empty()));
    let last = batches(&seen, 0).into_iter().next_back().unwrap();
    assert_eq!((last.retired.as_slice(), last.samples[0].series, last.samples[0].value), (&[0][..], 1, 1.0));
    assert_eq!(gaps(&seen, 0), [""; 0]);
    assert_eq!(collecting.statuses()[0].restarts, 1);
    collecting.stop(LIMIT);
}

#[test]
fn a_collector_that_ended_is_given_back() {
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, |_| Err(Error::config("a", "bad")))]);
    until(&rounds, |round| has_batch(round, 0));
    let changed = collecting.change(CollectorId(0), Change { times: times(TICK), factory: None });
    assert!(matches!(changed, Err(Unchanged::NotThere(_))));
    collecting.add(job(0, TICK, TICK, |_| Ok(()))).unwrap();
    until(&rounds, |round| round.batches.iter().any(|batch| !batch.samples.is_empty()));
    collecting.stop(LIMIT);
}

/// A successor that was tried out for two collections, with this script, and says how it went by the kind of an event.
fn upgrade(script: impl FnMut(u64) -> Result<(), Error> + Send + 'static) -> Upgrade {
    let mut factory = factory(script);
    let mut source = factory.make(0).unwrap();
    for _ in 0..2 {
        source.collect(&mut Batch::new(CollectorId(0))).unwrap();
    }
    let told = |made: Result<(), NotTaken>| Event {
        kind: if made.is_ok() { "upgraded" } else { "refused" }.into(),
        severity: crate::model::Severity::Info,
        message: String::new(),
        details: serde_json::Value::Null,
        time: Timestamp::now(),
        vm_id: None,
    };
    Upgrade { successor: Successor::new(source, Resets::default()), factory, told: Box::new(told) }
}

fn has_event(round: &Round, kind: &str) -> bool {
    round.events.iter().any(|event| event.kind == kind)
}

#[test]
fn a_successor_that_fails_in_its_place_leaves_the_old_source() {
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, |_| Ok(()))]);
    until(&rounds, |_| collecting.primed());
    for kind in [Error::transient("planned"), Error::fatal("planned")] {
        let fails = move |collection| if collection > 2 { Err(kind.clone()) } else { Ok(()) };
        assert!(collecting.upgrade(CollectorId(0), upgrade(fails)));
        let seen = until(&rounds, |round| has_event(round, "refused"));
        let all = batches(&seen, 0);
        assert!(all.iter().all(|batch| batch.retired.is_empty() && batch.samples[0].series == 0), "{all:?}");
        assert_eq!(gaps(&seen, 0), [""; 0]);
    }
    assert_eq!(collecting.statuses()[0].restarts, 0);
    collecting.stop(LIMIT);
}

#[test]
fn what_a_successor_took_before_it_failed_is_none_of_the_old_ones_time() {
    // so long that a look at the deadline comes late, if at all
    let interval = Duration::from_millis(300);
    let (collecting, rounds) = start(vec![job(0, interval, interval, |_| Ok(()))]);
    until(&rounds, |_| collecting.primed());
    let (sender, failed) = mpsc::channel();
    let (nobody, wait) = mpsc::channel::<()>();
    let fails = move |collection| {
        if collection > 2 {
            let _ = wait.recv_timeout(interval / 2); // never sent
            sender.send(Timestamp::now()).unwrap();
            return Err(Error::transient("planned"));
        }
        Ok(())
    };
    assert!(collecting.upgrade(CollectorId(0), upgrade(fails)));
    let seen = until(&rounds, |round| has_event(round, "refused"));
    let (failed, last) = (failed.recv().unwrap(), batches(&seen, 0).into_iter().next_back().unwrap());
    assert!(last.time >= failed, "collected after {failed:?}, stamped {:?}", last.time);
    assert_eq!((last.samples[0].series, last.complete), (0, true));
    collecting.stop(LIMIT);
    drop(nobody);
}

#[test]
fn a_successor_that_fails_where_the_old_source_was_lost_does_not_take_over() {
    // the second one that is made of it is well again
    let (mut made, lost) = (0, Arc::new(Mutex::new(false)));
    let told = Arc::clone(&lost);
    let ends = move |collection| {
        made += u64::from(collection == 1);
        if made == 1 && collection == 3 {
            *told.lock().unwrap() = true;
            return Err(Error::fatal("planned"));
        }
        Ok(())
    };
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, ends)]);
    until(&rounds, |_| collecting.primed());
    let hour = Duration::from_secs(3600);
    let Ok(()) = collecting.change(CollectorId(0), Change { times: times(hour), factory: None }) else {
        panic!("it is there")
    };
    ask(&collecting, 0).recv_timeout(LIMIT).unwrap().ok(); // fatal now, unless a tick came before
    assert!(*lost.lock().unwrap());
    let fails = |collection| if collection > 2 { Err(Error::transient("new")) } else { Ok(()) };
    assert!(collecting.upgrade(CollectorId(0), upgrade(fails)));
    assert_eq!(ask(&collecting, 0).recv_timeout(LIMIT).unwrap(), Ok(()), "the old version collected");
    let seen = until(&rounds, |round| has_event(round, "refused"));
    assert!(!seen.iter().any(|round| has_event(round, "upgraded")));
    assert_eq!(collecting.statuses()[0].state, PluginState::Running);
    collecting.stop(LIMIT);
}

#[test]
fn what_was_tried_out_is_what_takes_over() {
    let (collecting, rounds) = start(vec![job(0, TICK, TICK, |_| Ok(()))]);
    until(&rounds, |_| collecting.primed());
    // its third collection, of the one collector that was made: none is made anew
    assert!(collecting.upgrade(CollectorId(0), upgrade(|_| Ok(()))));
    let seen = until(&rounds, |round| has_event(round, "upgraded"));
    let last = batches(&seen, 0).into_iter().next_back().unwrap();
    assert_eq!((last.retired.as_slice(), last.samples[0].series, last.samples[0].value), (&[0][..], 1, 3.0));
    assert!(!collecting.upgrade(CollectorId(7), upgrade(|_| Ok(()))));
    assert_eq!(collecting.statuses()[0].failures, 0);
    collecting.stop(LIMIT);
}

#[test]
fn a_successor_takes_over_from_one_whose_call_ends_for_good() {
    let (release, wait) = mpsc::channel::<()>();
    let (begun, began) = mpsc::channel();
    let ends = move |_| {
        begun.send(()).ok();
        let _ = wait.recv();
        Err(Error::config("a", "bad"))
    };
    let (collecting, rounds) = start(vec![job(0, TICK, LIMIT, ends)]);
    began.recv_timeout(LIMIT).unwrap();
    assert!(collecting.upgrade(CollectorId(0), upgrade(|_| Ok(()))));
    drop(release);
    let seen = until(&rounds, |round| has_event(round, "upgraded"));
    assert!(seen.iter().any(|round| has_event(round, "plugin_failed")));
    let round = until(&rounds, |round| has_batch(round, 0));
    assert!(batches(&round, 0)[0].complete);
    assert_eq!(collecting.statuses()[0].state, PluginState::Running);
    collecting.stop(LIMIT);
}

#[test]
fn what_was_refused_is_counted_on() {
    let options = job(0, TICK, TICK, |_| Ok(()));
    let mut before = options.status.lock().unwrap().clone();
    (before.refused_samples, before.refused_series) = (5, 7);
    options.status.lock().unwrap().carry_on(&before);
    let (collecting, rounds) = start(vec![options]);
    let seen = until(&rounds, |round| has_batch(round, 0));
    let status = &collecting.statuses()[0];
    assert_eq!((status.refused_samples, status.refused_series), (5, 7));
    assert!(!seen.iter().any(|round| has_event(round, "series_limit")), "nothing is refused any more");
    collecting.stop(LIMIT);
}

/// A job that hangs until the sender goes.
fn hanging(id: u32) -> (JobOptions, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (release, wait) = mpsc::channel::<()>();
    let (begun, began) = mpsc::channel();
    let options = job(id, TICK, TICK, move |_| {
        begun.send(()).ok();
        let _ = wait.recv();
        Ok(())
    });
    (options, release, began)
}

#[test]
fn a_stuck_one_is_left_behind_twice_at_most() {
    let (first, release_first, began) = hanging(0);
    let (collecting, rounds) = start(vec![first, job(1, TICK, TICK, |_| Ok(()))]);
    began.recv_timeout(LIMIT).unwrap();
    until(&rounds, |round| round.events.iter().any(|event| event.kind == "plugin_failed"));
    let fresh = Some(factory(|_| Ok(())));
    let changed = collecting.change(CollectorId(0), Change { times: times(TICK), factory: fresh });
    assert!(matches!(changed, Err(Unchanged::Stuck(_))));
    collecting.remove(CollectorId(0), &name(0), None);
    let (second, release_second, began) = hanging(0);
    collecting.add(second).unwrap();
    began.recv_timeout(LIMIT).unwrap();
    collecting.remove(CollectorId(0), &name(0), None);
    assert_eq!(collecting.add(job(0, TICK, TICK, |_| Ok(()))), Err(CollectError::Stuck));
    until(&rounds, |round| has_batch(round, 1)); // the other one goes on
    drop(release_first);
    // once a call has come back, another collector may be begun; what the call brought is nobody's
    let deadline = Instant::now() + LIMIT;
    while collecting.add(job(0, TICK, TICK, |_| Ok(()))).is_err() {
        assert!(Instant::now() < deadline, "the call came back, and nobody noticed");
        thread::yield_now();
    }
    let seen = until(&rounds, |round| has_batch(round, 0));
    assert_eq!(batches(&seen, 0)[0].samples[0].value, 1.0);
    drop(release_second);
    assert_eq!(collecting.stop(LIMIT), 0);
}
