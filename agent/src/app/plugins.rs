//! From the configuration's plugin tables to collectors that can be started, and what is told of those that can't.

use crate::{
    collect::{Cadence, Factory, JobOptions, Source, host_offset},
    config::{self, AlignOffset, Config, Place, Plugin},
    host::{
        Candidate, Catalogue, Claims, Instance, InstanceOptions, Library, LoadError, Metadata, Refusal,
        discover,
        isolated::{self, Confinement, Isolated, Keeper, Prepared, User},
        load_pinned,
    },
    model::{CollectorId, Digest, LocalSeries, PluginState, PluginStatus},
    views,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use twarga_plugin_api::{Error, ErrorKind};

/// All plugins, loaded or not.
pub struct Plugins {
    /// Ready to be started.
    pub jobs: Vec<JobOptions>,
    /// What is told of those that are not: disabled, refused, available.
    pub others: Vec<PluginStatus>,
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
    let loader = Loader { config, catalogue: &catalogue, claims, keeper: Arc::default() };
    let mut plugins = Plugins { jobs: Vec::new(), others: Vec::new() };
    for (name, table) in &config.plugins {
        if !table.enabled {
            plugins.others.push(loader.disabled(name, table));
            continue;
        }
        match loader.load(name, table) {
            Ok(loaded) => {
                let id = CollectorId(u32::try_from(plugins.jobs.len()).unwrap_or(u32::MAX));
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
    let configured: Vec<String> = config.plugins.values().map(|table| table.plugin.clone()).collect();
    plugins.others.extend(catalogue.available(&configured).map(|candidate| available(candidate, config)));
    plugins
}

struct Loader<'a> {
    config: &'a Config,
    catalogue: &'a Catalogue,
    claims: Arc<Claims>,
    keeper: Arc<Keeper>,
}

/// A plugin that can be started: in this process, or in one of its own.
enum Loaded {
    InProcess(Library),
    Isolated(Prepared, Confinement),
}

impl Loaded {
    fn metadata(&self) -> &Metadata {
        match self {
            Self::InProcess(library) => &library.metadata,
            Self::Isolated(prepared, _) => &prepared.metadata,
        }
    }

    fn file(&self) -> &Path {
        match self {
            Self::InProcess(library) => &library.file,
            Self::Isolated(prepared, _) => &prepared.file,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::InProcess(library) => library.digest,
            Self::Isolated(prepared, _) => prepared.digest,
        }
    }
}

impl Loader<'_> {
    fn load(&self, name: &str, table: &Plugin) -> Result<Loaded, LoadError> {
        let found = self.catalogue.find(&table.plugin)?;
        for shadowed in &found.shadowed {
            let (used, unused) = (found.file.display(), shadowed.display());
            tracing::warn!("plugin {name}: {used} is used, {unused} of the same name is not");
        }
        let pinned = table.limits.sha256.map(Digest);
        match table.mode {
            config::Mode::InProcess => {
                load_pinned(&found.file, &table.plugin, pinned, &self.claims).map(Loaded::InProcess)
            }
            config::Mode::Isolated => {
                let confinement =
                    confinement(table).map_err(|refusal| LoadError { file: found.file.clone(), refusal })?;
                let prepared = isolated::prepare(&found.file, &table.plugin, pinned, &self.claims)?;
                Ok(Loaded::Isolated(prepared, confinement))
            }
        }
    }

    fn job(&self, id: CollectorId, name: &str, table: &Plugin, loaded: Loaded) -> JobOptions {
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
            factory: Box::new(Maker {
                loaded,
                keeper: Arc::clone(&self.keeper),
                options: InstanceOptions {
                    config: serde_json::Value::from(table.config.clone()).to_string(),
                    instance: self.instance_label(name, table),
                    max_series: table.max_series,
                    claims: Arc::clone(&self.claims),
                },
                name: name.into(),
                place: table.place.clone(),
            }),
            status: Arc::new(Mutex::new(status)),
        }
    }

    /// Two instances of one plugin are told apart by a label; one alone needs none.
    fn instance_label(&self, name: &str, table: &Plugin) -> Option<String> {
        let same = |other: &&Plugin| other.plugin == table.plugin && other.enabled;
        (self.config.plugins.values().filter(same).count() > 1).then(|| name.to_string())
    }

    fn disabled(&self, name: &str, table: &Plugin) -> PluginStatus {
        let file = self.catalogue.find(&table.plugin).ok().map(|found| found.file);
        self.described(status(name, table, PluginState::Disabled, None), file)
    }

    fn refused(&self, name: &str, table: &Plugin, error: &LoadError) -> PluginStatus {
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

/// What the table says that a plugin's process may do.
fn confinement(table: &Plugin) -> Result<Confinement, Refusal> {
    let limits = &table.limits;
    Ok(Confinement {
        deadline: table.deadline,
        memory: limits.memory,
        processes: limits.processes as u64,
        files: limits.files as u64,
        user: limits.user.as_deref().map(User::find).transpose()?,
        environment: limits.environment.clone(),
        writable: limits.writable.clone(),
    })
}

/// Makes collectors of one plugin.
struct Maker {
    loaded: Loaded,
    keeper: Arc<Keeper>,
    options: InstanceOptions,
    name: String,
    place: Place,
}

impl Factory for Maker {
    fn make(&mut self, base: LocalSeries) -> Result<Box<dyn Source>, Error> {
        let made: Result<Box<dyn Source>, Error> = match &self.loaded {
            Loaded::InProcess(library) => {
                Instance::new(library, &self.options, base).map(|instance| Box::new(instance) as _)
            }
            Loaded::Isolated(prepared, confinement) => {
                Isolated::start(&self.name, prepared, confinement, &self.options, &self.keeper, base)
                    .map(|isolated| Box::new(isolated) as _)
            }
        };
        made.map_err(|error| if error.kind() == ErrorKind::Config { self.placed(&error) } else { error })
    }
}

impl Maker {
    /// The plugin knows the key, the configuration knows its line.
    fn placed(&self, error: &Error) -> Error {
        let key = match error.location() {
            "" => format!("plugins.{}.config", self.name),
            path => format!("plugins.{}.config.{path}", self.name),
        };
        match config::plugin_key_place(&self.place, error.location()) {
            Some((file, line)) => {
                Error::config(format_args!("{}:{line}: {key}", file.display()), error.message())
            }
            None => Error::config(key, error.message()),
        }
    }
}
