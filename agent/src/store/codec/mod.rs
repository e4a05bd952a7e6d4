//! The binary forms of what the store holds (`FORMAT.md`). Pure: bytes in, values out, and no input makes it panic.

mod block;
pub(super) mod column;
mod envelope;
mod journal;
mod layout;
pub(super) mod rollup;
mod row;
mod samples;
mod sequence;
mod value;
mod varint;

pub(super) use block::{BlockHead, BlockWriter, Column, Content, PREFIX, Rows, forge_block, lengths};
pub(super) use column::{ColumnEncoder, Effort};
pub(super) use journal::{JournalBatch, JournalDecoder, JournalEncoder, JournalRow, forge_journal_row};
pub(super) use layout::read_layout;
#[cfg(test)]
pub(super) use layout::write_layout;
#[cfg(test)]
pub(super) use row::RowWriter;
pub(super) use row::{BatchView, Row};
pub(super) use samples::{Samples, put_present, take_present};
pub(super) use varint::Cursor;

/// Why stored bytes can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes end too early.
    #[error("it ends too early")]
    Truncated,
    /// The checksum doesn't match.
    #[error("its checksum does not match")]
    Checksum,
    /// Written in a form that this program doesn't know.
    #[error("it has the unknown form {0}")]
    Version(u8),
    /// The checksum matches, but the contents make no sense.
    #[error("it holds what no writer writes ({0})")]
    Malformed(&'static str),
}
