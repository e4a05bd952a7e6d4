//! Series of collectors become series of the store.

use super::*;
use crate::model::{Missing, Previous};

#[test]
fn a_batch_is_stored_and_published_under_the_stores_numbers() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(7, gauge("a")), (3, def("b", Kind::Gauge, &[("cpu", "0")]))];
        batch.samples = vec![sample(3, 3.5), sample(7, 7.5)];
    });
    let commits = bench.store.commits();
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0].batches.len(), 1);
    assert_eq!(commits[0].batches[0].time, at(NOW + 1000));
    assert_eq!(bench.store.points("a")[0].value, 7.5);
    assert_eq!(bench.store.points("b{cpu=\"0\"}")[0].value, 3.5);
    assert_eq!(bench.latest("a").unwrap().value, Ok(7.5));
    let snapshot = &bench.published().snapshot;
    assert_eq!(snapshot.time, Some(at(NOW + 1000)));
    assert_eq!(snapshot.catalog.series.len(), 2);
    assert_eq!(bench.stats.samples.get(), 2);
    assert_eq!(bench.stats.live_series.get(), 2);
    assert_eq!(bench.stats.journal_bytes(CollectorId(0)), 20);
    assert_eq!(bench.stats.journal_bytes(CollectorId(1)), 0);
}

#[test]
fn two_collectors_use_the_same_numbers_for_different_series() {
    let mut bench = Bench::new();
    let register = |name: &'static str, value| {
        move |batch: &mut Batch| {
            batch.registered = vec![(0, gauge(name))];
            batch.samples = vec![sample(0, value)];
        }
    };
    let (a, b) = (bench.filled(0, register("a", 1.0)), bench.filled(1, register("b", 2.0)));
    bench.round(Round { batches: vec![a, b], ..Round::default() });
    assert_eq!(bench.store.commits().len(), 1, "one transaction for all batches of a round");
    assert_eq!(bench.latest("a").unwrap().value, Ok(1.0));
    assert_eq!(bench.latest("b").unwrap().value, Ok(2.0));
}

#[test]
fn a_retired_series_leaves_and_comes_back_under_its_number() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a")), (1, gauge("b"))];
        batch.samples = vec![sample(0, 1.0), sample(1, 2.0)];
    });
    bench.batch(|batch| {
        batch.samples = vec![sample(0, 1.5), sample(1, 2.5)];
        batch.retired = vec![0];
    });
    assert_eq!(bench.latest("a"), None);
    assert_eq!(bench.latest("b").unwrap().previous, Some(Previous { time: at(NOW + 1000), value: 2.0 }));
    assert_eq!(bench.store.points("a").len(), 2, "the last sample is kept");
    bench.batch(|batch| {
        batch.registered = vec![(9, gauge("a"))];
        batch.samples = vec![sample(9, 1.0), sample(1, 3.0), sample(0, 77.0)];
    });
    assert_eq!(bench.store.points("a").iter().map(|point| point.value).collect::<Vec<_>>(), [1.0, 1.5, 1.0]);
    assert_eq!(bench.latest("a").unwrap().previous, None);
    assert_eq!(bench.latest("b").unwrap().value, Ok(3.0));
    assert_eq!(bench.stats.dropped_unknown.get(), 1);
}

#[test]
fn a_number_can_be_given_to_another_series_in_one_batch() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("old"))];
        batch.samples = vec![sample(0, 1.0)];
    });
    bench.batch(|batch| {
        batch.retired = vec![0];
        batch.registered = vec![(0, gauge("new"))];
        batch.samples = vec![sample(0, 2.0)];
    });
    assert_eq!(bench.latest("old"), None);
    assert_eq!(bench.latest("new").unwrap().value, Ok(2.0));
    bench.batch(|batch| batch.samples = vec![sample(0, 3.0)]);
    assert_eq!(bench.latest("new").unwrap().value, Ok(3.0));
}

#[test]
fn a_series_that_lives_for_one_batch_is_stored() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("short"))];
        batch.samples = vec![sample(0, 1.0)];
        batch.retired = vec![0];
    });
    assert_eq!(bench.latest("short"), None);
    assert_eq!(bench.store.points("short").len(), 1);
}

