//! The codecs, for benchmarks and fuzzing alone.

pub use super::codec::{
    Damage,
    column::{ColumnEncoder, Effort, decode_column},
    rollup::{Counter, Counters, Gauge, Gauges, Rollups, decode_rollups, encode_rollups, on_grid},
};

use super::{
    codec::{BlockHead, Content, JournalDecoder, Samples, forge_block, forge_journal_row},
    merge::read_rollups,
};

/// Reads a segment or block with all its columns, as it is. How many samples or roll-ups it has.
pub fn read_block(bytes: &[u8], key: i64) -> Result<usize, Damage> {
    let head = BlockHead::read(bytes, bytes.len(), key)?;
    let mut count = 0;
    for column in &head.columns {
        count += read_column(&head, column.count, head.body(column, bytes)?)?;
    }
    Ok(count)
}

/// The same of a block whose head begins with its third byte (what it holds, then eight bytes of no account, then rows and
/// columns), with good lengths and checksums, and so long as is given. Damaged columns are skipped.
pub fn read_forged_block(content: u8, head: &[u8], columns: &[u8]) -> Result<usize, Damage> {
    let bytes = forge_block(content, head, columns, 0);
    let head = BlockHead::read(&bytes, bytes.len(), 0)?;
    let mut count = 0;
    for column in &head.columns {
        let body = &bytes[column.at..column.at + column.length];
        count += read_column(&head, column.count, body).unwrap_or(0);
    }
    Ok(count)
}

fn read_column(head: &BlockHead, count: u32, body: &[u8]) -> Result<usize, Damage> {
    let (rows, count) = (head.rows.len(), count as usize);
    let found = match head.content {
        Content::Samples => {
            let mut samples = Samples::default();
            samples.decode(body, rows, count)?;
            samples.iter().filter(|(row, ..)| *row < rows).count()
        }
        Content::Rollups => {
            let (present, rollups) = read_rollups(body, rows, count)?;
            present.len().min(rollups.len())
        }
    };
    assert_eq!(found, count, "as many as the head says");
    Ok(found)
}

/// Reads rows of the journal, one after the other; where `forged`, these are contents, which get a good header. How many
/// samples the readable ones have.
pub fn read_journal(rows: &[Vec<u8>], forged: bool) -> usize {
    let mut decoder = JournalDecoder::default();
    let mut samples = 0;
    for (key, row) in (0..).zip(rows) {
        let sealed = if forged { &forge_journal_row(row, key) } else { row };
        // what a damaged row had before the damage is given, too, and counts
        let _ = decoder.read(sealed, key, |_, batch| samples += batch.samples.len());
    }
    samples
}
