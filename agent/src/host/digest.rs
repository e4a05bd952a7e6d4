//! Is it the file that was pinned? And copies of files that nobody can change any more.

use super::error::Refusal;
use crate::model::Digest;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

/// What is read at once.
const CHUNK: usize = 128 * 1024;
/// The largest file that is copied into memory: debug builds of plugins have some ten MiB.
const LARGEST: u64 = 512 << 20;

/// The digest of an open file, whatever its path means by now.
///
/// # Errors
/// The system's.
pub(super) fn digest(file: &File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    read(file, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(Digest(hash.finalize().into()))
}

/// A copy in memory, and its digest, that nobody can write, grow or shrink: neither the file's owner between the look at
/// it and its loading, nor who overwrites the file while the copy is loaded.
///
/// # Errors
/// No copy can be made.
pub(super) fn sealed_copy(file: &File) -> Result<(File, Digest), Refusal> {
    let length = file.metadata()?.len();
    if length > LARGEST {
        return Err(Refusal::TooLarge(length));
    }
    let mut copy = memory_file().map_err(Refusal::NoCopy)?;
    let mut copied = 0;
    read(file, |bytes| {
        copied += bytes.len() as u64;
        // it may have grown meanwhile
        if copied > LARGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { copy.write_all(bytes) }
    })
    .map_err(Refusal::NoCopy)?;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&copy, all).map_err(|error| Refusal::NoCopy(error.into()))?;
    // of the sealed copy: what is hashed is what is loaded
    let digest = digest(&copy)?;
    Ok((copy, digest))
}

/// Whether it is the digest that was pinned, if one was.
///
/// # Errors
/// It is another one.
pub(super) fn check(found: Digest, pinned: Option<Digest>) -> Result<(), Refusal> {
    match pinned.filter(|pinned| *pinned != found) {
        Some(pinned) => Err(Refusal::OtherDigest { pinned, found }),
        None => Ok(()),
    }
}

/// The dynamic linker maps it, nobody starts it as a program: without the flag a kernel that is told to
/// (`vm.memfd_noexec`) refuses it, with it one before Linux 6.3.
fn memory_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = memfd_create("twarga-plugin", flags | MemfdFlags::NOEXEC_SEAL).or_else(|error| match error {
        rustix::io::Errno::INVAL => memfd_create("twarga-plugin", flags),
        other => Err(other),
    });
    Ok(made?.into())
}

/// Hands over the whole content, in parts.
fn read(file: &File, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                take(&buffer[..length])?;
                offset += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
