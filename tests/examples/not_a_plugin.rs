//! A shared library that is no plugin.

#![forbid(unsafe_code)]

pub extern "C" fn answer() -> u32 {
    42
}
