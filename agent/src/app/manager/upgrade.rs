//! Files of plugins that were replaced while the agent runs.
//!
//! A new file is tried out beside the old one (`canary`), and takes over with the next collection; one that fails is not
//! tried again until it changes. The old library stays in the process, so there is a limit.

use super::{Manager, lock};
use crate::{
    app::{
        canary::{Load, try_out},
        plugins::Recipe,
    },
    collect::{Factory, Upgrade},
    host::{Catalogue, Claims, Identity, Library, discover, load},
    model::{Event, PluginStatus, Severity, Timestamp},
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// So many versions of one plugin may be in the process: each stays there with its code, its data and a descriptor.
const MOST_VERSIONS: usize = 32;

/// A file that is to be tried out.
pub(super) struct Trial {
    /// The key of the plugin's table.
    pub(super) name: String,
    plugin: String,
    file: PathBuf,
    /// The library, where the file was loaded before.
    known: Option<Library>,
    recipe: Recipe,
    claims: Arc<Claims>,
    deadline: Duration,
    revision: u64,
}

/// A file that was tried out.
pub(super) struct Tried {
    name: String,
    revision: u64,
    outcome: Result<(Library, Box<dyn Factory>), String>,
}

impl Trial {
    pub(super) async fn run(self) -> Tried {
        let Self { name, plugin, file, known, recipe, claims, deadline, revision } = self;
        let load: Load<Library> = Box::new(move || {
            let library = match known {
                Some(known) => known,
                None => load(&file, &plugin, &claims).map_err(|error| error.to_string())?,
            };
            let factory = recipe.factory(library.clone());
            Ok((library, factory))
        });
        Tried { name, revision, outcome: try_out(load, deadline).await }
    }
}

impl Manager {
    /// The plugin directories changed.
    pub(super) fn rescan(&mut self) -> Vec<Trial> {
        let catalogue = discover(&self.config.agent.plugin_dirs);
        let trials = self.look_for_files(&catalogue);
        self.publish(&catalogue);
        trials
    }

    /// Starts plugins that were refused and whose files changed; gives those that run from another file than there is.
    pub(super) fn look_for_files(&mut self, catalogue: &Catalogue) -> Vec<Trial> {
        let mut trials = Vec::new();
        let enabled = self.config.plugins.iter().filter(|(_, table)| table.enabled);
        let names: Vec<(String, String)> =
            enabled.map(|(name, table)| (name.clone(), table.plugin.clone())).collect();
        for (name, plugin) in names {
            let Ok(found) = catalogue.find(&plugin) else { continue };
            let Ok(identity) = Identity::of(&found.file) else { continue };
            let in_use = self.running.get(&name).map(|running| lock(&running.library).identity);
            if in_use.is_some_and(|used| used.is_same_file(&identity)) {
                self.tried.remove(&name);
            } else if self.tried.insert(name.clone(), identity) != Some(identity) {
                if in_use.is_some() {
                    trials.extend(self.trial(&name, &plugin, found.file, catalogue));
                } else if let Err(error) = self.start(&name, catalogue) {
                    tracing::error!("{error}");
                }
            }
        }
        if !trials.is_empty() {
            let names: Vec<&str> = trials.iter().map(|trial| trial.name.as_str()).collect();
            tracing::info!("new files are tried out: {}", names.join(", "));
        }
        trials
    }

    fn trial(&self, name: &str, plugin: &str, file: PathBuf, catalogue: &Catalogue) -> Option<Trial> {
        let table = self.config.plugins.get(name)?;
        let loader = self.loader(catalogue);
        let known = loader.loaded(&file).cloned();
        let versions = self.known.iter().filter(|library| library.metadata.name == plugin).count();
        if known.is_none() && versions >= MOST_VERSIONS {
            let reason = format!(
                "{versions} versions of it are in the process already, and none can be unloaded; restart the agent, \
                 or run the plugin isolated"
            );
            self.rooms.collecting.event(refused(name, &reason));
            return None;
        }
        Some(Trial {
            name: name.into(),
            plugin: plugin.into(),
            file,
            known,
            recipe: loader.recipe(name, table),
            claims: Arc::clone(&self.claims),
            deadline: table.deadline,
            revision: self.running.get(name)?.revision,
        })
    }

    /// Lets what was tried out take over, or tells why not. More is to be tried where the plugin's table changed
    /// meanwhile.
    pub(super) fn conclude(&mut self, tried: Tried) -> Vec<Trial> {
        let Tried { name, revision, outcome } = tried;
        if let Ok((library, _)) = &outcome {
            self.keep(library);
        }
        let Some(running) = self.running.get(&name) else { return Vec::new() };
        if running.revision != revision {
            self.tried.remove(&name);
            return self.rescan();
        }
        match outcome {
            Ok((library, factory)) => {
                let (slot, status) = (Arc::clone(&running.library), Arc::clone(&running.status));
                let new = library.clone();
                let told = Box::new(move |made: Result<(), twarga_plugin_api::Error>| match made {
                    Ok(()) => {
                        let old = std::mem::replace(&mut *lock(&slot), library.clone());
                        let mut status = lock(&status);
                        note_version(&mut status, &library);
                        upgraded(&status.name, &old, &library)
                    }
                    Err(error) => {
                        refused(&lock(&status).name, &format!("its collector could not be made: {error}"))
                    }
                });
                if !self.rooms.collecting.upgrade(running.id, Upgrade { factory, told }) {
                    self.begin_with(&name, &new);
                }
            }
            Err(reason) => self.rooms.collecting.event(refused(&name, &reason)),
        }
        Vec::new()
    }
}

impl Manager {
    /// The old version's collector has ended, or is stuck: the new one begins anew.
    fn begin_with(&mut self, name: &str, library: &Library) {
        let Some(running) = self.running.get(name) else { return };
        let old = std::mem::replace(&mut *lock(&running.library), library.clone());
        note_version(&mut lock(&running.status), library);
        self.rooms.collecting.event(upgraded(name, &old, library));
        let catalogue = discover(&self.config.agent.plugin_dirs);
        if let Err(error) = self.change(name, &["config"], &catalogue) {
            tracing::error!("{error}");
        }
        self.publish(&catalogue);
    }
}

fn note_version(status: &mut PluginStatus, library: &Library) {
    status.version = Some(library.metadata.version.clone());
    status.api = Some(library.metadata.api.clone());
    status.file = Some(library.file.clone());
}

fn upgraded(name: &str, old: &Library, new: &Library) -> Event {
    let (from, to) = (&old.metadata.version, &new.metadata.version);
    tracing::info!("plugin {name}: {from} was replaced by {to}");
    Event {
        kind: "plugin_upgraded".into(),
        severity: Severity::Info,
        message: format!("plugin {name}: {from} was replaced by {to}"),
        details: serde_json::json!({ "source": "agent", "plugin": name, "from": from, "to": to }),
        time: Timestamp::now(),
        vm_id: None,
    }
}

fn refused(name: &str, reason: &str) -> Event {
    tracing::warn!("plugin {name}: its new file is not used, the old version goes on: {reason}");
    Event {
        kind: "plugin_upgrade_refused".into(),
        severity: Severity::Warning,
        message: format!("plugin {name}: its new file is not used, the old version goes on: {reason}"),
        details: serde_json::json!({ "source": "agent", "plugin": name, "reason": reason }),
        time: Timestamp::now(),
        vm_id: None,
    }
}
