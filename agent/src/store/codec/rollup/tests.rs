use super::*;
use proptest::prelude::*;

fn encode(rollups: &Rollups, effort: Effort) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_rollups(&mut ColumnEncoder::default(), rollups, effort, &mut bytes);
    bytes
}

/// All bits, so that NaN is like NaN, and 0.0 unlike -0.0.
fn bits(rollups: &Rollups) -> Vec<u64> {
    let float = |values: &Vec<f64>| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let whole = |values: &Vec<u32>| values.iter().map(|value| u64::from(*value)).collect::<Vec<_>>();
    match rollups {
        Rollups::Gauges(of) => {
            [whole(&of.count), float(&of.sum), float(&of.min), float(&of.max), float(&of.last)].concat()
        }
        Rollups::Counters(of) => {
            [whole(&of.count), whole(&of.covered), float(&of.increase), float(&of.last)].concat()
        }
    }
}

fn value() -> impl Strategy<Value = f64> {
    let decimal = (-100_000..100_000_i32, 0..3_i32).prop_map(|(n, e)| f64::from(n) / 10_f64.powi(e));
    prop_oneof![20 => decimal, 20 => Just(7.5), 1 => any::<u64>().prop_map(f64::from_bits)]
}

fn rollups() -> impl Strategy<Value = Rollups> {
    let samples = prop::collection::vec(value(), 1..8);
    let gauges = prop::collection::vec(samples, 0..150).prop_map(|buckets| {
        let mut gauges = Gauges::default();
        for bucket in buckets {
            gauges.push(Gauge {
                count: bucket.len() as u32,
                sum: on_grid(bucket.iter().sum()),
                min: bucket.iter().copied().fold(f64::INFINITY, f64::min),
                max: bucket.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                last: bucket[bucket.len() - 1],
            });
        }
        Rollups::Gauges(gauges)
    });
    // such as no samples make
    let any_gauges = prop::collection::vec((any::<u32>(), [value(), value(), value(), value()]), 0..100);
    let any_gauges = any_gauges.prop_map(|buckets| {
        let mut gauges = Gauges::default();
        for (count, [sum, min, max, last]) in buckets {
            gauges.push(Gauge { count, sum, min, max, last });
        }
        Rollups::Gauges(gauges)
    });
    let counters = prop::collection::vec((any::<u32>(), value(), any::<u32>(), value()), 0..100);
    let counters = counters.prop_map(|buckets| {
        let mut counters = Counters::default();
        for (count, increase, covered, last) in buckets {
            counters.push(Counter { count, increase, covered, last });
        }
        Rollups::Counters(counters)
    });
    prop_oneof![gauges, any_gauges, counters]
}

proptest! {
    #[test]
    fn all_come_back(rollups in rollups()) {
        for effort in [Effort::Fast, Effort::Small] {
            let read = decode_rollups(&encode(&rollups, effort), rollups.len());
            prop_assert_eq!(read.as_ref().map(bits), Ok(bits(&rollups)));
        }
    }

    #[test]
    fn damage_is_no_panic_and_no_other_length(
        rollups in rollups(), cut in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(), count in 0..300_usize
    ) {
        let mut bytes = encode(&rollups, Effort::Small);
        let has_other_length = |bytes: &[u8], count| decode_rollups(bytes, count).is_ok_and(|read| read.len() != count);
        prop_assert!(decode_rollups(&bytes[..cut.index(bytes.len())], rollups.len()).is_err());
        prop_assert!(!has_other_length(&bytes, count));
        let flipped = bit.index(bytes.len() * 8);
        bytes[flipped / 8] ^= 1 << (flipped % 8);
        prop_assert!(!has_other_length(&bytes, rollups.len()));
    }

    #[test]
    fn garbage_is_no_panic(form in 0..6_u8, garbage in prop::collection::vec(any::<u8>(), 0..200), count in 0..500_usize) {
        let _ = decode_rollups(&[&[form], &garbage[..]].concat(), count);
    }

    #[test]
    fn combined_sums_of_decimals_stay_decimals(cents in prop::collection::vec(0..10_000_000_i64, 1..60)) {
        let bucket = |cents: &i64| {
            let value = *cents as f64 / 100.0;
            Gauge { count: 1, sum: value, min: value, max: value, last: value }
        };
        let all = cents.iter().map(bucket).reduce(Gauge::combine).unwrap();
        prop_assert_eq!(all.sum, cents.iter().sum::<i64>() as f64 / 100.0);
        prop_assert_eq!(all.count as usize, cents.len());
        prop_assert_eq!(all.max, *cents.iter().max().unwrap() as f64 / 100.0);
        prop_assert_eq!(all.last, cents[cents.len() - 1] as f64 / 100.0);
    }
}

#[test]
fn steady_buckets_and_steady_counters_take_next_to_nothing() {
    let (mut gauges, mut counters) = (Gauges::default(), Counters::default());
    for bucket in 0..1440_u32 {
        gauges.push(Gauge { count: 12, sum: 12.0 * 0.25, min: 0.25, max: 0.25, last: 0.25 });
        let last = f64::from((bucket + 1) * (bucket + 2) / 2);
        counters.push(Counter { count: 12, increase: f64::from(bucket + 1), covered: 60_000, last });
    }
    assert!(encode(&Rollups::Gauges(gauges), Effort::Small).len() < 20);
    assert!(encode(&Rollups::Counters(counters), Effort::Small).len() < 24);
}

#[test]
fn a_newer_counter_is_added_and_its_last_sample_wins() {
    let older = Counter { count: 2, increase: 0.1, covered: 1000, last: 5.0 };
    let newer = Counter { count: 3, increase: 0.2, covered: 2000, last: 1.0 };
    assert_eq!(older.combine(newer), Counter { count: 5, increase: 0.3, covered: 3000, last: 1.0 });
}

#[test]
fn what_is_off_the_grid_stays_as_it_is() {
    for sum in [f64::NAN, f64::INFINITY, -0.0, 1.0 / 3.0, 1e-9, f64::MAX] {
        assert_eq!(on_grid(sum).to_bits(), sum.to_bits(), "{sum}");
    }
    assert_eq!(on_grid(0.1 + 0.2), 0.3);
}
