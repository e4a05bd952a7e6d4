//! Moving history: out of the store and into it as OpenMetrics, CSV or JSON lines, and into it from the database of the
//! old system. Everything streams: memory does not grow with the history.

mod csv;
mod definitions;
mod error;
mod export;
mod import;
mod json_lines;
mod lines;
mod number;
pub mod old_system;
mod openmetrics;
mod selector;
mod sink;
#[cfg(test)]
mod tests;
mod windows;

pub use error::TransferError;
pub use export::{Exported, export};
pub use import::{Identity, Source, import};
pub use selector::{BadSelector, parse_selector};
pub use sink::{Sink, Tally};

use std::path::Path;

/// How samples are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The OpenMetrics text format with times, family by family.
    OpenMetrics,
    /// `name,labels,time,value` (RFC 4180), in the order of time.
    Csv,
    /// A JSON object a line, in the order of time; carries everything.
    JsonLines,
}

impl Format {
    /// The format that a file's name tells, if any.
    pub fn of_file(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "om" | "prom" | "openmetrics" | "txt" => Some(Self::OpenMetrics),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// Told every few thousand samples: how much is done, and of how much.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);
