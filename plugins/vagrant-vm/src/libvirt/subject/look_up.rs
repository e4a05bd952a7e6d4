//! What is asked for once in the run of a machine, or now and then: which of its disks are drives, and its address.

use super::{RunKey, Subject, asked_name};
use crate::{
    libvirt::{
        Key,
        call_error::CallError,
        place::{Place, Told},
        stats::removable,
        wire::Domain,
    },
    machine::State,
};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

/// A known address is asked for again after so long; an unknown one at first after [`FIRST_LOOK`], and then ever more rarely.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const FIRST_LOOK: Duration = Duration::from_secs(1);

const UNREAD: &str = "its definition can't be read";

/// Which of its disks are drives for removable media.
pub(super) struct Drives {
    run: RunKey,
    /// The target names of all of them.
    names: Vec<String>,
    pub(super) removable: Result<BTreeSet<String>, &'static str>,
}

/// Its address in one run.
#[derive(Default)]
pub(super) struct Address {
    run: Option<RunKey>,
    pub(super) known: Option<IpAddr>,
    next: Option<Instant>,
    pause: Duration,
}

impl Subject {
    /// What is asked for once in a run, or now and then, of the place that has it.
    ///
    /// # Errors
    /// [`CallError::Late`] where the service has no time for more.
    pub(in crate::libvirt) fn look_up(
        &mut self,
        (key, place): (Key, &mut Place),
        told: &Told,
        until: Instant,
    ) -> Result<(), CallError> {
        self.is_at(key);
        let domain = Domain { name: asked_name(&told.name), uuid: told.uuid, id: told.id };
        let run_key = self.run_key(told.id);
        let names = told.stats.blocks().iter().map(|block| &block.name);
        let lives = told.stats.state(None).is_ok_and(State::lives);
        let known = |drives: &Drives| drives.run == run_key && names.clone().eq(&drives.names);
        // a stopped QEMU's disks are not told, and those that were are still there
        if !told.stats.blocks().is_empty() && !self.drives.as_ref().is_some_and(known) {
            let definition = place.call(until, |connection| {
                connection.definition(domain, until).map(|text| removable(text).ok_or(UNREAD))
            });
            let names: Vec<String> = names.cloned().collect();
            self.drives = match definition {
                Ok(removable) => Some(Drives { run: run_key, names, removable }),
                Err(CallError::Remote(_)) => Some(Drives { run: run_key, names, removable: Err(UNREAD) }),
                Err(CallError::Late) => return Err(CallError::Late),
                // asked again with the next poll
                Err(_) => None,
            };
        }
        let Address { run, next, pause, known } = &mut self.address;
        if !lives || *run != Some(run_key) {
            self.address = Address { run: Some(run_key), pause: FIRST_LOOK, ..Address::default() };
        } else if next.is_some_and(|next| Instant::now() < next) {
            return Ok(());
        } else {
            *pause = if known.is_some() { LOOK_AGAIN } else { (*pause * 2).min(LOOK_AGAIN) };
        }
        if !lives {
            return Ok(());
        }
        match place.call(until, |connection| connection.address(domain, until)) {
            Ok(found) => self.address.known = found,
            Err(CallError::Late) => return Err(CallError::Late),
            // what is known of this run stays
            Err(_) => {}
        }
        let pause = if self.address.known.is_some() { LOOK_AGAIN } else { self.address.pause };
        self.address.next = Some(Instant::now() + pause);
        Ok(())
    }
}
