//! The struct behind a C plugin's entry symbol.

use super::utf8;
use crate::host::{error::Refusal, metadata::Metadata};
use twarga_plugin_api::abi::c::{ABI_MAJOR, CPlugin, Collect, Create, Destroy};

/// A size beyond this is no size: something else lies at the symbol.
const MOST: usize = 4096;

/// The functions of a C plugin, all there.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) struct Entry {
    pub(super) create: Create,
    pub(super) collect: Collect,
    pub(super) destroy: Destroy,
}

impl Entry {
    /// How many bytes the entry symbol must have at least.
    pub(in crate::host) const LEAST: u64 = size_of::<CPlugin>() as u64;

    /// Reads the struct, and compares its text with the file's.
    ///
    /// # Errors
    /// [`Refusal::Entry`] by the name of the field; [`Refusal::Inconsistent`] where it is another plugin's.
    ///
    /// # Safety
    /// `plugin` is the address of a data symbol of at least [`Entry::LEAST`] bytes in a library that is never unloaded.
    pub(in crate::host) unsafe fn read(plugin: *const CPlugin, metadata: &Metadata) -> Result<Self, Refusal> {
        let wrong = |what: String| Err(Refusal::Entry(what));
        if plugin.is_null() || !plugin.is_aligned() {
            return wrong("the entry symbol is no twarga_plugin: its address is not aligned".into());
        }
        // SAFETY: aligned, as large as `CPlugin` by the caller's promise, and every pattern of bits is a `CPlugin`: its
        // fields are numbers, raw pointers, and functions that may be NULL.
        let plugin = unsafe { *plugin };
        if plugin.abi_major != ABI_MAJOR {
            return wrong(format!("twarga_plugin.abi_major is {}, not {ABI_MAJOR}", plugin.abi_major));
        }
        let (size, least) = (plugin.size as usize, size_of::<CPlugin>());
        if !(least..=MOST).contains(&size) {
            return wrong(format!("twarga_plugin.size is {size}, and it is at least {least}"));
        }
        let missing = |field: &str| Refusal::Entry(format!("twarga_plugin.{field} is NULL"));
        let entry = Self {
            create: plugin.create.ok_or_else(|| missing("create"))?,
            collect: plugin.collect.ok_or_else(|| missing("collect"))?,
            destroy: plugin.destroy.ok_or_else(|| missing("destroy"))?,
        };
        // SAFETY: by the header NULL, or a text in the library that ends with a NUL.
        let text = unsafe { utf8(plugin.metadata, "twarga_plugin.metadata") }.map_err(Refusal::Entry)?;
        match Metadata::parse(text.as_bytes())? == *metadata {
            true => Ok(entry),
            false => Err(Refusal::Inconsistent("twarga_plugin.metadata is not the text of the file".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::c_void, ptr};
    use twarga_plugin_api::abi::{
        Sample,
        c::{CError, CHost, COut},
    };

    const TEXT: &str = "twarga-plugin-metadata 1\nname=a\nentry=e\napi=1.0\nabi=c\n\0";

    unsafe extern "C" fn create(
        _: *const std::ffi::c_char,
        _: *const CHost,
        _: *mut *mut c_void,
        _: *mut CError,
    ) -> i32 {
        0
    }
    unsafe extern "C" fn collect(_: *mut c_void, _: *const COut, _: *const CHost, _: *mut CError) -> i32 {
        0
    }
    unsafe extern "C" fn destroy(_: *mut c_void) {}

    fn sound() -> CPlugin {
        CPlugin {
            size: 40,
            abi_major: 1,
            metadata: TEXT.as_ptr().cast(),
            create: Some(create),
            collect: Some(collect),
            destroy: Some(destroy),
        }
    }

    fn read(plugin: &CPlugin) -> Result<Entry, Refusal> {
        let metadata = Metadata::parse(TEXT.as_bytes()).unwrap();
        // SAFETY: a reference, and the only text is a constant.
        unsafe { Entry::read(ptr::from_ref(plugin), &metadata) }
    }

    #[test]
    fn sound_and_grown_structs_are_read() {
        read(&sound()).unwrap();
        read(&CPlugin { size: 48, ..sound() }).unwrap(); // of a later minor version
    }

    #[test]
    fn wrong_structs_are_refused_by_the_field() {
        let other = "twarga-plugin-metadata 1\nname=b\nentry=e\napi=1.0\nabi=c\n\0";
        for (plugin, expected) in [
            (CPlugin { size: 39, ..sound() }, "twarga_plugin.size is 39, and it is at least 40"),
            (CPlugin { size: u32::MAX, ..sound() }, "twarga_plugin.size is 4294967295"),
            (CPlugin { abi_major: 2, ..sound() }, "twarga_plugin.abi_major is 2, not 1"),
            (CPlugin { create: None, ..sound() }, "twarga_plugin.create is NULL"),
            (CPlugin { collect: None, ..sound() }, "twarga_plugin.collect is NULL"),
            (CPlugin { destroy: None, ..sound() }, "twarga_plugin.destroy is NULL"),
            (CPlugin { metadata: ptr::null(), ..sound() }, "twarga_plugin.metadata is NULL"),
            (CPlugin { metadata: c"\xff".as_ptr(), ..sound() }, "twarga_plugin.metadata is not UTF-8"),
            (CPlugin { metadata: other.as_ptr().cast(), ..sound() }, "is not the text of the file"),
        ] {
            let message = read(&plugin).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(size_of::<Sample>(), 16);
    }
}
