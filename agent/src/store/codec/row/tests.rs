use super::*;
use crate::model::SeriesId;
use proptest::prelude::*;

type Batch = (u64, u32, Vec<(f64, bool)>);

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let value = prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        (-99_999_i64..99_999).prop_map(|digits| digits as f64 / 100.0),
        any::<u32>().prop_map(f64::from),
        Just(-0.0),
        Just(5e-324),
    ];
    let samples = prop::collection::vec((value, prop::bool::weighted(0.2)), 0..40);
    prop::collection::vec((any::<u64>(), any::<u32>(), samples), 0..5)
}

fn written(key: i64, run: u32, batches: &[Batch]) -> Vec<u8> {
    let mut writer = RowWriter::default();
    writer.begin(run);
    for (age, layout, values) in batches {
        let sample = |&(value, reset)| StoredSample { series: SeriesId(0), reset, value };
        let samples: Vec<StoredSample> = values.iter().map(sample).collect();
        writer.encode(&samples);
        writer.push(*age, *layout, samples.len());
    }
    writer.finish(key).to_vec()
}

/// Age, layout, the bits of the values and their reset flags.
type ReadBatch = (u64, u32, Vec<(u64, bool)>);

/// All that a row holds, or the first damage.
fn read(bytes: &[u8], key: i64) -> Result<(u32, Vec<ReadBatch>), Damage> {
    let row = Row::open(bytes, key)?;
    let run = row.run;
    let mut batches = Vec::new();
    for batch in row {
        let batch = batch?;
        let mut values = Vec::new();
        batch.values(|value, reset| values.push((value.to_bits(), reset)))?;
        batches.push((batch.age, batch.layout, values));
    }
    Ok((run, batches))
}

proptest! {
    #[test]
    fn a_row_is_read_as_written(batches in batches(), key in any::<i64>(), run in any::<u32>()) {
        let expected = batches.iter().map(|(age, layout, values)| {
            (*age, *layout, values.iter().map(|(value, reset)| (value.to_bits(), *reset)).collect())
        });
        let bytes = written(key, run, &batches);
        prop_assert_eq!(read(&bytes, key), Ok((run, expected.collect())));
        prop_assert_eq!(read(&bytes, key.wrapping_add(1)), Err(Damage::Checksum));
    }

    #[test]
    fn every_truncation_is_refused(batches in batches()) {
        let bytes = written(7, 3, &batches);
        for length in 0..bytes.len() {
            prop_assert_eq!(read(&bytes[..length], 7), Err(Damage::Truncated));
        }
    }

    #[test]
    fn every_flipped_bit_is_refused(batches in batches(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = written(7, 3, &batches);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(read(&bytes, 7).is_err());
    }

    #[test]
    fn garbage_under_a_good_checksum_is_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = Vec::new();
        envelope::begin(&mut bytes);
        bytes.extend(garbage);
        envelope::seal(&mut bytes, 1);
        let _ = read(&bytes, 1);
    }

    #[test]
    fn garbage_is_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = read(&garbage, 1);
    }
}

#[test]
fn a_newer_form_is_told_from_damage() {
    let mut bytes = written(7, 3, &[]);
    bytes[0] = 9;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&7_i64.to_le_bytes());
    sum.update(&bytes[..5]);
    sum.update(&bytes[9..]);
    bytes[5..9].copy_from_slice(&sum.finalize().to_le_bytes());
    assert_eq!(read(&bytes, 7), Err(Damage::Version(9)));
}
