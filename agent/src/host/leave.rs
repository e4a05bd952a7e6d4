//! The end of the process where it can't be waited for.
#![allow(unsafe_code, reason = "_exit(2)")]

use std::ffi::c_int;

unsafe extern "C" {
    fn _exit(status: c_int) -> !;
}

/// Ends the process at once. Unlike `std::process::exit` it runs nothing of the libraries in it, and takes no lock: also
/// not the dynamic linker's, which a plugin that hangs in an initialiser holds for ever.
pub fn leave(status: u8) -> ! {
    // SAFETY: it takes a number and never comes back; nothing of this process goes on that could miss what is not dropped.
    unsafe { _exit(c_int::from(status)) }
}
