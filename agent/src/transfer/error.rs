//! What can go wrong on the way.

use crate::store::StoreError;
use std::{io, path::PathBuf};

/// An error of an export or import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output can't be written.
    #[error("can't write")]
    Write(#[from] io::Error),
    /// The input can't be read.
    #[error("can't read {file}")]
    Read {
        /// The file, or `standard input`.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A line that is not what the format wants. What stands before it is stored.
    #[error("{file}, line {line}: {problem}")]
    Line {
        /// The file, or `standard input`.
        file: String,
        /// Its number, from 1.
        line: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The database of the old system can't be read.
    #[error("{}: {problem}", .file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}
