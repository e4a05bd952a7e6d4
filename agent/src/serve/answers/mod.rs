//! The shapes of the answers, as `docs/http-api.md` describes them.

mod alerts;
mod listings;
mod reload;

pub(super) use alerts::{AlertsAnswer, firing_texts};
pub(super) use listings::{EventsAnswer, MetricsAnswer, PluginsAnswer, VmsAnswer};
pub(super) use reload::{ReloadAnswer, SwitchAnswer};

use super::backend::{Flat, History, HistoryGap, StepInfo};
use crate::{config::TimestampStyle, model::Timestamp, store::Tier, views::rounded};
use serde::{Serialize, Serializer, ser::SerializeSeq};

/// A time in the style of the seed's routes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp(pub(super) Timestamp, pub(super) TimestampStyle);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            TimestampStyle::Rfc3339 => serializer.collect_str(&self.0),
            TimestampStyle::Legacy => serializer.serialize_str(&self.0.to_legacy()),
        }
    }
}

/// A time as all newer routes write it.
fn rfc3339(time: Timestamp) -> Stamp {
    Stamp(time, TimestampStyle::Rfc3339)
}

/// A time that may be missing, as all newer routes write it.
#[allow(clippy::ref_option)] // the signature that serde asks for
pub(super) fn optional_time<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// A map whose values are texts, in the order given.
struct Pairs<'a, K, V>(&'a [(K, V)]);

impl<K: Serialize, V: Serialize> Serialize for Pairs<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// `GET …/history`
#[derive(Serialize)]
pub(super) struct HistoryAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vm_id: Option<i64>,
    metric_name: &'a str,
    count: usize,
    data: Points<'a>,
    gaps: Gaps<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gaps_truncated: bool,
    #[serde(flatten)]
    steps: Option<StepsAnswer<'a>>,
}

/// What is added where steps were asked for.
#[derive(Serialize)]
struct StepsAnswer<'a> {
    step_seconds: f64,
    agg: String,
    /// `null` where there was no data.
    tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unavailable: Option<&'a str>,
}

impl<'a> StepsAnswer<'a> {
    fn new(steps: &'a StepInfo) -> Self {
        Self {
            step_seconds: steps.length.as_secs_f64(),
            agg: steps.aggregate.to_string(),
            tier: steps.tier.map(Tier::word),
            unavailable: steps.unavailable.as_deref(),
        }
    }
}

impl<'a> HistoryAnswer<'a> {
    pub(super) fn new(
        vm_id: Option<i64>,
        metric: &'a str,
        history: &'a History,
        style: TimestampStyle,
    ) -> Self {
        let count = history.points.len();
        let (data, gaps) = (Points(history, style), Gaps(&history.gaps, style));
        let steps = history.steps.as_ref().map(StepsAnswer::new);
        let gaps_truncated = history.gaps_truncated;
        Self { vm_id, metric_name: metric, count, data, gaps, gaps_truncated, steps }
    }
}

/// The points, written one by one: two hundred thousand of them make no tree in memory.
struct Points<'a>(&'a History, TimestampStyle);

#[derive(Serialize)]
struct Point<'a> {
    value: f64,
    unit: &'a str,
    timestamp: Stamp,
}

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(history, style) = self;
        let mut list = serializer.serialize_seq(Some(history.points.len()))?;
        for &(time, value) in &history.points {
            let value = if history.view { rounded(value) } else { value };
            list.serialize_element(&Point { value, unit: &history.unit, timestamp: Stamp(time, *style) })?;
        }
        list.end()
    }
}

struct Gaps<'a>(&'a [HistoryGap], TimestampStyle);

#[derive(Serialize)]
struct GapAnswer<'a> {
    from: Stamp,
    to: Stamp,
    reason: &'a str,
}

impl Serialize for Gaps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stamp = |time| Stamp(time, self.1);
        serializer.collect_seq(self.0.iter().map(|gap| GapAnswer {
            from: stamp(gap.from),
            to: stamp(gap.to),
            reason: &gap.reason,
        }))
    }
}

/// `POST /api/metrics/collect`
#[derive(Serialize)]
pub(super) struct CollectAnswer {
    pub(super) success: bool,
    pub(super) metrics: Flat,
    pub(super) alerts: Vec<String>,
    pub(super) timestamp: Stamp,
    #[serde(skip_serializing_if = "Failures::is_empty")]
    pub(super) failures: Failures,
}

/// `POST /api/plugins/{name}/collect`
#[derive(Serialize)]
pub(super) struct PluginCollectAnswer {
    pub(super) success: bool,
    pub(super) plugin: String,
    pub(super) timestamp: Stamp,
    #[serde(skip_serializing_if = "Failures::is_empty")]
    pub(super) failures: Failures,
}

/// Plugins whose collection failed, and why.
pub(super) struct Failures(pub(super) Vec<(String, String)>);

impl Failures {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Failures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Pairs(&self.0).serialize(serializer)
    }
}

/// `DELETE /api/metrics/cleanup`
#[derive(Serialize)]
pub(super) struct CleanupAnswer {
    pub(super) success: bool,
    pub(super) deleted_count: u64,
    pub(super) days_kept: u32,
}

/// `GET /-/healthy`, and `GET /-/ready` once it is
#[derive(Serialize)]
pub(super) struct StatusAnswer {
    pub(super) status: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_rounded_and_metrics_are_not() {
        let points = vec![(Timestamp::from_millis(1000), 15.0), (Timestamp::default(), 15.006_25)];
        let mut history = History { unit: "%".into(), view: true, points, ..History::default() };
        let written = |history: &History| {
            serde_json::to_string(&HistoryAnswer::new(None, "m", history, TimestampStyle::Rfc3339)).unwrap()
        };
        assert_eq!(
            written(&history),
            concat!(
                r#"{"metric_name":"m","count":2,"data":["#,
                r#"{"value":15.0,"unit":"%","timestamp":"1970-01-01T00:00:01.000000Z"},"#,
                r#"{"value":15.01,"unit":"%","timestamp":"1970-01-01T00:00:00.000000Z"}],"gaps":[]}"#
            )
        );
        history.view = false;
        history.gaps_truncated = true;
        let text = written(&history);
        assert!(text.contains("15.00625") && text.ends_with(r#""gaps":[],"gaps_truncated":true}"#), "{text}");
    }

    #[test]
    fn history_and_flat_answers_round_alike() {
        for value in [0.125, 0.375, 0.005, -1.125, -1.239, -0.001, 9.1e15, f64::MAX] {
            let points = vec![(Timestamp::default(), value)];
            let history = History { unit: "%".into(), view: true, points, ..History::default() };
            let answer = HistoryAnswer::new(None, "m", &history, TimestampStyle::Rfc3339);
            let answer = serde_json::to_value(answer).unwrap();
            assert_eq!(answer["data"][0]["value"], rounded(value), "{value}");
        }
    }
}
