//! From the configuration's plugin tables to collectors that can be started, and what is told of those that can't.

use super::{
    known::Known,
    loaded::{Loaded, Recipe},
};
use crate::{
    collect::{Cadence, JobOptions, host_offset},
    config::{self, AlignOffset, Config, Place, Plugin},
    host::{
        Candidate, Catalogue, Claims, InstanceOptions, LoadError, discover, isolated::Keeper, threads::Owner,
    },
    model::{CollectorId, PluginState, PluginStatus},
    views,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// All plugins, loaded or not.
pub struct Plugins {
    /// Ready to be started.
    pub jobs: Vec<JobOptions>,
    /// What is told of those that are not: disabled, refused, available.
    pub others: Vec<PluginStatus>,
    /// What was loaded of each that is ready, by the name of its table.
    pub(super) loaded: BTreeMap<String, Loaded>,
    /// The metrics of all of them.
    pub(super) claims: Arc<Claims>,
    /// Starts the processes of those that have their own.
    pub(super) keeper: Arc<Keeper>,
    /// What of them is in the process.
    pub(super) known: Arc<Known>,
}

/// Whether refusals are logged, or only told in the statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Logged.
    Log,
    /// Only told.
    Quiet,
}

impl Plugins {
    /// What is told of all of them.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        let ready =
            self.jobs.iter().map(|job| job.status.lock().unwrap_or_else(PoisonError::into_inner).clone());
        ready.chain(self.others.iter().cloned()).collect()
    }
}

/// Looks for the configured plugins, loads those that are enabled, and says why where it can't. One bad plugin
/// costs only itself.
pub fn load_all(config: &Config, report: Report) -> Plugins {
    let catalogue = discover(&config.agent.plugin_dirs);
    let claims = Arc::new(Claims::new(views::is_reserved));
    let keeper = Arc::default();
    let known = Arc::default();
    let loader = Loader {
        config,
        catalogue: &catalogue,
        claims: &claims,
        keeper: &keeper,
        known: &known,
        rehearses: false,
    };
    let mut plugins = Plugins {
        jobs: Vec::new(),
        others: Vec::new(),
        loaded: BTreeMap::new(),
        claims: Arc::clone(&claims),
        keeper: Arc::clone(&keeper),
        known: Arc::clone(&known),
    };
    for (name, table) in &config.plugins {
        if !table.enabled {
            plugins.others.push(loader.disabled(name, table));
            continue;
        }
        match loader.load(name, table) {
            Ok(loaded) => {
                let id = CollectorId(u32::try_from(plugins.jobs.len()).unwrap_or(u32::MAX));
                plugins.loaded.insert(name.clone(), loaded.clone());
                plugins.jobs.push(loader.job(id, name, table, loaded));
            }
            Err(error) => {
                if report == Report::Log {
                    tracing::error!("plugin {name} is not loaded: {error}");
                }
                plugins.others.push(loader.refused(name, table, &error));
            }
        }
    }
    plugins.others.extend(loader.available());
    plugins
}

/// Makes of a plugin's table what runs.
pub(super) struct Loader<'a> {
    pub(super) config: &'a Config,
    pub(super) catalogue: &'a Catalogue,
    /// The metrics of all plugins; on trial, where they are tried out.
    pub(super) claims: &'a Arc<Claims>,
    /// Starts processes of plugins.
    pub(super) keeper: &'a Arc<Keeper>,
    /// Libraries that are in the process already, and stay there.
    pub(super) known: &'a Arc<Known>,
    /// Others run already, which a file that crashes or hangs when it is loaded must not end or hold up.
    pub(super) rehearses: bool,
}

