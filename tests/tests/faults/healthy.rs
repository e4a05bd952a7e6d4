//! The healthy plugins beside a culprit: one in the agent's process, one isolated, each called ten times a second.
//!
//! What is lost is what the agent itself counts: from one look at `/api/plugins` to a later one, as many collections must
//! have ended as there were ticks. A busy machine may keep the agent from the processor for a whole interval, with or
//! without a culprit. Such a loss is told from one by the culprit by [`Witness`], whose threads have nothing to do with
//! the agent: a lost tick during which they ran on time is the culprit's.

use super::{
    PATIENCE,
    noise::{STALL, Witness},
    plugin,
};
use serde_json::Value;
use std::io::Write;
use twarga_tests::Agent;

/// The interval of the healthy plugins.
pub(super) const INTERVAL: i64 = 100;
pub(super) const NAMES: [&str; 2] = ["healthy-in", "healthy-out"];

/// Their tables.
pub(super) fn tables() -> String {
    let table = |(name, mode)| {
        format!(
            "[plugins.{name}]\nplugin = \"synthetic\"\nmode = \"{mode}\"\ninterval = \"{INTERVAL}ms\"\n\
             config = {{ gauges = 1, counters = 1 }}\n"
        )
    };
    NAMES.into_iter().zip(["in_process", "isolated"]).map(table).collect()
}

/// Milliseconds since 1970 of a time as the API writes it.
pub(super) fn millis(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_else(|| panic!("no time: {time}"));
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    // days of the proleptic Gregorian calendar, with years that begin in March
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    (((days * 24 + number(11..13)) * 60 + number(14..16)) * 60 + number(17..19)) * 1000 + number(20..23)
}

/// Watches them from now on.
pub(super) struct Watch {
    before: [Value; 2],
    witness: Witness,
}

impl Watch {
    /// Begins once they tick.
    pub(super) fn start(agent: &mut Agent) -> Self {
        let witness = Witness::start();
        Self { before: NAMES.map(|name| collected(agent, name, 8)), witness }
    }

    /// That none of them has lost a tick, ten ticks from now at the earliest.
    pub(super) fn assert_no_tick_lost(self, agent: &mut Agent) {
        let after = NAMES.map(|name| {
            let so_far = plugin(agent, name)["collections"].as_u64().unwrap();
            collected(agent, name, so_far + 10)
        });
        let upto = after.each_ref().map(|status| millis(&status["last_run"]));
        let histories = [0, 1].map(|n| times(agent, NAMES[n], upto[n]));
        let stalls = self.witness.stop();
        for ((before, after), history) in self.before.iter().zip(&after).zip(histories) {
            assert_eq!(after["state"], "running", "{after}\n{}", agent.home().log());
            let count = |status: &Value, key: &str| status[key].as_i64().unwrap();
            let tick = |status: &Value| millis(&status["last_run"]) / INTERVAL;
            let due = tick(after) - tick(before);
            let lost = due - (count(after, "collections") - count(before, "collections"));
            let counted = ["skipped", "failures", "missed_deadlines", "restarts"]
                .map(|key| (key, count(after, key) - count(before, key)));
            if lost == 0 && counted.iter().all(|(_, count)| *count == 0) {
                continue;
            }
            // where samples are missing, and no stall of the machine says why
            let to = millis(&after["last_run"]);
            let from = millis(&before["last_run"]);
            let within = history.windows(2).filter(|two| two[1] > from && two[1] <= to);
            let missing = within.filter(|two| two[1] / INTERVAL - two[0] / INTERVAL > 1);
            let missing: Vec<&[i64]> = missing.collect();
            let longest = |two: &&[i64]| {
                let within = |(began, ended): &(i64, i64)| two[1].min(*ended) - two[0].max(*began);
                stalls.iter().map(within).max().unwrap_or(0)
            };
            let stalled: Vec<i64> = missing.iter().map(longest).collect();
            let told = format!(
                "{} of {due} ticks lost, {counted:?}; missing: {missing:?}, the machine stalled for {stalled:?} ms",
                lost.max(missing.len() as i64)
            );
            let excused = !missing.is_empty() && stalled.iter().all(|stall| *stall >= STALL);
            assert!(excused, "{told}\n{after}\n{}", agent.home().log());
            let _ = writeln!(std::io::stderr(), "{}: {told}", after["name"]);
        }
    }
}

/// The status once so many collections have ended.
fn collected(agent: &mut Agent, name: &str, least: u64) -> Value {
    agent.until(PATIENCE, &format!("{least} collections of {name}"), |agent| {
        let status = plugin(agent, name);
        (status["collections"].as_u64() >= Some(least) && status["state"] == "running").then_some(status)
    })
}

/// The times of all its samples up to this collection, the oldest first.
fn times(agent: &mut Agent, name: &str, last: i64) -> Vec<i64> {
    let path =
        format!("/api/metrics/host/history?metric_name=synthetic_value&label.instance={name}&limit=100000");
    agent.until(PATIENCE, "the last sample", |agent| {
        let history = agent.get(&path).json();
        let data = history["data"].as_array()?;
        let mut times: Vec<i64> = data.iter().map(|point| millis(&point["timestamp"])).collect();
        times.sort_unstable();
        // a sample that is a little late carries the time of its tick
        (*times.last()? + 5 >= last).then_some(times)
    })
}
