use super::*;
use proptest::prelude::*;
use twarga_plugin_api::abi::{RawKind, Sample};

fn text() -> impl Strategy<Value = String> {
    "[a-z\\PC]{0,20}"
}

/// Calls as values, for comparing.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Metric(u32, u8, [String; 4]),
    Series(u32, u32, Vec<String>),
    Retire(u32),
    Unavailable(u32, String),
    Log(u8, String),
    Time(i64),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        (any::<u32>(), any::<u8>(), [text(), text(), text(), text()])
            .prop_map(|(a, b, c)| Said::Metric(a, b, c)),
        (any::<u32>(), any::<u32>(), prop::collection::vec(text(), 0..5))
            .prop_map(|(a, b, c)| Said::Series(a, b, c)),
        any::<u32>().prop_map(Said::Retire),
        (any::<u32>(), text()).prop_map(|(a, b)| Said::Unavailable(a, b)),
        (any::<u8>(), text()).prop_map(|(a, b)| Said::Log(a, b)),
        any::<i64>().prop_map(Said::Time),
    ]
}

fn record(calls: &[Said]) -> Recorded {
    let mut recorded = Recorded::default();
    for call in calls {
        match call {
            Said::Metric(id, kind, [name, unit, help, keys]) => recorded.metric(
                *id,
                &RawMetric {
                    name: name.as_str().into(),
                    unit: unit.as_str().into(),
                    help: help.as_str().into(),
                    label_keys: keys.as_str().into(),
                    ext_json: "".into(),
                    kind: RawKind(*kind),
                },
            ),
            Said::Series(id, metric, labels) => {
                recorded.series(*id, *metric, labels.iter().map(String::as_str));
            }
            Said::Retire(id) => recorded.retire(*id),
            Said::Unavailable(id, reason) => recorded.unavailable(*id, reason),
            Said::Log(level, message) => recorded.log(*level, message),
            Said::Time(time) => recorded.batch_time(*time),
        }
    }
    recorded
}

fn read(call: Call<'_>) -> Said {
    match call {
        Call::Metric { id, metric } => {
            let texts = [metric.name, metric.unit, metric.help, metric.label_keys];
            Said::Metric(id, metric.kind.0, texts.map(|text| text.as_str().into()))
        }
        Call::Series { id, metric, labels } => Said::Series(id, metric, labels.map(Into::into).collect()),
        Call::Retire(id) => Said::Retire(id),
        Call::Unavailable { series, reason } => Said::Unavailable(series, reason.into()),
        Call::Log { level, message } => Said::Log(level, message.into()),
        Call::BatchTime(time) => Said::Time(time),
    }
}

fn bare() -> Answer<'static> {
    Answer {
        error: None,
        confined: true,
        refused_samples: 1,
        refused_series: 2,
        unlogged: 3,
        calls: Calls::default(),
        samples: Samples::default(),
    }
}

fn a_frame() -> Vec<u8> {
    let mut frame = Vec::new();
    let calls = record(&[Said::Series(1, 2, vec!["a".into(), "b".into()]), Said::Log(1, "x".into())]);
    let answer = Answer { error: Some((3, "message", "place")), ..bare() };
    let samples =
        [Sample { series: 1, flags: 1, value: 0.5 }, Sample { series: 2, flags: 0, value: f64::NAN }];
    write_answer(&mut frame, &answer, &calls, &samples).unwrap();
    frame
}

