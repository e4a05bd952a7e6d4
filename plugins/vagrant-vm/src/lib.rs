//! Vagrant's machines. The README lists the metrics and the configuration.
//!
//! ```text
//!  vagrant ──machines──► roster ──by provider──► libvirt, virtualbox, qemu ──answers──► publish
//!  (indexes, projects)   (who is still there)                                           (series)
//! ```
//! Homes and providers may hang: they are looked at and asked by a crew of threads, which is one thread as long as none does.
#![forbid(unsafe_code)]

mod config;
mod finder;
#[doc(hidden)]
pub mod fuzzing;
mod indexes;
mod job;
mod libvirt;
mod machine;
mod metrics;
mod owned;
mod process;
mod provider;
mod publish;
mod qemu;
mod roster;
mod vagrant;
mod virtualbox;

pub use config::Config;
use indexes::Indexes;
use job::Job;
#[doc(hidden)]
pub use libvirt::read_as_reply;
use provider::{Notes, Said};
use publish::Publisher;
use roster::Roster;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::{
    crew::{Crew, Timing},
    prelude::*,
};
use vagrant::Scanner;

/// The collector.
pub struct VagrantVm {
    crew: Arc<Crew<Job>>,
    scanner: Scanner,
    roster: Roster,
    publisher: Publisher,
    said: Said,
    timeout: Duration,
    /// There are machines.
    machines: bool,
    indexes: Indexes,
}

impl Collector for VagrantVm {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["vm_"];
    const METRICS: &'static [Metric<'static>] = metrics::METRICS;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Config, _: &mut Host<'_>) -> Result<Self> {
        config.check()?;
        let crew = Arc::new(Crew::new("vm-crew", Timing::default()));
        // where there are no machines, no thread waits for any
        crew.set_lasting(false);
        Ok(Self {
            scanner: Scanner::open(&config, Arc::clone(&crew)),
            timeout: config.timeout,
            roster: Roster::new(config, Arc::clone(&crew)),
            crew,
            machines: false,
            publisher: Publisher::default(),
            said: Said::default(),
            indexes: Indexes::default(),
        })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut notes = Notes::default();
        let deadline = Instant::now() + self.timeout;
        if !self.roster.is_settled() {
            self.scanner.hurry();
        }
        self.roster.prepare(deadline);
        let scan = self.scanner.scan(deadline, &mut notes);
        // what a slow home took is not the fault of those providers that are asked only now
        let deadline = Instant::now() + self.timeout;
        let told = self.roster.ask(&scan.machines, deadline, &mut notes);
        let told_any = !told.is_empty();
        self.publisher.publish(told, sink, &mut notes);
        let follows_all = |owner: &str| self.roster.follows_all_of(owner);
        self.indexes.publish(&scan.indexes, follows_all, sink, &mut notes);
        for (level, line) in self.said.news(&mut notes) {
            sink.host().log(level, &line);
        }
        if self.machines != told_any {
            self.machines = told_any;
            self.crew.set_lasting(told_any);
        }
        match scan.missing {
            // where others are read about, one user's broken index is no failure: those would be read less often for it
            Some(why) if scan.machines.is_empty() => Err(Error::transient(why)),
            _ => Ok(()),
        }
    }
}

export_plugin!(VagrantVm);
