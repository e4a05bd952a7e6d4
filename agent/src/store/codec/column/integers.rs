//! Columns of whole numbers: which shape fits, and what is left of the numbers once it is taken away.

use super::{
    super::{Damage, varint::Cursor},
    Effort, Head,
    decimal::Exceptions,
    entropy, factor,
    order::{self, Orders},
    packed, shape,
};

const CONSTANT: u8 = 0;
const LINEAR: u8 = 1;
const SPARSE: u8 = 2;
/// Packed numbers; the next two shapes: packed differences, and packed differences of these.
const PACKED: u8 = 3;
const PACKED_TWICE: u8 = PACKED + 2;
/// Numbers through pco; the next two shapes as with packed ones.
const ENTROPY: u8 = 6;
const ENTROPY_TWICE: u8 = ENTROPY + 2;

/// Sparse is worth a trial below one change in so many values.
const SELDOM: usize = 6;
/// A sparse column of fewer bytes is good enough.
const SHORT: usize = 24;

/// Encodes columns of whole numbers.
#[derive(Debug, Default)]
pub(super) struct IntegerEncoder {
    orders: Orders,
    sparse: Vec<u8>,
    body: Vec<u8>,
    trial: Vec<u8>,
}

impl IntegerEncoder {
    /// Appends the numbers (at least one), behind a head with these properties.
    pub(super) fn encode(
        &mut self,
        values: &[i64],
        exponent: u8,
        exceptions: &Exceptions,
        effort: Effort,
        out: &mut Vec<u8>,
    ) {
        let head = |shape, scaled, out: &mut Vec<u8>| {
            Head { shape, exponent, scaled, exceptions: !exceptions.is_empty() }.write(out);
            if !exceptions.is_empty() {
                exceptions.write(out);
            }
        };
        let step = values.get(1).map_or(0, |second| second.wrapping_sub(values[0]));
        let (changes, bends) = changes_and_bends(values, step);
        if changes == 0 {
            head(CONSTANT, false, out);
            return shape::write_constant(values[0], out);
        }
        if bends == 0 {
            head(LINEAR, false, out);
            return shape::write_linear(values[0], step, out);
        }
        self.sparse.clear();
        if changes * SELDOM < values.len() {
            shape::write_sparse(values, &mut self.sparse);
        }
        if self.sparse.is_empty() || self.sparse.len() >= SHORT {
            let scale = factor::find(values);
            self.orders.fill(values, scale);
            let shape = self.residuals(effort);
            if self.sparse.is_empty() || self.body.len() < self.sparse.len() {
                head(shape, scale.is_some(), out);
                if let Some(scale) = scale {
                    scale.write(out);
                }
                return out.extend_from_slice(&self.body);
            }
        }
        head(SPARSE, false, out);
        out.extend_from_slice(&self.sparse);
    }

    /// Fills `body` in the best way that the effort allows, and returns which it is.
    fn residuals(&mut self, effort: Effort) -> u8 {
        let (packed_order, packed_length) = self.orders.smallest_packed();
        let (mut best, mut shape) = (packed_length + 1, PACKED);
        if effort == Effort::Small {
            for order in self.orders.likely_coded() {
                self.trial.clear();
                let numbers = self.orders.begin(order, &mut self.trial);
                // pco refuses only what is no column of ours: more than 2^24 numbers
                if entropy::write(numbers, &mut self.trial).is_ok() && self.trial.len() < best {
                    std::mem::swap(&mut self.trial, &mut self.body);
                    (best, shape) = (self.body.len(), ENTROPY + order as u8);
                }
            }
        }
        if shape == PACKED {
            self.body.clear();
            let numbers = self.orders.begin(packed_order, &mut self.body);
            packed::write(numbers, &mut self.body);
            shape = PACKED + packed_order as u8;
        }
        shape
    }
}

/// How many values differ from the one before, and how many differences from `step`.
fn changes_and_bends(values: &[i64], step: i64) -> (usize, usize) {
    let differences = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    differences.fold((0, 0), |(changes, bends), difference| {
        (changes + usize::from(difference != 0), bends + usize::from(difference != step))
    })
}

/// Appends exactly `count` (at least one) numbers.
pub(super) fn decode(
    head: &Head,
    mut cursor: Cursor<'_>,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), Damage> {
    if head.scaled && !(PACKED..=ENTROPY_TWICE).contains(&head.shape) {
        return Err(Damage::Malformed("the shape of a column"));
    }
    let scale = if head.scaled { Some(factor::Scale::read(&mut cursor)?) } else { None };
    match head.shape {
        CONSTANT => shape::read_constant(cursor, count, out)?,
        LINEAR => shape::read_linear(cursor, count, out)?,
        SPARSE => shape::read_sparse(cursor, count, out)?,
        PACKED..=PACKED_TWICE => {
            let order = order::open(&mut cursor, usize::from(head.shape - PACKED), count, out)?;
            packed::read(&mut cursor, count - order, out)?;
            cursor.end()?;
            order::integrate(out, order);
        }
        ENTROPY..=ENTROPY_TWICE => {
            let order = order::open(&mut cursor, usize::from(head.shape - ENTROPY), count, out)?;
            entropy::read(cursor, count - order, out)?;
            order::integrate(out, order);
        }
        _ => return Err(Damage::Malformed("the shape of a column")),
    }
    if let Some(scale) = scale {
        scale.restore(out);
    }
    Ok(())
}