#[test]
fn a_renumbered_series_goes_on() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 1.0)];
    });
    bench.batch(|batch| {
        batch.registered = vec![(1, gauge("a"))];
        batch.samples = vec![sample(1, 2.0), sample(0, 9.0)];
        batch.retired = vec![0];
    });
    bench.batch(|batch| batch.samples = vec![sample(1, 3.0)]);
    assert_eq!(bench.latest("a").unwrap().value, Ok(3.0));
    assert_eq!(bench.published().snapshot.catalog.series.len(), 1);
}

#[test]
fn what_makes_no_sense_is_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a")), (u32::MAX, gauge("b"))];
        batch.samples = vec![sample(0, 1.0), sample(0, 2.0), sample(5, 1.0), sample(u32::MAX, 1.0)];
        batch.retired = vec![8];
        batch.absent = vec![absence(0, "has a value after all"), absence(44, "nobody")];
    });
    bench.batch(|batch| batch.samples = vec![sample(0, f64::NAN)]);
    let stray = bench.filled(17, |batch| batch.samples = vec![sample(0, 1.0)]);
    bench.round(Round { batches: vec![stray], ..Round::default() });
    assert_eq!(bench.store.points("a").len(), 1);
    assert_eq!(bench.latest("a").unwrap().value, Ok(1.0));
    assert_eq!(bench.stats.dropped_duplicate.get(), 1);
    assert_eq!(bench.stats.dropped_not_finite.get(), 1);
    assert_eq!(bench.stats.dropped_unknown.get(), 3);
}

#[test]
fn a_counter_that_falls_is_reset_and_gives_no_rate() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, counter("c_total")), (1, gauge("g"))];
        batch.samples = vec![sample(0, 100.0), sample(1, 100.0)];
    });
    bench.batch(|batch| batch.samples = vec![sample(0, 40.0), sample(1, 40.0)]);
    assert_eq!(bench.stats.falls.get(), 1);
    assert!(bench.store.points("c_total")[1].reset);
    assert!(!bench.store.points("g")[1].reset);
    assert_eq!(bench.latest("c_total").unwrap().previous, None);
    assert_eq!(bench.latest("g").unwrap().previous, Some(Previous { time: at(NOW + 1000), value: 100.0 }));
    bench.batch(|batch| {
        batch.samples = vec![sample(1, 40.0), Sample { series: 0, reset: true, value: 50.0 }];
    });
    assert_eq!(bench.latest("c_total").unwrap().previous, None, "the plugin says that it was reset");
    bench.batch(|batch| batch.samples = vec![sample(0, 60.0)]);
    assert_eq!(
        bench.latest("c_total").unwrap().previous,
        Some(Previous { time: at(NOW + 3000), value: 50.0 })
    );
    bench.batch(|batch| batch.absent = vec![absence(0, "away")]);
    bench.batch(|batch| batch.samples = vec![sample(0, 10.0)]);
    assert!(bench.store.points("c_total").last().unwrap().reset, "a fall is seen over a gap as well");
}

#[test]
fn only_neighbours_are_paired() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, counter("c_total")), (1, gauge("g"))];
        batch.samples = vec![sample(0, 1.0), sample(1, 0.0)];
    });
    bench.batch(|batch| batch.samples = vec![sample(1, 0.0)]);
    bench.batch(|batch| batch.samples = vec![sample(0, 3.0)]);
    assert_eq!(bench.latest("c_total").unwrap().previous, None, "it was left out once");
    bench.batch(|batch| batch.samples = vec![sample(0, 4.0)]);
    assert!(bench.latest("c_total").unwrap().previous.is_some());
    bench.batch(|batch| batch.absent = vec![absence(0, "away")]);
    assert_eq!(bench.latest("c_total").unwrap().value, Err(Missing::Unavailable("away".into())));
    bench.batch(|batch| batch.samples = vec![sample(0, 5.0)]);
    assert_eq!(bench.latest("c_total").unwrap().previous, None);
    bench.batch(|batch| batch.absent = vec![absence(0, "first_reading")]);
    assert_eq!(bench.latest("c_total").unwrap().value, Err(Missing::FirstReading));
}

