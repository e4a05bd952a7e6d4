use super::*;
use crate::store::codec::{ColumnEncoder, Effort, Samples, rollup::decode_rollups};
use proptest::prelude::*;
use std::collections::BTreeSet;

const KEY: i64 = 0x0123_4567_89ab;

/// Times on a grid and off it, runs and commits as they come, and such as never do.
fn rows(most: usize) -> impl Strategy<Value = Rows> {
    let time =
        prop_oneof![8 => 0..500_i64, 1 => -FARTHEST..=FARTHEST, 1 => Just(FARTHEST), 1 => Just(-FARTHEST)];
    let time = prop_oneof![Just(1000), time].prop_flat_map(|grid| (Just(grid), 0..500_i64));
    let place = (time, 0..3_i64, prop_oneof![4 => 0..50_i64, 1 => any::<i64>()]);
    let place = place.prop_map(|((grid, n), run, number)| {
        ((grid.saturating_mul(n)).clamp(-FARTHEST, FARTHEST), run, number)
    });
    prop::collection::btree_set(place, 0..most).prop_map(|places| {
        let mut rows = Rows::default();
        places.into_iter().for_each(|place| rows.push(place));
        rows
    })
}

/// A value as a metric has it, or any at all.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000_i64..1000).prop_map(|n| n as f64 / 4.0),
        2 => Just(7.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![Just(-0.0), Just(5e-324), Just(1.8e19), Just(f64::INFINITY), Just(f64::NAN)],
    ]
}

/// Each series, and of each row its sample, if it has one: the value, whether it began the counter anew.
type Columns = Vec<(u32, Vec<Option<(f64, bool)>>)>;

fn filled(most_rows: usize, most_series: usize) -> impl Strategy<Value = (Rows, Columns)> {
    rows(most_rows).prop_flat_map(move |rows| {
        let count = rows.len();
        let sample = (value(), prop::bool::weighted(0.1));
        let samples = prop::collection::vec(prop::option::weighted(0.9, sample), count);
        let number = prop_oneof![4 => 1..200_u32, 1 => any::<u32>()];
        let columns = prop::collection::btree_map(number, samples, 0..most_series);
        (Just(rows), columns.prop_map(|columns| columns.into_iter().collect()))
    })
}

fn written(rows: &Rows, columns: &Columns, effort: Effort) -> Vec<u8> {
    let (mut writer, mut encoder) = (BlockWriter::default(), ColumnEncoder::default());
    for (series, column) in columns {
        let (mut samples, mut body) = (Samples::default(), Vec::new());
        for (row, sample) in column.iter().enumerate() {
            if let Some((value, reset)) = sample {
                samples.push(row, *value, *reset);
            }
        }
        samples.encode(rows.len(), &mut encoder, effort, &mut body);
        writer.push(KEY, *series, samples.values.len() as u32, &body);
    }
    writer.finish(KEY, Content::Samples, rows)
}

/// A column bit by bit.
type Bits = Vec<Option<(u64, bool)>>;

fn bits(column: &[Option<(f64, bool)>]) -> Bits {
    column.iter().map(|sample| sample.map(|(value, reset)| (value.to_bits(), reset))).collect()
}

fn read_column(head: &BlockHead, column: &Column, blob: &[u8]) -> Result<Bits, Damage> {
    let mut samples = Samples::default();
    samples.decode(head.body(column, blob)?, head.rows.len(), column.count as usize)?;
    let mut bits = vec![None; head.rows.len()];
    samples.iter().for_each(|(row, value, reset)| bits[row] = Some((value.to_bits(), reset)));
    Ok(bits)
}

