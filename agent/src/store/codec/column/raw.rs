//! Columns whose values are no decimals.

use super::{
    super::{Damage, varint::Cursor},
    Effort, Head, RAW,
};

/// One value, eight bytes.
const CONSTANT: u8 = 0;
/// All values, eight bytes each.
const PLAIN: u8 = 1;

pub(super) fn encode(values: &[f64], _effort: Effort, out: &mut Vec<u8>) {
    let constant = values.iter().all(|value| value.to_bits() == values[0].to_bits());
    let (shape, kept) = if constant { (CONSTANT, &values[..1]) } else { (PLAIN, values) };
    Head { shape, exponent: RAW, ..Head::default() }.write(out);
    for value in kept {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

pub(super) fn decode(shape: u8, cursor: Cursor<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Damage> {
    let stored = match shape {
        CONSTANT => 1,
        PLAIN => count,
        _ => return Err(Damage::Malformed("the shape of a column")),
    };
    let (values, rest) = cursor.0.as_chunks::<8>();
    if values.len() < stored {
        return Err(Damage::Truncated);
    }
    if values.len() > stored || !rest.is_empty() {
        return Err(Damage::Malformed("bytes after the end"));
    }
    let before = out.len();
    out.extend(values.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes))));
    if shape == CONSTANT {
        out.resize(before + count, out[before]);
    }
    Ok(())
}
