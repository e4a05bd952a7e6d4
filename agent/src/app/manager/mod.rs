//! Which plugins run, and how: changed while the agent runs, by a new configuration (`reload`), by hand (`switch`), and
//! by new files of plugins (`upgrade`), which are tried again where they were late (`again`).

mod again;
mod managing;
mod reload;
mod starting;
mod switch;
mod upgrade;

pub(super) use managing::Managing;

use super::{info, known::Known, loaded::Loaded, own_metrics::OwnMetrics, own_times, plugins::Loader};
use crate::{
    collect::{Change, Collecting, Factory, JobOptions, Unchanged},
    config::{Config, Diff, Flags},
    host::{Catalogue, Claims, Identity, isolated::Keeper},
    ingest::Input,
    model::{CollectorId, CollectorInfo, GapReason, PluginState, PluginStatus},
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

/// What is told of a collector, kept up to date by whoever runs it.
pub(super) type SharedStatus = Arc<Mutex<PluginStatus>>;

/// What others read of the manager, at any time.
#[derive(Debug)]
pub(super) struct Overview {
    /// The collectors of plugins with their numbers.
    collectors: Vec<(CollectorId, SharedStatus)>,
    /// What is told of plugins that don't run.
    pub(super) others: Vec<PluginStatus>,
    /// The configuration that applies.
    pub(super) config: Config,
}

impl Overview {
    fn new(config: &Config, running: &BTreeMap<String, Running>, others: Vec<PluginStatus>) -> Self {
        let collectors = running.values().map(|one| (one.id, Arc::clone(&one.status))).collect();
        Self { collectors, others, config: config.clone() }
    }

    /// The collectors of plugins with their numbers, and what is told of them now.
    pub(super) fn collectors(&self) -> impl Iterator<Item = (CollectorId, PluginStatus)> {
        self.collectors.iter().map(|(id, status)| (*id, lock(status).clone()))
    }

    /// Plugins that the configuration enables and that could not be started, and why.
    pub(super) fn enabled_but_refused(&self) -> impl Iterator<Item = (String, String)> {
        let enabled = |name: &str| self.config.plugins.get(name).is_some_and(|table| table.enabled);
        let refused = self.others.iter().filter(|other| other.state == PluginState::Refused);
        let refused = refused.filter(move |other| enabled(&other.name));
        refused.map(|other| (other.name.clone(), other.reason.clone().unwrap_or_default()))
    }
}

/// The rooms that are told of changes.
pub(super) struct Rooms {
    pub(super) collecting: Arc<Collecting>,
    pub(super) inputs: mpsc::SyncSender<Input>,
}

/// What was started with the agent.
pub(super) struct Beginning {
    /// By their numbers; the last one is the agent's own.
    pub(super) collectors: Vec<CollectorInfo>,
    /// Of the plugins.
    pub(super) statuses: Vec<(CollectorId, SharedStatus)>,
    /// Plugins that don't run.
    pub(super) others: Vec<PluginStatus>,
    /// By the names of the tables.
    pub(super) loaded: BTreeMap<String, Loaded>,
    pub(super) claims: Arc<Claims>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) known: Arc<Known>,
    pub(super) own_metrics: OwnMetrics,
}

/// A plugin's collector.
struct Running {
    id: CollectorId,
    status: SharedStatus,
    /// What it is made from; replaced where another version takes over.
    loaded: Arc<Mutex<Loaded>>,
    /// Which state of its table: what was tried out for another one counts no longer.
    revision: u64,
    /// The last file that is or was tried out for it.
    trial: u64,
}

/// Owns what applies now, and changes it. Runs where it may block: loading a plugin runs its initialisers.
pub(super) struct Manager {
    flags: Flags,
    /// The configuration that the agent was started with.
    started: Config,
    /// What the files say.
    written: Config,
    /// What applies: what the files say, but for plugins that were switched by hand.
    config: Config,
    /// Plugins that were switched by hand: whether they are on.
    switches: BTreeMap<String, bool>,
    running: BTreeMap<String, Running>,
    /// Plugins that are enabled and could not be started.
    refused: BTreeMap<String, PluginStatus>,
    /// What was told last of plugins that ran and don't any more: their counters go on.
    ended: BTreeMap<String, PluginStatus>,
    /// By their numbers; names keep theirs.
    collectors: Vec<CollectorInfo>,
    own_id: CollectorId,
    own_metrics: OwnMetrics,
    /// Of which plugins the own metrics tell.
    told_of: Vec<SharedStatus>,
    claims: Arc<Claims>,
    keeper: Arc<Keeper>,
    /// All libraries that were ever loaded.
    known: Arc<Known>,
    /// By table, the file that was last tried, so that no file is tried twice.
    tried: BTreeMap<String, Identity>,
    /// Numbers that were given to revisions and trials.
    numbers: u64,
    rooms: Rooms,
    overview: Arc<ArcSwap<Overview>>,
}

