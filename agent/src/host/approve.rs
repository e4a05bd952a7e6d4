//! All that is asked of a file before any of it runs, in one order, for those that load it and those that only look.

use super::{
    digest::{check, check_length, digest, sealed_copy, shared_copy},
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
    sync::Arc,
};

/// A file that may be loaded.
pub(super) struct Approved<F> {
    /// The descriptor of every check, for dlopen: the file itself, or a sealed copy of it.
    pub(super) file: F,
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

/// Opens and checks the file of the plugin `name`, which is to run in this process; nothing of it runs. A pinned one is
/// copied, and the copy is checked and given.
///
/// # Errors
/// The first reason not to load it.
pub(super) fn approve(path: &Path, name: &str, pinned: Option<Digest>) -> Result<Approved<File>, Refusal> {
    let (path, file) = open_trusted(path)?;
    let identity = Identity::of_open(&file)?;
    let mut metadata = examine(&file, name, Strategy::InProcess, pinned.is_some())?;
    let mut digest = digest(&file)?; // last: what is no plugin may be of any length
    check(digest, pinned)?;
    let mut loaded = file;
    if pinned.is_some() {
        (loaded, digest) = sealed_copy(&loaded)?;
        check(digest, pinned)?;
        metadata = examine(&loaded, name, Strategy::InProcess, true)?;
    }
    Ok(Approved { file: loaded, copied: pinned.is_some(), path, digest, identity, metadata })
}

/// The same of one that is to run isolated, and is loaded again whenever a process of it is started: always a copy, one
/// for all that have the same content.
///
/// # Errors
/// The first reason not to load it.
pub(super) fn approve_isolated(
    path: &Path,
    name: &str,
    pinned: Option<Digest>,
) -> Result<Approved<Arc<File>>, Refusal> {
    let (path, file) = open_trusted(path)?;
    let identity = Identity::of_open(&file)?;
    examine(&file, name, Strategy::Isolated, true)?;
    let found = digest(&file)?;
    check(found, pinned)?;
    let (file, digest) = shared_copy(&file, found)?;
    check(digest, pinned)?; // it may have changed meanwhile
    let metadata = examine(&file, name, Strategy::Isolated, true)?;
    Ok(Approved { file, copied: true, path, digest, identity, metadata })
}

/// Opens a file that [`approve`] would approve by now.
///
/// # Errors
/// The first reason not to load it.
pub(super) fn open_checked(path: &Path, name: &str, pinned: Option<Digest>) -> Result<File, Refusal> {
    let (_, file) = open_trusted(path)?;
    examine(&file, name, Strategy::InProcess, pinned.is_some())?;
    if pinned.is_some() {
        check(digest(&file)?, pinned)?;
    }
    Ok(file)
}

fn open_trusted(path: &Path) -> Result<(PathBuf, File), Refusal> {
    let path = path.canonicalize()?;
    let file = open_file(&path)?;
    trust::check(&path, &file)?;
    preflight::check_regular(&file)?;
    Ok((path, file))
}

/// What an open file says of itself, where it is this plugin. It costs no more than its headers, and comes before all
/// that does: what lies there may be anything.
fn examine(file: &File, name: &str, strategy: Strategy, is_to_be_copied: bool) -> Result<Metadata, Refusal> {
    if is_to_be_copied {
        check_length(file)?;
    }
    let metadata = preflight(file)?.metadata;
    if metadata.name != name {
        return Err(Refusal::OtherName(metadata.name));
    }
    preflight::check_loadable(&metadata, strategy)?;
    Ok(metadata)
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
    let (_, file) = open_trusted(path)?;
    let is_to_be_copied = pinned.is_some() || strategy == Strategy::Isolated;
    let metadata = examine(&file, name, strategy, is_to_be_copied)?;
    if pinned.is_some() {
        check(digest(&file)?, pinned)?;
    }
    Ok(metadata)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plugin_is_refused_before_it_is_copied() {
        let no_plugin = std::env::current_exe().unwrap();
        let pinned = Some(Digest([0; 32]));
        let refused = |result: Result<Metadata, Refusal>| matches!(result, Err(Refusal::NotAPlugin));
        let isolated = |pinned| approve_isolated(&no_plugin, "x", pinned).map(|approved| approved.metadata);
        assert!(refused(isolated(None)) && refused(isolated(pinned)));
        assert!(refused(approve(&no_plugin, "x", pinned).map(|approved| approved.metadata)));
        assert!(refused(would_load(&no_plugin, "x", pinned, Strategy::Isolated)));
    }
}
