//! A block: samples (or roll-ups) of up to a few dozen series that share their times. Its head says which times and which
//! series there are and where each column lies, so that who wants one series reads the head and that column only.

use super::{
    Damage,
    sequence::{put_sequence, take_sequence},
    varint::{Cursor, put},
};
use crate::store::key::FARTHEST;

const MAGIC: [u8; 2] = *b"TB";
/// The form that this program writes.
const VERSION: u8 = 1;
/// Magic (2), version (1), content (1), length of the whole (4), length of the head (4), checksum of the head (4).
pub(in super::super) const PREFIX: usize = 16;
/// No block has more rows: two hours have fewer milliseconds. A count that lies reserves no more memory.
const MOST_ROWS: usize = 1 << 23;
/// Nor more series.
const MOST_COLUMNS: usize = 1 << 16;

/// What the columns of a block hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Content {
    /// Samples; a row is a time at which a commit brought some.
    Samples,
    /// Roll-ups; a row is the beginning of one.
    Rollups,
}

/// The rows of a block, in the order of time, run and number, which together are theirs alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Rows {
    /// Milliseconds since 1970.
    pub(in super::super) times: Vec<i64>,
    /// The run in which each was written; of roll-ups: nothing.
    pub(in super::super) runs: Vec<i64>,
    /// The number of the commit; of roll-ups: nothing.
    pub(in super::super) numbers: Vec<i64>,
}

impl Rows {
    pub(in super::super) fn len(&self) -> usize {
        self.times.len()
    }

    /// The place of a row among others.
    pub(in super::super) fn place(&self, row: usize) -> (i64, i64, i64) {
        let of = |values: &[i64]| values.get(row).copied().unwrap_or(0);
        (self.times[row], of(&self.runs), of(&self.numbers))
    }

    pub(in super::super) fn push(&mut self, (time, run, number): (i64, i64, i64)) {
        self.times.push(time);
        self.runs.push(run);
        self.numbers.push(number);
    }
}

/// Where a series is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Column {
    /// The series.
    pub(in super::super) series: u32,
    /// How many samples or roll-ups it has here.
    pub(in super::super) count: u32,
    /// The position of its bytes in the blob.
    pub(in super::super) at: usize,
    /// How many bytes.
    pub(in super::super) length: usize,
    checksum: u32,
}

/// Builds a block.
#[derive(Debug, Default)]
pub(in super::super) struct BlockWriter {
    columns: Vec<Column>,
    bodies: Vec<u8>,
}

impl BlockWriter {
    /// Appends a column. Series ascend, each once.
    pub(in super::super) fn push(&mut self, key: i64, series: u32, count: u32, body: &[u8]) {
        let checksum = column_checksum(key, series, body);
        self.columns.push(Column { series, count, at: 0, length: body.len(), checksum });
        self.bodies.extend_from_slice(body);
    }

    /// How many samples or roll-ups all columns have.
    pub(in super::super) fn count(&self) -> u64 {
        self.columns.iter().map(|column| u64::from(column.count)).sum()
    }

    /// The finished block; the writer is empty again.
    pub(in super::super) fn finish(&mut self, key: i64, content: Content, rows: &Rows) -> Vec<u8> {
        let mut block = Vec::with_capacity(PREFIX + self.columns.len() * 12 + self.bodies.len());
        block.extend_from_slice(&MAGIC);
        block.push(VERSION);
        block.push(content as u8);
        block.resize(PREFIX, 0);
        put(&mut block, rows.len() as u64);
        put_sequence(&mut block, rows.times.iter().copied());
        if content == Content::Samples {
            put_sequence(&mut block, rows.runs.iter().copied());
            put_sequence(&mut block, rows.numbers.iter().copied());
        }
        put(&mut block, self.columns.len() as u64);
        let mut next = 0;
        for column in self.columns.drain(..) {
            put(&mut block, u64::from(column.series) - next);
            put(&mut block, u64::from(column.count));
            put(&mut block, column.length as u64);
            block.extend_from_slice(&column.checksum.to_le_bytes());
            next = u64::from(column.series) + 1;
        }
        let head = block.len();
        block.append(&mut self.bodies);
        seal(&mut block, head, key);
        block
    }
}

/// The head of a block that is read.
#[derive(Clone, Debug)]
pub(in super::super) struct BlockHead {
    key: i64,
    /// What the columns hold.
    pub(in super::super) content: Content,
    /// The rows.
    pub(in super::super) rows: Rows,
    /// The columns, by ascending series.
    pub(in super::super) columns: Vec<Column>,
}

/// How long the head is and how long the whole blob, as the first [`PREFIX`] bytes say.
pub(in super::super) fn lengths(prefix: &[u8]) -> Result<(usize, usize), Damage> {
    let prefix = prefix.first_chunk::<PREFIX>().ok_or(Damage::Truncated)?;
    if prefix[..2] != MAGIC {
        return Err(Damage::Malformed("no block begins so"));
    }
    let number =
        |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]) as usize;
    let (whole, head) = (number(4), number(8));
    if head < PREFIX || head > whole {
        return Err(Damage::Malformed("the length of a head"));
    }
    Ok((head, whole))
}

