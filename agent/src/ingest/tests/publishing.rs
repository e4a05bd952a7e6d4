//! Readers never wait, and the steady state makes no new memory.

use super::*;

fn wide(bench: &mut Bench, value: f64) {
    let first = bench.published().snapshot.time.is_none();
    bench.batch(|batch| {
        if first {
            batch.registered = (0..400).map(|n| (n, gauge(&format!("g{n}")))).collect();
        }
        batch.samples = (0..400).map(|n| sample(n, value)).collect();
    });
}

#[test]
fn the_memory_of_the_round_before_the_last_is_used_again() {
    let mut bench = Bench::new();
    let mut places = Vec::new();
    for round in 0..10 {
        wide(&mut bench, f64::from(round));
        let current = bench.writer.published();
        let published = current.load();
        places.push((published.snapshot.latest.as_ptr(), Arc::as_ptr(&published.snapshot.catalog)));
    }
    for rounds in places[2..].windows(3) {
        assert_eq!(rounds[0].0, rounds[2].0);
        assert_ne!(rounds[0].0, rounds[1].0);
        assert_eq!(rounds[0].1, rounds[1].1, "the same catalog while no series comes or goes");
    }
}

#[test]
fn a_reader_keeps_what_it_holds() {
    let mut bench = Bench::new();
    wide(&mut bench, 1.0);
    let held = bench.published();
    let snapshot = Arc::clone(&held.snapshot);
    for round in 2..6 {
        wide(&mut bench, f64::from(round));
    }
    assert_eq!(held.round, 1);
    assert!(snapshot.latest.iter().all(|latest| latest.value == Ok(1.0)));
    assert_eq!(bench.published().snapshot.latest[399].value, Ok(5.0));
    assert_eq!(bench.published().round, 5);
}
