use super::{super::varint::put, *};
use proptest::prelude::*;

fn encode(values: &[f64], effort: Effort) -> Vec<u8> {
    let mut bytes = Vec::new();
    ColumnEncoder::default().encode(values, effort, &mut bytes);
    bytes
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Encodes at both efforts and compares every bit. Returns what was encoded.
fn round_trip(values: &[f64]) -> [Vec<u8>; 2] {
    [Effort::Fast, Effort::Small].map(|effort| {
        let bytes = encode(values, effort);
        let mut read = vec![0.5];
        assert_eq!(decode_column(&bytes, values.len(), &mut read), Ok(()), "{effort:?}");
        assert_eq!(bits(&read[1..]), bits(values), "{effort:?}");
        bytes
    })
}

/// Values such as metrics have, and such as no metric should have.
fn column() -> impl Strategy<Value = Vec<f64>> {
    let small = prop_oneof![Just(0_i64), -3..3_i64, -1000..1000_i64, Just(4096_i64), Just(1_i64 << 40)];
    let steps = prop::collection::vec((small, 0..30_usize), 0..200);
    let shaped = (steps, 0..=6_i32, any::<bool>(), -1e15..1e15).prop_map(|(steps, exponent, sums, start)| {
        let mut value = start as i64;
        let mut column = Vec::new();
        for (step, run) in steps {
            for _ in 0..=run {
                value = if sums { value + step } else { step };
                column.push(value as f64 / 10_f64.powi(exponent));
            }
        }
        column
    });
    let any_bits = prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..200);
    let odd = prop_oneof![Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(5e-324), Just(0.1 + 0.2)];
    let mixed = (shaped.clone(), prop::collection::vec((any::<prop::sample::Index>(), odd), 0..40));
    let mixed = mixed.prop_map(|(mut column, odd): (Vec<f64>, _)| {
        for (at, value) in odd {
            if !column.is_empty() {
                let at = at.index(column.len());
                column[at] = value;
            }
        }
        column
    });
    let long = (0..5000_usize, -50..50_i32)
        .prop_map(|(length, step)| (0..length).map(|at| f64::from(at as i32 * step % 977) / 100.0).collect());
    prop_oneof![shaped, any_bits, mixed, long]
}

proptest! {
    #[test]
    fn every_column_comes_back(values in column()) {
        round_trip(&values);
    }

    #[test]
    fn whole_numbers_come_back(values in prop::collection::vec(any::<i64>(), 0..300)) {
        for effort in [Effort::Fast, Effort::Small] {
            let mut bytes = Vec::new();
            ColumnEncoder::default().encode_integers(&values, effort, &mut bytes);
            prop_assert_eq!(decode_integers(&bytes, values.len()), Ok(values.clone()));
        }
    }

    #[test]
    fn damage_is_no_panic_and_no_other_length(
        values in column(), cut in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(), count in 0..6000_usize
    ) {
        for mut bytes in round_trip(&values) {
            if bytes.is_empty() {
                continue;
            }
            let mut read = Vec::new();
            let mut check = |bytes: &[u8], count: usize| {
                read.clear();
                let decoded = decode_column(bytes, count, &mut read);
                read.len() == if decoded.is_ok() { count } else { 0 }
            };
            prop_assert!(check(&bytes[..cut.index(bytes.len())], values.len()));
            prop_assert!(check(&bytes, count));
            let flipped = bit.index(bytes.len() * 8);
            bytes[flipped / 8] ^= 1 << (flipped % 8);
            prop_assert!(check(&bytes, values.len()));
        }
    }

    #[test]
    fn garbage_is_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..200), count in 0..3000_usize) {
        let _ = decode_column(&garbage, count, &mut Vec::new());
        for head in 0..=8_u8 {
            let mut bytes = vec![head];
            bytes.extend(&garbage);
            let _ = decode_column(&bytes, count, &mut Vec::new());
        }
    }
}

#[test]
fn an_encoder_is_used_again() {
    let mut encoder = ColumnEncoder::default();
    let columns =
        [vec![1.5; 100], (0..300).map(|at| f64::from(at * at % 91)).collect(), vec![], vec![f64::NAN, 1.0]];
    for values in columns {
        for effort in [Effort::Fast, Effort::Small] {
            let mut bytes = Vec::new();
            encoder.encode(&values, effort, &mut bytes);
            assert_eq!(bytes, encode(&values, effort));
        }
    }
}

#[test]
fn typical_columns_take_the_shape_that_suits_them() {
    let noise = |at: i32| at.wrapping_mul(7919).rem_euclid(1013);
    let of = |value: &dyn Fn(i32) -> f64| (0..1440).map(value).collect::<Vec<f64>>();
    // the low four bits of the first byte are the shape, the next three the exponent
    let cases: [(&str, Vec<f64>, u8, [usize; 2]); 9] = [
        ("zero", of(&|_| 0.0), 0x00, [2, 2]),
        ("constant", of(&|_| 12.34), 0x20, [3, 3]),
        ("constant, no decimal", of(&|_| -0.0), 0x70, [9, 9]),
        ("ramp", of(&|at| f64::from(at) / 10.0 + 5.0), 0x11, [3, 3]),
        ("two steps", of(&|at| f64::from(at / 700)), 0x02, [8, 8]),
        ("a bit", of(&|at| f64::from(noise(at) & 1)), 0x03, [250, 220]),
        ("noise", of(&|at| f64::from(noise(at))), 0x03, [1900, 1870]),
        ("pages", of(&|at| f64::from(noise(at)) * 4096.0), 0x83, [1900, 1870]),
        ("counter", of(&|at| f64::from(at * 1000 + noise(at) % 16)), 0x04, [1020, 900]),
    ];
    for (name, values, head, longest) in cases {
        let [fast, small] = round_trip(&values);
        assert_eq!(fast[0], head, "{name}");
        assert!(
            fast.len() <= longest[0] && small.len() <= longest[1],
            "{name}: {} {}",
            fast.len(),
            small.len()
        );
    }
}

#[test]
fn a_few_that_are_no_decimals_are_listed() {
    let mut values: Vec<f64> = (0..320).map(|at| f64::from(at % 7) / 4.0).collect();
    values[100] = f64::NAN;
    values[319] = 1.0 / 3.0;
    let [fast, small] = round_trip(&values);
    assert!(fast.len() < 200 && small.len() < 200, "{} {}", fast.len(), small.len());
}

#[test]
fn a_count_that_lies_reserves_no_memory() {
    // a group of no width takes two bytes and stands for 64 values: here are few groups, and many values asked for
    let mut out = Vec::new();
    assert_eq!(decode_column(&[3, 0, 0, 0, 0], 1 << 40, &mut out), Err(Damage::Truncated));
    // a list of exceptions, longer than what follows
    let mut bytes = vec![0x83, 2];
    put(&mut bytes, u64::MAX);
    assert_eq!(decode_column(&bytes, 1 << 40, &mut out), Err(Damage::Truncated));
    assert!(out.is_empty() && out.capacity() < 1000);
}
