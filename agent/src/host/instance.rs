//! A collector that runs in the agent's own process.

use super::{
    claims::Claims,
    intake::{Intake, Refused, error_of, log_lines},
    library::Library,
    threads::Owner,
};
use crate::{
    collect::Source,
    model::{Batch, LocalSeries, Resets},
};
use abi_stable::std_types::RVec;
use std::sync::Arc;
use twarga_plugin_api::{
    Error,
    abi::{self, RawCollectorBox, services},
};

/// How a collector is made.
#[derive(Clone)]
pub struct InstanceOptions {
    /// Its configuration table as JSON text.
    pub config: String,
    /// The value of the `instance` label, where there are several of the plugin.
    pub instance: Option<String>,
    /// The most series that it may have.
    pub max_series: usize,
    /// The metrics of all plugins.
    pub claims: Arc<Claims>,
    /// To which its threads belong, where that is to be known.
    pub owner: Option<Owner>,
}

/// A collector of an in-process plugin.
pub struct Instance {
    /// There until it is dropped: before the table that it may still call.
    collector: Option<RawCollectorBox>,
    intake: Intake,
    buffer: RVec<abi::Sample>,
    owner: Option<Owner>,
}

impl Instance {
    /// Makes the collector; `base` is the first number for its series.
    ///
    /// # Errors
    /// What the plugin's `new` answers, with what it logged before.
    pub fn new(library: &Library, options: &InstanceOptions, base: LocalSeries) -> Result<Self, Error> {
        let mut intake = Intake::new(&library.metadata, options, base);
        let handle = services::handle(&mut *intake.table);
        let owner = options.owner;
        let call = owner.as_ref().map(Owner::call);
        let created = library.code.create(&options.config, handle);
        drop(call);
        if let Some(owner) = &owner {
            owner.look_soon();
        }
        log_lines(&mut intake.table.said);
        let collector = Some(created.map_err(error_of)?);
        Ok(Self { collector, intake, buffer: RVec::new(), owner })
    }

    /// What was refused of its samples, by kind.
    pub fn refusals(&self) -> Refused {
        self.intake.refused()
    }

    /// How often a counter fell without the plugin's word that it began anew. The host takes it for a reset.
    pub fn unmarked_falls(&self) -> u64 {
        self.intake.falls()
    }
}

impl Source for Instance {
    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.intake.begin();
        self.buffer.clear();
        let handle = services::handle(&mut *self.intake.table);
        let Some(collector) = &mut self.collector else { return Err(Error::fatal("it has ended")) };
        let call = self.owner.as_ref().map(Owner::call);
        let answer = collector.collect(&mut self.buffer, handle).into_result();
        drop(call);
        self.intake.take_samples(self.buffer.iter().copied(), batch);
        self.intake.take_said(batch);
        answer.map_err(error_of)
    }

    fn live_series(&self) -> usize {
        self.intake.table.live()
    }

    fn live_ids(&self) -> Vec<LocalSeries> {
        self.intake.table.live_ids().collect()
    }

    fn next_base(&self) -> LocalSeries {
        self.intake.table.next_base()
    }

    fn renumber(&mut self, base: LocalSeries, resets: &mut Resets<LocalSeries>) {
        self.intake.table.renumber(base, resets);
    }

    fn refused(&self) -> u64 {
        self.intake.refused().total()
    }

    fn refused_series(&self) -> u64 {
        self.intake.table.refused
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _call = self.owner.as_ref().map(Owner::call);
        drop(self.collector.take());
    }
}
