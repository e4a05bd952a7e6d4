//! A layout of format 1: which series a batch has, in the order of their values.

#[cfg(test)]
use super::varint::put;
use super::{Damage, envelope, varint::Cursor};

/// Writes series numbers, which ascend and are unique: as the agent once did.
#[cfg(test)]
pub(in super::super) fn write_layout(buf: &mut Vec<u8>, key: i64, ids: &[u32]) {
    envelope::begin(buf);
    put(buf, ids.len() as u64);
    let mut next = 0;
    for id in ids {
        put(buf, u64::from(*id) - next);
        next = u64::from(*id) + 1;
    }
    envelope::seal(buf, key);
}

/// Reads the series numbers, which ascend and are unique, into `ids`.
pub(in super::super) fn read_layout(bytes: &[u8], key: i64, ids: &mut Vec<u32>) -> Result<(), Damage> {
    ids.clear();
    let mut cursor = Cursor(envelope::open(bytes, key)?);
    let count = cursor.number()?;
    // a series takes a byte at least: a count that lies reserves no memory
    if count > cursor.0.len() as u64 {
        return Err(Damage::Truncated);
    }
    let mut next = 0_u64;
    for _ in 0..count {
        let id = next + u64::from(cursor.number32()?);
        ids.push(u32::try_from(id).map_err(|_| Damage::Malformed("a series number"))?);
        next = id + 1;
    }
    cursor.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_read_as_written_and_damage_is_refused(
            ids in prop::collection::btree_set(any::<u32>(), 0..50), key in any::<i64>(), at in any::<prop::sample::Index>(), bit in 0..8_u8
        ) {
            let ids: Vec<u32> = ids.into_iter().collect();
            let (mut buf, mut read) = (Vec::new(), Vec::new());
            write_layout(&mut buf, key, &ids);
            prop_assert_eq!(read_layout(&buf, key, &mut read), Ok(()));
            prop_assert_eq!(&read, &ids);
            prop_assert_eq!(read_layout(&buf, key ^ 1, &mut read), Err(Damage::Checksum));
            prop_assert_eq!(read_layout(&buf[..at.index(buf.len())], key, &mut read), Err(Damage::Truncated));
            let flipped = at.index(buf.len());
            buf[flipped] ^= 1_u8 << bit;
            prop_assert!(read_layout(&buf, key, &mut read).is_err());
        }

        #[test]
        fn garbage_under_a_good_checksum_is_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut buf = Vec::new();
            envelope::begin(&mut buf);
            buf.extend(garbage);
            envelope::seal(&mut buf, 1);
            let _ = read_layout(&buf, 1, &mut Vec::new());
        }
    }
}
