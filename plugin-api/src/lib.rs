//! Write a collector plugin for twarga-agent.
//!
//! A plugin is a shared library with one collector: it is made once from its configuration, then asked for samples
//! at every interval. You write safe Rust; panics stay inside the plugin, and nothing but this crate has to fit the agent.
//!
//! # A whole plugin
//!
//! `Cargo.toml` (the name of the package is the name of the plugin):
//!
//! ```toml
//! [package]
//! name = "thermal"
//! version = "0.1.0"
//! edition = "2024"
//! description = "Temperatures of the kernel's thermal zones"
//!
//! [lib]
//! crate-type = ["cdylib", "rlib"]   # the plugin, and a library for its own tests
//!
//! [dependencies]
//! twarga-plugin-api = "1.0.0-rc.1"
//! serde = { version = "1", features = ["derive"] }
//! ```
//!
//! `src/lib.rs`:
//!
//! ```
//! # mod thermal {
//! use twarga_plugin_api::prelude::*;
//! use std::{fs, path::PathBuf};
//!
//! const TEMPERATURE: Metric =
//!     Metric::gauge("thermal_zone_celsius", Unit::CELSIUS, "Temperature of a thermal zone.").labels("zone,type");
//!
//! /// The table `[plugins.thermal.config]` of agent.toml.
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields, default)]
//! pub struct Config {
//!     root: PathBuf,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Config { root: "/sys/class/thermal".into() }
//!     }
//! }
//!
//! pub struct Thermal {
//!     zones: Vec<(PathBuf, Series)>,
//! }
//!
//! impl Collector for Thermal {
//!     type Config = Config;
//!     const NAMESPACES: &'static [&'static str] = &["thermal_"];
//!     const METRICS: &'static [Metric<'static>] = &[TEMPERATURE];
//!
//!     fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
//!         let mut zones = Vec::new();
//!         for entry in fs::read_dir(&config.root).context(config.root.display())? {
//!             let zone = entry?;
//!             let Ok(kind) = fs::read_to_string(zone.path().join("type")) else { continue };
//!             let series = host.series(&TEMPERATURE, &[&zone.file_name().to_string_lossy(), kind.trim()])?;
//!             zones.push((zone.path().join("temp"), series));
//!         }
//!         match zones.is_empty() {
//!             true => Err(Error::unsupported("this machine has no thermal zones")),
//!             false => Ok(Thermal { zones }),
//!         }
//!     }
//!
//!     fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
//!         for (path, series) in &self.zones {
//!             match fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<f64>().ok()) {
//!                 Some(millis) => sink.put(*series, millis / 1000.0),
//!                 None => sink.unavailable(*series, "can't be read"),
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! export_plugin!(Thermal);
//! # }
//! #
//! # use twarga_plugin_api::testing::Harness;
//! # let dir = tempfile::tempdir().unwrap();
//! # let zone = dir.path().join("thermal_zone0");
//! # std::fs::create_dir(&zone).unwrap();
//! # std::fs::write(zone.join("type"), "x86_pkg_temp\n").unwrap();
//! # std::fs::write(zone.join("temp"), "41500\n").unwrap();
//! # let config = format!(r#"{{"root": "{}"}}"#, dir.path().display());
//! # let mut harness = Harness::new(thermal::plugin(), &config).unwrap();
//! # let collected = harness.collect().unwrap();
//! # assert_eq!(collected.value(r#"thermal_zone_celsius{zone="thermal_zone0",type="x86_pkg_temp"}"#), Some(41.5));
//! ```
//!
//! `cargo build --release` makes `target/release/libthermal.so`. Put it into a plugin directory and add to `agent.toml`:
//!
//! ```toml
//! [plugins.thermal]
//! interval = "10s"
//! mode = "in_process"
//! ```
//!
//! # The rules
//!
//! - **Names** are Prometheus names in base units: `_bytes`, `_seconds`, `_ratio` (0 to 1), `_celsius`; counters end in
//!   `_total`. A wrong one is a compile error. Every name starts with one of your [`Collector::NAMESPACES`].
//! - **Counters** are put as they are read. The agent makes rates. Where you know that the source began anew, use
//!   [`Sink::put_after_reset`].
//! - **No value is better than a wrong one.** [`Sink::unavailable`] says why there is none; the reason is stored and shown.
//! - **Facts** that are no numbers are labels of a [`Metric::info`], states are a [`Metric::state_set`].
//! - **Series** are registered once ([`Host::series`]), kept, and [retired](Host::retire) when their thing is gone.
//! - **Errors**: `?` is enough. What was put before the error is kept. [`Error`] tells which kinds there are.
//! - **Durations** of your configuration are written `1.5s`, as all of agent.toml: [`duration`].
//! - **Calls that may hang** (a network file system, a socket) are made by a [`crew`], not by the collector.
//! - **Cost**: keep files open ([`pseudo_file`]), allocate in `new`. The agent measures every plugin and shows it.
//! - Write to [`Host::log`], not to standard output.
//!
//! # Testing
//!
//! [`testing::Harness`] runs the plugin through its real entry points under plain `cargo test`, and enforces the
//! rules that the agent enforces. Give your collector a root path in its configuration, and fixtures stand in for the machine.
//! [`testing::wrong_in_documents`] compares the plugin's README and the schema of its configuration with its code.
//!
//! # What is promised
//!
//! A plugin built with version 1.x of this crate runs in every agent that speaks 1.y, newer or older, on the same
//! architecture and C library family; compiler and build profile don't matter.
#![deny(missing_docs)]

#[doc(hidden)]
#[allow(missing_docs, reason = "the derives' generated items")]
pub mod abi;
mod collector;
pub mod crew;
pub mod duration;
mod error;
#[cfg(feature = "formats")]
pub mod formats;
#[macro_use]
mod macros;
mod metric;
pub mod pseudo_file;
pub mod testing;

pub use collector::{Collector, Family, Host, Level, Series, Sink};
pub use error::{Context, Error, ErrorKind, Result};
pub use metric::{Kind, MAX_HELP, MAX_LABELS, MAX_NAME, Metric, Unit};
#[doc(hidden)]
pub use metric::{declaration_problem, is_metric_name, label_keys_problem};

#[doc(hidden)]
pub use abi_stable;
pub use serde;
pub use serde_json;

/// What a plugin's crate uses: `use twarga_plugin_api::prelude::*;`
pub mod prelude {
    pub use crate::{
        Collector, Context, Error, Family, Host, Kind, Level, Metric, Result, Series, Sink, Unit,
        export_plugin,
    };
    pub use serde::Deserialize;
}
