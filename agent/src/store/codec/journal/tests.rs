use super::*;
use crate::model::SeriesId;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000_i64..1000).prop_map(|n| n as f64),
        3 => (-100_000_i64..100_000).prop_map(|n| n as f64 / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![Just(-0.0), Just(f64::MIN_POSITIVE / 3.0), Just(1e300), Just(9_007_199_254_740_993.0)],
    ]
}

fn batch() -> impl Strategy<Value = JournalBatch> {
    let series = prop::collection::btree_map(0..12_u32, (value(), prop::bool::weighted(0.1)), 0..10);
    (any::<i32>(), 0..3_u32, series).prop_map(|(time, number, series)| {
        let sample = |(id, (value, reset))| StoredSample { series: SeriesId(id), reset, value };
        JournalBatch { time: i64::from(time), number, samples: series.into_iter().map(sample).collect() }
    })
}

/// Bit by bit: NaN is not equal to itself.
fn same(a: &JournalBatch, b: &JournalBatch) -> bool {
    let bits = |batch: &JournalBatch| {
        let of = |sample: &StoredSample| (sample.series, sample.reset, sample.value.to_bits());
        (batch.time, batch.number, batch.samples.iter().map(of).collect::<Vec<_>>())
    };
    bits(a) == bits(b)
}

fn write(rows: &[(bool, Vec<JournalBatch>)]) -> Vec<Vec<u8>> {
    let mut encoder = JournalEncoder::default();
    let write = |(key, (first, batches)): (usize, &(bool, Vec<JournalBatch>))| {
        encoder.begin(*first || key == 0, 7, 1_795_212_000_000);
        for batch in batches {
            let layout = encoder.batch(&batch.samples);
            encoder.samples(layout, batch.time, batch.number, &batch.samples);
        }
        encoder.finish(key as i64).to_vec()
    };
    rows.iter().enumerate().map(write).collect()
}

proptest! {
    #[test]
    fn rows_are_read_as_written(rows in prop::collection::vec((prop::bool::weighted(0.1), prop::collection::vec(batch(), 0..4)), 1..20)) {
        let mut decoder = JournalDecoder::default();
        for (key, (blob, (_, batches))) in write(&rows).iter().zip(&rows).enumerate() {
            let mut read = Vec::new();
            let row = decoder.read(blob, key as i64, |_, batch| read.push(batch.clone())).unwrap();
            prop_assert_eq!(row, JournalRow { run: 7, time: 1_795_212_000_000 });
            prop_assert_eq!(read.len(), batches.len());
            prop_assert!(read.iter().zip(batches).all(|(a, b)| same(a, b)));
        }
    }

    #[test]
    fn damage_costs_the_rest_of_a_chain_and_no_more(
        rows in prop::collection::vec((prop::bool::weighted(0.3), prop::collection::vec(batch(), 1..3)), 2..20),
        broken in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()
    ) {
        let mut blobs = write(&rows);
        let broken = broken.index(blobs.len());
        let at = at.index(blobs[broken].len());
        if cut {
            blobs[broken].truncate(at);
        } else {
            blobs[broken][at] ^= 1_u8 << bit;
        }
        let next = (broken + 1..rows.len()).find(|row| rows[*row].0).unwrap_or(rows.len());
        let mut decoder = JournalDecoder::default();
        for (key, (blob, (_, batches))) in blobs.iter().zip(&rows).enumerate() {
            let mut read = Vec::new();
            let result = decoder.read(blob, key as i64, |_, batch| read.push(batch.clone()));
            prop_assert_eq!(result.is_err(), (broken..next).contains(&key), "{}: {:?}", key, result);
            if result.is_ok() {
                prop_assert!(read.iter().zip(batches).all(|(a, b)| same(a, b)));
            }
        }
    }

    #[test]
    fn a_row_that_is_gone_or_stands_elsewhere_is_noticed(
        rows in prop::collection::vec((prop::bool::weighted(0.2), prop::collection::vec(batch(), 1..3)), 2..20),
        gone in any::<prop::sample::Index>()
    ) {
        let blobs = write(&rows);
        let gone = gone.index(blobs.len());
        let next = (gone + 1..rows.len()).find(|row| rows[*row].0).unwrap_or(rows.len());
        let mut decoder = JournalDecoder::default();
        for (key, blob) in blobs.iter().enumerate().filter(|(key, _)| *key != gone) {
            let result = decoder.read(blob, key as i64, |_, _| {});
            prop_assert_eq!(result.is_err(), (gone + 1..next).contains(&key), "{}: {:?}", key, result);
        }
    }

    #[test]
    fn a_row_cut_anywhere_is_truncated(batches in prop::collection::vec(batch(), 0..4)) {
        let [blob] = &write(&[(true, batches)])[..] else { unreachable!() };
        for length in 0..blob.len() {
            let result = JournalDecoder::default().read(&blob[..length], 0, |_, _| {});
            prop_assert_eq!(result, Err(Damage::Truncated), "{} of {}", length, blob.len());
        }
    }

    #[test]
    fn garbage_under_a_good_checksum_is_no_panic(rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4)) {
        let mut decoder = JournalDecoder::default();
        for (key, garbage) in (0..).zip(&rows) {
            let contents = [&[u8::from(key == 0)], &garbage[..]].concat();
            let _ = decoder.read(&forge_journal_row(&contents, key), key, |_, _| {});
        }
    }
}

#[test]
fn what_does_not_change_costs_a_bit() {
    let samples = |add: f64| -> Vec<StoredSample> {
        let value = |id: u32| if id.is_multiple_of(10) { f64::from(id) + add } else { f64::from(id) };
        (0..200).map(|id| StoredSample { series: SeriesId(id), reset: false, value: value(id) }).collect()
    };
    let batch = |add| JournalBatch { time: 0, number: 0, samples: samples(add) };
    let blobs = write(&[(true, vec![batch(0.0)]), (false, vec![batch(1.0)])]);
    assert!(blobs[1].len() < 75, "{}", blobs[1].len()); // 25 bytes for the bits, 20 for the changes, the header
}

#[test]
fn zeros_behind_a_row_are_no_part_of_it_and_anything_else_is_damage() {
    let samples = [StoredSample { series: SeriesId(3), reset: false, value: 4.5 }];
    let batch = JournalBatch { time: 5, number: 0, samples: samples.to_vec() };
    let row = write(&[(true, vec![batch.clone()])]).remove(0);
    let read = |bytes: &[u8]| {
        let mut read = Vec::new();
        JournalDecoder::default().read(bytes, 0, |_, batch| read.push(batch.clone())).map(|_| read)
    };
    let filled = |count: usize, last: u8| {
        let mut row = row.clone();
        row.resize(row.len() + count, 0);
        row.extend((last > 0).then_some(last));
        row
    };
    for count in [0, 1, 1000] {
        assert_eq!(read(&filled(count, 0)), Ok(vec![batch.clone()]), "{count}");
        assert!(read(&filled(count, 1)).is_err(), "{count}");
    }
    let cut = &filled(10, 0)[..row.len() - 1];
    assert!(matches!(read(cut), Err(Damage::Truncated)));
}
