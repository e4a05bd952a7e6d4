//! Files that are no plugins, or were one once.

use super::{Shelf, sound};
use std::{fs, path::Path};
use twarga_agent::host::{Refusal, open_file, preflight};
use twarga_tests::elf;

/// What a copy of `faulty` is refused for, after this was done to its bytes.
fn spoiled(spoil: impl FnOnce(&mut Vec<u8>)) -> (Refusal, String) {
    let shelf = Shelf::new();
    let mut bytes = sound("faulty");
    spoil(&mut bytes);
    shelf.refused(&shelf.put("libfaulty.so", &bytes), "faulty")
}

/// What a file with these bytes is refused for.
fn content(bytes: &[u8]) -> Refusal {
    let shelf = Shelf::new();
    shelf.refused(&shelf.put("libfaulty.so", bytes), "faulty").0
}

#[test]
fn what_is_no_elf_file() {
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let script = b"#!/bin/sh\nexit 0\n";
    let linker_script = b"/* GNU ld script */\nGROUP ( /lib/libc.so.6 )\n";
    for bytes in [&b""[..], b"\x7fELF", b"text", script, linker_script, &[0; 4096], &garbage] {
        let refusal = content(bytes);
        assert!(matches!(refusal, Refusal::NotElf), "{refusal:?}");
    }
}

#[test]
fn a_header_alone() {
    let mut bytes = sound("faulty");
    bytes.truncate(64);
    assert!(matches!(content(&bytes), Refusal::Truncated(_)));
    let mut no_tables = bytes.clone();
    no_tables[32..48].fill(0); // offsets of both tables
    no_tables[56..64].fill(0); // their sizes
    let refusal = content(&no_tables);
    assert!(matches!(&refusal, Refusal::WrongElf(what) if what.contains("anything to load")), "{refusal:?}");
}

#[test]
fn truncated_at_any_length() {
    let shelf = Shelf::new();
    let bytes = sound("faulty");
    let file = shelf.put("libfaulty.so", &bytes);
    let (length, loaded) = (bytes.len() as u64, elf::end_of_segments(&bytes));
    assert!((1 << 20..length).contains(&loaded), "{loaded} of {length}");
    let near = |at: u64| (at - 20..at + 20).filter(|cut| *cut < length);
    let mut cuts: Vec<u64> = (0..200).chain((200..8192).step_by(97)).collect();
    cuts.extend((1..300).map(|part| length * part / 300));
    cuts.extend(near(loaded).chain(near(loaded & !4095)).chain(length - 70..length));
    cuts.sort_unstable();
    cuts.dedup();
    // from the end: a file only ever shrinks
    for cut in cuts.into_iter().rev() {
        fs::File::options().write(true).open(&file).unwrap().set_len(cut).unwrap();
        let (refusal, _) = shelf.refused(&file, "faulty");
        let expected =
            matches!(refusal, Refusal::Truncated(_)) || cut < 64 && matches!(refusal, Refusal::NotElf);
        assert!(expected, "cut to {cut} bytes of {length}: {refusal:?}");
    }
}

#[test]
fn a_copy_whose_end_was_never_written() {
    let (refusal, _) = spoiled(|bytes| {
        let half = bytes.len() / 2;
        bytes[half..].fill(0);
    });
    assert!(matches!(refusal, Refusal::Truncated(_) | Refusal::NotAPlugin), "{refusal:?}");
}

#[test]
fn libraries_of_other_machines() {
    let (other, name) = if cfg!(target_arch = "x86_64") { (183_u16, "Aarch64") } else { (62, "X86_64") };
    let (refusal, message) =
        spoiled(|bytes| bytes[elf::E_MACHINE..][..2].copy_from_slice(&other.to_le_bytes()));
    assert!(matches!(refusal, Refusal::WrongElf(_)), "{refusal:?}");
    assert!(message.contains(&format!("built for {name}, this machine is ")), "{message}");
    assert!(message.ends_with("build it for this machine"), "{message}");

    let (refusal, message) = spoiled(|bytes| bytes[elf::EI_CLASS] = 1);
    assert!(matches!(refusal, Refusal::WrongElf(_)), "{refusal:?}");
    assert!(message.contains("32-bit"), "{message}");
}

#[test]
fn a_big_endian_library() {
    // the header of a library for s390x, without its tables
    let mut bytes = vec![0; 64];
    bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 2, 1, 0]);
    bytes[elf::E_TYPE..][..2].copy_from_slice(&3_u16.to_be_bytes());
    bytes[elf::E_MACHINE..][..2].copy_from_slice(&22_u16.to_be_bytes());
    bytes[20..24].copy_from_slice(&1_u32.to_be_bytes());
    bytes[52..54].copy_from_slice(&64_u16.to_be_bytes());
    let refusal = content(&bytes);
    assert!(matches!(&refusal, Refusal::WrongElf(what) if what.contains("S390x")), "{refusal:?}");

    bytes[elf::E_MACHINE..][..2].copy_from_slice(&183_u16.to_be_bytes()); // aarch64 has both orders
    assert!(matches!(content(&bytes), Refusal::WrongElf(_)));

    // a byte that was spoiled: everything behind it is nonsense
    let (refusal, _) = spoiled(|bytes| bytes[elf::EI_DATA] = 2);
    assert!(matches!(refusal, Refusal::WrongElf(_) | Refusal::Truncated(_)), "{refusal:?}");
}

