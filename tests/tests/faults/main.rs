//! Every fault in every mode that it can run in, beside a healthy plugin of 100 ms in each mode: the healthy ones lose no
//! tick, the agent's memory stays flat, and `/api/plugins` names the culprit and the reason within one interval.
//!
//! Faults that end the process (a segmentation fault, `abort`, `exit`, a stack overflow, too much memory) run isolated
//! alone: in process they end the agent, as docs/security.md says.
#![allow(clippy::unwrap_used, reason = "tests")]

mod between_calls;
mod healthy;
mod matrix;
mod noise;

use serde_json::Value;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use twarga_tests::{Agent, Home, config};

/// How long something may take that takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// These tests count ticks of 100 ms: one at a time, so that they are not each other's noise.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A home with the healthy plugins and one more table.
fn beside_healthy_ones(plugin: &str, table: &str) -> Home {
    let more = format!("align_offset = \"none\"\n{}{table}\n", healthy::tables());
    Home::new(&config("100ms", &[], &more)).plugin("synthetic").plugin(plugin)
}

fn plugin(agent: &Agent, name: &str) -> Value {
    let list = agent.get("/api/plugins").json();
    let found = list["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

/// Switches a plugin, or makes it collect.
fn post(agent: &Agent, name: &str, what: &str) -> u16 {
    agent.post(Some(&agent.admin_token()), &format!("/api/plugins/{name}/{what}"), "").status
}
