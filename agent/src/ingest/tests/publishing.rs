//! Readers never wait, and the steady state makes no new memory.

use super::*;
use crate::model::Missing;

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

#[test]
fn where_the_next_value_comes_later_the_present_one_lasts_longer() {
    let mut bench = Bench::new();
    let catalog = |bench: &Bench| Arc::clone(&bench.published().snapshot.catalog);
    let stretched = |bench: &mut Bench, stretch: u32| {
        bench.batch(|batch| {
            batch.registered = vec![(0, gauge("g"))];
            batch.samples = vec![sample(0, 1.0)];
            batch.stretch = stretch;
        });
        let catalog = catalog(bench);
        (catalog.collectors[0].stale_after, catalog.collectors[1].stale_after)
    };
    let usual = Duration::from_secs(15);
    assert_eq!(stretched(&mut bench, 1), (usual, usual));
    assert_eq!(stretched(&mut bench, 4), (usual * 4, usual), "the other collector's is its own");
    let snapshot = Arc::clone(&bench.published().snapshot);
    let at = snapshot.latest[0].time;
    assert_eq!(snapshot.value(0, at.plus(Duration::from_secs(59))), Ok(1.0));
    assert_eq!(snapshot.value(0, at.plus(Duration::from_secs(61))), Err(Missing::Stale));
    assert_eq!(stretched(&mut bench, 1), (usual, usual));
}
