//! Numbers that lie on a grid wider than one: pages of 4096 bytes, sectors, quarters.

use super::super::{
    Damage,
    varint::{Cursor, put},
};

/// Every number is `offset` and a multiple of `factor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// At least 2.
    factor: i64,
    /// At least 0, less than the factor.
    offset: i64,
}

/// Numbers up to this size have differences that don't overflow.
const SAFE: i64 = 1 << 62;

/// The widest grid that the numbers (at least one) lie on, if it is wider than one.
pub(super) fn find(numbers: &[i64]) -> Option<Scale> {
    let first = *numbers.first()?;
    let mut factor = 0;
    for &number in numbers {
        let distance = number.wrapping_sub(first).unsigned_abs();
        if !is_multiple(distance, factor) {
            factor = greatest_common_divisor(distance, factor);
            if factor == 1 {
                return None;
            }
        }
    }
    let factor = i64::try_from(factor).ok().filter(|factor| *factor > 1)?;
    let safe = numbers.iter().all(|number| (-SAFE..SAFE).contains(number));
    safe.then(|| Scale { factor, offset: first.rem_euclid(factor) })
}

/// Division of 32 bits takes a fraction of the time of one of 64.
fn is_multiple(distance: u64, factor: u64) -> bool {
    if distance == 0 {
        return true;
    }
    match (u32::try_from(distance), u32::try_from(factor)) {
        (_, Ok(0)) => false,
        (Ok(distance), Ok(factor)) => distance % factor == 0,
        _ => distance.is_multiple_of(factor),
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Scale {
    /// How far a number of the grid is up it.
    pub(super) fn apply(self, number: i64) -> i64 {
        (number - self.offset) / self.factor
    }

    /// The inverse of [`Scale::apply`] for all numbers.
    pub(super) fn restore(self, numbers: &mut [i64]) {
        for number in numbers {
            *number = number.wrapping_mul(self.factor).wrapping_add(self.offset);
        }
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        put(out, self.factor as u64);
        put(out, self.offset as u64);
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Damage> {
        let factor = i64::try_from(cursor.number()?).ok().filter(|factor| *factor > 1);
        let factor = factor.ok_or(Damage::Malformed("a factor"))?;
        let offset = i64::try_from(cursor.number()?).ok().filter(|offset| *offset < factor);
        Ok(Self { factor, offset: offset.ok_or(Damage::Malformed("an offset"))? })
    }
}
