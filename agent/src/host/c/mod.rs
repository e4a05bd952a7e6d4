//! Runs plugins that speak the C ABI (`plugin-api/include/twarga_plugin.h`): [`entry`] checks what the entry symbol
//! leads to, [`lender`] is the host that they see. A [`CCollector`] is a collector like any other to the rest.
#![allow(unsafe_code, reason = "calls a plugin's C functions with the pointers that their header promises")]

mod entry;
mod lender;

pub(super) use entry::Entry;

use abi_stable::{
    sabi_trait::prelude::TD_Opaque,
    std_types::{RErr, ROk, RResult, RVec},
};
use lender::Lender;
use std::{
    ffi::{CStr, CString, c_char, c_void},
    ptr::NonNull,
};
use twarga_plugin_api::abi::{
    HostHandle, RawCollector, RawCollector_TO, RawCollectorBox, RawError, Sample,
    c::{CError, FATAL, OK},
};

/// `RawError.kind` of a wrong configuration, and of a collector that can't go on.
const CONFIG: u8 = 1;
const CANT_GO_ON: u8 = 3;

/// A collector of a C plugin.
struct CCollector {
    entry: Entry,
    state: NonNull<c_void>,
    lender: Lender,
}

// SAFETY: the header says that the calls for one collector never overlap, but may come from different threads; `state`
// is the plugin's and used in those calls alone, and `Lender` is `Send` for its own reason.
unsafe impl Send for CCollector {}

/// Makes a collector; `config` is JSON text.
///
/// # Errors
/// What the plugin's `create` answers.
pub(super) fn create(entry: Entry, config: &str, handle: HostHandle) -> Result<RawCollectorBox, RawError> {
    let config =
        CString::new(config).map_err(|_| raw_error(CONFIG, "the configuration has a NUL character", ""))?;
    let lender = Lender::new();
    let (mut state, mut error) = (std::ptr::null_mut(), blank());
    let code = lender.lend(handle, None, |host, _| {
        // SAFETY: `create` is of a checked `Entry`; all pointers are valid for the call, as the header promises.
        unsafe { (entry.create)(config.as_ptr(), host, &raw mut state, &raw mut error) }
    });
    answer(code, &error)?;
    let nothing = || raw_error(CANT_GO_ON, "create() said TWARGA_OK and left *self NULL", "");
    let state = NonNull::new(state).ok_or_else(nothing)?;
    Ok(RawCollector_TO::from_value(CCollector { entry, state, lender }, TD_Opaque))
}

impl RawCollector for CCollector {
    fn collect(&mut self, out: &mut RVec<Sample>, handle: HostHandle) -> RResult<(), RawError> {
        let mut error = blank();
        let code = self.lender.lend(handle, Some(out), |host, out| {
            // SAFETY: `state` is what this plugin's `create` gave, not destroyed yet; the others are valid for the call.
            unsafe { (self.entry.collect)(self.state.as_ptr(), out, host, &raw mut error) }
        });
        match answer(code, &error) {
            Ok(()) => ROk(()),
            Err(error) => RErr(error),
        }
    }
}

impl Drop for CCollector {
    fn drop(&mut self) {
        // SAFETY: `state` is what this plugin's `create` gave; it is destroyed here and nowhere else. The lender, which
        // the plugin may still ask in vain, is freed after this.
        unsafe { (self.entry.destroy)(self.state.as_ptr()) }
    }
}

fn blank() -> CError {
    CError { size: size_of_u32::<CError>(), reserved: 0, message: [0; 512], location: [0; 256] }
}

/// The size of a struct of the header; all are far below the limit of `u32`.
const fn size_of_u32<T>() -> u32 {
    assert!(size_of::<T>() < u32::MAX as usize, "a struct of the header");
    size_of::<T>() as u32
}

/// What a function's code and its error struct say.
fn answer(code: i32, error: &CError) -> Result<(), RawError> {
    if code == OK {
        return Ok(());
    }
    let (message, location) = (text(&error.message), text(&error.location));
    let known = (OK..=FATAL).contains(&code);
    let message = match (known, message.is_empty()) {
        (true, true) => format!("the plugin says no more than the code {code}"),
        (true, false) => message,
        (false, true) => format!("the plugin says no more than the code {code}, which is none of TWARGA_…"),
        (false, false) => format!("{message} (code {code}, which is none of TWARGA_…)"),
    };
    // the codes are those of `RawError` and one; what is unknown can't be trusted to go on
    let kind = if known { u8::try_from(code - 1).unwrap_or(CANT_GO_ON) } else { CANT_GO_ON };
    Err(raw_error(kind, &message, &location))
}

/// A text that a plugin wrote into an array, up to its NUL or the end. It is for people: what is no UTF-8 is replaced.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|c| c.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn raw_error(kind: u8, message: &str, location: &str) -> RawError {
    RawError { kind, message: message.into(), location: location.into() }
}

/// A text of the plugin.
///
/// # Errors
/// What is wrong with it, for the plugin's author.
///
/// # Safety
/// The pointer is NULL or leads to a text that ends with a NUL and stays for the lifetime.
unsafe fn given<'a>(text: *const c_char, what: &str) -> Result<&'a CStr, String> {
    if text.is_null() {
        return Err(format!("{what} is NULL"));
    }
    // SAFETY: not NULL, and by the caller's promise.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// The same as UTF-8.
///
/// # Errors
/// What is wrong with it, for the plugin's author.
///
/// # Safety
/// As [`given`].
unsafe fn utf8<'a>(text: *const c_char, what: &str) -> Result<&'a str, String> {
    // SAFETY: the caller's promise, passed on.
    unsafe { given(text, what)? }.to_str().map_err(|_| format!("{what} is not UTF-8"))
}
