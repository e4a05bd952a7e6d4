//! Decimal fractions as whole numbers and one power of ten for the column, with a list of the few that are none.

use super::super::{
    Damage,
    varint::{Cursor, put},
};

const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
/// Below this every whole number is a float.
const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
/// One value in so many may be no decimal.
const TOLERATED: usize = 16;

/// The values of a column that are no decimals.
#[derive(Debug, Default)]
pub(in super::super) struct Exceptions(Vec<(usize, u64)>);

/// Finds the smallest exponent with which all values are whole numbers divided by a power of ten, every bit the same,
/// and puts the numbers into `digits`. The few that are none go to `exceptions`. Returns nothing if they aren't few.
pub(in super::super) fn scale(
    values: &[f64],
    digits: &mut Vec<i64>,
    exceptions: &mut Exceptions,
) -> Option<u8> {
    let tolerated = values.len() / TOLERATED;
    let mut exponent = 0;
    // a value that has a larger exponent begins the column anew: all before it have that one too
    loop {
        match scale_by(exponent, values, tolerated, digits, exceptions) {
            Scaled::All => return Some(exponent as u8),
            Scaled::Needs(larger) => exponent = larger,
            Scaled::TooFew => return None,
        }
    }
}

enum Scaled {
    All,
    Needs(usize),
    TooFew,
}

fn scale_by(
    exponent: usize,
    values: &[f64],
    tolerated: usize,
    digits: &mut Vec<i64>,
    exceptions: &mut Exceptions,
) -> Scaled {
    digits.clear();
    digits.reserve(values.len());
    exceptions.0.clear();
    for &value in values {
        let found = if exponent == 0 { whole(value) } else { fraction(value, exponent) };
        if let Some(number) = found {
            digits.push(number);
            continue;
        }
        if let Some(larger) = (exponent + 1..POWERS.len()).find(|larger| fraction(value, *larger).is_some()) {
            return Scaled::Needs(larger);
        }
        if exceptions.0.len() == tolerated {
            return Scaled::TooFew;
        }
        exceptions.0.push((digits.len(), value.to_bits()));
        digits.push(digits.last().copied().unwrap_or(0));
    }
    Scaled::All
}

fn whole(value: f64) -> Option<i64> {
    let number = value as i64;
    // the bits tell -0.0 from 0.0
    ((number as f64).to_bits() == value.to_bits() && value.abs() < EXACT).then_some(number)
}

fn fraction(value: f64, exponent: usize) -> Option<i64> {
    let power = POWERS[exponent];
    let scaled = value * power;
    let number = (scaled + 0.5_f64.copysign(scaled)) as i64;
    ((number as f64 / power).to_bits() == value.to_bits() && scaled.abs() < EXACT).then_some(number)
}

/// Appends the values of these numbers.
pub(in super::super) fn unscale(digits: &[i64], exponent: u8, out: &mut Vec<f64>) -> Result<(), Damage> {
    let power = *POWERS.get(usize::from(exponent)).ok_or(Damage::Malformed("a power of ten"))?;
    if exponent == 0 {
        out.extend(digits.iter().map(|number| *number as f64));
    } else {
        out.extend(digits.iter().map(|number| *number as f64 / power));
    }
    Ok(())
}

impl Exceptions {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends how many there are, then of each the distance from the one before and its bits.
    pub(in super::super) fn write(&self, out: &mut Vec<u8>) {
        put(out, self.0.len() as u64);
        let mut next = 0;
        for (at, bits) in &self.0 {
            put(out, (at - next) as u64);
            out.extend_from_slice(&bits.to_le_bytes());
            next = at + 1;
        }
    }

    pub(in super::super) fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Self, Damage> {
        let listed = cursor.number()?;
        // each takes nine bytes at least: a number that lies reserves no memory
        if listed > cursor.0.len() as u64 / 9 {
            return Err(Damage::Truncated);
        }
        let (mut list, mut next) = (Vec::new(), 0_u64);
        for _ in 0..listed {
            let at = next.checked_add(cursor.number()?).filter(|at| *at < count as u64);
            let at = at.ok_or(Damage::Malformed("the place of a value"))?;
            let (bits, rest) = cursor.0.split_first_chunk::<8>().ok_or(Damage::Truncated)?;
            cursor.0 = rest;
            list.push((at as usize, u64::from_le_bytes(*bits)));
            next = at + 1;
        }
        Ok(Self(list))
    }

    /// Puts the values into their places.
    pub(in super::super) fn restore(&self, values: &mut [f64]) -> Result<(), Damage> {
        for (at, bits) in &self.0 {
            let value = values.get_mut(*at).ok_or(Damage::Malformed("the place of a value"))?;
            *value = f64::from_bits(*bits);
        }
        Ok(())
    }
}
