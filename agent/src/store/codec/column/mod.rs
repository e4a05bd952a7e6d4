//! A column: the values of one series, one after the other, in few bytes, every bit kept.
//!
//! Most columns are short decimal fractions. They are coded as whole numbers and a power of ten; the whole numbers as
//! what they look like (constant, straight line, seldom changing) or else as packed differences.

pub(super) mod decimal;
mod entropy;
mod factor;
mod integers;
mod order;
mod packed;
mod raw;
mod shape;

#[cfg(test)]
mod tests;

use super::{Damage, varint::Cursor};
use decimal::Exceptions;
use integers::IntegerEncoder;

/// How much work goes into making a column small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Bit packing: for what is written often and soon written anew.
    Fast,
    /// Entropy coding: for what stays.
    Small,
}

/// Encodes columns, one after the other, in the same memory.
#[derive(Debug, Default)]
pub struct ColumnEncoder {
    digits: Vec<i64>,
    exceptions: Exceptions,
    integers: IntegerEncoder,
}

/// In the place of the exponent: the values are no decimals.
const RAW: u8 = 7;

impl ColumnEncoder {
    /// Appends the column; no bytes if it is empty. Every bit of every value comes back.
    pub fn encode(&mut self, values: &[f64], effort: Effort, out: &mut Vec<u8>) {
        if values.is_empty() {
            return;
        }
        match decimal::scale(values, &mut self.digits, &mut self.exceptions) {
            Some(exponent) => self.integers.encode(&self.digits, exponent, &self.exceptions, effort, out),
            None => raw::encode(values, effort, out),
        }
    }

    /// Appends a column of whole numbers, as [`decode_integers`] reads it.
    pub(super) fn encode_integers(&mut self, values: &[i64], effort: Effort, out: &mut Vec<u8>) {
        if !values.is_empty() {
            self.integers.encode(values, 0, &Exceptions::default(), effort, out);
        }
    }
}

/// Appends exactly `count` values to `out`; every byte must be used. No input makes it panic or take more memory than
/// `count` values justify. After an error `out` is as it was.
pub fn decode_column(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), Damage> {
    let before = out.len();
    let decoded = append(bytes, count, out);
    if decoded.is_err() {
        out.truncate(before);
    }
    decoded
}

fn append(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), Damage> {
    let mut cursor = Cursor(bytes);
    if count == 0 {
        return cursor.end();
    }
    let head = Head::read(&mut cursor)?;
    if head.exponent == RAW {
        return raw::decode(head.shape, cursor, count, out);
    }
    let exceptions =
        if head.exceptions { Exceptions::read(&mut cursor, count)? } else { Exceptions::default() };
    let mut digits = Vec::new();
    integers::decode(&head, cursor, count, &mut digits)?;
    let before = out.len();
    decimal::unscale(&digits, head.exponent, out)?;
    exceptions.restore(&mut out[before..])
}

/// Appends exactly `count` whole numbers, as [`ColumnEncoder::encode_integers`] wrote them.
pub(super) fn decode_integers(bytes: &[u8], count: usize) -> Result<Vec<i64>, Damage> {
    let mut cursor = Cursor(bytes);
    let mut values = Vec::new();
    if count == 0 {
        return cursor.end().map(|()| values);
    }
    let head = Head::read(&mut cursor)?;
    if head.exponent != 0 || head.exceptions {
        return Err(Damage::Malformed("fractions among whole numbers"));
    }
    integers::decode(&head, cursor, count, &mut values)?;
    Ok(values)
}

/// What a column begins with: the shape (4 bits), the exponent (3), and whether a byte with the other two follows (1).
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    shape: u8,
    /// Of the power of ten that the whole numbers are divided by, or [`RAW`].
    exponent: u8,
    /// The whole numbers have a factor in common.
    scaled: bool,
    /// Some values are no decimals, and are listed.
    exceptions: bool,
}

const EXTENDED: u8 = 0x80;
const SCALED: u8 = 1;
const EXCEPTIONS: u8 = 2;

impl Head {
    fn write(self, out: &mut Vec<u8>) {
        let extension = (u8::from(self.scaled) * SCALED) | (u8::from(self.exceptions) * EXCEPTIONS);
        let extended = if extension == 0 { 0 } else { EXTENDED };
        out.push(self.shape | self.exponent << 4 | extended);
        if extension != 0 {
            out.push(extension);
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Damage> {
        let first = cursor.byte()?;
        let extension = if first & EXTENDED == 0 { 0 } else { cursor.byte()? };
        let extended = first & EXTENDED != 0;
        if extended && (extension == 0 || extension & !(SCALED | EXCEPTIONS) != 0) {
            return Err(Damage::Malformed("the head of a column"));
        }
        let head = Self {
            shape: first & 0xf,
            exponent: first >> 4 & 7,
            scaled: extension & SCALED != 0,
            exceptions: extension & EXCEPTIONS != 0,
        };
        if head.exponent == RAW && extended {
            return Err(Damage::Malformed("the head of a column"));
        }
        Ok(head)
    }
}
