//! File systems, block devices and IO pressure of the host. The README lists the metrics and the configuration.
#![forbid(unsafe_code)]

mod block_class;
mod config;
mod counters;
mod devices;
mod diskstats;
mod filesystems;
mod metrics;
mod mountinfo;
mod pattern;
mod portable;
mod pressure;
mod prober;
mod procfs;
mod registration;
mod selection;
mod space;
#[cfg(test)]
mod testcases;

pub use config::Config;
use config::Source;
use portable::Portable;
use prober::Timing;
use procfs::Procfs;
use space::StatVfs;
use std::sync::Arc;
use twarga_plugin_api::prelude::*;

/// The collector.
pub struct HostDisk(Readings);

enum Readings {
    Procfs(Box<Procfs>),
    Sysinfo(Box<Portable>),
}

impl Collector for HostDisk {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["host_filesystem_", "host_disk_", "host_pressure_io_"];
    const METRICS: &'static [Metric<'static>] = metrics::METRICS;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        config.check()?;
        Ok(Self(match config.source {
            Source::Procfs => {
                let timing = Timing::with_deadline(config.deadline);
                Readings::Procfs(Procfs::open(&config, Arc::new(StatVfs), timing, host)?.into())
            }
            Source::Sysinfo => Readings::Sysinfo(Portable::new(&config)?.into()),
        }))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        match &mut self.0 {
            Readings::Procfs(readings) => readings.collect(sink),
            Readings::Sysinfo(readings) => readings.collect(sink),
        }
    }
}

export_plugin!(HostDisk);