#[test]
fn a_series_waits_for_a_number_that_the_store_could_not_give() {
    let mut bench = Bench::new();
    bench.store.disk().no_numbers = true;
    bench.batch(|batch| {
        batch.registered = vec![(0, gauge("a")), (1, gauge("b"))];
        batch.samples = vec![sample(0, 1.0), sample(1, 1.0)];
    });
    assert_eq!(bench.stats.dropped_unregistered.get(), 2);
    bench.store.disk().no_numbers = false;
    bench.batch(|batch| {
        batch.registered = vec![(1, gauge("c"))];
        batch.samples = vec![sample(0, 2.0), sample(1, 2.0)];
    });
    assert_eq!(bench.latest("a").unwrap().value, Ok(2.0));
    assert_eq!(bench.latest("c").unwrap().value, Ok(2.0));
    assert_eq!(bench.latest("b"), None);
}

#[test]
fn a_stopped_collector_loses_its_series_and_gets_them_back() {
    let mut bench = Bench::new();
    let register = |batch: &mut Batch| {
        batch.registered = vec![(0, gauge("a"))];
        batch.samples = vec![sample(0, 1.0)];
    };
    bench.batch(register);
    bench.writer.round(&mut Round { vacated: vec![CollectorId(0)], ..Round::default() });
    assert_eq!(bench.latest("a"), None);
    assert_eq!(bench.published().snapshot.catalog.series.len(), 0);
    bench.batch(register);
    assert_eq!(bench.latest("a").unwrap().value, Ok(1.0));
    bench.writer.set_collectors(vec![collector("one"), collector("three"), collector("four")]);
    assert_eq!(bench.latest("a").unwrap().value, Ok(1.0), "still the same collector");
    bench.writer.set_collectors(vec![collector("other")]);
    assert_eq!(bench.latest("a"), None);
}

/// Random batches: what was stored is what was sent, by name, whatever numbers the series had.
mod random {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn numbers_never_mix_up_series(steps in prop::collection::vec((0_u8..3, 0_u32..6, 0_u8..8), 1..60)) {
            let mut bench = Bench::new();
            let mut mapped: BTreeMap<u32, String> = BTreeMap::new();
            let mut sent: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for (step, (action, local, name)) in steps.into_iter().enumerate() {
                let value = step as f64;
                let name = format!("s{name}");
                bench.batch(|batch| {
                    match action {
                        0 => {
                            if mapped.contains_key(&local) {
                                batch.retired.push(local);
                            }
                            mapped.retain(|_, known| *known != name);
                            mapped.insert(local, name.clone());
                            batch.registered.push((local, gauge(&name)));
                        }
                        1 => {
                            mapped.remove(&local);
                            batch.retired.push(local);
                        }
                        _ => {}
                    }
                    for (local, name) in &mapped {
                        batch.samples.push(sample(*local, value));
                        sent.entry(name.clone()).or_default().push(value);
                    }
                });
                let snapshot = &bench.published().snapshot;
                prop_assert_eq!(snapshot.catalog.series.len(), mapped.len());
                prop_assert_eq!(snapshot.latest.len(), mapped.len());
            }
            for (name, values) in sent {
                let stored: Vec<f64> = bench.store.points(&name).iter().map(|point| point.value).collect();
                prop_assert_eq!(stored, values, "{}", name);
            }
        }
    }
}

#[test]
fn a_collection_on_demand_beside_a_tick_spoils_no_rate() {
    let mut bench = Bench::new();
    bench.batch(|batch| {
        batch.registered = vec![(0, counter("c_total"))];
        batch.samples = vec![sample(0, 100.0)];
    });
    bench.batch(|batch| batch.samples = vec![sample(0, 200.0)]);
    bench.clock.pass(Duration::from_millis(3));
    let beside = bench.filled(0, |batch| batch.samples = vec![sample(0, 290.0)]);
    bench.round(Round { batches: vec![beside], ..Round::default() });
    let latest = bench.latest("c_total").unwrap();
    assert_eq!(latest.previous, Some(Previous { time: at(NOW + 1000), value: 100.0 }));
    assert_eq!(latest.value, Ok(290.0));
}
