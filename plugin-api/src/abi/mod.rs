//! The frozen, FFI-safe types that host and plugin share. Not for authors: they use the crate's root.
//!
//! Rules: nothing is renamed, removed or reordered; prefix types grow after their last field only
//! (guarded by `tests/frozen_layout.rs`).
#![allow(non_local_definitions, non_camel_case_types, reason = "abi_stable 0.11's derives")]
#![allow(
    unused_qualifications,
    unsafe_code,
    reason = "what `sabi_trait` expands to; our own unsafe is in glue and services"
)]

pub mod c;
pub mod glue;
pub mod metadata;
pub mod services;

use abi_stable::{
    StableAbi,
    library::RootModule,
    sabi_trait,
    sabi_types::VersionStrings,
    std_types::{RBox, RResult, RSlice, RStr, RString, RVec},
};

/// One reading: the series it belongs to, flags, and the value.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The id that [`HostVt::series`] gave.
    pub series: u32,
    /// [`Sample::RESET`] or 0; a host ignores the bits that it doesn't know.
    pub flags: u32,
    /// The value in the metric's base unit.
    pub value: f64,
}

impl Sample {
    /// The counter started anew since the last collection.
    pub const RESET: u32 = 1;
}

/// An instrument kind: an open set of numbers, so that a new one breaks no layout check.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawKind(pub u8);

impl RawKind {
    /// See [`Kind::Gauge`](crate::Kind::Gauge).
    pub const GAUGE: RawKind = RawKind(0);
    /// See [`Kind::Counter`](crate::Kind::Counter).
    pub const COUNTER: RawKind = RawKind(1);
    /// See [`Kind::Info`](crate::Kind::Info).
    pub const INFO: RawKind = RawKind(2);
    /// See [`Kind::StateSet`](crate::Kind::StateSet).
    pub const STATE_SET: RawKind = RawKind(3);
}

/// A metric family.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct RawMetric<'a> {
    /// The Prometheus name, `_total` included.
    pub name: RStr<'a>,
    /// The UCUM code of the unit, empty for none.
    pub unit: RStr<'a>,
    /// One sentence for people.
    pub help: RStr<'a>,
    /// Label keys, separated by commas.
    pub label_keys: RStr<'a>,
    /// Reserved for what a later version adds: a JSON object, or empty.
    pub ext_json: RStr<'a>,
    /// The instrument kind.
    pub kind: RawKind,
}

/// An error on its way to the host.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RawError {
    /// [`ErrorKind`](crate::ErrorKind) as a number.
    pub kind: u8,
    /// For people.
    pub message: RString,
    /// A configuration key's path, or the file and line of a panic; may be empty.
    pub location: RString,
}

/// What the host does for a plugin during a call.
///
/// # Safety
/// Of every function: `ctx` is the one of the [`HostHandle`] of the call that is under way, on the thread of that call.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostVt_Ref)))]
pub struct HostVt {
    /// Declares a family at run time; its id counts on after the static ones. The same declaration gives the same id.
    pub metric: unsafe extern "C" fn(ctx: *mut (), metric: &RawMetric<'_>) -> RResult<u32, RString>,
    /// Finds or registers the series of a metric with these label values, in the order of its label keys.
    pub series: unsafe extern "C" fn(
        ctx: *mut (),
        metric: u32,
        labels: RSlice<'_, RStr<'_>>,
    ) -> RResult<u32, RString>,
    /// The series ended: its thing is gone. The id is not used again.
    pub retire: unsafe extern "C" fn(ctx: *mut (), series: u32),
    /// The series has no value this time, and why.
    pub unavailable: unsafe extern "C" fn(ctx: *mut (), series: u32, reason: RStr<'_>),
    /// The time at which the samples of this batch were true, in milliseconds since 1970 UTC.
    pub batch_time: unsafe extern "C" fn(ctx: *mut (), unix_ms: i64),
    /// A line for the host's log; levels 0 error, 1 warning, 2 info, 3 debug.
    #[sabi(last_prefix_field)]
    pub log: unsafe extern "C" fn(ctx: *mut (), level: u8, message: RStr<'_>),
}

/// The host's services and the context that they need, for the length of one call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct HostHandle {
    /// The host's own; opaque to the plugin.
    pub ctx: *mut (),
    /// The services.
    pub vt: HostVt_Ref,
}

/// A running collector.
#[sabi_trait]
pub trait RawCollector: Send {
    /// Appends this cycle's samples to `out`, which the host owns, clears and reuses: nothing is allocated in steady state.
    #[sabi(last_prefix_field)]
    fn collect(&mut self, out: &mut RVec<Sample>, host: HostHandle) -> RResult<(), RawError>;
}

/// A collector as it crosses the boundary.
pub type RawCollectorBox = RawCollector_TO<'static, RBox<()>>;

/// What a plugin's entry symbol leads to.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginMod_Ref)))]
pub struct PluginMod {
    /// The plugin's name, such as `host-cpu`.
    pub name: RStr<'static>,
    /// Its version.
    pub version: RStr<'static>,
    /// One sentence.
    pub description: RStr<'static>,
    /// Who wrote it.
    pub authors: RStr<'static>,
    /// The JSON Schema of its configuration table, or empty.
    pub config_schema: RStr<'static>,
    /// The prefixes of the metric names that it may use.
    pub namespaces: RSlice<'static, RStr<'static>>,
    /// The families known without running it.
    pub metrics: RSlice<'static, RawMetric<'static>>,
    /// Makes a collector; `config` is its configuration table as JSON text.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(config: RStr<'_>, host: HostHandle) -> RResult<RawCollectorBox, RawError>,
}

impl RootModule for PluginMod_Ref {
    abi_stable::declare_root_module_statics! {PluginMod_Ref}
    const BASE_NAME: &'static str = "twarga_plugin";
    const NAME: &'static str = "twarga_plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// Major and minor version of the plugin API, such as `1.0`: same major means compatible.
pub const API_VERSION: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
/// The compiler that built this copy of the API.
pub const RUSTC: &str = env!("TWARGA_PLUGIN_API_RUSTC");
/// The target that it was built for.
pub const TARGET: &str = env!("TWARGA_PLUGIN_API_TARGET");
