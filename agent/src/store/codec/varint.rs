//! Whole numbers in as few bytes as they need: seven bits a byte, the lowest first, the eighth bit set while more follow.

use super::Damage;

/// Appends a number.
pub(super) fn put(buf: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buf.push(value as u8 | 0x80);
        value >>= 7;
    }
    buf.push(value as u8);
}

/// Maps small numbers of either sign to small ones without: 0, -1, 1, -2 … to 0, 1, 2, 3 …
pub(super) const fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Cursor<'a>(pub(in super::super) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        let (first, rest) = self.0.split_first().ok_or(Damage::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damage::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Result<u64, Damage> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damage::Malformed("a number of more than 64 bits"))
    }

    /// The next number, where it must fit 32 bits.
    pub(super) fn number32(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.number()?).map_err(|_| Damage::Malformed("a number of more than 32 bits"))
    }

    /// That nothing is left.
    pub(super) fn end(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Malformed("bytes after the end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_read_as_written(values in prop::collection::vec(any::<i64>(), 0..20)) {
            let mut buf = Vec::new();
            for value in &values {
                put(&mut buf, zigzag(*value));
            }
            let mut cursor = Cursor(&buf);
            for value in &values {
                prop_assert_eq!(cursor.number().map(unzigzag), Ok(*value));
            }
            prop_assert_eq!(cursor.end(), Ok(()));
        }

        #[test]
        fn garbage_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Cursor(&bytes).number();
        }
    }

    #[test]
    fn an_endless_number_is_refused() {
        assert!(matches!(Cursor(&[0xff; 20]).number(), Err(Damage::Malformed(_))));
        assert_eq!(Cursor(&[0xff; 3]).number(), Err(Damage::Truncated));
    }
}
