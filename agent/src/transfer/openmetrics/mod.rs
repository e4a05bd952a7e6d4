//! OpenMetrics 1.0 with times. Runs, reset flags, plugins and units that are no suffix of the name are not carried; a
//! counter whose name lacks `_total` is written as `unknown` and comes back as a gauge.

mod read;
mod write;

pub(super) use read::OpenMetricsParser;
pub(super) use write::OpenMetricsWriter;
