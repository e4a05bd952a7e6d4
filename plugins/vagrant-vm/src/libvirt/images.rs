//! Images of users' machines of any provider.

use super::{
    disks::{Disks, Whose},
    host::Host,
    stats::Extent,
};
use crate::machine::Reason;
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// What images take, or why nobody can tell, by their paths and the users whom they must belong to.
pub(crate) type Used = HashMap<(PathBuf, u32), Result<u64, Reason>>;

/// Images of users' machines of any provider, looked at so that one that hangs costs no other anything.
pub(crate) struct Images(Disks);

impl Images {
    pub(crate) fn below(root: &Path) -> Self {
        Self(Disks::new(Arc::new(Host::below(root))))
    }

    #[cfg(test)]
    pub(crate) fn with(look: impl Fn(&Path, u32) -> Result<u64, Reason> + Send + Sync + 'static) -> Self {
        let look = move |path: &Path, whose: Whose| look(path, whose.owner).map(Extent::File);
        Self(Disks::with(std::time::Duration::from_secs(1), Arc::new(look)))
    }

    /// What these take, as far as that can be told by then.
    pub(crate) fn look(&mut self, files: HashSet<(PathBuf, u32)>, until: Instant) -> Used {
        if files.is_empty() {
            return Used::new();
        }
        let whose = |uid| Whose { uid: Some(uid), owner: uid };
        let images = files.into_iter().map(|(path, uid)| (path, whose(uid))).collect();
        let told = self.0.look(images, until).into_iter().map(|((path, whose), extent)| {
            let bytes = extent.and_then(|extent| match extent {
                Extent::File(bytes) => Ok(bytes),
                Extent::Device => Err("a disk that is no file".into()),
            });
            ((path, whose.owner), bytes)
        });
        told.collect()
    }
}
