//! What readers see: replaced as a whole after each round, so that nobody waits for the writer.

use crate::{alert::ActiveAlert, inventory::Machines, model::Snapshot};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The state of things as of one round.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// How many rounds were taken since the start.
    pub round: u64,
    /// The latest values.
    pub snapshot: Arc<Snapshot>,
    /// Pending and firing alerts, in the order in which they are shown.
    pub alerts: Arc<[ActiveAlert]>,
    /// All known machines.
    pub machines: Arc<Machines>,
    /// Whether all of it is in the store: not while that fails.
    pub stored: bool,
}

/// Publishes, and takes the memory of the round before the last back for the next one where no reader holds it.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    current: Arc<ArcSwap<Published>>,
    spare: Option<Arc<Published>>,
}

impl Publisher {
    /// Where readers look.
    pub(super) fn current(&self) -> Arc<ArcSwap<Published>> {
        Arc::clone(&self.current)
    }

    /// Publishes a round. `alerts` are those of the round before where there are none and were none.
    pub(super) fn publish(
        &mut self,
        round: u64,
        stored: bool,
        snapshot: &Snapshot,
        machines: &Machines,
        alerts: Arc<[ActiveAlert]>,
    ) {
        // where a reader still holds it, it is left to that reader
        let mut next = self.spare.take().filter(|spare| Arc::strong_count(spare) == 1).unwrap_or_default();
        if let Some(next) = Arc::get_mut(&mut next) {
            next.round = round;
            next.stored = stored;
            next.alerts = alerts;
            match Arc::get_mut(&mut next.snapshot) {
                Some(reused) => copy(reused, snapshot),
                None => next.snapshot = Arc::new(snapshot.clone()),
            }
            match Arc::get_mut(&mut next.machines) {
                Some(reused) => reused.copy_from(machines),
                None => next.machines = Arc::new(machines.clone()),
            }
        }
        self.spare = Some(self.current.swap(next));
    }
}

/// Makes `to` the same as `from`, in its own memory.
fn copy(to: &mut Snapshot, from: &Snapshot) {
    to.time = from.time;
    if !Arc::ptr_eq(&to.catalog, &from.catalog) {
        to.catalog = Arc::clone(&from.catalog);
    }
    to.latest.clone_from(&from.latest);
}
