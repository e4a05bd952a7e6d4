//! A journal row: the batches of one commit, coded by what changed since the row before.
//!
//! A row that begins a chain needs no other; each further row needs all rows of its chain before it. Writer and reader
//! keep the same state: the layouts of the chain (which series a batch has), and the last value of each series in each.

use super::{
    Damage, envelope,
    value::{POWERS, decimal},
    varint::{Cursor, put, unzigzag, zigzag},
};
use crate::store::types::StoredSample;

/// No writer puts more layouts into a chain.
pub(in super::super) const MOST_LAYOUTS: usize = 1 << 12;
/// In the place of a power of ten: the 64 bits of the value follow.
const RAW: u8 = 7;

/// A batch of a row that is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct JournalBatch {
    /// Milliseconds since 1970.
    pub(in super::super) time: i64,
    /// To be added to the number of the row: two batches that hold one series at one time have two numbers.
    pub(in super::super) number: u32,
    /// The samples, by ascending series.
    pub(in super::super) samples: Vec<StoredSample>,
}

/// A series of a layout: the value before, as it was coded.
#[derive(Clone, Copy, Debug)]
struct Last {
    bits: u64,
    digits: i64,
    /// Index of the power of ten, or [`RAW`].
    power: u8,
}

/// Which series a batch has, and their last values.
#[derive(Debug)]
struct Layout {
    ids: Vec<u32>,
    last: Vec<Last>,
}

impl Layout {
    fn new(ids: Vec<u32>) -> Self {
        let last = vec![Last { bits: 0, digits: 0, power: 0 }; ids.len()];
        Self { ids, last }
    }

    fn is_of(&self, samples: &[StoredSample]) -> bool {
        self.ids.len() == samples.len()
            && self.ids.iter().zip(samples).all(|(id, sample)| *id == sample.series.0)
    }
}

/// Writes rows.
#[derive(Debug, Default)]
pub(in super::super) struct JournalEncoder {
    layouts: Vec<Layout>,
    /// Where the layout of the next batch is looked for first.
    hint: usize,
    row: Vec<u8>,
    base: i64,
    /// The key of the row before, of the same chain.
    before: Option<i64>,
}

impl JournalEncoder {
    /// Begins a row; `first`: it begins a chain.
    pub(in super::super) fn begin(&mut self, first: bool, run: u32, time: i64) {
        envelope::begin(&mut self.row);
        if first {
            self.layouts.clear();
            self.before = None;
        }
        self.hint = 0;
        self.row.push(u8::from(first));
        put(&mut self.row, u64::from(run));
        put(&mut self.row, zigzag(time));
        self.base = time;
    }

    /// Whether another layout fits into the chain.
    pub(in super::super) fn is_full(&self) -> bool {
        self.layouts.len() >= MOST_LAYOUTS
    }

    /// Begins a batch, whose samples have ascending series. Gives the number of its layout in the chain; a new one must
    /// not be begun where the chain [`is_full`](JournalEncoder::is_full).
    pub(in super::super) fn batch(&mut self, samples: &[StoredSample]) -> usize {
        self.layout(samples)
    }

    /// Completes the batch that was begun.
    pub(in super::super) fn samples(
        &mut self,
        layout: usize,
        time: i64,
        number: u32,
        samples: &[StoredSample],
    ) {
        let Self { layouts, row, .. } = self;
        put(row, zigzag(self.base.wrapping_sub(time)));
        put(row, u64::from(number));
        put(row, samples.iter().filter(|sample| sample.reset).count() as u64);
        let mut next = 0;
        for (place, _) in samples.iter().enumerate().filter(|(_, sample)| sample.reset) {
            put(row, (place - next) as u64);
            next = place + 1;
        }
        let bitmap = row.len();
        row.resize(bitmap + samples.len().div_ceil(8), 0);
        for (place, (sample, last)) in samples.iter().zip(&mut layouts[layout].last).enumerate() {
            if sample.value.to_bits() != last.bits {
                row[bitmap + place / 8] |= 1 << (place % 8);
                put_change(row, sample.value, last);
            }
        }
    }

