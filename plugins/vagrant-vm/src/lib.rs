//! Vagrant's machines. The README lists the metrics and the configuration.
//!
//! ```text
//!  vagrant ──machines──► roster ──by provider──► libvirt, virtualbox, qemu ──answers──► publish
//!  (indexes, projects)   (who is still there)    (each on its own thread)               (series)
//! ```
#![forbid(unsafe_code)]

mod config;
mod finder;
#[doc(hidden)]
pub mod fuzzing;
mod indexes;
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
#[doc(hidden)]
pub use libvirt::read_as_reply;
use provider::{Notes, Said};
use publish::Publisher;
use roster::Roster;
use std::time::{Duration, Instant};
use twarga_plugin_api::prelude::*;
use vagrant::Scanner;

/// The collector.
pub struct VagrantVm {
    scanner: Scanner,
    roster: Roster,
    publisher: Publisher,
    said: Said,
    timeout: Duration,
    indexes: Indexes,
}

impl Collector for VagrantVm {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["vm_"];
    const METRICS: &'static [Metric<'static>] = metrics::METRICS;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Config, _: &mut Host<'_>) -> Result<Self> {
        config.check()?;
        Ok(Self {
            scanner: Scanner::open(&config)?,
            timeout: config.timeout,
            roster: Roster::new(config),
            publisher: Publisher::default(),
            said: Said::default(),
            indexes: Indexes::default(),
        })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut notes = Notes::default();
        let deadline = Instant::now() + self.timeout;
        let scan = self.scanner.scan(deadline, &mut notes);
        // what a slow home took is not the providers' fault
        let deadline = Instant::now() + self.timeout;
        let told = self.roster.ask(&scan.machines, deadline, &mut notes);
        self.publisher.publish(told, sink, &mut notes);
        let follows_all = |owner: &str| self.roster.follows_all_of(owner);
        self.indexes.publish(&scan.indexes, follows_all, sink, &mut notes);
        for (level, line) in self.said.news(&mut notes) {
            sink.host().log(level, &line);
        }
        match scan.missing {
            // where others are read about, one user's broken index is no failure: those would be read less often for it
            Some(why) if scan.machines.is_empty() => Err(Error::transient(why)),
            _ => Ok(()),
        }
    }
}

export_plugin!(VagrantVm);
