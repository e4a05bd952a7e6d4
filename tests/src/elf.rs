//! Makes broken plugin files out of sound ones, byte by byte.

use object::{
    Endianness, LittleEndian as LE, Object, ObjectSection,
    elf::{PT_LOAD, SHN_UNDEF, STB_GLOBAL, Sym64},
    read::elf::{ElfFile64, ProgramHeader, Sym},
};
use std::ops::Range;

/// The section with a plugin's metadata.
pub const METADATA: &str = ".twarga_plugin";
/// Offset of the class: 1 is 32-bit, 2 is 64-bit.
pub const EI_CLASS: usize = 4;
/// Offset of the byte order: 1 is little, 2 is big.
pub const EI_DATA: usize = 5;
/// Offset of the kind of file, two bytes.
pub const E_TYPE: usize = 16;
/// Offset of the machine, two bytes.
pub const E_MACHINE: usize = 18;

/// Puts `to` in place of `from` wherever it stands, and says how often. Both have one length.
pub fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len(), "a file can be patched in place only");
    let mut count = 0;
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + from.len()].copy_from_slice(to);
            count += 1;
            at += from.len();
        } else {
            at += 1;
        }
    }
    count
}

fn parse(bytes: &[u8]) -> ElfFile64<'_, Endianness> {
    ElfFile64::parse(bytes).unwrap_or_else(|error| panic!("not a sound library to begin with: {error}"))
}

/// Where a section's bytes are.
pub fn section(bytes: &[u8], name: &str) -> Range<usize> {
    let elf = parse(bytes);
    let range = elf.section_by_name(name).and_then(|section| section.file_range());
    let (start, length) = range.unwrap_or_else(|| panic!("there is no section {name}"));
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    start..start + usize::try_from(length).unwrap_or(usize::MAX)
}

/// Where the bytes of the last loaded segment end: a file that is shorter must not be given to the dynamic linker.
pub fn end_of_segments(bytes: &[u8]) -> u64 {
    let elf = parse(bytes);
    let endian = elf.endian();
    let loads = elf.elf_program_headers().iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
    loads.map(|segment| segment.p_offset(endian) + segment.p_filesz(endian)).max().unwrap_or(0)
}

/// Changes the text of the metadata section, which may not grow.
pub fn edit_metadata(bytes: &mut [u8], edit: impl FnOnce(&str) -> String) {
    let range = section(bytes, METADATA);
    let section = &mut bytes[range];
    let text = String::from_utf8_lossy(section).trim_end_matches('\0').to_string();
    let edited = edit(&text);
    assert_ne!(edited, text, "nothing was changed");
    assert!(edited.len() <= section.len(), "the metadata must not grow");
    section.fill(0);
    section[..edited.len()].copy_from_slice(edited.as_bytes());
}

/// Renames one imported function, so that no library has it. It asks for no version of a library any more.
pub fn undefine_a_symbol(bytes: &mut [u8]) {
    let (names, symbols, versions) =
        (section(bytes, ".dynstr"), section(bytes, ".dynsym"), section(bytes, ".gnu.version"));
    let table: &[Sym64<LE>] = object::slice_from_all_bytes(&bytes[symbols])
        .unwrap_or_else(|()| panic!("a symbol table of another form"));
    let import = |symbol: &Sym64<LE>| symbol.st_shndx(LE) == SHN_UNDEF && symbol.st_bind() == STB_GLOBAL;
    let index = table.iter().position(import).unwrap_or_else(|| panic!("it imports nothing"));
    let name = names.start + usize::try_from(table[index].st_name(LE)).unwrap_or(usize::MAX);
    bytes[name..name + 2].copy_from_slice(b"tw");
    let version = versions.start + 2 * index;
    bytes[version..version + 2].copy_from_slice(&1_u16.to_le_bytes()); // global, of any library
}
