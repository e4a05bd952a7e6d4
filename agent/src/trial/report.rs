//! What a certification says.

use serde::{Deserialize, Serialize};

/// Every check, in the order of the report.
pub const CHECKS: [(&str, &str); 16] = [
    ("abi", "the file can be loaded, and its types are those of this agent"),
    ("metadata", "name, version, description, authors and namespaces are given"),
    ("schema", "the configuration's schema is a JSON Schema, and its defaults fit it"),
    ("names", "names, units, labels and help follow OpenMetrics"),
    ("defaults", "an empty table and the schema's defaults are accepted"),
    (
        "wrong-config",
        "unknown keys and wrong types are refused as configuration, with the place, without a panic",
    ),
    ("start", "a collector is made with this configuration"),
    ("first-collection", "the first collection gives samples in time"),
    ("cycles", "collections one after the other all go well and in time"),
    ("values", "no value is NaN or infinite, no series is put twice, every series is registered"),
    ("counters", "no counter falls without a reset"),
    ("series", "a series stays, is said to be unavailable, or is retired"),
    ("memory", "memory does not grow"),
    ("cost", "a collection takes a small part of the interval"),
    ("stop", "it ends in time when it is dropped"),
    ("kill", "it starts anew after SIGKILL"),
];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Well.
    Pass,
    /// A rule is broken.
    Fail,
    /// It could not be told, or does not apply.
    Skip,
}

impl Outcome {
    /// `PASS`, `FAIL`, `SKIP`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        }
    }
}

/// One check's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// One of [`CHECKS`].
    pub check: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub reason: String,
    /// How to mend it; empty unless it failed.
    #[serde(default)]
    pub advice: String,
}

impl Answer {
    /// It is well.
    pub(super) fn pass(check: &str, reason: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Pass, reason: reason.into(), advice: String::new() }
    }

    /// A rule is broken.
    pub(super) fn fail(check: &str, reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Fail, reason: reason.into(), advice: advice.into() }
    }

    /// It can't be told.
    pub(super) fn skip(check: &str, reason: impl Into<String>) -> Self {
        Self { check: check.into(), outcome: Outcome::Skip, reason: reason.into(), advice: String::new() }
    }
}

/// All checks of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The plugin's name; empty where the file says none.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// An answer for each of [`CHECKS`], in their order.
    pub checks: Vec<Answer>,
}

impl Report {
    /// Puts the answers in order; a check without one was not reached.
    pub(super) fn new(plugin: String, version: String, mut answers: Vec<Answer>) -> Self {
        let mut take = |check: &str| {
            let at = answers.iter().position(|answer| answer.check == check);
            at.map_or_else(|| Answer::skip(check, "not reached"), |at| answers.swap_remove(at))
        };
        Self { plugin, version, checks: CHECKS.iter().map(|(check, _)| take(check)).collect() }
    }

    /// No check failed.
    pub fn is_certified(&self) -> bool {
        self.checks.iter().all(|answer| answer.outcome != Outcome::Fail)
    }

    /// How many ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|answer| answer.outcome == outcome).count()
    }
}