impl BlockHead {
    /// Reads a head. `bytes` begin the blob and hold at least its head; `length` is that of the whole blob.
    pub(in super::super) fn read(bytes: &[u8], length: usize, key: i64) -> Result<Self, Damage> {
        let (head, whole) = lengths(bytes)?;
        if length < whole {
            return Err(Damage::Truncated);
        }
        if length > whole {
            return Err(Damage::Malformed("bytes after the end"));
        }
        let bytes = bytes.get(..head).ok_or(Damage::Truncated)?;
        let stored = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        if head_checksum(key, bytes) != stored {
            return Err(Damage::Checksum);
        }
        if bytes[2] != VERSION {
            return Err(Damage::Version(bytes[2]));
        }
        let content = match bytes[3] {
            0 => Content::Samples,
            1 => Content::Rollups,
            _ => return Err(Damage::Malformed("what a block holds")),
        };
        let mut cursor = Cursor(&bytes[PREFIX..]);
        let rows = read_rows(&mut cursor, content)?;
        let columns = read_columns(&mut cursor, head, whole)?;
        cursor.end()?;
        Ok(Self { key, content, rows, columns })
    }

    /// The key under which the block is stored.
    pub(in super::super) fn key(&self) -> i64 {
        self.key
    }

    /// The column of a series.
    pub(in super::super) fn find(&self, series: u32) -> Option<&Column> {
        let at = self.columns.binary_search_by_key(&series, |column| column.series).ok()?;
        Some(&self.columns[at])
    }

    /// That these bytes, from the column's place, are what was written there.
    pub(in super::super) fn check(&self, column: &Column, body: &[u8]) -> Result<(), Damage> {
        if body.len() < column.length {
            return Err(Damage::Truncated);
        }
        let sum = column_checksum(self.key, column.series, body);
        if sum == column.checksum { Ok(()) } else { Err(Damage::Checksum) }
    }

    /// The checked bytes of a column, of a blob that is wholly there.
    pub(in super::super) fn body<'a>(&self, column: &Column, blob: &'a [u8]) -> Result<&'a [u8], Damage> {
        let body = blob.get(column.at..column.at + column.length).ok_or(Damage::Truncated)?;
        self.check(column, body)?;
        Ok(body)
    }
}

/// A block with good lengths and a good checksum around whatever is given as its head, after the prefix, and as its columns.
pub(in super::super) fn forge_block(content: u8, head: &[u8], columns: &[u8], key: i64) -> Vec<u8> {
    let mut block = [&MAGIC[..], &[VERSION, content], &[0; PREFIX - 4], head, columns].concat();
    seal(&mut block, PREFIX + head.len(), key);
    block
}

/// Fills in the lengths and the checksum of a block whose head ends there.
fn seal(block: &mut [u8], head: usize, key: i64) {
    // SQLite's limit is a gigabyte, and a wrong length is refused on reading
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let whole = number(block.len());
    block[4..8].copy_from_slice(&whole);
    block[8..12].copy_from_slice(&number(head));
    let sum = head_checksum(key, &block[..head]);
    block[12..PREFIX].copy_from_slice(&sum.to_le_bytes());
}

fn read_rows(cursor: &mut Cursor<'_>, content: Content) -> Result<Rows, Damage> {
    let count = cursor.number32()? as usize;
    if count > MOST_ROWS {
        return Err(Damage::Malformed("more rows than any block has"));
    }
    let mut rows = Rows::default();
    take_sequence(cursor, count, &mut rows.times)?;
    if content == Content::Samples {
        take_sequence(cursor, count, &mut rows.runs)?;
        take_sequence(cursor, count, &mut rows.numbers)?;
    }
    // those who merge rows, or round their times down, rely on it
    let storable = |time: Option<&i64>| time.is_none_or(|time| (-FARTHEST..=FARTHEST).contains(time));
    if !storable(rows.times.first()) || !storable(rows.times.last()) {
        return Err(Damage::Malformed("a time that is never stored"));
    }
    if (1..count).all(|row| rows.place(row - 1) < rows.place(row)) {
        Ok(rows)
    } else {
        Err(Damage::Malformed("rows that are not in order"))
    }
}

fn read_columns(cursor: &mut Cursor<'_>, head: usize, whole: usize) -> Result<Vec<Column>, Damage> {
    let count = cursor.number32()? as usize;
    if count > MOST_COLUMNS.min(cursor.0.len()) {
        return Err(Damage::Malformed("more columns than a block has"));
    }
    let mut columns = Vec::with_capacity(count);
    let (mut next, mut at) = (0_u64, head);
    for _ in 0..count {
        let series = next.checked_add(cursor.number()?).and_then(|series| u32::try_from(series).ok());
        let series = series.ok_or(Damage::Malformed("a series number"))?;
        let count = cursor.number32()?;
        let length = cursor.number32()? as usize;
        let checksum = cursor.bytes(4)?;
        let checksum = u32::from_le_bytes([checksum[0], checksum[1], checksum[2], checksum[3]]);
        columns.push(Column { series, count, at, length, checksum });
        (next, at) = (u64::from(series) + 1, at + length);
    }
    if at == whole { Ok(columns) } else { Err(Damage::Malformed("the lengths of its columns")) }
}

/// CRC-32 (IEEE) of the key and of all of the head but the checksum itself.
fn head_checksum(key: i64, head: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&key.to_le_bytes());
    sum.update(&head[..12]);
    sum.update(&head[PREFIX..]);
    sum.finalize()
}

/// CRC-32 (IEEE) of the key, the series and its bytes: bytes of another place are noticed.
fn column_checksum(key: i64, series: u32, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&key.to_le_bytes());
    sum.update(&series.to_le_bytes());
    sum.update(body);
    sum.finalize()
}

#[cfg(test)]
mod tests;
