//! The kept plugins of every released ABI in the real agent, in every mode that it has. What exactly they say is compared
//! in `loading/kept.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;
use twarga_tests::{Agent, Home, config, kept, modes};

/// The values of a series, oldest first.
fn values(agent: &Agent, query: &str) -> Vec<f64> {
    let history = agent.get(&format!("/api/metrics/host/history?limit=20&{query}")).json();
    let mut rows: Vec<(String, f64)> = (history["data"].as_array().into_iter().flatten())
        .filter_map(|row| Some((row["timestamp"].as_str()?.to_string(), row["value"].as_f64()?)))
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows.into_iter().map(|(_, value)| value).collect()
}

#[test]
fn plugins_of_every_abi_run_in_every_mode() {
    if !kept::runs_here() {
        return;
    }
    for mode in modes() {
        for version in kept::versions() {
            for language in kept::LANGUAGES {
                let table = format!("[plugins.abi-fixture]\nmode = \"{mode}\"\ninterval = \"1s\"\n");
                let home = Home::new(&config("1s", &[], &table));
                home.plugin_file("libabi_fixture.so", &kept::library(&version, language));
                let mut agent = home.start();
                let what = format!("the events of {version} in {language}, {mode}");
                let events = agent.until(Duration::from_secs(15), &what, |agent| {
                    let events = values(agent, "metric_name=abi_events_total");
                    (events.len() >= 3).then_some(events)
                });
                assert_eq!(events, [10.0, 20.0, 50.0], "{what}");
                agent.stop();
            }
        }
    }
}
