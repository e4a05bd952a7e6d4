//! A collector that runs in the agent's own process.

use super::{
    claims::Claims,
    intake::{Intake, Refused, error_of, log_lines},
    library::Library,
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
}

/// A collector of an in-process plugin.
pub struct Instance {
    // dropped before the table that it may still call
    collector: RawCollectorBox,
    intake: Intake,
    buffer: RVec<abi::Sample>,
}

impl Instance {
    /// Makes the collector; `base` is the first number for its series.
    ///
    /// # Errors
    /// What the plugin's `new` answers, with what it logged before.
    pub fn new(library: &Library, options: &InstanceOptions, base: LocalSeries) -> Result<Self, Error> {
        let mut intake = Intake::new(&library.metadata, options, base);
        let handle = services::handle(&mut *intake.table);
        let created = library.code.create(&options.config, handle);
        log_lines(&mut intake.table.said);
        let collector = created.map_err(error_of)?;
        Ok(Self { collector, intake, buffer: RVec::new() })
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
        let answer = self.collector.collect(&mut self.buffer, handle).into_result();
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
