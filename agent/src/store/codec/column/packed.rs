//! Numbers in as many bits as the widest of their group needs.

use super::super::{
    Damage,
    varint::{Cursor, put, unzigzag, zigzag},
};

/// How many numbers share a width.
pub(super) const GROUP: usize = 64;

/// How many bits a number needs.
pub(super) const fn width(number: u64) -> u32 {
    64 - number.leading_zeros()
}

/// Appends the numbers: of each group its width, its smallest number less that of the group before, and what the
/// others have above it.
pub(super) fn write(numbers: &[i64], out: &mut Vec<u8>) {
    let mut before = 0;
    for group in numbers.chunks(GROUP) {
        let (low, width) = frame(group);
        out.push(width as u8);
        put(out, zigzag(low.wrapping_sub(before)));
        pack(group.iter().map(|&number| number.wrapping_sub(low) as u64), width, out);
        before = low;
    }
}

/// How many bytes [`write`] appends.
pub(super) fn length(numbers: &[i64]) -> usize {
    let (mut length, mut before) = (0, 0);
    for group in numbers.chunks(GROUP) {
        let (low, width) = frame(group);
        let step = self::width(zigzag(low.wrapping_sub(before))).div_ceil(7).max(1);
        length += 1 + step as usize + (width as usize * group.len()).div_ceil(8);
        before = low;
    }
    length
}

/// The smallest number, and how many bits the others need above it.
fn frame(group: &[i64]) -> (i64, u32) {
    let (low, high) = group.iter().fold((i64::MAX, i64::MIN), |(low, high), &n| (low.min(n), high.max(n)));
    (low, width(high.wrapping_sub(low) as u64))
}

/// Appends exactly `count` numbers.
pub(super) fn read(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), Damage> {
    let (mut left, mut low) = (count, 0_i64);
    while left > 0 {
        let length = left.min(GROUP);
        let width = u32::from(cursor.byte()?);
        if width > 64 {
            return Err(Damage::Malformed("a width of more than 64 bits"));
        }
        low = low.wrapping_add(unzigzag(cursor.number()?));
        unpack(cursor, width, length, |number| out.push(low.wrapping_add(number as i64)))?;
        left -= length;
    }
    Ok(())
}

/// Appends the lowest `width` bits of numbers that have no more.
pub(super) fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut used) = (0_u128, 0);
    for number in numbers {
        bits |= u128::from(number) << used;
        used += width;
        if used >= 64 {
            out.extend_from_slice(&(bits as u64).to_le_bytes());
            bits >>= 64;
            used -= 64;
        }
    }
    let rest = (bits as u64).to_le_bytes();
    out.extend_from_slice(&rest[..used.div_ceil(8) as usize]);
}

/// Gives `count` (at most [`GROUP`]) numbers of `width` (at most 64) bits.
pub(super) fn unpack(
    cursor: &mut Cursor<'_>,
    width: u32,
    count: usize,
    mut each: impl FnMut(u64),
) -> Result<(), Damage> {
    let bytes = cursor.bytes((width as usize * count).div_ceil(8))?;
    let (mut bits, mut held) = (0_u128, 0);
    let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    let mut words = bytes.chunks(8);
    for _ in 0..count {
        if held < width {
            let mut word = [0; 8];
            let chunk = words.next().unwrap_or_default();
            word[..chunk.len()].copy_from_slice(chunk);
            bits |= u128::from(u64::from_le_bytes(word)) << held;
            held += 64;
        }
        each(bits as u64 & mask);
        bits >>= width;
        held -= width;
    }
    if bits != 0 {
        return Err(Damage::Malformed("bits after the end"));
    }
    Ok(())
}
