//! The manager as others reach it: from tasks that must not block.

use super::{Manager, Overview, lock, reload::summary, starting::patience, upgrade::Trial};
use crate::{
    collect::Collecting,
    serve::{ReloadOutcome, Reloaded, Switch, SwitchOutcome, warns_of_not_started},
};
use arc_swap::ArcSwap;
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

/// The manager, shared. What is asked of it is done on a thread that may block, one thing after the other, and to its
/// end, also where nobody waits for it any more.
#[derive(Clone)]
pub(in crate::app) struct Managing {
    manager: Arc<Mutex<Manager>>,
    overview: Arc<ArcSwap<Overview>>,
    pub(super) collecting: Arc<Collecting>,
}

impl Managing {
    pub(in crate::app) fn new(manager: Manager) -> Self {
        let (overview, collecting) = (manager.overview(), Arc::clone(&manager.rooms.collecting));
        Self { manager: Arc::new(Mutex::new(manager)), overview, collecting }
    }

    /// What applies now.
    pub(in crate::app) fn overview(&self) -> Arc<Overview> {
        self.overview.load_full()
    }

    /// Reads the configuration again, and waits for what that starts.
    pub(in crate::app) async fn reload(&self) -> ReloadOutcome {
        let began = Instant::now();
        let mut outcome = self.apply().await;
        if let ReloadOutcome::Done(reloaded) = &mut outcome {
            let until = patience(began, Instant::now());
            reloaded.failed = self.failed_to_start(&reloaded.diff, until).await;
        }
        outcome
    }

    /// Without waiting for what it starts.
    async fn apply(&self) -> ReloadOutcome {
        match self.ask(Manager::reload).await {
            Ok(Ok((reloaded, trials))) => {
                self.try_out(trials);
                ReloadOutcome::Done(Box::new(reloaded))
            }
            Ok(Err(errors)) => ReloadOutcome::Invalid(errors),
            Err(error) => ReloadOutcome::Failed(error),
        }
    }

    /// The same where nobody hears the answer; `cause` is what made it so. What did not start is told later: who notices
    /// changes goes on meanwhile.
    pub(in crate::app) async fn reload_and_log(&self, cause: &'static str) {
        match self.apply().await {
            ReloadOutcome::Done(reloaded) => {
                tracing::info!("{cause}: the configuration was read again: {}", summary(&reloaded));
                for warning in &reloaded.warnings {
                    tracing::warn!("{warning}");
                }
                if !reloaded.needs_restart.is_empty() {
                    tracing::warn!("only a restart takes the new {}", reloaded.needs_restart.join(", "));
                }
                let managing = self.clone();
                tokio::spawn(async move { managing.log_what_failed(cause, &reloaded).await });
            }
            ReloadOutcome::Invalid(errors) => {
                tracing::error!("{cause}: the configuration has errors, so nothing was changed:\n{errors}");
            }
            ReloadOutcome::Failed(error) => {
                tracing::error!("{cause}: the configuration was not read: {error}");
            }
        }
    }

    async fn log_what_failed(&self, cause: &str, reloaded: &Reloaded) {
        let now = Instant::now();
        for (name, reason) in self.failed_to_start(&reloaded.diff, patience(now, now)).await {
            if !reloaded.warnings.iter().any(|warning| warns_of_not_started(warning, &name)) {
                tracing::warn!("{cause}: plugin {name} did not start: {reason}");
            }
        }
    }

    /// Switches a plugin.
    pub(in crate::app) async fn switch(&self, plugin: String, switch: Switch) -> SwitchOutcome {
        match self.ask(move |manager| manager.switch(&plugin, switch)).await {
            Ok((outcome, trials)) => {
                self.try_out(trials);
                outcome
            }
            Err(error) => SwitchOutcome::Failed(error),
        }
    }

    /// The plugin directories changed.
    pub(in crate::app) async fn rescan(&self) {
        match self.ask(Manager::rescan).await {
            Ok(trials) => self.try_out(trials),
            Err(error) => tracing::error!("the plugin directories were not looked at: {error}"),
        }
    }

    fn try_out(&self, trials: Vec<Trial>) {
        for trial in trials {
            let managing = self.clone();
            tokio::spawn(async move { managing.see_through(trial).await });
        }
    }

    /// Tries a file out until it has taken over, or is not to be tried again.
    async fn see_through(&self, mut trial: Trial) {
        loop {
            let tried = trial.run().await;
            let Ok((more, later)) = self.ask(move |manager| manager.conclude(tried)).await else { return };
            self.try_out(more);
            let Some(attempt) = later.comes().await else { return };
            match self.ask(move |manager| manager.try_again(&attempt)).await {
                Ok(Some(next)) => trial = next,
                _ => return,
            }
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Manager) -> T + Send + 'static,
    ) -> Result<T, String> {
        let manager = Arc::clone(&self.manager);
        let done = tokio::task::spawn_blocking(move || work(&mut lock(&manager))).await;
        done.map_err(|error| error.to_string())
    }
}