    /// The place of the batch's layout, which is written where it is new: 0 and its series, else its number and one.
    fn layout(&mut self, samples: &[StoredSample]) -> usize {
        let count = self.layouts.len();
        let order = (self.hint..count).chain(0..self.hint.min(count));
        let known = { order }.find(|at| self.layouts[*at].is_of(samples));
        let at = match known {
            Some(at) => {
                put(&mut self.row, at as u64 + 1);
                at
            }
            None => {
                self.row.push(0);
                put(&mut self.row, samples.len() as u64);
                let mut next = 0;
                for sample in samples {
                    put(&mut self.row, u64::from(sample.series.0) - next);
                    next = u64::from(sample.series.0) + 1;
                }
                self.layouts.push(Layout::new(samples.iter().map(|sample| sample.series.0).collect()));
                count
            }
        };
        self.hint = at + 1;
        at
    }

    /// The finished row.
    pub(in super::super) fn finish(&mut self, key: i64) -> &[u8] {
        envelope::seal(&mut self.row, place(key, self.before));
        self.before = Some(key);
        &self.row
    }
}

/// What the checksum of a row takes for its key: a row of a chain belongs behind the one that was written before it, and
/// behind no other.
fn place(key: i64, before: Option<i64>) -> i64 {
    before.map_or(key, |before| key ^ before.rotate_left(32))
}

/// A row with a good header around these contents, if it begins a chain or follows the key before.
pub(in super::super) fn forge_journal_row(contents: &[u8], key: i64) -> Vec<u8> {
    let mut row = Vec::new();
    envelope::begin(&mut row);
    row.extend_from_slice(contents);
    let before = (contents.first() == Some(&0)).then_some(key - 1);
    envelope::seal(&mut row, place(key, before));
    row
}

/// A change of a decimal that stays on its power of ten is the difference, doubled; all else is odd and stands for itself.
fn put_change(row: &mut Vec<u8>, value: f64, last: &mut Last) {
    last.bits = value.to_bits();
    let on_power = (last.power < RAW).then(|| on_power(value, last.power)).flatten();
    if let Some(digits) = on_power {
        put(row, zigzag(digits - last.digits) << 1);
        last.digits = digits;
        return;
    }
    match decimal(value) {
        Some((digits, power)) => {
            put(row, (power as u64) << 1 | 1);
            put(row, zigzag(digits));
            (last.digits, last.power) = (digits, power as u8);
        }
        None => {
            put(row, u64::from(RAW) << 1 | 1);
            row.extend_from_slice(&value.to_bits().to_le_bytes());
            (last.digits, last.power) = (0, RAW);
        }
    }
}

/// The digits of a value at this power of ten, if they give back every bit.
fn on_power(value: f64, power: u8) -> Option<i64> {
    let scale = POWERS[power as usize];
    let scaled = value * scale;
    let digits = (scaled + 0.5_f64.copysign(scaled)) as i64;
    let exact = scaled.abs() < super::value::EXACT && (digits as f64 / scale).to_bits() == value.to_bits();
    exact.then_some(digits)
}

/// Reads rows in the order in which they were written.
#[derive(Debug, Default)]
pub(in super::super) struct JournalDecoder {
    layouts: Vec<Layout>,
    /// The key of the row before, while the chain is whole.
    before: Option<i64>,
}

/// What a row says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct JournalRow {
    /// The run it was written in.
    pub(in super::super) run: u32,
    /// The newest time of the commit, milliseconds.
    pub(in super::super) time: i64,
}

