//! An agent without an agent.

use std::{
    future::Future,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use twarga_agent::{
    config::{ConfigErrors, Diff, Problem, TimestampStyle},
    model::{
        Cost, Digest, Event, Labels, OwnThreads, PluginState, PluginStatus, Severity, Snapshot, Timestamp,
    },
    serve::{
        ActiveAlert, AlertState, Backend, CollectOutcome, Flat, FlatValue, History, HistoryError, HistoryGap,
        HistoryQuery, MetricEntry, Readiness, ReloadOutcome, Reloaded, StepInfo, Switch, SwitchOutcome,
        Target, Vm,
    },
    store::{Aggregate, EventFilter, StoredEvent, Tier},
};

/// 2026-11-20T22:00:05Z
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_212_005_000);

#[derive(Clone)]
pub(crate) struct Fake(pub(crate) Arc<State>);

pub(crate) struct State {
    pub(crate) collected: AtomicBool,
    /// The configuration has an error.
    pub(crate) bad_config: AtomicBool,
    pub(crate) waiting_for: Mutex<Vec<String>>,
    pub(crate) alerts: Mutex<Vec<ActiveAlert>>,
    pub(crate) queries: Mutex<Vec<HistoryQuery>>,
    pub(crate) filters: Mutex<Vec<EventFilter>>,
    pub(crate) days: Mutex<Vec<u32>>,
    pub(crate) collections: Mutex<Vec<Option<String>>>,
    /// Requests for the history `slow` that have begun; they wait until it is released.
    pub(crate) slow: AtomicUsize,
    pub(crate) released: Mutex<bool>,
    pub(crate) release: Condvar,
}

impl Default for Fake {
    fn default() -> Self {
        Self(Arc::new(State {
            collected: AtomicBool::new(true),
            bad_config: AtomicBool::new(false),
            waiting_for: Mutex::default(),
            alerts: Mutex::new(vec![
                alert("system_high_cpu", "CPU", 92.5),
                alert("system_high_memory", "memory", 87.3),
            ]),
            queries: Mutex::default(),
            filters: Mutex::default(),
            days: Mutex::default(),
            collections: Mutex::default(),
            slow: AtomicUsize::new(0),
            released: Mutex::new(false),
            release: Condvar::new(),
        }))
    }
}

pub(crate) fn alert(rule: &str, what: &str, value: f64) -> ActiveAlert {
    ActiveAlert {
        severity: Severity::Warning,
        text: format!("⚠️ High {what} usage: {value:.1}%"),
        rule: rule.into(),
        labels: Labels::default(),
        vm_id: None,
        vm_name: None,
        state: AlertState::Firing,
        value,
        threshold: 85.0,
        since: Timestamp::from_millis(NOW.as_millis() - 1000),
    }
}

impl State {
    fn has_collected(&self) -> bool {
        self.collected.load(Ordering::SeqCst)
    }

    pub(crate) fn release(&self) {
        *self.released.lock().unwrap() = true;
        self.release.notify_all();
    }

    fn wait_for_release(&self) {
        self.slow.fetch_add(1, Ordering::SeqCst);
        let released = self.released.lock().unwrap();
        let limit = Duration::from_secs(60);
        let waited = self.release.wait_timeout_while(released, limit, |released| !*released).unwrap();
        assert!(!waited.1.timed_out(), "nobody released it");
    }

    /// Waits until so many slow requests have begun.
    pub(crate) fn until_slow(&self, wanted: usize) {
        super::eventually("slow requests begin", || self.slow.load(Ordering::SeqCst) >= wanted);
    }
}

const FLOATS: [&str; 20] = [
    "cpu_percent",
    "cpu_freq_mhz",
    "memory_percent",
    "memory_used_gb",
    "memory_total_gb",
    "memory_available_gb",
    "swap_percent",
    "swap_used_gb",
    "swap_total_gb",
    "disk_percent",
    "disk_used_gb",
    "disk_total_gb",
    "disk_free_gb",
    "net_sent_mb",
    "net_recv_mb",
    "net_send_speed_mbps",
    "net_recv_speed_mbps",
    "disk_read_mb",
    "disk_write_mb",
    "uptime_hours",
];

