//! A value, or in few words why there is none.

use twarga_plugin_api::{Series, Sink};

/// The first of two readings that a ratio needs.
pub(crate) const FIRST_READING: &str = "first_reading";
/// Less than 100 ms since the last ratio (200 ms with sysinfo).
pub(crate) const TOO_SHORT: &str = "interval_too_short";
/// The kernel's columns fell, so that they tell nothing about the time between.
pub(crate) const COUNTER_FELL: &str = "counter_fell";
/// The line is there, but not of numbers.
pub(crate) const UNPARSABLE: &str = "unparsable_line";
/// The kernel gave fewer columns than before.
pub(crate) const NO_COLUMN: &str = "missing_column";
/// The file names no CPU.
pub(crate) const NO_CPU: &str = "no_cpu_line";
/// The line or field is missing, or is no number.
pub(crate) const MISSING: &str = "missing_value";
/// The file can't be read.
pub(crate) const UNREADABLE: &str = "read_failed";
/// The CPU's frequency is told nowhere.
pub(crate) const NO_FREQUENCY: &str = "no_frequency";
/// Which CPUs share a core is told nowhere.
pub(crate) const NO_TOPOLOGY: &str = "no_topology";
/// sysinfo can't tell.
pub(crate) const UNKNOWN_TO_SYSINFO: &str = "unknown_to_sysinfo";

/// Puts the value, or says why there is none.
pub(crate) fn put(sink: &mut Sink<'_>, series: Series, value: Result<f64, &str>) {
    match value {
        Ok(value) => sink.put(series, value),
        Err(reason) => sink.unavailable(series, reason),
    }
}