impl Manager {
    pub(super) fn new(config: Config, flags: Flags, rooms: Rooms, beginning: Beginning) -> Self {
        let Beginning { collectors, statuses, others, mut loaded, claims, keeper, known, own_metrics } =
            beginning;
        let own_id = CollectorId(u32::try_from(statuses.len()).unwrap_or(u32::MAX));
        let told_of = statuses.iter().map(|(_, status)| Arc::clone(status)).collect();
        let running = statuses.into_iter().filter_map(|(id, status)| {
            let name = lock(&status).name.clone();
            let loaded = Arc::new(Mutex::new(loaded.remove(&name)?));
            Some((name, Running { id, status, loaded, revision: 0, trial: 0 }))
        });
        let enabled = |name: &str| config.plugins.get(name).is_some_and(|table| table.enabled);
        let refused =
            others.iter().filter(|other| other.state == PluginState::Refused && enabled(&other.name));
        let refused = refused.map(|other| (other.name.clone(), other.clone())).collect();
        let running = running.collect();
        let overview = Arc::new(ArcSwap::from_pointee(Overview::new(&config, &running, others)));
        Self {
            flags,
            started: config.clone(),
            written: config.clone(),
            switches: BTreeMap::new(),
            running,
            refused,
            ended: BTreeMap::new(),
            collectors,
            own_id,
            own_metrics,
            told_of,
            claims,
            keeper,
            known,
            tried: BTreeMap::new(),
            numbers: 0,
            rooms,
            overview,
            config,
        }
    }

    /// Where others read.
    pub(super) fn overview(&self) -> Arc<ArcSwap<Overview>> {
        Arc::clone(&self.overview)
    }

    fn loader<'a>(&'a self, catalogue: &'a Catalogue) -> Loader<'a> {
        Loader {
            config: &self.config,
            catalogue,
            claims: &self.claims,
            keeper: &self.keeper,
            known: &self.known,
            rehearses: true,
        }
    }

    /// Makes this configuration the one that applies. What could not be done, a line each.
    fn apply(&mut self, config: Config, diff: &Diff, catalogue: &Catalogue) -> Vec<String> {
        self.config = config;
        for name in &diff.stopped {
            let reason = self.config.plugins.contains_key(name).then_some(GapReason::Disabled);
            self.stop(name, reason);
        }
        self.give_claims_back();
        let mut failed = Vec::new();
        for (name, keys) in &diff.changed {
            failed.extend(self.change(name, keys, catalogue).err());
        }
        for name in &diff.started {
            failed.extend(self.start(name, catalogue).err());
        }
        if diff.has_alerts() {
            self.tell(Input::Rules(self.config.alerts.clone()));
        }
        if diff.keys.contains(&"views.disk") {
            self.tell(Input::Disk(self.config.views.disk.as_str().into()));
        }
        if diff.keys.iter().any(|key| key.starts_with("storage.")) {
            self.tell(Input::Storage(super::store_options(&self.config)));
        }
        if diff.keys.iter().any(|key| matches!(*key, "agent.interval" | "agent.align_offset")) {
            self.own_metrics_of(None);
        }
        self.publish(catalogue);
        failed
    }

    /// Loads a plugin and starts its collector.
    fn start(&mut self, name: &str, catalogue: &Catalogue) -> Result<(), String> {
        let Some(table) = self.config.plugins.get(name).cloned() else { return Ok(()) };
        let id = self.number(name);
        let loader = self.loader(catalogue);
        match loader.load(name, &table) {
            Ok(loaded) => {
                let job = loader.job(id, name, &table, loaded.clone());
                self.add(name, job, loaded)
            }
            Err(error) => {
                let status = loader.refused(name, &table, &error);
                self.refuse(name, status);
                Err(format!("plugin {name} is not loaded: {error}"))
            }
        }
    }

    fn add(&mut self, name: &str, job: JobOptions, loaded: Loaded) -> Result<(), String> {
        if let Some(before) = self.ended.get(name) {
            lock(&job.status).carry_on(before);
        }
        self.tell_collector(job.id, info(&job.name, &job.times()));
        let (id, status) = (job.id, Arc::clone(&job.status));
        if let Err(error) = self.rooms.collecting.add(job) {
            let reason =
                format!("two of its collections have not come back, so that no other is begun ({error})");
            let mut status = lock(&status).clone();
            (status.state, status.reason) = (PluginState::Refused, Some(reason.clone()));
            self.refuse(name, status);
            return Err(format!("plugin {name} is not started: {reason}; restart the agent"));
        }
        self.refused.remove(name);
        let loaded = Arc::new(Mutex::new(loaded));
        let revision = self.next_number();
        self.running.insert(name.into(), Running { id, status, loaded, revision, trial: 0 });
        Ok(())
    }

