//! Reads a plugin file as bytes, before the dynamic linker sees it. Nothing of the plugin runs.
//!
//! It is more than courtesy: a truncated library makes dlopen die of SIGBUS, which no code can catch.

use super::{c, error::Refusal, metadata::Metadata};
use object::{
    Architecture, Endianness, FileKind, Object, ObjectSection, ObjectSymbol, ReadCache, SymbolKind,
    elf::{ET_DYN, PT_LOAD},
    read::{
        ReadCacheOps,
        elf::{ElfFile64, FileHeader, ProgramHeader},
    },
};
use rustix::fs::OFlags;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};
use twarga_plugin_api::abi::{API_VERSION, metadata::SECTION};

/// What the bytes of a file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The file's metadata section.
    pub metadata: Metadata,
}

/// Opens a file that should be a plugin. A pipe in its place must not hold the agent up.
///
/// # Errors
/// The system's.
pub fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Whether it is a file, and no pipe that never ends.
///
/// # Errors
/// [`Refusal::NotAFile`].
pub(super) fn check_regular(file: &File) -> Result<(), Refusal> {
    if file.metadata()?.is_file() { Ok(()) } else { Err(Refusal::NotAFile) }
}

/// A place in a file, of this reader alone. The file's own is shared by all processes that were handed it: each of them
/// would move it under the others.
struct Cursor<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, at: 0 }
    }
}

impl ReadCacheOps for Cursor<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(drop)
    }

    fn seek(&mut self, at: u64) -> Result<u64, ()> {
        self.at = at;
        Ok(at)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let count = self.file.read_at(buffer, self.at).map_err(drop)?;
        self.at += count as u64;
        Ok(count)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        self.file.read_exact_at(buffer, self.at).map_err(drop)?;
        self.at += buffer.len() as u64;
        Ok(())
    }
}

/// Reads an open file, and leaves its offset alone.
///
/// # Errors
/// Whatever keeps it from being a plugin for this machine.
pub fn preflight(file: &File) -> Result<Preflight, Refusal> {
    check_regular(file)?;
    let cache = ReadCache::new(Cursor::new(file));
    let kind = FileKind::parse(&cache).map_err(|_| Refusal::NotElf)?;
    match kind {
        FileKind::Elf64 => {}
        FileKind::Elf32 => return Err(Refusal::WrongElf("a 32-bit library, this agent is 64-bit".into())),
        _ => return Err(Refusal::NotElf),
    }
    let elf = ElfFile64::<Endianness, _>::parse(&cache).map_err(|_| Refusal::Truncated("its headers"))?;
    check_machine(&elf)?;
    check_segments(&elf, file.metadata()?.len())?;
    let section = elf.section_by_name(SECTION).ok_or(Refusal::NotAPlugin)?;
    let data = section.data().map_err(|_| Refusal::Truncated("its metadata"))?;
    let metadata = Metadata::parse(data)?;
    if metadata.is_c() {
        check_c_entry(&elf, &metadata.entry)?;
    }
    Ok(Preflight { metadata })
}

/// What a file says of itself, and what keeps this agent from loading it. Unlike [`preflight`] it also describes a plugin
/// of another machine or another API. Who may have written it is not looked at, and a plugin that can only run isolated is
/// no less a plugin.
pub fn describe(file: &File) -> (Option<Metadata>, Option<Refusal>) {
    match preflight(file) {
        Ok(Preflight { metadata }) => {
            let refusal = check_loadable(&metadata, Strategy::Isolated).err();
            (Some(metadata), refusal)
        }
        Err(refusal @ Refusal::WrongElf(_)) => {
            let cache = ReadCache::new(Cursor::new(file));
            let elf = ElfFile64::<Endianness, _>::parse(&cache).ok();
            let section = elf.as_ref().and_then(|elf| elf.section_by_name(SECTION)?.data().ok());
            (section.and_then(|data| Metadata::parse(data).ok()), Some(refusal))
        }
        Err(refusal) => (None, Some(refusal)),
    }
}

/// Whose end a panic of the plugin may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The agent's: it must unwind.
    InProcess,
    /// That of a process of its own.
    Isolated,
}

