//! The files of plugins that the dynamic linker has taken into this process. They stay for ever, also where no collector
//! of them ever ran: a version that failed when it was tried out costs as much as one that took over.

use super::{error::Refusal, identity::Identity};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many versions of one plugin may be in the process: each keeps its code, its data and a descriptor.
const MOST_VERSIONS: usize = 32;

/// The files by the plugins' names. One for the process, as the linker's own list is. The files stay open, so that no
/// other can have their numbers.
static MAPPED: Mutex<BTreeMap<String, Vec<Identity>>> = Mutex::new(BTreeMap::new());

fn mapped() -> MutexGuard<'static, BTreeMap<String, Vec<Identity>>> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether another version of a plugin may be loaded. One that is there already may; a pinned file is copied anew.
///
/// # Errors
/// [`Refusal::TooManyVersions`].
pub fn room_for(plugin: &str, file: &Path, pinned: bool) -> Result<(), Refusal> {
    let mapped = mapped();
    let versions = mapped.get(plugin).map_or(&[][..], Vec::as_slice);
    let there = |identity: Identity| versions.iter().any(|version| version.is_same_file(&identity));
    if versions.len() < MOST_VERSIONS || (!pinned && Identity::of(file).is_ok_and(there)) {
        return Ok(());
    }
    Err(Refusal::TooManyVersions(versions.len()))
}

/// A file that is about to be loaded.
pub(super) struct Entering<'a> {
    plugin: &'a str,
    file: Identity,
    new: bool,
}

impl<'a> Entering<'a> {
    /// Counts the file before it is loaded: its initialisers may never come back.
    ///
    /// # Errors
    /// It can't be looked at.
    pub(super) fn begin(plugin: &'a str, file: &File) -> io::Result<Self> {
        let file = Identity::of_open(file)?;
        let mut mapped = mapped();
        let versions = mapped.entry(plugin.into()).or_default();
        let new = !versions.iter().any(|version| version.is_same_file(&file));
        if new {
            versions.push(file);
        }
        Ok(Self { plugin, file, new })
    }

    /// The linker has refused it: it is not in the process.
    pub(super) fn refused(self) {
        if self.new
            && let Some(versions) = mapped().get_mut(self.plugin)
        {
            versions.retain(|version| !version.is_same_file(&self.file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_not_where_the_linker_refuses_them() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = "counted-by-this-test-alone";
        let path = |n: usize| dir.path().join(n.to_string());
        let enter = |n: usize| {
            let file = File::create(path(n)).unwrap();
            (Entering::begin(plugin, &file).unwrap(), file)
        };
        let mut kept = Vec::new();
        for n in 0..MOST_VERSIONS {
            assert!(room_for(plugin, &path(n), false).is_ok());
            let (refused, file) = enter(n);
            refused.refused();
            let twice = [Entering::begin(plugin, &file).unwrap(), Entering::begin(plugin, &file).unwrap()];
            assert!(twice[0].new && !twice[1].new);
            kept.push(file);
        }
        let other = path(MOST_VERSIONS);
        let full = room_for(plugin, &other, false).unwrap_err().to_string();
        assert_eq!(full, "32 versions of it are in the process already, and none can be unloaded");
        assert!(room_for(plugin, &path(3), false).is_ok(), "it is there already");
        assert!(room_for(plugin, &path(3), true).is_err(), "a copy of it is not");
        Entering::begin(plugin, &kept[0]).unwrap().refused();
        assert!(room_for(plugin, &other, false).is_err(), "what was there stays there");
        assert!(room_for("another-plugin", &other, false).is_ok());
    }
}