impl JournalDecoder {
    /// Reads a row: gives each of its batches. Zeros may follow it. After damage, rows are refused until the next chain
    /// begins.
    pub(in super::super) fn read(
        &mut self,
        bytes: &[u8],
        key: i64,
        mut each: impl FnMut(JournalRow, &JournalBatch),
    ) -> Result<JournalRow, Damage> {
        let bytes = envelope::unfilled(bytes);
        let before = self.before.take();
        let before = match envelope::first_byte(bytes)? {
            0 if before.is_none() => return Err(Damage::Malformed("a row before it is lost")),
            0 => before,
            _ => None,
        };
        let mut cursor = Cursor(envelope::open(bytes, place(key, before))?);
        match cursor.byte()? {
            0 => {}
            1 => self.layouts.clear(),
            _ => return Err(Damage::Malformed("how a row begins")),
        }
        let run = cursor.number32()?;
        let time = unzigzag(cursor.number()?);
        let row = JournalRow { run, time };
        let mut batch = JournalBatch::default();
        while !cursor.0.is_empty() {
            self.batch(&mut cursor, time, &mut batch)?;
            each(row, &batch);
        }
        self.before = Some(key);
        Ok(row)
    }

    fn batch(&mut self, cursor: &mut Cursor<'_>, base: i64, batch: &mut JournalBatch) -> Result<(), Damage> {
        let at = match cursor.number32()? {
            0 => self.new_layout(cursor)?,
            number => number as usize - 1,
        };
        batch.time = base.wrapping_sub(unzigzag(cursor.number()?));
        batch.number = cursor.number32()?;
        let layout = self.layouts.get_mut(at).ok_or(Damage::Malformed("the number of a layout"))?;
        batch.samples.clear();
        let sample =
            |id: &u32| StoredSample { series: crate::model::SeriesId(*id), reset: false, value: 0.0 };
        batch.samples.extend(layout.ids.iter().map(sample));
        let mut next = 0_u64;
        for _ in 0..cursor.number()? {
            let place =
                next.checked_add(cursor.number()?).ok_or(Damage::Malformed("the place of a reset"))?;
            let sample = usize::try_from(place).ok().and_then(|place| batch.samples.get_mut(place));
            sample.ok_or(Damage::Malformed("the place of a reset"))?.reset = true;
            next = place + 1;
        }
        let bitmap = cursor.bytes(layout.ids.len().div_ceil(8))?;
        for (place, (sample, last)) in batch.samples.iter_mut().zip(&mut layout.last).enumerate() {
            if bitmap[place / 8] >> (place % 8) & 1 == 1 {
                take_change(cursor, last)?;
            }
            sample.value = f64::from_bits(last.bits);
        }
        Ok(())
    }

    fn new_layout(&mut self, cursor: &mut Cursor<'_>) -> Result<usize, Damage> {
        let count = cursor.number32()? as usize;
        // a series takes a byte at least: a count that lies reserves no memory
        if count > cursor.0.len() || self.layouts.len() >= MOST_LAYOUTS {
            return Err(Damage::Malformed("the size of a layout"));
        }
        let mut ids = Vec::with_capacity(count);
        let mut next = 0_u64;
        for _ in 0..count {
            let id = next.checked_add(cursor.number()?).and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or(Damage::Malformed("a series number"))?;
            ids.push(id);
            next = u64::from(id) + 1;
        }
        self.layouts.push(Layout::new(ids));
        Ok(self.layouts.len() - 1)
    }
}

fn take_change(cursor: &mut Cursor<'_>, last: &mut Last) -> Result<(), Damage> {
    let code = cursor.number()?;
    if code & 1 == 0 {
        let power = POWERS.get(last.power as usize).ok_or(Damage::Malformed("a difference to no decimal"))?;
        last.digits = last.digits.wrapping_add(unzigzag(code >> 1));
        last.bits = (last.digits as f64 / power).to_bits();
        return Ok(());
    }
    match u8::try_from(code >> 1) {
        Ok(RAW) => {
            let (bits, _) = cursor.bytes(8)?.split_first_chunk::<8>().ok_or(Damage::Truncated)?;
            *last = Last { bits: u64::from_le_bytes(*bits), digits: 0, power: RAW };
        }
        Ok(power) if usize::from(power) < POWERS.len() => {
            let digits = unzigzag(cursor.number()?);
            let bits = (digits as f64 / POWERS[usize::from(power)]).to_bits();
            *last = Last { bits, digits, power };
        }
        _ => return Err(Damage::Malformed("a power of ten")),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
