//! A journal row of format 1: batches of one commit whose times lie close together.

use super::{Damage, envelope, value::take_value, varint::Cursor};
#[cfg(test)]
use super::{value::put_value, varint::put};
#[cfg(test)]
use crate::store::types::StoredSample;

/// Builds rows, one after the other, in the same memory: as the agent once did.
#[cfg(test)]
#[derive(Debug, Default)]
pub(in super::super) struct RowWriter {
    row: Vec<u8>,
    body: Vec<u8>,
}

#[cfg(test)]
impl RowWriter {
    /// Begins a row.
    pub(in super::super) fn begin(&mut self, run: u32) {
        envelope::begin(&mut self.row);
        put(&mut self.row, u64::from(run));
    }

    /// Encodes the samples of the next batch, which are in the order of its layout. Returns how many bytes the row
    /// would have with them.
    pub(in super::super) fn encode(&mut self, samples: &[StoredSample]) -> usize {
        self.body.clear();
        put(&mut self.body, samples.iter().filter(|sample| sample.reset).count() as u64);
        let mut next = 0;
        for (at, _) in samples.iter().enumerate().filter(|(_, sample)| sample.reset) {
            put(&mut self.body, at as u64 - next);
            next = at as u64 + 1;
        }
        for sample in samples {
            put_value(&mut self.body, sample.value);
        }
        self.row.len() + self.body.len()
    }

    /// Appends the batch that was encoded last. `age`: how many milliseconds before the row's time it was collected;
    /// `count`: how many samples it has.
    pub(in super::super) fn push(&mut self, age: u64, layout: u32, count: usize) {
        push(&mut self.row, &BatchView { age, layout, count, body: &self.body });
    }

    /// The finished row.
    pub(in super::super) fn finish(&mut self, key: i64) -> &[u8] {
        envelope::seal(&mut self.row, key);
        &self.row
    }
}

#[cfg(test)]
fn push(row: &mut Vec<u8>, batch: &BatchView<'_>) {
    for number in [batch.age, u64::from(batch.layout), batch.count as u64, batch.body.len() as u64] {
        put(row, number);
    }
    row.extend_from_slice(batch.body);
}

/// A row that is read; an iterator over its batches.
#[derive(Clone, Debug)]
pub(in super::super) struct Row<'a> {
    /// The run it was written in.
    pub(in super::super) run: u32,
    rest: Cursor<'a>,
}

/// A batch of a row, its values not yet read.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct BatchView<'a> {
    /// How many milliseconds before the row's time it was collected.
    pub(in super::super) age: u64,
    /// The number of its layout within the hour of the row.
    pub(in super::super) layout: u32,
    /// How many samples it has.
    pub(in super::super) count: usize,
    body: &'a [u8],
}

impl<'a> Row<'a> {
    /// Checks and opens a row.
    pub(in super::super) fn open(bytes: &'a [u8], key: i64) -> Result<Self, Damage> {
        let mut rest = Cursor(envelope::open(bytes, key)?);
        let run = rest.number32()?;
        Ok(Self { run, rest })
    }

    fn batch(&mut self) -> Result<BatchView<'a>, Damage> {
        let age = self.rest.number()?;
        let layout = self.rest.number32()?;
        let count = self.rest.number32()? as usize;
        let length = self.rest.number32()? as usize;
        let body = self.rest.bytes(length)?;
        Ok(BatchView { age, layout, count, body })
    }
}

impl<'a> Iterator for Row<'a> {
    type Item = Result<BatchView<'a>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.0.is_empty() {
            return None;
        }
        let batch = self.batch();
        if batch.is_err() {
            self.rest = Cursor(&[]);
        }
        Some(batch)
    }
}

impl BatchView<'_> {
    /// When it was collected, given the time of its row; both in milliseconds.
    pub(in super::super) fn time(&self, row_millis: i64) -> i64 {
        row_millis.saturating_sub_unsigned(self.age)
    }

    /// Gives the values in their order, each with its reset flag.
    pub(in super::super) fn values(&self, mut each: impl FnMut(f64, bool)) -> Result<(), Damage> {
        let (mut resets, mut values) = self.parts()?;
        let mut reset = resets.next()?;
        for position in 0..self.count as u64 {
            let value = take_value(&mut values)?;
            let flagged = reset == Some(position);
            if flagged {
                reset = resets.next()?;
            }
            each(value, flagged);
        }
        Ok(())
    }

    /// The reset flags, and the values behind them.
    fn parts(&self) -> Result<(Resets<'_>, Cursor<'_>), Damage> {
        let mut cursor = Cursor(self.body);
        let left = cursor.number()?;
        if left > self.count as u64 {
            return Err(Damage::Malformed("more resets than samples"));
        }
        let resets = Resets { cursor, left, at: 0 };
        for _ in 0..left {
            cursor.number()?;
        }
        Ok((resets, cursor))
    }
}

/// The positions of the samples that are flagged as resets, ascending.
struct Resets<'a> {
    cursor: Cursor<'a>,
    left: u64,
    at: u64,
}

impl Resets<'_> {
    fn next(&mut self) -> Result<Option<u64>, Damage> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let position = self.at.checked_add(self.cursor.number()?).filter(|position| *position < u64::MAX);
        let position = position.ok_or(Damage::Malformed("the position of a reset"))?;
        self.at = position + 1;
        Ok(Some(position))
    }
}

#[cfg(test)]
mod tests;
