//! Roll-ups: damaged bytes are refused or give as many buckets as were asked for, and these can be encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twarga_agent::store::bench_codec::{ColumnEncoder, Effort, decode_rollups, encode_rollups};

fuzz_target!(|input: (u16, Vec<u8>)| {
    let (count, bytes) = input;
    let count = usize::from(count) % 2048;
    let Ok(rollups) = decode_rollups(&bytes, count) else { return };
    assert_eq!(rollups.len(), count);
    for effort in [Effort::Fast, Effort::Small] {
        let mut bytes = Vec::new();
        encode_rollups(&mut ColumnEncoder::default(), &rollups, effort, &mut bytes);
        let read = decode_rollups(&bytes, count).expect("what was encoded");
        // the text of a NaN hides its bits, but the column's target looks at these
        assert_eq!(format!("{read:?}"), format!("{rollups:?}"));
    }
});
