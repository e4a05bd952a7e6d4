//! Columns: damaged bytes are refused or give as many values as were asked for, and what was encoded comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twarga_agent::store::bench_codec::{ColumnEncoder, Effort, decode_column};

fuzz_target!(|input: (u16, Vec<u8>)| {
    let (count, bytes) = input;
    let count = usize::from(count) % 8192;
    let mut values = Vec::new();
    if decode_column(&bytes, count, &mut values).is_ok() {
        assert_eq!(values.len(), count);
        // values that some bytes stand for are values that can be encoded
        comes_back(&values);
    } else {
        assert!(values.is_empty());
    }
    let values: Vec<f64> = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    comes_back(&values);
});

fn comes_back(values: &[f64]) {
    for effort in [Effort::Fast, Effort::Small] {
        let (mut bytes, mut read) = (Vec::new(), Vec::new());
        ColumnEncoder::default().encode(values, effort, &mut bytes);
        decode_column(&bytes, values.len(), &mut read).expect("what was encoded");
        assert!(values.iter().map(|value| value.to_bits()).eq(read.iter().map(|value| value.to_bits())));
    }
}
