//! The words that all rooms share: metric, series, labels, sample, batch, snapshot, event. Imports nothing of the other rooms.

mod batch;
mod clock;
mod digest;
mod event;
mod labels;
mod metric;
mod plugin_status;
mod resets;
mod snapshot;
mod timestamp;

pub use batch::{Absence, Batch, CollectorId, LocalSeries, MAX_LOCAL_SERIES, Round, Sample};
pub use clock::{ClockId, SINCE_BOOT, clock_time};
pub use digest::Digest;
pub use event::{Event, Gap, GapReason, GapScope, Severity};
pub use labels::Labels;
pub use metric::{Kind, Metric, SeriesDef, SeriesId};
pub use plugin_status::{Cost, OwnThreads, PluginState, PluginStatus};
pub use resets::Resets;
pub use snapshot::{Catalog, CollectorInfo, Latest, Live, Missing, Previous, Snapshot};
pub use timestamp::Timestamp;
