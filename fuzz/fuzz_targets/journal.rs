//! Rows of the journal in a chain: whatever the bytes are, with good checksums and with bad ones, reading ends in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twarga_agent::store::bench_codec::read_journal;

fuzz_target!(|rows: Vec<Vec<u8>>| {
    read_journal(&rows, true);
    read_journal(&rows, false);
});
