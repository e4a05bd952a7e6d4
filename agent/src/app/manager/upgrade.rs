//! Files of plugins that were replaced while the agent runs.
//!
//! A new file is tried out beside the old one (`canary`), and takes over with the next collection; one that fails is not
//! tried again until it changes, but for one that was late (`again`). The old library stays in the process, so there is a limit.

use super::{
    Manager,
    again::{Attempt, RetryDecision, RetryLater},
    lock,
};
use crate::{
    app::{
        canary::{Load, Proved, Unfit, try_out},
        known::Known,
        loaded::{Found, Loaded, Recipe},
        plugins::Loader,
    },
    collect::{NotTaken, Upgrade},
    host::{Catalogue, Claims, Identity, discover},
    model::{Event, PluginStatus, Severity, Timestamp},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Of a file that is mapped into this process.
const OVERWRITTEN: &str = "it was written over the old one, which is in the process: replace files by rename, and restart \
                           the agent soon, because the old code may be damaged";

/// A file that is to be tried out.
pub(super) struct Trial {
    file: PathBuf,
    known: Arc<Known>,
    recipe: Recipe,
    claims: Arc<Claims>,
    deadline: Duration,
    attempt: Attempt,
}

/// A file that was tried out.
pub(super) struct Tried {
    attempt: Attempt,
    /// What it claimed; given back where it does not take over.
    claims: Arc<Claims>,
    outcome: Result<Proved<Loaded>, Unfit>,
}

impl Trial {
    /// The key of the plugin's table.
    pub(super) fn name(&self) -> &str {
        &self.attempt.name
    }

    pub(super) async fn run(self) -> Tried {
        let Self { file, known, recipe, claims, deadline, attempt } = self;
        let claimed = Arc::clone(&claims);
        let owner = recipe.owner();
        let load: Load<Loaded> = Box::new(move || {
            let loaded = known.load_in_turn(&file, &recipe, &claimed).map_err(|error| error.to_string())?;
            let factory = recipe.factory(loaded.clone());
            Ok((loaded, factory))
        });
        let outcome = try_out(load, owner, deadline).await;
        Tried { attempt, claims, outcome }
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
            if self.tried.get(&name) == Some(&identity) {
                continue;
            }
            match self.compare(&name, &found.file, identity) {
                Some(Found::Same | Found::Touched) => {
                    self.tried.remove(&name);
                    continue;
                }
                Some(Found::Overwritten) => {
                    self.rooms.collecting.event(refused(&name, OVERWRITTEN, None));
                }
                Some(Found::Other) => trials.extend(self.trial(&name, found.file, catalogue, 1)),
                None => {
                    if let Err(error) = self.start(&name, catalogue) {
                        tracing::error!("{error}");
                    }
                }
            }
            self.tried.insert(name, identity);
        }
        if !trials.is_empty() {
            let names: Vec<&str> = trials.iter().map(Trial::name).collect();
            tracing::info!("new files are tried out: {}", names.join(", "));
        }
        trials
    }

    /// What a plugin that runs was loaded from, beside what lies there now.
    fn compare(&self, name: &str, file: &Path, identity: Identity) -> Option<Found> {
        let shared = &self.running.get(name)?.loaded;
        // a lane that lets another version take over must not wait while a file is read
        let before = lock(shared).clone();
        let found = before.compare(file, &identity);
        if found == Found::Touched {
            let mut now = lock(shared);
            if now.digest() == before.digest() {
                now.touched(identity);
            }
        }
        Some(found)
    }

    /// What is to be tried out for a plugin that runs; `ordinal` is 1 for the first try of a file.
    pub(super) fn trial(
        &mut self,
        name: &str,
        file: PathBuf,
        catalogue: &Catalogue,
        ordinal: usize,
    ) -> Option<Trial> {
        let number = self.next_number();
        let table = self.config.plugins.get(name)?;
        let claims = Arc::new(self.claims.on_trial());
        let loader = Loader { claims: &claims, ..self.loader(catalogue) };
        let recipe = loader.recipe(name, table);
        let known = Arc::clone(&self.known);
        let (deadline, interval) = (table.deadline, table.interval);
        let running = self.running.get_mut(name)?;
        running.trial = number;
        let revision = running.revision;
        let attempt = Attempt { name: name.into(), revision, number, ordinal, interval };
        Some(Trial { file, known, recipe, claims, deadline, attempt })
    }

    /// Lets what was tried out take over, or tells why not. More is to be tried where the plugin's table changed
    /// meanwhile; where it was late, or is when it takes over, it is to be tried later.
    pub(super) fn conclude(&mut self, tried: Tried) -> (Vec<Trial>, RetryLater) {
        let Tried { attempt, claims, outcome } = tried;
        let (decision, later) = RetryDecision::new(&attempt);
        let Attempt { name, revision, number, .. } = attempt;
        let running = self.running.get(&name);
        let counts = running.is_some_and(|running| (running.revision, running.trial) == (revision, number));
        if !counts || outcome.is_err() {
            claims.give_up(); // now: a collector that hangs may hold them for ever
        }
        let Some(running) = running else { return (Vec::new(), later) };
        if running.revision != revision {
            self.tried.remove(&name);
            return (self.rescan(), later);
        }
        if running.trial != number {
            return (Vec::new(), later); // a newer file is tried out
        }
        match outcome {
            Ok((loaded, factory, successor)) => {
                let (slot, status) = (Arc::clone(&running.loaded), Arc::clone(&running.status));
                let (new, claimed) = (loaded.clone(), Arc::clone(&claims));
                let told = Box::new(move |made: Result<(), NotTaken>| match made {
                    Ok(()) => {
                        claimed.keep();
                        let old = std::mem::replace(&mut *lock(&slot), loaded.clone());
                        let mut status = lock(&status);
                        note_version(&mut status, &loaded);
                        upgraded(&status.name, &old, &loaded)
                    }
                    Err(NotTaken { error, overran }) => {
                        claimed.give_up();
                        let reason = format!("its first collection failed: {error}");
                        decision.refused(&lock(&status).name, Unfit { reason, is_late: overran })
                    }
                });
                if !self.rooms.collecting.upgrade(running.id, Upgrade { successor, factory, told }) {
                    claims.keep();
                    self.begin_with(&name, &new);
                }
            }
            Err(unfit) => self.rooms.collecting.event(decision.refused(&name, unfit)),
        }
        (Vec::new(), later)
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

/// An event; `again` is when the same file is tried again.
pub(super) fn refused(name: &str, reason: &str, again: Option<Duration>) -> Event {
    tracing::warn!("plugin {name}: its new file is not used, the old version goes on: {reason}");
    Event {
        kind: "plugin_upgrade_refused".into(),
        severity: Severity::Warning,
        message: format!("plugin {name}: its new file is not used, the old version goes on: {reason}"),
        details: serde_json::json!({
            "source": "agent",
            "plugin": name,
            "reason": reason,
            "retry_seconds": again.map(|pause| pause.as_secs_f64()),
        }),
        time: Timestamp::now(),
        vm_id: None,
    }
}
