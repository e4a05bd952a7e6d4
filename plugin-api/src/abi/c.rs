//! The structs of `include/twarga_plugin.h`, for hosts. What each field means stands there, once.
//!
//! Rules: as for the Rust types; here the first field says how much of the struct there is.

use super::Sample;
use std::ffi::{c_char, c_void};

/// `TWARGA_ABI_MAJOR`
pub const ABI_MAJOR: u32 = 1;
/// `TWARGA_OK`. The codes after it are an [`ErrorKind`](crate::ErrorKind)'s number and one.
pub const OK: i32 = 0;
/// `TWARGA_FATAL`
pub const FATAL: i32 = 4;

/// `twarga_metric`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CMetric {
    /// Its size in the plugin.
    pub size: u32,
    /// As [`RawKind`](super::RawKind).
    pub kind: u32,
    /// As [`RawMetric::name`](super::RawMetric::name), and so the others.
    pub name: *const c_char,
    /// The unit.
    pub unit: *const c_char,
    /// The help text.
    pub help: *const c_char,
    /// The label keys.
    pub label_keys: *const c_char,
}

/// `twarga_error`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CError {
    /// Its size in the host.
    pub size: u32,
    /// 0
    pub reserved: u32,
    /// For people.
    pub message: [c_char; 512],
    /// A configuration key's path, or empty.
    pub location: [c_char; 256],
}

/// A function of [`CHost`] that answers with an id, or -1.
pub type RegisterSeries =
    unsafe extern "C" fn(*const CHost, u32, *const *const c_char, usize, *mut CError) -> i64;

/// `twarga_host`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CHost {
    /// Its size in the host.
    pub size: u32,
    /// The minor version of the host's API.
    pub api_minor: u32,
    /// The host's own.
    pub ctx: *mut c_void,
    /// As [`HostVt::metric`](super::HostVt::metric), and so the others.
    pub metric: unsafe extern "C" fn(*const CHost, *const CMetric, *mut CError) -> i64,
    /// Registers a series.
    pub series: RegisterSeries,
    /// Ends a series.
    pub retire: unsafe extern "C" fn(*const CHost, u32) -> i32,
    /// A series without a value.
    pub unavailable: unsafe extern "C" fn(*const CHost, u32, *const c_char) -> i32,
    /// The time of a batch.
    pub batch_time: unsafe extern "C" fn(*const CHost, i64) -> i32,
    /// A line of log.
    pub log: unsafe extern "C" fn(*const CHost, u32, *const c_char) -> i32,
}

/// `twarga_out`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct COut {
    /// Its size in the host.
    pub size: u32,
    /// 0
    pub reserved: u32,
    /// The host's own.
    pub ctx: *mut c_void,
    /// Appends samples.
    pub put: unsafe extern "C" fn(*const COut, *const Sample, usize) -> i32,
}

/// `twarga_plugin.create`
pub type Create = unsafe extern "C" fn(*const c_char, *const CHost, *mut *mut c_void, *mut CError) -> i32;
/// `twarga_plugin.collect`
pub type Collect = unsafe extern "C" fn(*mut c_void, *const COut, *const CHost, *mut CError) -> i32;
/// `twarga_plugin.destroy`
pub type Destroy = unsafe extern "C" fn(*mut c_void);

/// `twarga_plugin`, as a host must read it: nobody promises that the pointers are there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CPlugin {
    /// Its size in the plugin.
    pub size: u32,
    /// [`ABI_MAJOR`] of its header.
    pub abi_major: u32,
    /// The text of the metadata section.
    pub metadata: *const c_char,
    /// Makes a collector.
    pub create: Option<Create>,
    /// Collects.
    pub collect: Option<Collect>,
    /// Frees a collector.
    pub destroy: Option<Destroy>,
}
