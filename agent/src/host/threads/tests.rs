//! The ledger in this process. It is shared with the other tests, so each has a name of its own.

use super::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Uses so much processor time on this thread.
fn burn(time: Duration) {
    let used = || mark::processor_time(own_tid()).unwrap();
    let until = used() + time;
    while used() < until {
        std::hint::spin_loop();
    }
}

/// A thread that burns when it is told to, and says when that is done; it ends with what is given.
fn burner() -> (mpsc::Sender<Duration>, mpsc::Receiver<()>) {
    let ((orders, order), (done, is_done)) = (mpsc::channel(), mpsc::channel());
    thread::spawn(move || {
        while let Ok(time) = order.recv() {
            burn(time);
            done.send(()).unwrap();
        }
    });
    (orders, is_done)
}

/// With a look, however short ago the last one was.
fn used(owner: &Owner) -> OwnThreads {
    owner.look_soon();
    owner.used()
}

#[test]
fn what_a_call_starts_is_the_plugins_and_so_is_what_that_starts() {
    let (one, other) = (Owner::of("thread-starter").unwrap(), Owner::of("beside-it").unwrap());
    let call = one.call();
    let (orders, done) = burner();
    let (nested, nested_done) = thread::spawn(burner).join().unwrap();
    drop(call);
    let (agents, agents_done) = burner();
    for (order, done) in [(&orders, &done), (&nested, &nested_done), (&agents, &agents_done)] {
        order.send(Duration::from_millis(30)).unwrap();
        done.recv_timeout(LIMIT).unwrap();
    }
    let told = used(&one);
    assert_eq!(told.count, 2, "{told:?}");
    assert!((60..200).contains(&told.cpu.as_millis()), "{told:?}");
    assert_eq!(used(&other), OwnThreads::default());
    // without another look too, and what has ended stays in the account
    orders.send(Duration::from_millis(20)).unwrap();
    done.recv_timeout(LIMIT).unwrap();
    let more = one.used();
    assert!(more.cpu >= told.cpu + Duration::from_millis(20), "{told:?} {more:?}");
    drop((orders, nested));
    let left = (0..10_000).map(|_| {
        thread::yield_now();
        used(&one)
    });
    let ended = left.into_iter().find(|told| told.count == 0).expect("the threads end");
    assert!(ended.cpu >= more.cpu, "{ended:?}");
    assert_eq!(used_by("thread-starter"), Some(used(&one)));
    assert_eq!(used_by("never-in-this-process"), None);
}

#[test]
fn a_call_that_does_not_come_back_is_told_while_it_lasts_and_not_twice() {
    let owner = Owner::of("stuck").unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let (ended, (ready, is_ready)) = (Arc::clone(&end), mpsc::channel());
    let caller = thread::spawn(move || {
        let call = owner.call();
        ready.send(()).unwrap();
        while !ended.load(Relaxed) {
            burn(Duration::from_millis(1));
        }
        drop(call);
        (owner.used().returned, mark::processor_time(own_tid()).unwrap())
    });
    is_ready.recv_timeout(LIMIT).unwrap();
    let mut told = OwnThreads::default();
    for _ in 0..100_000 {
        told = used(&owner);
        if told.cpu >= Duration::from_millis(20) {
            break;
        }
    }
    assert!(told.cpu >= Duration::from_millis(20), "{told:?}");
    assert_eq!((told.count, told.returned), (0, Duration::ZERO), "the thread is the agent's");
    end.store(true, Relaxed);
    let (returned, whole) = caller.join().unwrap();
    let last = used(&owner);
    assert_eq!((last.returned, last.cpu), (returned, returned), "all of it came back");
    assert!(returned >= told.cpu && returned <= whole, "{returned:?} of {whole:?}");
}

#[test]
fn a_thread_that_is_lent_is_counted_to_its_end() {
    let owner = Owner::of("lent").unwrap();
    let lent = thread::spawn(move || {
        burn(Duration::from_millis(100)); // before: the agent's
        let lent = owner.lend();
        burn(Duration::from_millis(10));
        let call = owner.call();
        burn(Duration::from_millis(10));
        drop(call);
        let meanwhile = used(&owner);
        burn(Duration::from_millis(10));
        drop(lent);
        burn(Duration::from_millis(100));
        meanwhile
    });
    let meanwhile = lent.join().unwrap();
    assert!(meanwhile.cpu >= Duration::from_millis(20) && meanwhile.count == 1, "{meanwhile:?}");
    let told = used(&owner);
    assert_eq!((told.count, told.returned), (0, Duration::ZERO), "{told:?}");
    assert!((30..100).contains(&told.cpu.as_millis()), "{told:?}");
}
