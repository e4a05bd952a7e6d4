//! What Vagrant knows: the machine indexes of the users, and the projects that they name.

use crate::{config::Config, machine::Machine, provider::Notes};
use std::{sync::Arc, time::Instant};
use twarga_plugin_api::Result;

/// What the indexes say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    /// The machines of all indexes as they are now; of an index that can't be read now, as they were. The same `Arc`
    /// where nothing changed.
    pub(crate) machines: Arc<Vec<Machine>>,
    /// Why machines may be missing: an index that is there could not be read since the start. None where all is known.
    pub(crate) missing: Option<String>,
}

/// Reads the indexes and projects again and again.
pub(crate) struct Scanner {
    scan: Scan,
}

impl Scanner {
    /// # Errors
    /// Where a thread can't be made.
    pub(crate) fn open(_: &Config) -> Result<Self> {
        Ok(Self { scan: Scan::default() })
    }

    /// What they say now; of homes that don't answer by `deadline`, what they said last.
    pub(crate) fn scan(&mut self, _deadline: Instant, _notes: &mut Notes) -> Scan {
        self.scan.clone()
    }
}
