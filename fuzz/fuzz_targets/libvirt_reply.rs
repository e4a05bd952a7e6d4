//! Replies of libvirt's service: whatever the bytes are, reading ends in order, and makes no more of them than there is.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vagrant_vm::read_as_reply(bytes));
