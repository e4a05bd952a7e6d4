//! Columns of whole numbers: which shape fits, and what is left of the numbers once it is taken away.

use super::{
    super::{Damage, varint::Cursor},
    Effort, Head,
    decimal::Exceptions,
    packed, shape,
};

const CONSTANT: u8 = 0;
const LINEAR: u8 = 1;
const SPARSE: u8 = 2;
/// The numbers, packed; the next two: their differences, and the differences of these.
const PACKED: u8 = 3;

/// Sparse is worth while below one change in so many values.
const SELDOM: usize = 6;

/// Encodes columns of whole numbers.
#[derive(Debug, Default)]
pub(super) struct IntegerEncoder {}

impl IntegerEncoder {
    /// Appends the numbers (at least one), behind a head with these properties.
    pub(super) fn encode(
        &mut self,
        values: &[i64],
        exponent: u8,
        exceptions: &Exceptions,
        _effort: Effort,
        out: &mut Vec<u8>,
    ) {
        let step = values.get(1).map_or(0, |second| second.wrapping_sub(values[0]));
        let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let shape = if changes == 0 {
            CONSTANT
        } else if values.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step) {
            LINEAR
        } else if changes * SELDOM < values.len() {
            SPARSE
        } else {
            PACKED
        };
        Head { shape, exponent, scaled: false, exceptions: !exceptions.is_empty() }.write(out);
        if !exceptions.is_empty() {
            exceptions.write(out);
        }
        match shape {
            CONSTANT => shape::write_constant(values[0], out),
            LINEAR => shape::write_linear(values[0], step, out),
            SPARSE => shape::write_sparse(values, out),
            _ => packed::write(values, out),
        }
    }
}

/// Appends exactly `count` (at least one) numbers.
pub(super) fn decode(
    head: &Head,
    mut cursor: Cursor<'_>,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), Damage> {
    match head.shape {
        CONSTANT => shape::read_constant(cursor, count, out),
        LINEAR => shape::read_linear(cursor, count, out),
        SPARSE => shape::read_sparse(cursor, count, out),
        PACKED => {
            packed::read(&mut cursor, count, out)?;
            cursor.end()
        }
        _ => Err(Damage::Malformed("the shape of a column")),
    }
}
