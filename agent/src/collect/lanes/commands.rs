//! What is told to the running collectors: come, change, go. Nothing here waits for a call of a plugin.

use super::{CollectError, Collecting, State};
use crate::{
    collect::{
        job::{Job, JobOptions, Upgrade},
        roster::{Change, Unchanged},
    },
    model::{CollectorId, Event, GapReason},
};
use std::sync::{Arc, PoisonError};

impl Collecting {
    /// Adds a collector, which is primed at once. Its number and its name may be those of one that was removed, whose
    /// calls may still last.
    ///
    /// # Errors
    /// [`CollectError::Stuck`] where two calls of its predecessors have not come back; where the agent is stopping,
    /// [`CollectError::NotRunning`].
    pub fn add(&self, options: JobOptions) -> Result<(), CollectError> {
        let (id, status) = (options.id, Arc::clone(&options.status));
        let job = Job::new(options);
        self.command(|state| {
            if state.stopping {
                return Err(CollectError::NotRunning);
            }
            state.roster.add(job)
        })?;
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        match statuses.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = status,
            None => statuses.push((id, status)),
        }
        Ok(())
    }

    /// Removes a collector: its series end, and its history has a gap for this reason from now on. A call that lasts is
    /// left to itself; what it brings is dropped.
    pub fn remove(&self, id: CollectorId, name: &Arc<str>, reason: Option<GapReason>) {
        self.command(|state| state.roster.remove(id, name, reason));
    }

    /// Changes a collector between two of its calls. A new source takes over its series in one batch.
    ///
    /// # Errors
    /// Where there is none, or its call does not come back: the change, given back.
    pub fn change(&self, id: CollectorId, change: Change) -> Result<(), Unchanged> {
        self.command(|state| state.roster.change(id, change))
    }

    /// Whether a collector has shown since it was added or made anew whether it works; its status tells.
    pub fn begun(&self, id: CollectorId) -> bool {
        self.shared.lock().roster.begun(id) // nothing changes: no lane is woken
    }

    /// Lets another version of its plugin take over with the collector's next collection; whether there will be one: not
    /// where it has ended, or its call does not come back.
    pub fn upgrade(&self, id: CollectorId, upgrade: Upgrade) -> bool {
        self.command(|state| state.roster.upgrade(id, upgrade))
    }

    /// Why a collector that is configured does not run; nothing where that is over.
    pub fn set_idle(&self, name: &Arc<str>, reason: Option<GapReason>) {
        self.command(|state| state.roster.set_idle(name, reason));
    }

    /// To be called when a process of a plugin has ended, on any thread: where that was between two calls, it is told and
    /// the plugin's back-off or restart begins. Keeps nothing alive.
    pub fn end_noticed(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                shared.lock().roster.look_for_ends();
                shared.changed.notify_all();
            }
        }
    }

    /// Something happened that the history should tell.
    pub fn event(&self, event: Event) {
        self.command(|state| state.roster.outbox.event(event));
    }

    /// Drops the collectors that are in no call, after [`stop`](Self::stop). Runs code of the plugins.
    pub fn release(&self) {
        let collectors = std::mem::take(&mut self.shared.lock().roster.waiting);
        drop(collectors);
    }

    fn command<T>(&self, command: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.lock();
        let done = command(&mut state);
        // the lanes sleep until times that they knew without this
        self.shared.changed.notify_all();
        done
    }
}