/// What a load needs beside that.
pub(super) fn check_loadable(metadata: &Metadata, strategy: Strategy) -> Result<(), Refusal> {
    let ours = API_VERSION.split_once('.').and_then(|(major, _)| major.parse::<u32>().ok());
    let theirs = metadata.api_numbers().map(|(major, _)| major);
    if theirs.is_none() || theirs != ours {
        return Err(Refusal::ApiVersion { plugin: metadata.api.clone(), agent: API_VERSION.into() });
    }
    if !["", "c"].contains(&metadata.abi.as_str()) {
        let plugin = format!("{} over the `{}` ABI", metadata.api, metadata.abi);
        return Err(Refusal::ApiVersion { plugin, agent: API_VERSION.into() });
    }
    if strategy == Strategy::InProcess && !metadata.is_c() && metadata.panic != "unwind" {
        return Err(Refusal::PanicAbort);
    }
    Ok(())
}

/// The entry of a C plugin is a struct of its own file: read before anything could run, and large enough to be read.
fn check_c_entry<'data>(
    elf: &ElfFile64<'data, Endianness, &'data ReadCache<Cursor<'data>>>,
    entry: &str,
) -> Result<(), Refusal> {
    let symbol = (elf.dynamic_symbols())
        .find(|symbol| !symbol.is_undefined() && symbol.name_bytes() == Ok(entry.as_bytes()));
    match symbol {
        None => Err(Refusal::Entry(format!("it exports no symbol `{entry}`"))),
        Some(symbol) if symbol.kind() != SymbolKind::Data => {
            Err(Refusal::Entry(format!("the symbol `{entry}` is not a variable")))
        }
        Some(symbol) if symbol.size() < c::Entry::LEAST => {
            let (size, least) = (symbol.size(), c::Entry::LEAST);
            Err(Refusal::Entry(format!(
                "the symbol `{entry}` has {size} bytes, a twarga_plugin at least {least}"
            )))
        }
        Some(_) => Ok(()),
    }
}

fn check_machine<'data>(
    elf: &ElfFile64<'data, Endianness, &'data ReadCache<Cursor<'data>>>,
) -> Result<(), Refusal> {
    let wanted = if cfg!(target_arch = "x86_64") {
        Architecture::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Architecture::Aarch64
    } else {
        elf.architecture()
    };
    if elf.architecture() != wanted {
        let found = elf.architecture();
        return Err(Refusal::WrongElf(format!("built for {found:?}, this machine is {wanted:?}")));
    }
    if elf.is_little_endian() != cfg!(target_endian = "little") {
        return Err(Refusal::WrongElf("built for the other byte order".into()));
    }
    if elf.elf_header().e_type(elf.endian()) != ET_DYN {
        return Err(Refusal::WrongElf("an ELF file, but not a shared library".into()));
    }
    Ok(())
}

fn check_segments<'data>(
    elf: &ElfFile64<'data, Endianness, &'data ReadCache<Cursor<'data>>>,
    length: u64,
) -> Result<(), Refusal> {
    let endian = elf.endian();
    let mut loads = 0;
    for segment in elf.elf_program_headers() {
        if segment.p_type(endian) == PT_LOAD {
            loads += 1;
            let end = segment.p_offset(endian).checked_add(segment.p_filesz(endian));
            if end.is_none_or(|end| end > length) {
                return Err(Refusal::Truncated("a segment ends beyond it"));
            }
        }
    }
    if loads == 0 { Err(Refusal::WrongElf("a library without anything to load".into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};

    #[test]
    fn the_offset_that_others_share_is_left_alone() {
        // a sound library by its headers, and no plugin
        let mut file = File::open(std::env::current_exe().unwrap()).unwrap();
        Seek::seek(&mut file, SeekFrom::Start(7)).unwrap();
        assert!(matches!(preflight(&file), Err(Refusal::NotAPlugin)));
        assert!(describe(&file).0.is_none());
        assert_eq!(Seek::stream_position(&mut file).unwrap(), 7);
    }
}
