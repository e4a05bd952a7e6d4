//! The real agent, killed again and again at random moments: its history has no hole and nothing twice.
//!
//! `AGENT_TEST_KILLS` sets how often it is killed: CONTRIBUTING.md.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};
use twarga_agent::store::verify;
use twarga_tests::{Agent, Home, config};

const KILLS: u64 = 12;
/// Series enough that rows go into segments while the test runs.
const GAUGES: u32 = 600;
const PATIENCE: Duration = Duration::from_secs(20);

/// The values of a series, oldest first: in each run 1, 2, 3 …, and 1000 more for each number of the series.
fn values(agent: &Agent, series: u32) -> Vec<i64> {
    let path = format!("/api/metrics/host/history?metric_name=synthetic_value&label.n={series}&limit=200000");
    let history = agent.get(&path).json();
    let points = history["data"].as_array().unwrap_or_else(|| panic!("{history}")).iter().rev();
    points.map(|point| point["value"].as_f64().unwrap() as i64 - 1000 * i64::from(series)).collect()
}

/// How many values each run has, if each counts from 1.
#[track_caller]
fn runs(values: &[i64]) -> Vec<i64> {
    let mut runs: Vec<i64> = Vec::new();
    for &value in values {
        match runs.last_mut() {
            Some(last) if value == *last + 1 => *last = value,
            _ => {
                assert_eq!(value, 1, "a hole, or a value twice, after {runs:?}");
                runs.push(value);
            }
        }
    }
    runs
}

#[test]
fn an_agent_that_is_killed_again_and_again_loses_nothing_it_had_shown() {
    let kills = std::env::var("AGENT_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let more = format!("config = {{ gauges = {GAUGES}, counters = 0 }}");
    let home = Home::new(&config("100ms", &["synthetic"], &more)).plugin("synthetic");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut shown = Vec::new();
    for _ in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut agent = home.start();
        // at least one value of this run, and then until a moment that is no tick's
        let runs_before = shown.len();
        agent.until(PATIENCE, "a first value", |agent| {
            (runs(&values(agent, 0)).len() > runs_before).then_some(())
        });
        let end = Instant::now() + Duration::from_micros((random >> 33) % 1_500_000);
        let mut seen = values(&agent, 0);
        while Instant::now() < end {
            seen = values(&agent, 0);
        }
        agent.kill();
        let seen = runs(&seen);
        assert_eq!(seen.len(), runs_before + 1, "{seen:?}");
        assert!(seen.iter().zip(&shown).all(|(now, before)| now >= before), "{shown:?}, then {seen:?}");
        shown = seen;
    }
    let report = verify(&home.data().join("history.db"), &mut |_, _, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.bad);
    let agent = home.start();
    for series in [0, 1, 63, 64, 100, GAUGES - 1] {
        let found = runs(&values(&agent, series));
        let kept = found.iter().zip(&shown).all(|(now, before)| now >= before);
        assert!(
            kept && found.len() >= shown.len(),
            "series {series}: {shown:?}, now {found:?}\n{}",
            home.log()
        );
    }
    agent.stop();
}