#[test]
fn other_kinds_of_elf_file() {
    for kind in [1_u16, 2, 4] {
        let (refusal, message) =
            spoiled(|bytes| bytes[elf::E_TYPE..][..2].copy_from_slice(&kind.to_le_bytes()));
        assert!(matches!(refusal, Refusal::WrongElf(_)), "{refusal:?}");
        assert!(message.contains("not a shared library"), "{message}");
    }
}

#[test]
fn libraries_and_programs_that_are_no_plugins() {
    let shelf = Shelf::new();
    let library = shelf.put("libplain.so", &sound("not_a_plugin"));
    let program = shelf.put("program.so", &fs::read(twarga_tests::build().agent()).unwrap());
    for file in [library, program] {
        let (refusal, _) = shelf.refused(&file, "plain");
        assert!(matches!(refusal, Refusal::NotAPlugin), "{refusal:?}");
    }
}

#[test]
fn a_system_that_is_too_old() {
    let (refusal, message) = spoiled(|bytes| {
        let names = elf::section(bytes, ".dynstr");
        assert!(elf::replace(&mut bytes[names], b"GLIBC_2.", b"GLIBC_9.") > 0);
    });
    assert!(matches!(refusal, Refusal::Dlopen(_)), "{refusal:?}");
    assert!(message.contains("version `GLIBC_9."), "{message}");
    assert!(message.contains("newer system"), "{message}");
    assert!(!message.contains("/proc/self/fd"), "{message}");
}

#[test]
fn a_function_that_nobody_has() {
    // found when the library is opened, not when the function is called
    let (refusal, message) = spoiled(|bytes| elf::undefine_a_symbol(bytes));
    assert!(matches!(refusal, Refusal::Dlopen(_)), "{refusal:?}");
    assert!(message.contains("undefined symbol: tw"), "{message}");
    assert!(message.contains("install the library that it needs"), "{message}");
}

#[test]
fn what_is_refused_is_closed() {
    let shelf = Shelf::new();
    let mut bytes = sound("faulty");
    elf::undefine_a_symbol(&mut bytes);
    let files = [shelf.put("linker.so", &bytes), shelf.put("preflight.so", b"text")];
    for file in &files {
        for _ in 0..3 {
            shelf.refused(file, "faulty");
        }
        assert_eq!(descriptors_of(file), 0, "{}", file.display());
    }
    let file = shelf.put("sound.so", &sound("faulty"));
    shelf.load(&file, "faulty").unwrap();
    assert_eq!(descriptors_of(&file), 1, "the linker knows it by this number: it stays");
}

/// How many descriptors of this process lead to a file.
fn descriptors_of(file: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file)).count()
}

#[test]
fn a_library_that_it_needs_is_missing() {
    let (refusal, message) = spoiled(|bytes| {
        let names = elf::section(bytes, ".dynstr");
        assert!(
            elf::replace(&mut bytes[names], b"libgcc_s.so.1\0", b"libtwarga.so.1\0".get(..14).unwrap()) > 0
        );
    });
    assert!(matches!(refusal, Refusal::Dlopen(_)), "{refusal:?}");
    assert!(message.contains("cannot open shared object file"), "{message}");
    assert!(message.contains("install the library that it needs"), "{message}");
}

#[test]
fn things_that_are_no_files() {
    let shelf = Shelf::new();
    let directory = shelf.path("directory.so");
    fs::create_dir(&directory).unwrap();
    super::set_mode(&directory, 0o755);
    // a pipe that nobody writes to must not hold the loader up
    let pipe = shelf.path("pipe.so");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
    for file in [&directory, &pipe] {
        let (refusal, _) = shelf.refused(file, "faulty");
        assert!(matches!(refusal, Refusal::NotAFile), "{refusal:?}");
    }
    let (refusal, _) = shelf.refused(Path::new("/dev/null"), "faulty");
    assert!(matches!(refusal, Refusal::NotAFile | Refusal::Untrusted(_)), "{refusal:?}");
}

#[test]
fn links_to_nowhere() {
    let shelf = Shelf::new();
    let dangling = shelf.path("dangling.so");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    let round = shelf.path("round.so");
    std::os::unix::fs::symlink("round.so", &round).unwrap();
    for file in [&dangling, &round, &shelf.path("missing.so")] {
        let (refusal, message) = shelf.refused(file, "faulty");
        assert!(matches!(refusal, Refusal::Io(_)), "{refusal:?}");
        assert!(message.contains("check that the file is there"), "{message}");
    }
}

#[test]
fn no_spoiled_header_makes_preflight_panic() {
    use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
    use std::os::unix::fs::FileExt;
    let shelf = Shelf::new();
    let bytes = sound("faulty");
    let file = shelf.put("libfaulty.so", &bytes);
    let (writer, reader) = (fs::File::options().write(true).open(&file).unwrap(), open_file(&file).unwrap());
    let sections = u64::from_le_bytes(bytes[40..48].try_into().unwrap());
    let tables = (bytes.len() as u64 - sections).min(4096);
    let place = prop_oneof![0..1024_u64, sections..sections + tables];
    let spoils = vec((place, prop_oneof![Just(0_u8), Just(255), any::<u8>()]), 1..6);
    let case = |spoils: Vec<(u64, u8)>| {
        for (at, byte) in &spoils {
            writer.write_all_at(&[*byte], *at)?;
        }
        let _ = preflight(&reader); // an answer, whatever it is
        for (at, _) in &spoils {
            writer.write_all_at(&bytes[usize::try_from(*at).unwrap()..][..1], *at)?;
        }
        Ok(())
    };
    TestRunner::default().run(&spoils, case).unwrap();
    preflight(&reader).unwrap();
}
