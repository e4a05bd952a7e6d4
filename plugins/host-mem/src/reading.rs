//! A value, or in few words why there is none.

use twarga_plugin_api::{Series, Sink};

/// The line is missing, or is no number.
pub(crate) const MISSING: &str = "missing_value";
/// The file can't be read.
pub(crate) const UNREADABLE: &str = "read_failed";
/// The kernel tells no available memory, and too little to estimate it.
pub(crate) const NO_AVAILABLE: &str = "no_mem_available";
/// sysinfo can't tell.
pub(crate) const UNKNOWN_TO_SYSINFO: &str = "unknown_to_sysinfo";

/// Puts the value, or says why there is none.
pub(crate) fn put(sink: &mut Sink<'_>, series: Series, value: Result<f64, &str>) {
    match value {
        Ok(value) => sink.put(series, value),
        Err(reason) => sink.unavailable(series, reason),
    }
}
