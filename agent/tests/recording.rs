//! The recording that benches and tests replay.

#[path = "../benches/recording/mod.rs"]
mod recording;

use flate2::{Compression, write::GzEncoder};
use recording::{BadRecording, GAUGES, Recording, SERIES};
use std::{collections::BTreeSet, io::Write};

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn refusal(text: &str) -> String {
    Recording::parse(&packed(text)).expect_err("no recording").to_string()
}

#[test]
fn the_set_is_178_derived_series_and_22_raw_counters_each_with_a_name_of_its_own() {
    let recording = Recording::load(None).unwrap();
    let names: BTreeSet<&str> = recording.series().iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names.len(), SERIES);
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')));
    assert!(recording.series()[GAUGES..].iter().all(|series| series.name.starts_with("host_raw_")));
    assert!(recording.series()[..GAUGES].iter().all(|series| !series.name.starts_with("host_raw_")));
    assert_eq!(recording.series().iter().filter(|series| series.counter).count(), 22 + 4);
    assert!(recording.seconds() >= 3000, "not an hour, but near it");
}

#[test]
fn values_are_rounded_as_an_agent_stores_them() {
    let recording = Recording::load(None).unwrap();
    for second in 0..recording.seconds() {
        for (value, series) in recording.values(second, 0).zip(recording.series()) {
            assert!(value.is_finite() && value >= 0.0, "{series:?} {value}");
            assert_eq!((value * 100.0).round() / 100.0, value, "{series:?}");
        }
    }
}

#[test]
fn counters_go_on_when_the_recording_begins_anew() {
    let recording = Recording::load(None).unwrap();
    let around = 0..recording.seconds() * 3;
    let counters: Vec<usize> = (0..SERIES).filter(|at| recording.series()[*at].counter).collect();
    let mut before = vec![0.0; SERIES];
    for second in around {
        let values: Vec<f64> = recording.values(second, 0).collect();
        for &at in &counters {
            assert!(values[at] >= before[at], "{:?} at {second}", recording.series()[at]);
        }
        before = values;
    }
}

#[test]
fn an_hour_is_not_followed_by_itself() {
    let recording = Recording::load(None).unwrap();
    let lap = recording.seconds();
    let same = |second: &usize| recording.values(*second, 0).eq(recording.values(second + lap, 0));
    assert_eq!((0..lap).filter(same).count(), 0);
    let gauges = |second| recording.values(second, 0).take(20).collect::<Vec<_>>();
    assert_eq!(gauges(lap + 10), gauges(lap - 11), "backwards");
}

#[test]
fn a_replica_is_the_same_some_time_ahead() {
    let recording = Recording::load(None).unwrap();
    let ahead: Vec<f64> = recording.values(1000, 3).collect();
    let first = (0..600).find(|&by| recording.values(1000 + by, 0).eq(ahead.iter().copied()));
    assert!(first.is_some_and(|by| by > 60), "{first:?}");
}

#[test]
fn what_is_no_recording_is_refused_with_the_place() {
    assert!(matches!(Recording::parse(b""), Err(BadRecording::Unreadable(_))));
    assert!(matches!(Recording::parse(b"time\t1\n"), Err(BadRecording::Unreadable(_))));
    let whole = packed("time\tstat.cpu.user\n1000\t1\n2000\t2\n");
    assert!(matches!(Recording::parse(&whole[..whole.len() - 9]), Err(BadRecording::Unreadable(_))));
    assert!(refusal("").contains("line 1"));
    assert!(refusal("name\tvalue\n").contains("`time`"));
    assert!(refusal("time\ta\n1000\n").contains("line 2 of the recording has 1 fields, line 1 has 2"));
    assert!(refusal("time\ta\n1000\t1\n2000\tNaN\n").contains("line 3 of the recording, column `a`: `NaN`"));
    assert!(refusal("time\ta\n1000\t1\n1000\t2\n").contains("line 3"));
    assert!(refusal("time\ta\n1000\t1\n").contains("two are the least"));
    assert!(refusal("time\ta\n1000\t1\n2000\t2\n").contains("0 of 200 series"));
}
