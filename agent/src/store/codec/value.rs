//! One value. Most are short decimal fractions (counts, bytes, hundredths of a second), which take few bytes as a
//! whole number and a power of ten; all others keep their 64 bits. Either way every bit comes back.

#[cfg(test)]
use super::varint::{put, zigzag};
use super::{
    Damage,
    varint::{Cursor, unzigzag},
};

/// Powers of ten that a decimal may be divided by; the index takes three bits.
pub(super) const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
/// In the place of the power's index: the eight bytes of the number follow.
const RAW: u8 = 7;
/// Below this every whole number is a float.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53

/// Appends a value.
#[cfg(test)]
pub(super) fn put_value(buf: &mut Vec<u8>, value: f64) {
    match decimal(value) {
        Some((digits, power)) => put(buf, zigzag(digits) << 3 | power as u64),
        None => {
            buf.push(RAW);
            buf.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

/// The next value.
pub(super) fn take_value(cursor: &mut Cursor<'_>) -> Result<f64, Damage> {
    if cursor.0.first() == Some(&RAW) {
        let bytes = cursor.bytes(9)?;
        let (_, bits) = bytes.split_last_chunk::<8>().ok_or(Damage::Truncated)?;
        return Ok(f64::from_bits(u64::from_le_bytes(*bits)));
    }
    let number = cursor.number()?;
    let power = POWERS.get((number & 7) as usize).ok_or(Damage::Malformed("a power of ten"))?;
    Ok(unzigzag(number >> 3) as f64 / power)
}

/// The fewest digits and the power of ten that give exactly this value.
pub(super) fn decimal(value: f64) -> Option<(i64, usize)> {
    let whole = value as i64;
    if whole as f64 == value && value.abs() < EXACT {
        let negative_zero = whole == 0 && value.is_sign_negative();
        return (!negative_zero).then_some((whole, 0));
    }
    if value.abs() * POWERS[6] >= EXACT {
        return (1..6).find_map(|power| Some((digits(value, power)?, power)));
    }
    // the sixth power covers the smaller ones, so that one trial settles most values
    let (mut found, mut power) = (digits(value, 6)?, 6);
    while found % 10 == 0 {
        found /= 10;
        power -= 1;
    }
    Some((found, power))
}

/// The digits, if they and this power of ten give exactly the value.
fn digits(value: f64, power: usize) -> Option<i64> {
    let scaled = value * POWERS[power];
    let digits = (scaled + 0.5_f64.copysign(scaled)) as i64;
    let exact = scaled.abs() < EXACT && (digits as f64 / POWERS[power]).to_bits() == value.to_bits();
    (exact && digits != 0).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn length(value: f64) -> usize {
        let mut buf = Vec::new();
        put_value(&mut buf, value);
        let mut cursor = Cursor(&buf);
        assert_eq!(take_value(&mut cursor).unwrap().to_bits(), value.to_bits(), "{value:?}");
        assert!(cursor.0.is_empty(), "{value:?}");
        buf.len()
    }

    #[test]
    fn short_decimals_are_short() {
        for (value, bytes) in
            [(0.0, 1), (1.0, 1), (-3.0, 1), (0.5, 1), (0.07, 1), (12.34, 3), (1e6, 4), (0.1, 1)]
        {
            assert_eq!(length(value), bytes, "{value}");
        }
    }

    #[test]
    fn the_odd_ones_keep_every_bit() {
        let edge =
            [EXACT, EXACT - 1.0, EXACT + 2.0, EXACT / 1e6, 9_007_199_254.740_992, 4_503_599_627_370_495.5];
        let odd = [
            f64::MIN_POSITIVE,
            f64::MIN_POSITIVE / 3.0,
            5e-324,
            f64::MAX,
            f64::EPSILON,
            1e-7,
            1e300,
            0.1 + 0.2,
        ];
        for value in edge.into_iter().chain(odd) {
            length(value);
            length(-value);
        }
        assert_eq!(length(-0.0), 9);
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in any::<f64>()) {
            length(value);
        }

        #[test]
        fn every_decimal_comes_back_short(digits in -999_999_999_i64..999_999_999, power in 0_usize..=6) {
            prop_assert!(length(digits as f64 / POWERS[power]) <= 5);
        }
    }
}