impl Loader<'_> {
    /// Checks a plugin's file, and loads it where it runs in this process: once however often it is asked for.
    pub(super) fn load(&self, name: &str, table: &Plugin) -> Result<Loaded, LoadError> {
        let found = self.catalogue.find(&table.plugin)?;
        let recipe = self.recipe(name, table);
        for shadowed in &found.shadowed {
            let (used, unused) = (found.file.display(), shadowed.display());
            tracing::warn!("plugin {name}: {used} is used, {unused} of the same name is not");
        }
        if self.rehearses {
            self.known.rehearse(&found.file, &recipe)?;
        }
        self.known.load(&found.file, &recipe, self.claims)
    }

    /// The plugins that lie in the plugin directories and that no table names.
    pub(super) fn available(&self) -> Vec<PluginStatus> {
        let configured: Vec<String> =
            self.config.plugins.values().map(|table| table.plugin.clone()).collect();
        self.catalogue.available(&configured).map(|candidate| available(candidate, self.config)).collect()
    }

    /// A collector that can be started.
    pub(super) fn job(&self, id: CollectorId, name: &str, table: &Plugin, loaded: Loaded) -> JobOptions {
        let status = PluginStatus {
            version: Some(loaded.metadata().version.clone()),
            api: Some(loaded.metadata().api.clone()),
            file: Some(loaded.file().into()),
            sha256: Some(loaded.digest()),
            ..status(name, table, PluginState::Running, None)
        };
        let offset = table.offset.unwrap_or_else(|| offset(self.config, table.interval));
        JobOptions {
            id,
            name: name.into(),
            cadence: Cadence::new(table.interval, offset),
            interval: table.interval,
            deadline: table.deadline,
            jitter: table.jitter,
            max_cpu: table.limits.cpu,
            factory: self.recipe(name, table).factory(loaded),
            status: Arc::new(Mutex::new(status)),
        }
    }

    /// How its collectors are made, whatever version of the plugin makes them.
    pub(super) fn recipe(&self, name: &str, table: &Plugin) -> Recipe {
        let options = InstanceOptions {
            config: serde_json::Value::from(table.config.clone()).to_string(),
            // two instances of one plugin are told apart by a label; one alone needs none
            instance: self.config.has_instances(&table.plugin).then(|| name.to_string()),
            max_series: table.max_series,
            claims: Arc::clone(self.claims),
            owner: (table.mode == config::Mode::InProcess).then(|| Owner::of(name)).flatten(),
        };
        Recipe::new(name, table, options, Arc::clone(self.keeper))
    }

    /// What is told of one that is switched off.
    pub(super) fn disabled(&self, name: &str, table: &Plugin) -> PluginStatus {
        let file = self.catalogue.find(&table.plugin).ok().map(|found| found.file);
        self.described(status(name, table, PluginState::Disabled, None), file)
    }

    /// What is told of one that can't be loaded.
    pub(super) fn refused(&self, name: &str, table: &Plugin, error: &LoadError) -> PluginStatus {
        let file = self.catalogue.find(&table.plugin).ok().map(|found| found.file);
        self.described(status(name, table, PluginState::Refused, Some(error.to_string())), file)
    }

    /// Adds what the file says of itself.
    fn described(&self, status: PluginStatus, file: Option<PathBuf>) -> PluginStatus {
        let candidate =
            self.catalogue.candidates.iter().find(|candidate| Some(&candidate.file) == file.as_ref());
        let metadata = candidate.and_then(|candidate| candidate.metadata.as_ref().ok());
        PluginStatus {
            version: metadata.map(|metadata| metadata.version.clone()),
            api: metadata.map(|metadata| metadata.api.clone()),
            file,
            ..status
        }
    }
}

fn available(candidate: &Candidate, config: &Config) -> PluginStatus {
    let metadata = candidate.metadata.as_ref();
    let table = Plugin {
        plugin: candidate.name(),
        enabled: false,
        interval: config.agent.interval,
        deadline: config.agent.interval,
        offset: None,
        jitter: Duration::ZERO,
        mode: config::Mode::InProcess,
        max_series: config::DEFAULT_SERIES,
        limits: config::Limits::default(),
        config: serde_json::Map::new(),
        place: Place::default(),
    };
    let (state, reason) = match metadata {
        Ok(_) => (PluginState::Available, None),
        Err(refusal) => (PluginState::Refused, Some(refusal.to_string())),
    };
    PluginStatus {
        version: metadata.ok().map(|metadata| metadata.version.clone()),
        api: metadata.ok().map(|metadata| metadata.api.clone()),
        file: Some(candidate.file.clone()),
        ..status(&candidate.name(), &table, state, reason)
    }
}

fn status(name: &str, table: &Plugin, state: PluginState, reason: Option<String>) -> PluginStatus {
    PluginStatus {
        mode: match table.mode {
            config::Mode::InProcess => "in_process",
            config::Mode::Isolated => "isolated",
        },
        last_error: reason.clone(),
        reason,
        ..PluginStatus::new(name, &table.plugin, state, table.interval, table.deadline)
    }
}

/// Where the ticks of this interval lie.
pub(super) fn offset(config: &Config, interval: Duration) -> Duration {
    match config.agent.align_offset {
        AlignOffset::None => Duration::ZERO,
        AlignOffset::Host => host_offset(&machine_id(), interval),
    }
}

fn machine_id() -> String {
    ["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default()
}
