//! What the HTTP side asks, answered by the running rooms.

use super::{
    Agent,
    machines::listed,
    manager::{Managing, Overview},
};
use crate::{
    collect::Collecting,
    config::{Config, TimestampStyle},
    host::threads,
    ingest::{Input, Published, Stats},
    model::{CollectorId, PluginState, PluginStatus, Snapshot, Timestamp},
    query::{self, History, HistoryError, HistoryQuery},
    serve::{
        ActiveAlert, Backend, CollectOutcome, Flat, MetricEntry, Readiness, ReloadOutcome, Switch,
        SwitchOutcome, Vm,
    },
    store::{EventFilter, Readers, StoredEvent},
    views::{self, ViewContext},
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};
use tokio::sync::oneshot;

/// How long collections on demand may take in all: longer than any sensible deadline, shorter than a request's.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running agent as the HTTP side sees it.
pub(super) struct AgentBackend {
    collecting: Arc<Collecting>,
    published: Arc<ArcSwap<Published>>,
    stats: Arc<Stats>,
    inputs: mpsc::SyncSender<Input>,
    readers: Readers,
    managing: Managing,
    timestamps: TimestampStyle,
    /// The round with the last of the first collections, once they are over.
    primed: OnceLock<u64>,
}

impl AgentBackend {
    pub(super) fn new(agent: &Agent, config: &Config) -> Self {
        Self {
            collecting: Arc::clone(&agent.collecting),
            published: agent.ingest.published(),
            stats: agent.ingest.stats(),
            inputs: agent.inputs.clone(),
            readers: agent.readers.clone(),
            managing: agent.managing.clone(),
            timestamps: config.http.timestamps,
            primed: OnceLock::new(),
        }
    }

    fn context<'a>(&self, overview: &'a Overview) -> ViewContext<'a> {
        ViewContext { disk: &overview.config.views.disk, now: Timestamp::now(), timestamps: self.timestamps }
    }

    /// Asks the writer, and waits for its answer.
    async fn ask<T: Send + 'static>(
        &self,
        input: impl FnOnce(Box<dyn FnOnce(T) + Send>) -> Input,
    ) -> Result<T, String> {
        let (sender, answer) = oneshot::channel();
        let reply = Box::new(move |value| drop(sender.send(value)));
        self.inputs.try_send(input(reply)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => "the writer is behind".to_string(),
            mpsc::TrySendError::Disconnected(_) => "the writer has ended".to_string(),
        })?;
        answer.await.map_err(|_| "the writer has ended".to_string())
    }

    /// Collects of these, and waits until the samples are handed over. Answers with who failed, and why.
    async fn collect_all(&self, wanted: Vec<(CollectorId, String)>) -> Vec<(String, String)> {
        let asked: Vec<_> = (wanted.into_iter())
            .map(|(id, name)| {
                let (sender, answer) = oneshot::channel();
                self.collecting.collect(id, Box::new(move |result| drop(sender.send(result))));
                (name, answer)
            })
            .collect();
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut failures = Vec::new();
        for (name, answer) in asked {
            match tokio::time::timeout_at(until, answer).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => failures.push((name, error.to_string())),
                Ok(Err(_)) => failures.push((name, "the agent is stopping".into())),
                Err(_) => failures.push((name, format!("not back after {} s", PATIENCE.as_secs()))),
            }
        }
        failures
    }
}

