//! Network interfaces, TCP, UDP and sockets of the host. The README has every metric and option.
#![forbid(unsafe_code)]

mod config;
mod counters;
mod glob;
mod interface;
mod interfaces;
mod link;
mod metrics;
mod parse;
mod portable;
mod procfs;
mod protocols;
mod sysfs;
mod total;

pub use config::{Config, Rule, Source, Total};
use portable::Portable;
use procfs::Procfs;
use twarga_plugin_api::prelude::*;

const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

/// The collector.
pub struct HostNet(From);

enum From {
    Procfs(Box<Procfs>),
    Sysinfo(Box<Portable>),
}

impl Collector for HostNet {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["host_network_", "host_netstat_", "host_sockstat_"];
    const METRICS: &'static [Metric<'static>] = &metrics::ALL;
    const CONFIG_SCHEMA: &'static str = CONFIG_SCHEMA;

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        config.check()?;
        Ok(Self(match config.source {
            Source::Procfs => From::Procfs(Box::new(Procfs::new(&config, host)?)),
            Source::Sysinfo => From::Sysinfo(Box::new(Portable::new(&config, host)?)),
        }))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        match &mut self.0 {
            From::Procfs(procfs) => procfs.collect(sink),
            From::Sysinfo(portable) => portable.collect(sink),
        }
    }
}

export_plugin!(HostNet);
