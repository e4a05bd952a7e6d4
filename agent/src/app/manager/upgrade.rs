//! Files of plugins that were replaced while the agent runs.
//!
//! A new file is tried out beside the old one (`canary`), and takes over with the next collection; one that fails is not
//! tried again until it changes. The old library stays in the process, so there is a limit.

use super::{Manager, lock};
use crate::{
    app::{
        canary::{Load, try_out},
        loaded::{Loaded, Recipe},
    },
    collect::{Factory, Upgrade},
    host::{Catalogue, Claims, Identity, Library, discover},
    model::{Event, PluginStatus, Severity, Timestamp},
};
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// A file that is to be tried out.
pub(super) struct Trial {
    /// The key of the plugin's table.
    pub(super) name: String,
    file: PathBuf,
    /// The library, where the file was loaded before.
    known: Option<Library>,
    recipe: Recipe,
    claims: Arc<Claims>,
    deadline: Duration,
    revision: u64,
    number: u64,
}

/// A file that was tried out.
pub(super) struct Tried {
    name: String,
    revision: u64,
    number: u64,
    /// What was loaded for it, however it went on.
    loaded: Option<Loaded>,
    outcome: Result<(Loaded, Box<dyn Factory>), String>,
}

impl Trial {
    pub(super) async fn run(self) -> Tried {
        let Self { name, file, known, recipe, claims, deadline, revision, number } = self;
        let noted = Arc::new(OnceLock::new());
        let note = Arc::clone(&noted);
        let load: Load<Loaded> = Box::new(move || {
            let loaded = match known {
                Some(known) => Loaded::InProcess(known),
                None => recipe.load(&file, &claims).map_err(|error| error.to_string())?,
            };
            note.get_or_init(|| loaded.clone());
            let factory = recipe.factory(loaded.clone());
            Ok((loaded, factory))
        });
        let outcome = try_out(load, deadline).await;
        Tried { name, revision, number, loaded: noted.get().cloned(), outcome }
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
            let in_use = self.running.get(&name).map(|running| lock(&running.loaded).identity());
            if in_use.is_some_and(|used| used.is_same_file(&identity)) {
                self.tried.remove(&name);
            } else if self.tried.insert(name.clone(), identity) != Some(identity) {
                if in_use.is_some() {
                    trials.extend(self.trial(&name, found.file, catalogue));
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

    fn trial(&mut self, name: &str, file: PathBuf, catalogue: &Catalogue) -> Option<Trial> {
        let number = self.next_number();
        let table = self.config.plugins.get(name)?;
        let loader = self.loader(catalogue);
        let recipe = loader.recipe(name, table);
        let known = loader.loaded(&file).filter(|known| recipe.takes(known)).cloned();
        let (claims, deadline) = (Arc::clone(&self.claims), table.deadline);
        let running = self.running.get_mut(name)?;
        running.trial = number;
        let revision = running.revision;
        Some(Trial { name: name.into(), file, known, recipe, claims, deadline, revision, number })
    }

    /// Lets what was tried out take over, or tells why not. More is to be tried where the plugin's table changed
    /// meanwhile.
    pub(super) fn conclude(&mut self, tried: Tried) -> Vec<Trial> {
        let Tried { name, revision, number, loaded, outcome } = tried;
        if let Some(loaded) = &loaded {
            self.keep(loaded); // also of a version that failed: if its file is tried again, nothing is loaded anew
        }
        let Some(running) = self.running.get(&name) else { return Vec::new() };
        if running.revision != revision {
            self.tried.remove(&name);
            return self.rescan();
        }
        if running.trial != number {
            return Vec::new(); // a newer file is tried out
        }
        match outcome {
            Ok((loaded, factory)) => {
                let (slot, status) = (Arc::clone(&running.loaded), Arc::clone(&running.status));
                let new = loaded.clone();
                let told = Box::new(move |made: Result<(), twarga_plugin_api::Error>| match made {
                    Ok(()) => {
                        let old = std::mem::replace(&mut *lock(&slot), loaded.clone());
                        let mut status = lock(&status);
                        note_version(&mut status, &loaded);
                        upgraded(&status.name, &old, &loaded)
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
    fn begin_with(&mut self, name: &str, loaded: &Loaded) {
        let Some(running) = self.running.get(name) else { return };
        let old = std::mem::replace(&mut *lock(&running.loaded), loaded.clone());
        note_version(&mut lock(&running.status), loaded);
        self.rooms.collecting.event(upgraded(name, &old, loaded));
        let catalogue = discover(&self.config.agent.plugin_dirs);
        if let Err(error) = self.change(name, &["config"], &catalogue) {
            tracing::error!("{error}");
        }
        self.publish(&catalogue);
    }
}

fn note_version(status: &mut PluginStatus, loaded: &Loaded) {
    status.version = Some(loaded.metadata().version.clone());
    status.api = Some(loaded.metadata().api.clone());
    status.file = Some(loaded.file().into());
    status.sha256 = Some(loaded.digest());
}

fn upgraded(name: &str, old: &Loaded, new: &Loaded) -> Event {
    let (from, to) = (&old.metadata().version, &new.metadata().version);
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