impl Backend for AgentBackend {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.load().snapshot)
    }

    fn host_flat(&self) -> Option<Flat> {
        views::host_flat(&self.published.load().snapshot, &self.context(&self.managing.overview()))
    }

    fn vm_flat(&self, vm_id: i64) -> Option<Flat> {
        let published = self.published.load();
        let machine = published.machines.by_id(vm_id)?;
        views::vm_flat(machine, &published.snapshot, &self.context(&self.managing.overview()))
    }

    fn vm_exists(&self, vm_id: i64) -> bool {
        self.published.load().machines.by_id(vm_id).is_some()
    }

    fn vms(&self) -> Vec<Vm> {
        let (published, overview) = (self.published.load(), self.managing.overview());
        published
            .machines
            .all()
            .iter()
            .map(|machine| listed(machine, &published.snapshot, &self.context(&overview)))
            .collect()
    }

    fn alerts(&self) -> Arc<[ActiveAlert]> {
        Arc::clone(&self.published.load().alerts)
    }

    fn plugins(&self) -> Vec<PluginStatus> {
        let overview = self.managing.overview();
        let running = overview.collectors().map(|(id, mut status)| {
            status.cost.bytes_stored = self.stats.journal_bytes(id);
            status
        });
        let mut all: Vec<PluginStatus> = running.chain(overview.others.iter().cloned()).collect();
        // also of those that were switched off, whose threads may live on; what is left in this process of one that has
        // become isolated is no cost of its process
        for status in all.iter_mut().filter(|status| status.mode == "in_process") {
            if let Some(threads) = threads::used_by(&status.name) {
                status.cost.of_threads(threads);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn ready(&self) -> Readiness {
        let mut waiting_for = Vec::new();
        // what comes later is primed while the others serve
        if self.primed.get().is_none() && !self.collecting.primed() {
            waiting_for.push("the first collection of every plugin".into());
        } else if self.published.load().round < *self.primed.get_or_init(|| self.collecting.rounds()) {
            waiting_for.push("the commit of the first collections".into());
        }
        Readiness { waiting_for }
    }

    fn history(&self, query: &HistoryQuery) -> Result<History, HistoryError> {
        query::history(&self.readers.reader()?, query, &self.managing.overview().config.views.disk)
    }

    fn events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, String> {
        let reader = self.readers.reader().map_err(|error| error.to_string())?;
        reader.events(filter).map_err(|error| error.to_string())
    }

    fn metrics_list(&self) -> Result<Vec<MetricEntry>, String> {
        let reader = self.readers.reader().map_err(|error| error.to_string())?;
        let series = reader.all_series().map_err(|error| error.to_string())?;
        let mut metrics: BTreeMap<String, MetricEntry> = BTreeMap::new();
        for series in series {
            let name = series.def.metric.name.to_string();
            metrics
                .entry(name)
                .or_insert_with(|| MetricEntry::of_metric(&series.def.metric))
                .add(&series.def);
        }
        let machines = self.published.load().machines.all().len();
        metrics.extend(views::ALL.iter().map(|view| (view.name.to_string(), view_entry(view, machines))));
        Ok(metrics.into_values().collect())
    }

    async fn collect(&self, plugin: Option<String>) -> CollectOutcome {
        let overview = self.managing.overview();
        let wanted: Vec<(CollectorId, PluginStatus)> = overview
            .collectors()
            .filter(|(_, status)| plugin.as_ref().is_none_or(|name| status.name == *name))
            .collect();
        if let Some(name) = &plugin {
            let known = wanted
                .first()
                .map(|(_, status)| status)
                .or(overview.others.iter().find(|other| other.name == *name));
            match known {
                None => return CollectOutcome::UnknownPlugin,
                Some(status) if matches!(status.state, PluginState::Disabled | PluginState::Available) => {
                    return CollectOutcome::NotRunning(status.state.word().into());
                }
                Some(PluginStatus { state: PluginState::Refused | PluginState::Stuck, reason, .. }) => {
                    return CollectOutcome::NotRunning(reason.clone().unwrap_or_default());
                }
                Some(_) => {}
            }
        }
        let wanted = wanted.into_iter().map(|(id, status)| (id, status.name)).collect();
        let mut failures = self.collect_all(wanted).await;
        if plugin.is_none() {
            failures.extend(overview.enabled_but_refused());
        }
        match self.ask(|reply| Input::Flush { reply }).await {
            Ok(true) => CollectOutcome::Done { failures },
            Ok(false) => CollectOutcome::Failed("the store does not take the samples".into()),
            Err(error) => CollectOutcome::Failed(error),
        }
    }

    async fn switch(&self, plugin: String, switch: Switch) -> SwitchOutcome {
        let managing = self.managing.clone();
        let done = tokio::spawn(async move { managing.switch(plugin, switch).await }).await;
        done.unwrap_or_else(|error| SwitchOutcome::Failed(error.to_string()))
    }

    async fn reload(&self) -> ReloadOutcome {
        let managing = self.managing.clone();
        let done = tokio::spawn(async move { managing.reload().await }).await;
        done.unwrap_or_else(|error| ReloadOutcome::Failed(error.to_string()))
    }

    async fn cleanup(&self, days: u32) -> Result<u64, String> {
        let before = Timestamp::now().minus(Duration::from_secs(u64::from(days) * 86_400));
        let deleted = self.ask(|reply| Input::Delete { before, reply }).await??;
        Ok(deleted.samples)
    }
}

fn view_entry(view: &views::View, machines: usize) -> MetricEntry {
    let of_machines = view.subject == views::Subject::Vm;
    MetricEntry {
        name: view.name.into(),
        kind: "gauge",
        unit: view.unit.into(),
        help: view.help.into(),
        plugin: None,
        labels: if of_machines { vec!["vm".into()] } else { Vec::new() },
        series: if of_machines { machines } else { 1 },
        view: true,
    }
}