/// That damaged bytes are refused as a whole, or cost some columns and leave the others as they were. How many they cost.
fn cost(blob: &[u8], rows: &Rows, columns: &Columns) -> Result<usize, Damage> {
    let head = BlockHead::read(blob, blob.len(), KEY)?;
    assert_eq!((&head.rows, head.columns.len()), (rows, columns.len()));
    let mut lost = 0;
    for (column, (series, samples)) in head.columns.iter().zip(columns) {
        assert_eq!(column.series, *series);
        match read_column(&head, column, blob) {
            Ok(read) => assert_eq!(read, bits(samples)),
            Err(damage) => {
                assert_eq!(damage, Damage::Checksum);
                lost += 1;
            }
        }
    }
    Ok(lost)
}

proptest! {
    #[test]
    fn all_comes_back_bit_by_bit((rows, columns) in filled(150, 12)) {
        for effort in [Effort::Fast, Effort::Small] {
            let blob = written(&rows, &columns, effort);
            prop_assert_eq!(cost(&blob, &rows, &columns), Ok(0));
            let head = BlockHead::read(&blob, blob.len(), KEY).unwrap();
            // who knows the head alone finds the column, and nobody finds a series that isn't there
            for (series, samples) in &columns {
                let column = head.find(*series).unwrap();
                let body = &blob[column.at..column.at + column.length];
                prop_assert_eq!(head.check(column, body), Ok(()));
                prop_assert_eq!(column.count as usize, samples.iter().flatten().count());
            }
            let there: BTreeSet<u32> = columns.iter().map(|(series, _)| *series).collect();
            prop_assert!((0..250).all(|series| head.find(series).is_some() == there.contains(&series)));
            prop_assert!(BlockHead::read(&blob, blob.len(), KEY + 1).is_err(), "under another key");
        }
    }

    #[test]
    fn a_block_cut_anywhere_is_truncated((rows, columns) in filled(40, 6)) {
        let blob = written(&rows, &columns, Effort::Small);
        for length in 0..blob.len() {
            prop_assert_eq!(cost(&blob[..length], &rows, &columns), Err(Damage::Truncated), "{} of {}", length, blob.len());
        }
    }

    #[test]
    fn garbage_under_a_good_checksum_is_no_panic(
        head in prop::collection::vec(prop_oneof![3 => 0..6_u8, 1 => any::<u8>()], 0..40), bodies in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        let blob = forge_block(0, &head, &bodies, KEY);
        if let Ok(head) = BlockHead::read(&blob, blob.len(), KEY) {
            prop_assert!(head.rows.len() <= MOST_ROWS && head.columns.len() <= MOST_COLUMNS);
            for column in &head.columns {
                prop_assert!(column.at + column.length <= blob.len());
                let _ = read_column(&head, column, &blob);
            }
        }
    }

    #[test]
    fn garbage_in_a_column_is_no_panic_and_no_other_count(
        bytes in prop::collection::vec(prop_oneof![2 => 0..6_u8, 1 => any::<u8>()], 0..80), rows in 0..300_usize, count in 0..300_usize
    ) {
        let mut samples = Samples::default();
        if samples.decode(&bytes, rows, count).is_ok() {
            prop_assert_eq!(samples.values.len(), count);
            prop_assert_eq!(samples.iter().filter(|(row, ..)| *row < rows).count(), count);
            prop_assert_eq!(samples.iter().filter(|(.., reset)| *reset).count(), samples.resets.len());
        }
        let _ = decode_rollups(&bytes, count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_costs_the_block_or_one_column((rows, columns) in filled(200, 20), places in prop::collection::vec(any::<prop::sample::Index>(), 20)) {
        let blob = written(&rows, &columns, Effort::Small);
        for place in places {
            assert_flip_is_noticed(&blob, place.index(blob.len() * 8), &rows, &columns);
        }
    }
}

#[track_caller]
fn assert_flip_is_noticed(blob: &[u8], bit: usize, rows: &Rows, columns: &Columns) {
    let mut flipped = blob.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    let head = BlockHead::read(blob, blob.len(), KEY).expect("nothing is flipped yet");
    let bodies = head.columns.first().map_or(blob.len(), |column| column.at);
    match cost(&flipped, rows, columns) {
        Ok(lost) => assert!(lost == 1 && bit / 8 >= bodies, "bit {bit} cost {lost} columns"),
        Err(Damage::Checksum) => assert!(bit / 8 < bodies, "bit {bit}"),
        // the magic, and the lengths, which are looked at first: only there
        Err(damage) => assert!(bit / 8 < 12, "bit {bit}: {damage}"),
    }
}

#[test]
fn each_flipped_bit_of_a_block_is_noticed() {
    let mut rows = Rows::default();
    (0..20).for_each(|row| rows.push((1000 * row + row % 3, 1 + row / 15, row)));
    let sample = |n: u32, row: u32| (row % 7 != n).then(|| (f64::from(row * n) / 3.0, row == 4));
    let columns: Columns = (1..6).map(|n| (n * n, (0..20).map(|row| sample(n, row)).collect())).collect();
    let blob = written(&rows, &columns, Effort::Small);
    assert_eq!(cost(&blob, &rows, &columns), Ok(0));
    for bit in 0..blob.len() * 8 {
        assert_flip_is_noticed(&blob, bit, &rows, &columns);
    }
}

#[test]
fn what_no_writer_writes_is_refused() {
    let head = |times: &[i64], counts: u64| {
        let mut head = Vec::new();
        put(&mut head, times.len() as u64);
        put_sequence(&mut head, times.iter().copied());
        put_sequence(&mut head, times.iter().map(|_| 1));
        put_sequence(&mut head, times.iter().map(|_| 1));
        put(&mut head, counts);
        let blob = forge_block(0, &head, &[], KEY);
        BlockHead::read(&blob, blob.len(), KEY).map(|head| head.rows.times)
    };
    assert_eq!(head(&[1, 2, 5], 0), Ok(vec![1, 2, 5]));
    let not_in_order = Err(Damage::Malformed("rows that are not in order"));
    assert_eq!(head(&[1, 5, 2], 0), not_in_order);
    assert_eq!(head(&[1, 1], 0), not_in_order, "one place twice");
    assert_eq!(head(&[i64::MIN, 0], 0), Err(Damage::Malformed("a time that is never stored")));
    assert_eq!(head(&[0, FARTHEST + 1], 0), Err(Damage::Malformed("a time that is never stored")));
    assert_eq!(head(&[1], 1 << 20), Err(Damage::Malformed("more columns than a block has")));
    let mut many = Vec::new();
    put(&mut many, MOST_ROWS as u64 + 1);
    let blob = forge_block(0, &many, &[], KEY);
    let refused = BlockHead::read(&blob, blob.len(), KEY).map(|_| ());
    assert_eq!(refused, Err(Damage::Malformed("more rows than any block has")));
    let mut other = written(&Rows::default(), &Vec::new(), Effort::Fast);
    other[2] = VERSION + 1;
    let sum = head_checksum(KEY, &other);
    other[12..PREFIX].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(BlockHead::read(&other, other.len(), KEY).map(|_| ()), Err(Damage::Version(VERSION + 1)));
}

#[test]
fn a_reset_stands_at_a_sample() {
    let column = |present: &[std::ops::Range<usize>], reset: u8| {
        let mut bytes = Vec::new();
        super::super::put_present(present, 9, &mut bytes);
        bytes.extend([1, reset]);
        let count = present.iter().map(ExactSizeIterator::len).sum();
        ColumnEncoder::default().encode(&vec![1.0; count], Effort::Fast, &mut bytes);
        Samples::default().decode(&bytes, 9, count)
    };
    for row in 0..9 {
        let refused = if [2, 3, 6].contains(&row) {
            Ok(())
        } else {
            Err(Damage::Malformed("a reset without a sample"))
        };
        assert_eq!(column(&[2..4, 6..7], row), refused, "{row}");
    }
    assert_eq!(column(std::slice::from_ref(&(0..9)), 8), Ok(()));
    assert_eq!(column(std::slice::from_ref(&(0..9)), 9), Err(Damage::Malformed("the place of a reset")));
}
