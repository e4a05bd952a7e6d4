//! From the configuration's plugin tables to collectors that can be started, and what is told of those that can't.

use crate::{
    collect::{Cadence, Factory, JobOptions, Source, host_offset},
    config::{self, AlignOffset, Config, Place, Plugin},
    host::{
        Candidate, Catalogue, Claims, Instance, InstanceOptions, Library, LoadError, discover, load_pinned,
    },
    model::{CollectorId, Digest, LocalSeries, PluginState, PluginStatus},
    views,
};
use std::{
    path::PathBuf,
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
    let loader = Loader { config, catalogue: &catalogue, claims: Arc::new(Claims::new(views::is_reserved)) };
    let mut plugins = Plugins { jobs: Vec::new(), others: Vec::new() };
    for (name, table) in &config.plugins {
        if !table.enabled {
            plugins.others.push(loader.disabled(name, table));
            continue;
        }
        match loader.load(name, table) {
            Ok(library) => {
                let id = CollectorId(u32::try_from(plugins.jobs.len()).unwrap_or(u32::MAX));
                plugins.jobs.push(loader.job(id, name, table, library));
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
}

impl Loader<'_> {
    fn load(&self, name: &str, table: &Plugin) -> Result<Library, LoadError> {
        let found = self.catalogue.find(&table.plugin)?;
        for shadowed in &found.shadowed {
            let (used, unused) = (found.file.display(), shadowed.display());
            tracing::warn!("plugin {name}: {used} is used, {unused} of the same name is not");
        }
        load_pinned(&found.file, &table.plugin, table.limits.sha256.map(Digest), &self.claims)
    }

    fn job(&self, id: CollectorId, name: &str, table: &Plugin, library: Library) -> JobOptions {
        let status = PluginStatus {
            version: Some(library.metadata.version.clone()),
            api: Some(library.metadata.api.clone()),
            file: Some(library.file.clone()),
            sha256: Some(library.digest),
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
            factory: Box::new(InProcess {
                library,
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

/// Makes collectors of a loaded library.
struct InProcess {
    library: Library,
    options: InstanceOptions,
    name: String,
    place: Place,
}

impl Factory for InProcess {
    fn make(&mut self, base: LocalSeries) -> Result<Box<dyn Source>, Error> {
        match Instance::new(&self.library, &self.options, base) {
            Ok(instance) => Ok(Box::new(instance)),
            Err(error) if error.kind() == ErrorKind::Config => Err(self.placed(&error)),
            Err(error) => Err(error),
        }
    }
}

impl InProcess {
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
