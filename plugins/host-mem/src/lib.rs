//! Collects how much memory and swap the host has and uses, paging, and memory pressure.
//!
//! On Linux from `/proc` and `/sys`; elsewhere, or with `source = "sysinfo"`, a subset through sysinfo. The metrics
//! are in the README.
#![forbid(unsafe_code)]

mod cgroup;
mod meminfo;
mod metrics;
mod parse;
mod portable;
mod procfs;
mod reading;
mod usage;

use portable::Portable;
use procfs::Procfs;
use std::path::PathBuf;
use twarga_plugin_api::prelude::*;

/// The `config` table of this plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the readings come from.
    pub source: Source,
    /// Folder that holds `proc` and `sys`.
    pub root: PathBuf,
    /// Whether to tell the limit of the agent's own cgroup.
    pub cgroup: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { source: Source::default(), root: "/".into(), cgroup: true }
    }
}

/// Where the readings come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The kernel's `/proc` and `/sys`: everything.
    #[cfg_attr(target_os = "linux", default)]
    Procfs,
    /// The sysinfo library: a subset, on other systems as well.
    #[cfg_attr(not(target_os = "linux"), default)]
    Sysinfo,
}

/// The collector.
pub struct HostMem(Running);

enum Running {
    Procfs(Box<Procfs>),
    Portable(Box<Portable>),
}

impl Collector for HostMem {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = metrics::NAMESPACES;
    const METRICS: &'static [Metric<'static>] = metrics::METRICS;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        Ok(Self(match config.source {
            Source::Procfs => Running::Procfs(Box::new(Procfs::new(&config, host)?)),
            Source::Sysinfo => Running::Portable(Box::new(Portable::new(host)?)),
        }))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        match &mut self.0 {
            Running::Procfs(source) => source.collect(sink),
            Running::Portable(source) => {
                source.collect(sink);
                Ok(())
            }
        }
    }
}

export_plugin!(HostMem);
