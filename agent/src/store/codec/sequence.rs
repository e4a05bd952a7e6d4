//! Whole numbers whose differences repeat (times on a grid, runs, counters of commits): runs of equal differences.

use super::{
    Damage,
    varint::{Cursor, put, unzigzag, zigzag},
};

/// Appends numbers. How many there are is known elsewhere.
pub(super) fn put_sequence(buf: &mut Vec<u8>, values: impl IntoIterator<Item = i64>) {
    let mut values = values.into_iter();
    let Some(first) = values.next() else { return };
    put(buf, zigzag(first));
    let (mut before, mut step, mut repeats) = (first, 0, 0_u64);
    for value in values {
        let next = value.wrapping_sub(before);
        if repeats > 0 && next != step {
            put(buf, zigzag(step));
            put(buf, repeats);
            repeats = 0;
        }
        (before, step) = (value, next);
        repeats += 1;
    }
    if repeats > 0 {
        put(buf, zigzag(step));
        put(buf, repeats);
    }
}

/// The next `count` numbers, into `values`, which is emptied first.
pub(super) fn take_sequence(
    cursor: &mut Cursor<'_>,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), Damage> {
    values.clear();
    if count == 0 {
        return Ok(());
    }
    let mut value = unzigzag(cursor.number()?);
    values.push(value);
    while values.len() < count {
        let step = unzigzag(cursor.number()?);
        let repeats = cursor.number()?;
        if repeats == 0 || repeats > (count - values.len()) as u64 {
            return Err(Damage::Malformed("the length of a run"));
        }
        for _ in 0..repeats {
            value = value.wrapping_add(step);
            values.push(value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_read_as_written(
            parts in prop::collection::vec((prop_oneof![Just(1000_i64), Just(0), -5..5_i64, any::<i64>()], 1..50_usize), 0..8),
            cut in any::<prop::sample::Index>()
        ) {
            let mut value = 7_i64;
            let mut values = Vec::new();
            for (step, repeats) in parts {
                for _ in 0..repeats {
                    value = value.wrapping_add(step);
                    values.push(value);
                }
            }
            let (mut buf, mut read) = (Vec::new(), Vec::new());
            put_sequence(&mut buf, values.iter().copied());
            let mut cursor = Cursor(&buf);
            prop_assert_eq!(take_sequence(&mut cursor, values.len(), &mut read), Ok(()));
            prop_assert_eq!(cursor.end(), Ok(()));
            prop_assert_eq!(&read, &values);
            if !buf.is_empty() {
                let short = &buf[..cut.index(buf.len())];
                prop_assert!(take_sequence(&mut Cursor(short), values.len(), &mut read).is_err());
            }
        }
    }

    #[test]
    fn a_grid_costs_a_few_bytes() {
        let mut buf = Vec::new();
        put_sequence(&mut buf, (0..7200).map(|tick| tick * 1000));
        assert_eq!(buf.len(), 5);
    }
}
