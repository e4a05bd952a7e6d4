//! Is it the file that was pinned? And copies of files that nobody can change any more.

use super::error::Refusal;
use crate::model::Digest;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError, Weak},
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

/// Whether a file is small enough to be copied.
///
/// # Errors
/// [`Refusal::TooLarge`].
pub(super) fn check_length(file: &File) -> Result<(), Refusal> {
    let length = file.metadata()?.len();
    if length > LARGEST { Err(Refusal::TooLarge(length)) } else { Ok(()) }
}

/// The copies that are in use by processes of plugins.
static COPIES: Mutex<Vec<(Digest, Weak<File>)>> = Mutex::new(Vec::new());

/// One sealed copy for all tables and versions whose content is the same: each takes as much memory as the file is long.
/// With the digest that it has: the file may have changed since it had this one.
///
/// # Errors
/// No copy can be made.
pub(super) fn shared_copy(file: &File, digest: Digest) -> Result<(Arc<File>, Digest), Refusal> {
    shared(digest, || sealed_copy(file))
}

fn shared(
    digest: Digest,
    make: impl FnOnce() -> Result<(File, Digest), Refusal>,
) -> Result<(Arc<File>, Digest), Refusal> {
    // held while it is made: of tables that come at once, only one makes it
    let mut copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
    copies.retain(|(_, one)| one.strong_count() > 0);
    let known = copies.iter().find(|(one, _)| *one == digest).and_then(|(_, one)| one.upgrade());
    if let Some(known) = known {
        return Ok((known, digest));
    }
    let (copy, digest) = make()?;
    let copy = Arc::new(copy);
    copies.push((digest, Arc::downgrade(&copy)));
    Ok((copy, digest))
}

/// A copy in memory, and its digest, that nobody can write, grow or shrink: neither the file's owner between the look at
/// it and its loading, nor who overwrites the file while the copy is loaded.
///
/// # Errors
/// No copy can be made.
pub(super) fn sealed_copy(file: &File) -> Result<(File, Digest), Refusal> {
    check_length(file)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_copies_are_one_and_made_once() {
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        let made = |digest| shared(digest, || Ok((tempfile::tempfile().unwrap(), digest))).unwrap().0;
        let first = made(one);
        let again = shared(one, || panic!("there is one already")).unwrap();
        assert!(Arc::ptr_eq(&first, &again.0) && again.1 == one);
        assert!(!Arc::ptr_eq(&first, &made(other)));
        let gone = Arc::downgrade(&first);
        drop((first, again));
        assert!(gone.upgrade().is_none(), "nothing keeps a copy that nobody uses");
        // a file that changed between the two looks at it
        let changed = shared(one, || Ok((tempfile::tempfile().unwrap(), other))).unwrap();
        assert!(changed.1 == other);
    }
}
