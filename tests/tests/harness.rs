//! The harness against the real agent: it starts, answers, stops, dies and starts again in the same place.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustix::process::Signal;
use std::time::Duration;
use twarga_tests::Home;

const CONFIG: &str = r#"
[agent]
interval = "1s"
[plugins.synthetic]
mode = "in_process"
config = { gauges = 3, counters = 1 }
"#;

#[test]
fn an_agent_starts_answers_and_stops() {
    let home = Home::new(CONFIG).plugin("synthetic");
    let mut agent = home.start();
    agent.until_ready();
    assert_eq!(agent.get_as(None, "/api/plugins").status, 401);
    let plugins = agent.get("/api/plugins").json();
    assert_eq!(plugins["plugins"][0]["name"], "synthetic", "{plugins}");
    assert!(!agent.admin_token().is_empty());
    let value = agent.until(Duration::from_secs(10), "a sample of synthetic", |agent| {
        let path = "/api/metrics/host/history?metric_name=synthetic_value&label.n=2&limit=1";
        agent.get(path).json()["data"][0]["value"].as_f64()
    });
    assert!((2001.0..2100.0).contains(&value), "{value}");
    agent.stop();

    let agent = home.start();
    let token = agent.admin_token();
    agent.kill();
    let mut agent = home.start();
    assert_eq!(agent.admin_token(), token);
    agent.signal(Signal::INT);
    assert!(agent.wait(Duration::from_secs(5)).success());
}
