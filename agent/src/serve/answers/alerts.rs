//! `/api/metrics/alerts`

use super::Stamp;
use crate::{
    config::TimestampStyle,
    model::{Labels, Timestamp},
    serve::backend::{ActiveAlert, AlertState},
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
    vm_id: Option<i64>,
    vm_name: Option<String>,
    state: &'static str,
    severity: &'static str,
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

/// The texts of the alerts that fire.
pub(in crate::serve) fn firing_texts(alerts: &[ActiveAlert]) -> Vec<String> {
    let fires = |alert: &&ActiveAlert| alert.state == AlertState::Firing;
    alerts.iter().filter(fires).map(|alert| alert.text.clone()).collect()
}

impl AlertsAnswer {
    pub(in crate::serve) fn new(active: &[ActiveAlert], time: Timestamp, style: TimestampStyle) -> Self {
        let alerts = firing_texts(active);
        let detail = |alert: &ActiveAlert| AlertAnswer {
            rule: alert.rule.clone(),
            labels: LabelsAnswer(alert.labels.clone()),
            vm_id: alert.vm_id,
            vm_name: alert.vm_name.clone(),
            state: alert.state.word(),
            severity: alert.severity.word(),
            value: alert.value,
            threshold: alert.threshold,
            since: Stamp(alert.since, style),
            text: alert.text.clone(),
        };
        let alerts_detail = active.iter().map(detail).collect();
        Self { count: alerts.len(), alerts, timestamp: Stamp(time, style), alerts_detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(rule: &str, state: AlertState) -> ActiveAlert {
        ActiveAlert {
            severity: crate::model::Severity::Warning,
            text: format!("text of {rule}"),
            rule: rule.into(),
            labels: Labels::default(),
            vm_id: None,
            vm_name: None,
            state,
            value: 90.0,
            threshold: 90.0,
            since: Timestamp::default(),
        }
    }

    #[test]
    fn pending_alerts_are_told_only_in_detail() {
        let alerts = [alert("b", AlertState::Pending), alert("a", AlertState::Firing)];
        let answer = AlertsAnswer::new(&alerts, Timestamp::default(), TimestampStyle::Legacy);
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer["alerts"], serde_json::json!(["text of a"]));
        assert_eq!(answer["count"], 1);
        assert_eq!(answer["timestamp"], "1970-01-01T00:00:00");
        assert_eq!(answer["alerts_detail"][0]["state"], "pending");
    }
}
