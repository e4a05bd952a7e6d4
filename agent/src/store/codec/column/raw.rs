//! Columns whose values are no decimals.

use super::{
    super::{Damage, varint::Cursor},
    Effort, Head, RAW, entropy,
    packed::{GROUP, pack, unpack, width},
};

/// One value, eight bytes.
const CONSTANT: u8 = 0;
/// Each value's bits, without those of the one before.
const CHANGED_BITS: u8 = 1;
/// Through pco.
const ENTROPY: u8 = 2;

/// Appends values (at least one).
pub(super) fn encode(values: &[f64], effort: Effort, out: &mut Vec<u8>) {
    let before = out.len();
    let head = |shape, out: &mut Vec<u8>| Head { shape, exponent: RAW, ..Head::default() }.write(out);
    if values.iter().all(|value| value.to_bits() == values[0].to_bits()) {
        head(CONSTANT, out);
        return out.extend_from_slice(&values[0].to_bits().to_le_bytes());
    }
    head(CHANGED_BITS, out);
    write_changed_bits(values, out);
    if effort == Effort::Small {
        let mut coded = Vec::new();
        head(ENTROPY, &mut coded);
        let accepted = entropy::write_floats(values, &mut coded).unwrap_or(false);
        if accepted && coded.len() < out.len() - before {
            out.truncate(before);
            out.extend_from_slice(&coded);
        }
    }
}

/// Appends exactly `count` (at least one) values; every byte must be used.
pub(super) fn decode(shape: u8, cursor: Cursor<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Damage> {
    match shape {
        CONSTANT => {
            let (bits, rest) = cursor.0.split_first_chunk::<8>().ok_or(Damage::Truncated)?;
            Cursor(rest).end()?;
            out.resize(out.len() + count, f64::from_bits(u64::from_le_bytes(*bits)));
            Ok(())
        }
        CHANGED_BITS => read_changed_bits(cursor, count, out),
        ENTROPY => {
            out.extend(entropy::read_floats(cursor.0, count)?);
            Ok(())
        }
        _ => Err(Damage::Malformed("the shape of a column")),
    }
}

/// Appends of each group how many of the lowest bits never change, how many then do, and these.
fn write_changed_bits(values: &[f64], out: &mut Vec<u8>) {
    let mut before = 0;
    let mut changes = [0; GROUP];
    for group in values.chunks(GROUP) {
        let changes = &mut changes[..group.len()];
        for (change, value) in changes.iter_mut().zip(group) {
            *change = value.to_bits() ^ before;
            before = value.to_bits();
        }
        let all = changes.iter().fold(0, |all, change| all | change);
        let unchanged = all.trailing_zeros() & 63;
        let width = width(all >> unchanged);
        out.extend([unchanged as u8, width as u8]);
        pack(changes.iter().map(|change| change >> unchanged), width, out);
    }
}

fn read_changed_bits(mut cursor: Cursor<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Damage> {
    let (mut left, mut bits) = (count, 0);
    while left > 0 {
        let length = left.min(GROUP);
        let (unchanged, width) = (u32::from(cursor.byte()?), u32::from(cursor.byte()?));
        if unchanged >= 64 || unchanged + width > 64 {
            return Err(Damage::Malformed("a width of more than 64 bits"));
        }
        unpack(&mut cursor, width, length, |change| {
            bits ^= change << unchanged;
            out.push(f64::from_bits(bits));
        })?;
        left -= length;
    }
    cursor.end()
}
