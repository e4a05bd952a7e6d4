//! Gaps: whose they are, and when they grow rather than multiply.

use super::*;
use twarga_agent::model::{Gap, GapReason, GapScope};

fn gap(scope: &GapScope, from: i64, to: i64, reason: GapReason) -> Gap {
    Gap { scope: scope.clone(), from: at(NOW + from), to: at(NOW + to), reason }
}

fn commit_gaps(store: &mut Store, gaps: Vec<Gap>) {
    store.commit(&Commit { gaps, ..Commit::default() }).unwrap();
}

fn stretches(store: &Store, series: SeriesId) -> Vec<(i64, i64, String)> {
    let gaps = reader(store).gaps(series, Range::ALL).unwrap();
    gaps.iter()
        .map(|gap| (gap.from.as_millis() - NOW, gap.to.as_millis() - NOW, gap.reason.to_string()))
        .collect()
}

/// Two series of the collector `one`, one of `two`.
fn three(store: &mut Store) -> [SeriesId; 3] {
    let ids = [("a", "one"), ("b", "one"), ("c", "two")];
    ids.map(|(name, collector)| store.series(&def(name, &[]), collector).unwrap())
}

#[test]
fn a_series_has_its_own_gaps_its_collectors_and_the_agents() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let [a, b, c] = three(&mut store);
    let (agent, one) = (GapScope::Agent, GapScope::Collector("one".into()));
    commit_gaps(
        &mut store,
        vec![
            gap(&agent, 500, 600, GapReason::AgentDown),
            gap(&one, 300, 400, GapReason::Failed("no: such file".into())),
            gap(&GapScope::Series(a), 100, 200, GapReason::Unavailable("stale".into())),
        ],
    );
    let down = (500, 600, "agent_down".to_owned());
    let failed = (300, 400, "failed:no: such file".to_owned());
    let stale = (100, 200, "unavailable:stale".to_owned());
    assert_eq!(stretches(&store, a), [stale, failed.clone(), down.clone()]);
    assert_eq!(stretches(&store, b), [failed, down.clone()]);
    assert_eq!(stretches(&store, c), std::slice::from_ref(&down));
    assert_eq!(stretches(&store, SeriesId(999)), [down]);
    let reader = reader(&store);
    let within = |from, to| reader.gaps(a, Range { from: at(NOW + from), to: at(NOW + to) }).unwrap();
    assert_eq!(within(200, 300).len(), 2, "touching is enough");
    assert_eq!(within(201, 299), []);
    assert_eq!(within(350, 360)[0].scope, one, "one that covers the range");
}

#[test]
fn a_gap_grows_until_a_sample_comes() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let [a, b, c] = three(&mut store);
    let (own, one) = (GapScope::Series(a), GapScope::Collector("one".into()));
    for tick in 1..=5 {
        let at = tick * 1000;
        // the gap of the series is told as the tick, that of the collector from its beginning
        let gaps = vec![gap(&own, at, at, GapReason::Timeout), gap(&one, 1000, at, GapReason::Overrun)];
        let batches = vec![batch(NOW + at, &[c], 1.0)];
        store.commit(&Commit { batches, gaps, ..Commit::default() }).unwrap();
    }
    let (timeout, overrun) = ((1000, 5000, "timeout".to_owned()), (1000, 5000, "overrun".to_owned()));
    assert_eq!(stretches(&store, a), [overrun.clone(), timeout.clone()]);
    // a sample of another series ends the collector's gap, not the one of the series
    put(&mut store, NOW + 6000, &[b], 1.0);
    commit_gaps(
        &mut store,
        vec![gap(&own, 7000, 7000, GapReason::Timeout), gap(&one, 7000, 7000, GapReason::Overrun)],
    );
    let timeout = (1000, 7000, timeout.2);
    assert_eq!(stretches(&store, a), [overrun.clone(), timeout.clone(), (7000, 7000, overrun.2.clone())]);
    put(&mut store, NOW + 8000, &[a], 1.0);
    commit_gaps(&mut store, vec![gap(&own, 9000, 9000, GapReason::Timeout)]);
    assert_eq!(stretches(&store, a).last(), Some(&(9000, 9000, timeout.2)));
}

#[test]
fn another_reason_or_run_is_another_gap() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let [a, ..] = three(&mut store);
    let own = GapScope::Series(a);
    for (tick, reason) in [(1, GapReason::Timeout), (2, GapReason::Disabled), (3, GapReason::Timeout)] {
        commit_gaps(&mut store, vec![gap(&own, tick, tick, reason)]);
    }
    let new_run =
        Commit { gaps: vec![gap(&own, 4, 4, GapReason::Timeout)], new_run: true, ..Commit::default() };
    store.commit(&new_run).unwrap();
    drop(store);
    let mut store = open(&directory);
    commit_gaps(&mut store, vec![gap(&own, 5, 5, GapReason::Timeout)]);
    let reasons: Vec<(i64, String)> =
        stretches(&store, a).into_iter().map(|(from, _, reason)| (from, reason)).collect();
    let expected = [(1, "timeout"), (2, "disabled"), (3, "timeout"), (4, "timeout"), (5, "timeout")];
    assert_eq!(reasons, expected.map(|(from, reason)| (from, reason.to_owned())));
}

#[test]
fn a_sample_and_the_next_gap_in_one_commit() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let [a, ..] = three(&mut store);
    let own = GapScope::Series(a);
    commit_gaps(&mut store, vec![gap(&own, 0, 1000, GapReason::Timeout)]);
    let gaps = vec![gap(&own, 2000, 2000, GapReason::Timeout), gap(&own, 4000, 4000, GapReason::Timeout)];
    let batches = vec![batch(NOW + 3000, &[a], 1.0)];
    store.commit(&Commit { batches, gaps, ..Commit::default() }).unwrap();
    let timeout = || "timeout".to_owned();
    assert_eq!(stretches(&store, a), [(0, 2000, timeout()), (4000, 4000, timeout())]);
}

#[test]
fn gaps_go_with_the_samples_of_their_time() {
    let directory = TempDir::new().unwrap();
    let mut store = open(&directory);
    let [a, ..] = three(&mut store);
    let own = GapScope::Series(a);
    commit_gaps(
        &mut store,
        vec![gap(&own, 0, 999, GapReason::Timeout), gap(&own, 2000, 5000, GapReason::Disabled)],
    );
    assert_eq!(store.delete_before(at(NOW + 1000)).unwrap().samples, 0);
    assert_eq!(stretches(&store, a), [(2000, 5000, "disabled".to_owned())]);
    // one whose row was deleted while it could still grow
    store.delete_before(at(NOW + 6000)).unwrap();
    commit_gaps(&mut store, vec![gap(&own, 2000, 7000, GapReason::Disabled)]);
    assert_eq!(stretches(&store, a), [(2000, 7000, "disabled".to_owned())]);
}