    /// Ends a plugin's collector. Nothing is a reason where the plugin is gone from the configuration.
    fn stop(&mut self, name: &str, reason: Option<GapReason>) {
        self.refused.remove(name);
        self.tried.remove(name);
        match self.running.remove(name) {
            Some(running) => {
                self.rooms.collecting.remove(running.id, &name.into(), reason);
                let mut status = lock(&running.status).clone();
                (status.series, status.cost.rss_bytes) = (0, None);
                self.ended.insert(name.into(), status);
            }
            None => self.rooms.collecting.set_idle(&name.into(), reason),
        }
    }

    fn refuse(&mut self, name: &str, status: PluginStatus) {
        let reason = status.reason.clone().unwrap_or_default();
        self.rooms.collecting.set_idle(&name.into(), Some(GapReason::Failed(reason)));
        self.refused.insert(name.into(), status);
    }

    /// Applies what changed of a plugin that goes on. The version in use stays in use.
    fn change(&mut self, name: &str, keys: &[&str], catalogue: &Catalogue) -> Result<(), String> {
        let (Some(table), Some(running)) = (self.config.plugins.get(name).cloned(), self.running.get(name))
        else {
            return self.start(name, catalogue); // it was refused: perhaps it is not any more
        };
        if keys.iter().any(|key| matches!(*key, "plugin" | "mode" | "limits")) {
            self.stop(name, None);
            return self.start(name, catalogue);
        }
        let (id, loaded) = (running.id, lock(&running.loaded).clone());
        let job = self.loader(catalogue).job(id, name, &table, loaded.clone());
        let times = job.times();
        self.tell_collector(id, info(&job.name, &times));
        let factory = self.loader(catalogue).recipe(name, &table).factory(loaded.clone());
        let factory = (!Diff::only_times(keys)).then_some(factory);
        match self.rooms.collecting.change(id, Change { times, factory }) {
            Ok(()) => {
                let revision = self.next_number();
                if let Some(running) = self.running.get_mut(name) {
                    running.revision = revision;
                }
                // a version that was to take over goes with what it was made for: it is tried out again
                self.tried.remove(name);
                Ok(())
            }
            // it has ended, or its call does not come back: another collector takes its place
            Err(Unchanged::NotThere(_) | Unchanged::Stuck(_)) => {
                self.stop(name, None);
                self.add(name, job, loaded)
            }
        }
    }

    /// Another one each time.
    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The number of a collector's name.
    fn number(&self, name: &str) -> CollectorId {
        let known = self.collectors.iter().position(|info| *info.name == *name);
        CollectorId(u32::try_from(known.unwrap_or(self.collectors.len())).unwrap_or(u32::MAX))
    }

    /// Tells the writer of a collector, before its first round.
    fn tell_collector(&mut self, id: CollectorId, info: CollectorInfo) {
        match self.collectors.get_mut(id.0 as usize) {
            Some(known) => *known = info,
            None => self.collectors.push(info),
        }
        self.tell(Input::Collectors(self.collectors.clone()));
    }

    fn tell(&self, input: Input) {
        // a writer that has ended is told of where the agent waits for it
        let _ = self.rooms.inputs.send(input);
    }

    /// Metrics of plugins that no table runs any more may be others'.
    fn give_claims_back(&self) {
        let config = &self.config;
        self.claims
            .retain(|plugin| config.plugins.values().any(|table| table.enabled && table.plugin == plugin));
    }

    /// Lets others see what applies now.
    fn publish(&mut self, catalogue: &Catalogue) {
        let loader = self.loader(catalogue);
        let resting = self.config.plugins.iter().filter(|(name, _)| !self.running.contains_key(*name));
        let mut others: Vec<PluginStatus> = resting
            .map(|(name, table)| {
                let refused = self.refused.get(name).filter(|_| table.enabled);
                let mut status = refused.cloned().unwrap_or_else(|| loader.disabled(name, table));
                if let Some(before) = self.ended.get(name) {
                    status.carry_on(before);
                }
                status
            })
            .collect();
        others.extend(loader.available());
        let overview = Overview::new(&self.config, &self.running, others);
        let now: Vec<SharedStatus> = self.running.values().map(|one| Arc::clone(&one.status)).collect();
        self.overview.store(Arc::new(overview));
        let same = |(one, other): (&SharedStatus, &SharedStatus)| Arc::ptr_eq(one, other);
        if now.len() != self.told_of.len() || !now.iter().zip(&self.told_of).all(same) {
            self.own_metrics_of(Some(now));
        }
    }

    /// The agent's own metrics are of these plugins, or of the same at other times.
    fn own_metrics_of(&mut self, plugins: Option<Vec<SharedStatus>>) {
        let times = own_times(&self.config);
        self.tell_collector(self.own_id, info(&super::own_metrics::NAME.into(), &times));
        let factory = plugins.map(|plugins| {
            self.told_of = plugins;
            let numbered = self.running.values().map(|one| (one.id, Arc::clone(&one.status)));
            Box::new(self.own_metrics.of_plugins(numbered.collect())) as Box<dyn Factory>
        });
        // the built-in collector neither ends nor hangs
        let _ = self.rooms.collecting.change(self.own_id, Change { times, factory });
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
