//! `/api/metrics/alerts`

use super::Stamp;
use crate::{
    config::TimestampStyle,
    model::{Labels, Timestamp},
    serve::backend::{Alert, AlertState},
};
use serde::{Serialize, Serializer};

/// `GET /api/metrics/alerts`
#[derive(Serialize)]
pub(in crate::serve) struct AlertsAnswer {
    alerts: Vec<String>,
    count: usize,
    timestamp: Stamp,
    alerts_detail: Vec<AlertAnswer>,
}

#[derive(Serialize)]
struct AlertAnswer {
    rule: String,
    labels: LabelsAnswer,
    state: &'static str,
    value: f64,
    threshold: f64,
    since: Stamp,
    text: String,
}

struct LabelsAnswer(Labels);

impl Serialize for LabelsAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// The rules of the old system, in its order; the others follow by name.
const SEED_RULES: [&str; 4] =
    ["system_high_cpu", "system_high_memory", "system_high_disk", "system_high_swap"];

/// Sorts alerts as they are shown.
fn sort(alerts: &mut [Alert]) {
    let place =
        |alert: &Alert| SEED_RULES.iter().position(|rule| *rule == alert.rule).unwrap_or(SEED_RULES.len());
    alerts.sort_by(|a, b| {
        (place(a), &a.rule, &a.labels, &a.text).cmp(&(place(b), &b.rule, &b.labels, &b.text))
    });
}

/// The texts of the alerts that fire, of sorted ones.
fn firing(alerts: &[Alert]) -> Vec<String> {
    let fires = |alert: &&Alert| alert.state == AlertState::Firing;
    alerts.iter().filter(fires).map(|alert| alert.text.clone()).collect()
}

/// The texts of the alerts that fire, as they are shown.
pub(in crate::serve) fn firing_texts(mut alerts: Vec<Alert>) -> Vec<String> {
    sort(&mut alerts);
    firing(&alerts)
}

impl AlertsAnswer {
    pub(in crate::serve) fn new(mut active: Vec<Alert>, time: Timestamp, style: TimestampStyle) -> Self {
        sort(&mut active);
        let alerts = firing(&active);
        let alerts_detail = active
            .into_iter()
            .map(|alert| AlertAnswer {
                rule: alert.rule,
                labels: LabelsAnswer(alert.labels),
                state: alert.state.word(),
                value: alert.value,
                threshold: alert.threshold,
                since: Stamp(alert.since, style),
                text: alert.text,
            })
            .collect();
        Self { count: alerts.len(), alerts, timestamp: Stamp(time, style), alerts_detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(rule: &str, state: AlertState) -> Alert {
        Alert {
            text: format!("text of {rule}"),
            rule: rule.into(),
            labels: Labels::default(),
            state,
            value: 90.0,
            threshold: 90.0,
            since: Timestamp::default(),
        }
    }

    #[test]
    fn the_old_systems_order_comes_first() {
        let rules = [
            "zeta",
            "alpha",
            "system_high_swap",
            "system_high_disk",
            "system_high_memory",
            "system_high_cpu",
        ];
        let texts = firing_texts(rules.map(|rule| alert(rule, AlertState::Firing)).into());
        let short: Vec<&str> = texts.iter().map(|text| text.trim_start_matches("text of ")).collect();
        assert_eq!(
            short,
            [
                "system_high_cpu",
                "system_high_memory",
                "system_high_disk",
                "system_high_swap",
                "alpha",
                "zeta"
            ]
        );
    }

    #[test]
    fn pending_alerts_are_told_only_in_detail() {
        let alerts = vec![alert("b", AlertState::Pending), alert("a", AlertState::Firing)];
        let answer = AlertsAnswer::new(alerts, Timestamp::default(), TimestampStyle::Legacy);
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer["alerts"], serde_json::json!(["text of a"]));
        assert_eq!(answer["count"], 1);
        assert_eq!(answer["timestamp"], "1970-01-01T00:00:00");
        assert_eq!(answer["alerts_detail"][1]["state"], "pending");
    }
}