proptest! {
    #[test]
    fn answers_come_as_they_were_sent(
        calls in prop::collection::vec(said(), 0..20),
        samples in prop::collection::vec((any::<u32>(), any::<u32>(), any::<f64>()), 0..50),
        error in prop::option::of((any::<u8>(), text(), text())),
        numbers in (any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>()),
    ) {
        let samples: Vec<Sample> =
            samples.into_iter().map(|(series, flags, value)| Sample { series, flags, value }).collect();
        let answer = Answer {
            error: error.as_ref().map(|(kind, message, place)| (*kind, message.as_str(), place.as_str())),
            confined: numbers.3,
            refused_samples: numbers.0,
            refused_series: numbers.1,
            unlogged: numbers.2,
            ..bare()
        };
        let mut frame = vec![7; 3]; // what was there before
        write_answer(&mut frame, &answer, &record(&calls), &samples).unwrap();
        let whole = complete(&frame).unwrap().unwrap();
        let Frame::Answer(got) = decode(whole).unwrap() else { panic!("another kind") };
        prop_assert_eq!(got.calls.map(|call| read(call.unwrap())).collect::<Vec<_>>(), calls);
        let bits = |sample: Sample| (sample.series, sample.flags, sample.value.to_bits());
        prop_assert_eq!(
            got.samples.iter().map(bits).collect::<Vec<_>>(),
            samples.into_iter().map(bits).collect::<Vec<_>>()
        );
        let same = Answer { calls: Calls::default(), samples: Samples::default(), ..got };
        prop_assert_eq!(same, answer);
    }

    #[test]
    fn hellos_come_as_they_were_sent(
        numbers in (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>()),
        config in text(),
        writable in prop::collection::vec(text(), 0..4),
    ) {
        let (parent, max_series, memory, processes, files) = numbers;
        let hello = Hello { parent, max_series, memory, processes, files, config, writable };
        let mut frame = Vec::new();
        write_hello(&mut frame, &hello).unwrap();
        let Frame::Hello(got) = decode(&frame).unwrap() else { panic!("another kind") };
        prop_assert_eq!(got, hello);
    }

    #[test]
    fn a_rehearsal_comes_as_it_was_sent(parent in any::<u32>()) {
        let mut frame = Vec::new();
        write_rehearse(&mut frame, parent).unwrap();
        prop_assert!(matches!(decode(&frame), Ok(Frame::Rehearse(got)) if got == parent));
        prop_assert!(decode(&frame[..frame.len() - 1]).is_err());
    }

    #[test]
    fn garbage_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..200, with in any::<u8>()) {
        let _ = complete(&bytes);
        let mut answered = vec![0; 4];
        answered.extend(PROTOCOL.to_le_bytes());
        answered.extend(ANSWER.to_le_bytes());
        answered.extend(&bytes);
        let mut spoilt = a_frame();
        if let Some(byte) = spoilt.get_mut(at) {
            *byte = with;
        }
        for frame in [&bytes, &answered, &spoilt] {
            if let Ok(Frame::Answer(answer)) = decode(frame) {
                answer.calls.for_each(|call| drop(call.map(read)));
                answer.samples.iter().for_each(drop);
            }
        }
    }
}

#[test]
fn a_frame_is_complete_at_its_last_byte() {
    let mut frame = a_frame();
    for end in 0..frame.len() {
        assert_eq!(complete(&frame[..end]), Ok(None), "{end}");
        assert!(decode(&frame[..end]).is_err(), "{end}");
    }
    assert_eq!(complete(&frame).unwrap().map(<[u8]>::len), Some(frame.len()));
    frame.push(0);
    assert_eq!(complete(&frame), Err(FrameError::Trailing(1)));
}

#[test]
fn another_version_and_a_length_beyond_all_bounds_are_told() {
    let mut frame = Vec::new();
    write_collect(&mut frame).unwrap();
    frame[4] = 9;
    assert_eq!(decode(&frame).unwrap_err(), FrameError::Version(9));
    assert!(decode(&frame).unwrap_err().to_string().contains("different builds"));
    assert!(matches!(complete(&[255; 4]), Err(FrameError::TooLong(_))));
    assert_eq!(complete(&[3, 0, 0, 0]), Err(FrameError::Short));
    let calls = Recorded(vec![0; MAX_FRAME]);
    assert!(matches!(write_answer(&mut frame, &bare(), &calls, &[]), Err(FrameError::TooLong(_))));
}

#[test]
fn a_series_with_too_many_labels_is_refused_before_they_are_kept() {
    let mut labels = Vec::from((MOST_LABELS + 1).to_le_bytes());
    labels.resize(labels.len() + 4 * (MOST_LABELS as usize + 1), 0); // empty texts
    let refused = Reader(&labels).texts().map(|texts| texts.left);
    assert_eq!(refused.unwrap_err(), FrameError::Labels(MOST_LABELS + 1));
}
