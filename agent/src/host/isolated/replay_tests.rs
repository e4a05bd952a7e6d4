use super::{
    super::frames::{Answer, Recorded, Samples, write_answer},
    *,
};
use crate::{
    host::{Claims, InstanceOptions, Metadata},
    model::{CollectorId, Timestamp},
};
use std::sync::Arc;
use twarga_plugin_api::abi::{RawKind, RawMetric, Sample};

const METADATA: &[u8] =
    b"twarga-plugin-metadata 1\nname=p\nentry=e\napi=1.0\nnamespace=p_\nnamespace=other_\n\
    metric=counter\tp_total\t\tx\thelp\n";
/// More refused series than that are too many.
const MAX_SERIES: usize = 3;

/// The agent's side, where another plugin has claimed `other_taken`.
fn agent() -> Replay {
    let claims = Arc::new(Claims::new(|_| false));
    claims.claim_one("q", &["other_".into()], "other_taken").unwrap();
    let options = InstanceOptions {
        config: String::new(),
        instance: None,
        max_series: MAX_SERIES,
        claims,
        owner: None,
    };
    Replay::new(Intake::new(&Metadata::parse(METADATA).unwrap(), &options, 100))
}

fn metric(name: &str) -> RawMetric<'_> {
    let empty = "".into();
    RawMetric {
        name: name.into(),
        unit: empty,
        help: "help".into(),
        label_keys: empty,
        ext_json: empty,
        kind: RawKind::GAUGE,
    }
}

/// One answer of a process that recorded this.
fn say(
    agent: &mut Replay,
    calls: impl FnOnce(&mut Recorded),
    samples: &[(u32, f64)],
) -> (Result<Option<Error>, String>, Batch) {
    let mut recorded = Recorded::default();
    calls(&mut recorded);
    let samples: Vec<Sample> =
        samples.iter().map(|(series, value)| Sample { series: *series, flags: 0, value: *value }).collect();
    let answer = Answer {
        error: None,
        confined: true,
        refused_samples: 0,
        refused_series: 0,
        unlogged: 0,
        calls: Calls::default(),
        samples: Samples::default(),
    };
    let mut frame = Vec::new();
    write_answer(&mut frame, &answer, &recorded, &samples).unwrap();
    let mut batch = Batch::new(CollectorId(0));
    batch.time = Timestamp::now();
    agent.intake.begin();
    let taken = agent.take(&frame, Some(&mut batch));
    (taken, batch)
}

fn lie(calls: impl FnOnce(&mut Recorded)) -> String {
    say(&mut agent(), calls, &[]).0.unwrap_err()
}

#[test]
fn what_is_true_is_taken() {
    let mut agent = agent();
    let said = |calls: &mut Recorded| {
        calls.metric(1, &metric("p_late"));
        calls.series(0, 0, ["a"].into_iter());
        calls.series(1, 1, [].into_iter());
    };
    let (taken, batch) = say(&mut agent, said, &[(0, 5.0), (1, 1.0)]);
    assert_eq!(taken, Ok(None));
    let samples: Vec<_> = batch.samples.iter().map(|sample| (sample.series, sample.value)).collect();
    assert_eq!(samples, [(100, 5.0), (101, 1.0)], "by the agent's numbers");
    assert_eq!(batch.registered.len(), 2);
    let (_, batch) = say(&mut agent, |calls| calls.retire(1), &[(0, 4.0), (1, 1.0)]);
    assert!(batch.samples[0].reset && batch.samples.len() == 1, "a counter fell: {batch:?}");
    assert_eq!((batch.retired, agent.refused()), (vec![101], 1));
}

#[test]
fn samples_of_nobody_and_of_no_value_are_refused() {
    let mut agent = agent();
    let samples = [(0, f64::NAN), (0, 1.0), (0, 2.0), (9, 1.0), (u32::MAX, 1.0)];
    let (taken, batch) = say(&mut agent, |calls| calls.series(0, 0, ["a"].into_iter()), &samples);
    assert_eq!((taken, batch.samples.len(), agent.refused()), (Ok(None), 1, 4));
}

#[test]
fn who_counts_otherwise_lies() {
    assert_eq!(lie(|calls| calls.series(7, 0, ["a"].into_iter())), "it says series 7 where 0 comes next");
    assert_eq!(lie(|calls| calls.metric(0, &metric("p_x"))), "it says family 0 where 1 comes next");
    let twice = |calls: &mut Recorded| {
        calls.series(0, 0, ["a"].into_iter());
        calls.series(1, 0, ["a"].into_iter());
    };
    assert_eq!(lie(twice), "it says series 0 where 1 comes next");
}

#[test]
fn what_only_the_agent_can_refuse_costs_that_series_alone() {
    let mut agent = agent();
    let said = |calls: &mut Recorded| {
        calls.metric(1, &metric("other_taken"));
        calls.series(0, 1, [].into_iter());
        calls.series(1, 0, ["a"].into_iter());
    };
    let (taken, batch) = say(&mut agent, said, &[(0, 1.0), (1, 1.0)]);
    assert_eq!((taken, batch.samples.len(), batch.registered.len()), (Ok(None), 1, 1));
    assert_eq!(agent.refused(), 1);
}

#[test]
fn a_flood_of_refused_series_is_a_lie() {
    let flood =
        |calls: &mut Recorded| (0..10).for_each(|id| calls.series(id, 0, ["a", "too many"].into_iter()));
    assert!(lie(flood).contains("again and again"));
    let beyond = |calls: &mut Recorded| {
        (0..10).for_each(|id| calls.series(id, 0, [id.to_string().as_str()].into_iter()));
    };
    assert!(lie(beyond).contains("again and again"), "more than max_series");
    let families = |calls: &mut Recorded| (1..20_000).for_each(|id| calls.metric(id, &metric("bad name")));
    assert_eq!(lie(families), "it declares too many metrics");
}

#[test]
fn bytes_that_are_no_answer_are_refused() {
    let mut agent = agent();
    for bytes in [&[][..], &[0; 8], &[4, 0, 0, 0, 1, 0, 2, 0]] {
        agent.take(bytes, None).unwrap_err();
    }
}
