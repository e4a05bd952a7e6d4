//! The lists: plugins, machines, events, metrics.

use super::{Stamp, rfc3339};
use crate::{
    model::{PluginStatus, Timestamp},
    serve::backend::{MetricEntry, Vm},
    store::StoredEvent,
};
use serde::Serialize;

/// `GET /api/plugins`
#[derive(Serialize)]
pub(in crate::serve) struct PluginsAnswer {
    plugins: Vec<PluginAnswer>,
    count: usize,
    timestamp: Stamp,
}

#[derive(Serialize)]
struct PluginAnswer {
    name: String,
    plugin: String,
    version: Option<String>,
    api: Option<String>,
    file: Option<String>,
    sha256: Option<String>,
    mode: &'static str,
    state: &'static str,
    reason: Option<String>,
    interval_seconds: f64,
    configured_interval_seconds: f64,
    deadline_seconds: f64,
    series: usize,
    last_run: Option<Stamp>,
    last_success: Option<Stamp>,
    last_error: Option<String>,
    last_error_at: Option<Stamp>,
    collections: u64,
    failures: u64,
    missed_deadlines: u64,
    skipped: u64,
    refused_samples: u64,
    refused_series: u64,
    restarts: u64,
    cost: CostAnswer,
}

#[derive(Serialize)]
struct CostAnswer {
    cpu_seconds: f64,
    wall_seconds: f64,
    samples: u64,
    bytes_stored: u64,
    rss_bytes: Option<u64>,
    threads: Option<usize>,
}

impl PluginsAnswer {
    pub(in crate::serve) fn new(plugins: Vec<PluginStatus>, now: Timestamp) -> Self {
        let plugins: Vec<PluginAnswer> = plugins.into_iter().map(PluginAnswer::new).collect();
        Self { count: plugins.len(), plugins, timestamp: rfc3339(now) }
    }
}

impl PluginAnswer {
    fn new(status: PluginStatus) -> Self {
        Self {
            name: status.name,
            plugin: status.plugin,
            version: status.version,
            api: status.api,
            file: status.file.map(|file| file.display().to_string()),
            sha256: status.sha256.map(|digest| digest.to_string()),
            mode: status.mode,
            state: status.state.word(),
            reason: status.reason,
            interval_seconds: status.interval.as_secs_f64(),
            configured_interval_seconds: status.configured_interval.as_secs_f64(),
            deadline_seconds: status.deadline.as_secs_f64(),
            series: status.series,
            last_run: status.last_run.map(rfc3339),
            last_success: status.last_success.map(rfc3339),
            last_error: status.last_error,
            last_error_at: status.last_error_at.map(rfc3339),
            collections: status.collections,
            failures: status.failures,
            missed_deadlines: status.missed_deadlines,
            skipped: status.skipped,
            refused_samples: status.refused_samples,
            refused_series: status.refused_series,
            restarts: status.restarts,
            cost: CostAnswer {
                cpu_seconds: status.cost.cpu_seconds,
                wall_seconds: status.cost.wall_seconds,
                samples: status.cost.samples,
                bytes_stored: status.cost.bytes_stored,
                rss_bytes: status.cost.rss_bytes,
                // an isolated one may have been in the agent's process before
                threads: (status.cost.threads.filter(|_| status.mode == "in_process"))
                    .map(|threads| threads.count),
            },
        }
    }
}

/// `GET /api/vms`
#[derive(Serialize)]
pub(in crate::serve) struct VmsAnswer {
    vms: Vec<Vm>,
    count: usize,
    timestamp: Stamp,
}

impl VmsAnswer {
    pub(in crate::serve) fn new(vms: Vec<Vm>, now: Timestamp) -> Self {
        Self { count: vms.len(), vms, timestamp: rfc3339(now) }
    }
}

/// `GET /api/events`
#[derive(Serialize)]
pub(in crate::serve) struct EventsAnswer {
    events: Vec<EventAnswer>,
    count: usize,
    next: Option<String>,
}

#[derive(Serialize)]
struct EventAnswer {
    id: i64,
    #[serde(rename = "type")]
    kind: String,
    severity: &'static str,
    message: String,
    details: serde_json::Value,
    created_at: Stamp,
    vm_id: Option<i64>,
}

impl EventsAnswer {
    /// Of up to one event more than `limit`: that one only says that there is another page.
    pub(in crate::serve) fn new(mut events: Vec<StoredEvent>, limit: usize) -> Self {
        let more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| more).map(|last| last.id.to_string());
        let events: Vec<EventAnswer> = events
            .into_iter()
            .map(|StoredEvent { id, event }| EventAnswer {
                id,
                kind: event.kind,
                severity: event.severity.word(),
                message: event.message,
                details: event.details,
                created_at: rfc3339(event.time),
                vm_id: event.vm_id,
            })
            .collect();
        Self { count: events.len(), events, next }
    }
}

/// `GET /api/metrics`
#[derive(Serialize)]
pub(in crate::serve) struct MetricsAnswer {
    metrics: Vec<MetricEntry>,
    count: usize,
}

impl MetricsAnswer {
    pub(in crate::serve) fn new(metrics: Vec<MetricEntry>) -> Self {
        Self { count: metrics.len(), metrics }
    }
}
