//! Steps as the store answers them, against its own samples folded by hand.

use super::*;
use proptest::prelude::*;
use twarga_agent::store::{AggregateQuery, Folder, Steps, Tier};

fn query(from: i64, to: i64, step: i64, aggregate: Aggregate) -> AggregateQuery {
    AggregateQuery { range: Range { from: at(from), to: at(to) }, step, aggregate }
}

fn ask(reader: &Reader, series: SeriesId, query: &AggregateQuery) -> Steps {
    let mut steps = reader.aggregate(&[series], query).unwrap();
    assert_eq!(steps.len(), 1);
    steps.remove(0)
}

fn shown(steps: &Steps) -> Vec<(i64, f64)> {
    steps.values.iter().map(|(time, value)| (time.as_millis() - NOW, *value)).collect()
}

#[test]
fn steps_go_over_hours_runs_and_series() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 2);
    for (hours, value) in [(0, 10.0), (1, 20.0), (2, 25.0)] {
        put(&mut store, NOW + hours * HOUR, &ids[..1], value);
    }
    store.close().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 2);
    for (hours, value) in [(50, 1.0), (51, 2.0)] {
        put(&mut store, NOW + hours * HOUR, &ids, value);
    }
    let reader = reader(&store);
    let both = |query: AggregateQuery| reader.aggregate(&ids, &query).unwrap();
    let all = both(query(i64::MIN, i64::MAX, 2 * HOUR, Aggregate::Increase));
    assert_eq!(shown(&all[0]), [(0, 10.0), (2 * HOUR, 5.0), (50 * HOUR, 1.0)]);
    assert_eq!(shown(&all[1]), [(50 * HOUR, 1.0)]);
    assert_eq!((all[0].tier, all[0].left_out), (Some(Tier::Minute), None), "the first hours are rolled up");
    let rate = both(query(NOW, NOW + 3 * HOUR, HOUR, Aggregate::Rate));
    assert_eq!(shown(&rate[0]), [(HOUR, 10.0 / 3600.0), (2 * HOUR, 5.0 / 3600.0)]);
    assert_eq!(rate[1], Steps::default());
    let twice = reader.aggregate(&[ids[0], ids[0]], &query(NOW, NOW, HOUR, Aggregate::Count)).unwrap();
    assert_eq!(twice[0], twice[1]);
    assert_eq!(shown(&twice[0]), [(0, 1.0)]);
    let unknown = ask(&reader, SeriesId(99), &query(NOW, NOW, HOUR, Aggregate::Count));
    assert_eq!(unknown, Steps::default());
    let backwards = ask(&reader, ids[0], &query(NOW + HOUR, NOW, HOUR, Aggregate::Count));
    assert_eq!(backwards, Steps::default());
}

#[test]
fn what_a_deletion_leaves_of_an_open_part_is_rolled_up() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 2);
    let minute = |store: &mut Store, tick: i64| put(store, NOW + tick * 60_000, &ids, 1.0);
    (0..100).for_each(|tick| minute(&mut store, tick));
    assert_eq!(store.delete_before(at(NOW + 30 * 60_000)).unwrap().samples, 60);
    (100..720).for_each(|tick| minute(&mut store, tick));
    let hours = ask(&reader(&store), ids[1], &query(NOW, NOW + 12 * HOUR - 1, HOUR, Aggregate::Count));
    let expected: Vec<(i64, f64)> =
        (0..12).map(|hour| (hour * HOUR, if hour == 0 { 30.0 } else { 60.0 })).collect();
    assert_eq!((shown(&hours), hours.tier), (expected, Some(Tier::Hour)));
}

#[test]
fn the_newest_data_is_told() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 2);
    put(&mut store, NOW, &ids, 1.0);
    put(&mut store, NOW + 5000, &ids[..1], 1.0);
    let reader = reader(&store);
    assert_eq!(reader.newest(&ids, Range::ALL).unwrap(), [Some(at(NOW + 5000)), Some(at(NOW))]);
    let later = Range { from: at(NOW + 1), to: at(NOW + 5000) };
    assert_eq!(reader.newest(&ids, later).unwrap(), [Some(at(NOW + 5000)), None]);
    assert_eq!(reader.newest(&[], Range::ALL).unwrap(), []);
}

#[test]
fn times_at_the_ends_of_all_time_have_steps_too() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let ids = series(&mut store, 1);
    for time in [i64::MIN, -1, i64::MAX] {
        store.commit(&Commit { new_run: true, ..commit(vec![batch(time, &ids, 1.0)]) }).unwrap();
    }
    for step in [1, HOUR, i64::MAX] {
        let steps = ask(&reader(&store), ids[0], &query(i64::MIN, i64::MAX, step, Aggregate::Count));
        assert_eq!(steps.values.iter().map(|(_, count)| count).sum::<f64>(), 3.0, "{step}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn steps_are_the_folded_samples(
        work in prop::collection::vec((0_i64..400_000, 0_u32..99, any::<bool>(), prop::bool::weighted(0.05)), 1..80),
        (from, length, step) in (-HOUR..2 * HOUR, 0_i64..5 * HOUR, 1_i64..2 * HOUR),
    ) {
        let directory = TempDir::new().unwrap();
        let mut store = open(&directory);
        let ids = series(&mut store, 2);
        let mut now = NOW;
        for (later, value, both, new_run) in work {
            now += later;
            let wanted = if both { &ids[..] } else { &ids[1..] };
            let batches = vec![batch(now, wanted, f64::from(value))];
            store.commit(&Commit { new_run, ..commit(batches) }).unwrap();
        }
        let reader = reader(&store);
        for aggregate in Aggregate::ALL {
            let query = query(NOW + from, NOW + from + length, step, aggregate);
            let first = (NOW + from).div_euclid(step) * step;
            let answers = reader.aggregate(&ids, &query).unwrap();
            for (id, answer) in ids.iter().zip(answers) {
                let mut folder = Folder::new(&query, true);
                let points = all(&reader, *id);
                let near = |point: &&Point| point.time.as_millis() >= first - HOUR;
                points.iter().rev().filter(near).for_each(|point| folder.push(point));
                prop_assert_eq!(answer, folder.finish(), "{}", aggregate);
            }
        }
    }
}