fn flat(fields: Vec<(&'static str, FlatValue)>, unavailable: Vec<(&'static str, String)>) -> Flat {
    Flat { time: NOW, timestamps: TimestampStyle::Rfc3339, fields, added: Vec::new(), unavailable }
}

impl Backend for Fake {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot { time: self.0.has_collected().then_some(NOW), ..Snapshot::default() })
    }

    fn host_flat(&self) -> Option<Flat> {
        let mut fields: Vec<_> = FLOATS.iter().map(|key| (*key, FlatValue::Float(15.0))).collect();
        fields.insert(1, ("cpu_count", FlatValue::Null));
        fields.push(("uptime_seconds", FlatValue::Integer(345_600)));
        let unavailable = vec![("cpu_count", "no_series".to_owned())];
        self.0.has_collected().then_some(flat(fields, unavailable))
    }

    fn vm_flat(&self, vm_id: i64) -> Option<Flat> {
        let fields = vec![
            ("vm_id", FlatValue::Integer(vm_id)),
            ("vm_name", FlatValue::Text("web".into())),
            ("cpu_percent", FlatValue::Float(3.0)),
        ];
        (vm_id == 1 && self.0.has_collected()).then_some(flat(fields, Vec::new()))
    }

    fn vm_exists(&self, vm_id: i64) -> bool {
        vm_id == 1 || vm_id == 2
    }

    fn vms(&self) -> Vec<Vm> {
        let known = Vm { vm_id: 1, vm: "uuid".into(), state: "running".into(), ..Vm::default() };
        vec![Vm { vm_status: "running".into(), last_seen: Some(NOW), fresh: true, ..known }]
    }

    fn alerts(&self) -> Arc<[ActiveAlert]> {
        self.0.alerts.lock().unwrap().as_slice().into()
    }

    fn plugins(&self) -> Vec<PluginStatus> {
        vec![PluginStatus {
            name: "host-cpu".into(),
            plugin: "host-cpu".into(),
            version: Some("1.0.0".into()),
            api: Some("1.0".into()),
            file: Some("/plugins/libhost_cpu.so".into()),
            sha256: Some(Digest([0xab; 32])),
            mode: "in_process",
            state: PluginState::Running,
            reason: None,
            interval: Duration::from_secs(10),
            configured_interval: Duration::from_secs(5),
            deadline: Duration::from_millis(2500),
            series: 42,
            last_run: Some(NOW),
            last_success: None,
            last_error: None,
            last_error_at: None,
            collections: 120,
            failures: 1,
            missed_deadlines: 2,
            skipped: 3,
            refused_samples: 0,
            refused_series: 0,
            restarts: 4,
            cost: Cost {
                cpu_seconds: 0.0,
                wall_seconds: 0.014,
                samples: 5040,
                bytes_stored: 2600,
                rss_bytes: None,
                threads: Some(OwnThreads { count: 3, ..OwnThreads::default() }),
            },
        }]
    }

    fn ready(&self) -> Readiness {
        Readiness { waiting_for: self.0.waiting_for.lock().unwrap().clone() }
    }

    fn history(&self, query: &HistoryQuery) -> Result<History, HistoryError> {
        self.0.queries.lock().unwrap().push(query.clone());
        let point = |index: usize| {
            let time = Timestamp::from_millis(NOW.as_millis() - 5000 * i64::try_from(index).unwrap());
            (time, 15.006_25)
        };
        let gap = HistoryGap { from: Timestamp::default(), to: NOW, reason: "agent_down".into() };
        let of = |points: usize, unit: &str, view| History {
            unit: unit.into(),
            view,
            points: (0..points).map(point).collect(),
            gaps: vec![gap],
            gaps_truncated: false,
            steps: query.steps.map(|steps| StepInfo {
                length: steps.length,
                aggregate: steps.aggregate.unwrap_or(Aggregate::Avg),
                tier: Some(Tier::Minute),
                unavailable: (query.metric == "host_load1").then(|| "no samples".to_owned()),
            }),
        };
        match &*query.metric {
            "host_cpu_percent" | "vm_cpu_percent" => Ok(of(query.limit.min(3), "%", true)),
            "host_load1" => Ok(of(query.limit.min(2), "", false)),
            "large" => Ok(of(query.limit, "By", false)),
            "many" => Err(HistoryError::Ambiguous {
                labels: vec![("device".into(), vec!["eth0".into(), "eth1".into()])],
            }),
            "gauge" => Err(HistoryError::NotACounter(Aggregate::Rate)),
            "long" => Err(HistoryError::TooManySteps {
                step: Duration::from_secs(1),
                enough: Some(Duration::from_secs(56)),
            }),
            "broken" => Err(HistoryError::Store("the disk is on fire".into())),
            "panics" => panic!("as this test asks"),
            "slow" => {
                self.0.wait_for_release();
                Ok(of(1, "%", true))
            }
            _ => Err(HistoryError::Unknown),
        }
    }

    fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, String> {
        self.0.filters.lock().unwrap().push(filter.clone());
        let newest = filter.before.map_or(5, |before| before - 1);
        let event = |id| StoredEvent {
            id,
            event: Event {
                kind: "system_high_cpu".into(),
                severity: Severity::Warning,
                message: "CPU usage at 92.5%".into(),
                details: serde_json::json!({ "source": "system_monitor" }),
                time: NOW,
                vm_id: None,
            },
        };
        Ok((1..=newest).rev().take(filter.limit).map(event).collect())
    }

    fn metrics_list(&self) -> Result<Vec<MetricEntry>, String> {
        Ok(vec![MetricEntry {
            name: "host_load1".into(),
            kind: "gauge",
            unit: String::new(),
            help: "Load.".into(),
            plugin: Some("host-cpu".into()),
            labels: Vec::new(),
            series: 1,
            view: false,
        }])
    }

    fn collect(&self, plugin: Option<String>) -> impl Future<Output = CollectOutcome> + Send {
        self.0.collections.lock().unwrap().push(plugin.clone());
        let state = Arc::clone(&self.0);
        async move {
            match plugin.as_deref() {
                None | Some("host-cpu") => {
                    state.collected.store(true, Ordering::SeqCst);
                    CollectOutcome::Done { failures: Vec::new() }
                }
                Some("fails") => {
                    CollectOutcome::Done { failures: vec![("fails".into(), "no such file".into())] }
                }
                Some("disabled") => CollectOutcome::NotRunning("disabled".into()),
                Some("hangs") => std::future::pending().await,
                Some("lost") => CollectOutcome::Failed("the writer is gone".into()),
                Some(_) => CollectOutcome::UnknownPlugin,
            }
        }
    }

    async fn switch(&self, plugin: String, switch: Switch) -> SwitchOutcome {
        match (plugin.as_str(), switch) {
            ("host-cpu", Switch::Disable) => SwitchOutcome::Done(PluginState::Disabled),
            ("host-cpu", _) => SwitchOutcome::Done(PluginState::Running),
            ("missing", _) => SwitchOutcome::Refused("it is not there".into()),
            ("lost", _) => SwitchOutcome::Failed("the manager is gone".into()),
            _ => SwitchOutcome::UnknownPlugin,
        }
    }

    async fn reload(&self) -> ReloadOutcome {
        if self.0.bad_config.load(Ordering::SeqCst) {
            let error = Problem {
                file: Some("agent.toml".into()),
                line: 3,
                key: "agent.interval".into(),
                message: "too short".into(),
                ..Problem::default()
            };
            return ReloadOutcome::Invalid(ConfigErrors { errors: vec![error], ..ConfigErrors::default() });
        }
        let diff = Diff {
            started: vec!["host-disk".into()],
            changed: [("host-cpu".to_owned(), vec!["interval"])].into(),
            ..Diff::default()
        };
        ReloadOutcome::Done(Box::new(Reloaded {
            diff,
            needs_restart: vec!["http.listen"],
            failed: [("exec".to_owned(), "no such program".to_owned())].into(),
            ..Reloaded::default()
        }))
    }

    fn cleanup(&self, days: u32) -> impl Future<Output = Result<u64, String>> + Send {
        self.0.days.lock().unwrap().push(days);
        std::future::ready(Ok(1234))
    }
}

impl State {
    pub(crate) fn last_query(&self) -> HistoryQuery {
        self.queries.lock().unwrap().last().cloned().expect("a query")
    }
}

/// So that a test need not say it.
pub(crate) const HOST: Target = Target::Host;
