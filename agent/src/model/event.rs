//! Events, and gaps in the history.

use super::{SeriesId, Timestamp};
use std::{fmt, sync::Arc};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Somebody has to act.
    Critical,
}

impl Severity {
    /// The word that the API and the configuration use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of a [`word`](Severity::word).
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical].into_iter().find(|severity| severity.word() == word)
    }
}

/// Something that happened, kept in the store and shown at `/api/events`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Such as `system_high_cpu`, `plugin_failed`.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// For people.
    pub message: String,
    /// A JSON object, for programs.
    pub details: serde_json::Value,
    /// When.
    pub time: Timestamp,
    /// The machine it is about.
    pub vm_id: Option<i64>,
}

/// Why nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The agent did not run.
    AgentDown,
    /// The whole machine slept.
    Suspended,
    /// The collection failed, or did not end before its deadline.
    Timeout,
    /// The collector answered with an error.
    Failed(String),
    /// The collector is switched off.
    Disabled,
    /// The collector failed again and again, and is left alone for a while.
    Quarantined,
    /// The plugin said that the series has no value, and why.
    Unavailable(String),
    /// The wall clock was stepped over this time.
    ClockStep,
    /// A tick came while the collection before it was still running, or was dropped because the writer fell behind.
    Overrun,
}

/// As the store keeps it and the API shows it: `agent_down`, `unavailable:stale balloon`.
impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentDown => f.write_str("agent_down"),
            Self::Suspended => f.write_str("suspended"),
            Self::Timeout => f.write_str("timeout"),
            Self::Failed(why) => write!(f, "failed:{why}"),
            Self::Disabled => f.write_str("disabled"),
            Self::Quarantined => f.write_str("quarantined"),
            Self::Unavailable(why) => write!(f, "unavailable:{why}"),
            Self::ClockStep => f.write_str("clock_step"),
            Self::Overrun => f.write_str("overrun"),
        }
    }
}

impl GapReason {
    /// Reads what [`Display`](fmt::Display) writes; nothing where it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            Some(("failed", why)) => Self::Failed(why.into()),
            Some(("unavailable", why)) => Self::Unavailable(why.into()),
            Some(_) => return None,
            None => match text {
                "agent_down" => Self::AgentDown,
                "suspended" => Self::Suspended,
                "timeout" => Self::Timeout,
                "disabled" => Self::Disabled,
                "quarantined" => Self::Quarantined,
                "clock_step" => Self::ClockStep,
                "overrun" => Self::Overrun,
                _ => return None,
            },
        })
    }
}

/// What a gap is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapScope {
    /// Every series.
    Agent,
    /// The series of one collector, by the key of its table in the configuration.
    Collector(Arc<str>),
    /// One series.
    Series(SeriesId),
}

/// A stretch of time without samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What it is about.
    pub scope: GapScope,
    /// The first time at which a sample is missing.
    pub from: Timestamp,
    /// The last time at which a sample is missing.
    pub to: Timestamp,
    /// Why.
    pub reason: GapReason,
}
