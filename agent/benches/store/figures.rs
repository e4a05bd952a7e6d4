//! What one run measured.

use serde::{Deserialize, Serialize};

/// Of one store, from opening to deletion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Bytes of the closed file.
    pub(crate) file: f64,
    /// Of that, by table and index, the largest first.
    pub(crate) parts: Vec<(String, u64)>,
    /// Processor time of all commits and of retention, µs.
    pub(crate) cpu_us: f64,
    /// Bytes that the kernel was told to write, until the file was closed.
    pub(crate) written: f64,
    /// The longest commit (or step of retention): wall, ms.
    pub(crate) stall_wall_ms: f64,
    /// And of processor time, ms.
    pub(crate) stall_cpu_ms: f64,
    /// By how much resident memory was larger after the last commit than before the store was opened, KiB.
    pub(crate) grown_kib: f64,
    /// The same at its peak, KiB.
    pub(crate) peak_kib: f64,
    /// Nothing where reading was left out.
    pub(crate) reads: Option<Reads>,
}

/// Medians of warm queries and one deletion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reads {
    /// The newest 100 points of a series, ms.
    pub(crate) latest_ms: f64,
    /// The raw points of a series, a week or 120 960 at most, ms.
    pub(crate) all_ms: f64,
    /// How many these were.
    pub(crate) all_points: f64,
    /// A graph of 30 days at most and 1000 points at most, ms.
    pub(crate) graph_ms: f64,
    /// How many days it shows.
    pub(crate) graph_days: f64,
    /// How many points it has.
    pub(crate) graph_points: f64,
    /// Deleting the oldest seventh: wall, ms.
    pub(crate) delete_wall_ms: f64,
    /// And of processor time, ms.
    pub(crate) delete_cpu_ms: f64,
}

impl Figures {
    /// The median of each figure; the parts are the last run's.
    pub(crate) fn median(runs: Vec<Figures>) -> Figures {
        let of = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
        let read = |figure: fn(&Reads) -> f64| {
            median(runs.iter().filter_map(|run| run.reads.as_ref()).map(figure).collect())
        };
        let reads = Reads {
            latest_ms: read(|reads| reads.latest_ms),
            all_ms: read(|reads| reads.all_ms),
            all_points: read(|reads| reads.all_points),
            graph_ms: read(|reads| reads.graph_ms),
            graph_days: read(|reads| reads.graph_days),
            graph_points: read(|reads| reads.graph_points),
            delete_wall_ms: read(|reads| reads.delete_wall_ms),
            delete_cpu_ms: read(|reads| reads.delete_cpu_ms),
        };
        Figures {
            file: of(|run| run.file),
            cpu_us: of(|run| run.cpu_us),
            written: of(|run| run.written),
            stall_wall_ms: of(|run| run.stall_wall_ms),
            stall_cpu_ms: of(|run| run.stall_cpu_ms),
            grown_kib: of(|run| run.grown_kib),
            peak_kib: of(|run| run.peak_kib),
            reads: runs.iter().any(|run| run.reads.is_some()).then_some(reads),
            parts: runs.into_iter().next_back().unwrap_or_default().parts,
        }
    }
}

/// The middle one; of an even number the larger of the two; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
