//! All that is asked of a file before any of it runs, in one order, for those that load it and those that only look.

use super::{
    digest::{check, digest, sealed_copy},
    error::Refusal,
    identity::Identity,
    metadata::Metadata,
    preflight::{self, Strategy, open_file, preflight},
    trust,
};
use crate::model::Digest;
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// A file that may be loaded.
pub(super) struct Approved {
    /// The descriptor of every check, for dlopen: the file itself, or a sealed copy of it.
    pub(super) file: File,
    /// It is a copy.
    pub(super) copied: bool,
    /// Its path, without symbolic links.
    pub(super) path: PathBuf,
    /// Its digest.
    pub(super) digest: Digest,
    /// Which file it was, also where a copy is loaded.
    pub(super) identity: Identity,
    /// What it says of itself.
    pub(super) metadata: Metadata,
}

/// Opens and checks the file of the plugin `name`; nothing of it runs. A pinned one is copied first, and so is one for
/// isolated plugins, which is loaded again whenever a process of it is started; the copy is what is checked and given.
///
/// # Errors
/// The first reason not to load it.
pub(super) fn approve(
    path: &Path,
    name: &str,
    pinned: Option<Digest>,
    strategy: Strategy,
) -> Result<Approved, Refusal> {
    let path = path.canonicalize()?;
    let file = open_file(&path)?;
    trust::check(&path, &file)?;
    preflight::check_regular(&file)?;
    let identity = Identity::of_open(&file)?;
    let (file, copy) = match (pinned, strategy) {
        (None, Strategy::InProcess) => (file, None),
        _ => {
            let (copy, digest) = sealed_copy(&file)?;
            check(digest, pinned)?;
            (copy, Some(digest))
        }
    };
    let metadata = preflight(&file)?.metadata;
    if metadata.name != name {
        return Err(Refusal::OtherName(metadata.name));
    }
    preflight::check_loadable(&metadata, strategy)?;
    let digest = match copy {
        Some(digest) => digest,
        None => digest(&file)?, // last: what is no plugin may be of any length
    };
    Ok(Approved { file, copied: copy.is_some(), path, digest, identity, metadata })
}

/// Whether the agent would begin to load a file as the plugin `name`: owner and mode, digest, headers, metadata. What
/// only its code and the other plugins can show is left out.
///
/// # Errors
/// The first reason against it.
pub fn would_load(
    path: &Path,
    name: &str,
    pinned: Option<Digest>,
    strategy: Strategy,
) -> Result<Metadata, Refusal> {
    approve(path, name, pinned, strategy).map(|approved| approved.metadata)
}

/// What can be told of a file whatever it says of itself.
#[derive(Debug)]
pub struct Provenance {
    /// What tells it from every other file.
    pub digest: Digest,
    /// Why the agent of this user would not load it for its owner and mode, or for those of the folders above it.
    pub distrust: Option<Refusal>,
}

/// Looks at a file that may be anybody's.
///
/// # Errors
/// It can't be read.
pub fn provenance(path: &Path) -> Result<Provenance, Refusal> {
    let path = path.canonicalize()?;
    let file = open_file(&path)?;
    preflight::check_regular(&file)?;
    Ok(Provenance { digest: digest(&file)?, distrust: trust::check(&path, &file).err() })
}
