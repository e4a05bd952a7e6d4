//! The samples of one series in a block: at which rows it has any, which of them began a counter anew, and the values.

use super::{
    Damage,
    column::{ColumnEncoder, Effort, decode_column},
    varint::{Cursor, put},
};
use std::ops::Range;

/// The samples of one series over the rows of a block.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Samples {
    /// The rows at which it has samples: ranges that ascend and don't touch.
    pub(in super::super) present: Vec<Range<usize>>,
    /// The rows whose sample began the counter anew, ascending.
    pub(in super::super) resets: Vec<usize>,
    /// The values, one for each row that it has.
    pub(in super::super) values: Vec<f64>,
}

impl Samples {
    pub(in super::super) fn clear(&mut self) {
        self.present.clear();
        self.resets.clear();
        self.values.clear();
    }

    /// Appends the sample of a later row.
    pub(in super::super) fn push(&mut self, row: usize, value: f64, reset: bool) {
        match self.present.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => self.present.push(row..row + 1),
        }
        if reset {
            self.resets.push(row);
        }
        self.values.push(value);
    }

    /// Each sample: row, value, whether it began the counter anew.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = (usize, f64, bool)> + Clone {
        let mut resets = self.resets.iter().copied().peekable();
        let rows = self.present.iter().cloned().flatten();
        rows.zip(&self.values).map(move |(row, value)| {
            while resets.next_if(|reset| *reset < row).is_some() {}
            (row, *value, resets.peek() == Some(&row))
        })
    }

    /// Appends the bytes of a column.
    pub(in super::super) fn encode(
        &self,
        rows: usize,
        encoder: &mut ColumnEncoder,
        effort: Effort,
        buf: &mut Vec<u8>,
    ) {
        put_present(&self.present, rows, buf);
        put(buf, self.resets.len() as u64);
        let mut next = 0;
        for reset in &self.resets {
            put(buf, (reset - next) as u64);
            next = reset + 1;
        }
        encoder.encode(&self.values, effort, buf);
    }

    /// Reads the bytes of a column; `rows` and `count` are those of its block.
    pub(in super::super) fn decode(&mut self, bytes: &[u8], rows: usize, count: usize) -> Result<(), Damage> {
        self.clear();
        let mut cursor = Cursor(bytes);
        take_present(&mut cursor, rows, count, &mut self.present)?;
        let resets = cursor.number()?;
        if resets > count as u64 {
            return Err(Damage::Malformed("more resets than samples"));
        }
        let mut next = 0_u64;
        let mut ranges = self.present.iter().peekable();
        for _ in 0..resets {
            let reset = next.checked_add(cursor.number()?).filter(|reset| *reset < rows as u64);
            let reset = reset.ok_or(Damage::Malformed("the place of a reset"))?;
            while ranges.next_if(|range| range.end as u64 <= reset).is_some() {}
            if ranges.peek().is_none_or(|range| reset < range.start as u64) {
                return Err(Damage::Malformed("a reset without a sample"));
            }
            self.resets.push(reset as usize);
            next = reset + 1;
        }
        decode_column(cursor.0, count, &mut self.values)
    }
}

/// 0 where every row is present, else how many ranges there are, and of each how many rows are absent before it and how
/// many it has.
pub(in super::super) fn put_present(present: &[Range<usize>], rows: usize, buf: &mut Vec<u8>) {
    if let [all] = present
        && *all == (0..rows)
    {
        buf.push(0);
        return;
    }
    put(buf, present.len() as u64 + 1);
    let mut next = 0;
    for range in present {
        put(buf, (range.start - next) as u64);
        put(buf, range.len() as u64);
        next = range.end;
    }
}

/// Reads what [`put_present`] wrote; all ranges together must have `count` rows.
pub(in super::super) fn take_present(
    cursor: &mut Cursor<'_>,
    rows: usize,
    count: usize,
    present: &mut Vec<Range<usize>>,
) -> Result<(), Damage> {
    present.clear();
    let wrong = Damage::Malformed("the rows of a column");
    let ranges = cursor.number()?;
    if ranges == 0 {
        present.push(0..rows);
        return if count == rows { Ok(()) } else { Err(wrong) };
    }
    let (mut next, mut found) = (0_usize, 0_usize);
    for _ in 1..ranges {
        let start = next.checked_add(cursor.number32()? as usize).ok_or(wrong)?;
        let length = cursor.number32()? as usize;
        let end = start.checked_add(length).filter(|end| *end <= rows && length > 0).ok_or(wrong)?;
        present.push(start..end);
        (next, found) = (end, found + length);
    }
    if found == count { Ok(()) } else { Err(wrong) }
}
