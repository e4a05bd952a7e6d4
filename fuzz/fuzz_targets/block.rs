//! Blocks and segments, their heads, their columns of samples and of roll-ups: whatever the bytes are, with good checksums
//! and with bad ones, reading ends in order and gives as many values as the head says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twarga_agent::store::bench_codec::{read_block, read_forged_block};

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>)| {
    let (rollups, head, columns) = input;
    let _ = read_forged_block(u8::from(rollups), &head, &columns);
    let _ = read_block(&columns, 0);
});
