//! What can be known and decided before a process of a plugin is started.

use super::super::{
    approve::{Approved, approve_isolated},
    claims::Claims,
    error::{LoadError, Refusal},
    identity::Identity,
    metadata::Metadata,
};
use crate::model::Digest;
use rustix::process::geteuid;
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use uzers::os::unix::UserExt;

/// A plugin's file, examined and copied: what was checked is what each process of it loads, also when another file has
/// taken its name, or its content was overwritten.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The sealed copy.
    pub(super) library: Arc<File>,
    /// What it says.
    pub metadata: Metadata,
    /// Its file, without symbolic links.
    pub file: PathBuf,
    /// What tells the file from every other.
    pub digest: Digest,
    /// Which file it was.
    pub identity: Identity,
}

/// Examines a file as the plugin `name`, which must have the pinned digest if there is one, and claims its metrics.
/// Nothing of it runs.
///
/// # Errors
/// The file, what is wrong with it and what to do.
pub fn prepare(
    path: &Path,
    name: &str,
    pinned: Option<Digest>,
    claims: &Claims,
) -> Result<Prepared, LoadError> {
    let prepared = approve_isolated(path, name, pinned).and_then(|approved| {
        let Approved { file, path, digest, identity, metadata, .. } = approved;
        claims.claim(&metadata)?;
        Ok(Prepared { library: file, metadata, file: path, digest, identity })
    });
    prepared.map_err(|refusal| LoadError { file: path.into(), refusal })
}

/// What a plugin's process may do.
#[derive(Clone, Debug)]
pub struct Confinement {
    /// How long a collection may take; so long the agent waits, a little less.
    pub deadline: Duration,
    /// Bytes of memory beside those that the process has before the plugin is loaded.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Open files.
    pub files: u64,
    /// Whom it belongs to, where not to the agent's user.
    pub user: Option<User>,
    /// Variables that it is given beside `PATH`, `LANG`, `TZ` and `HOME`.
    pub environment: Vec<String>,
    /// Folders that it may write to, where the kernel can hold it to that.
    pub writable: Vec<PathBuf>,
}

/// Whom a process belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
}

impl User {
    /// Finds a user by name or number, through the system's own directory of users.
    ///
    /// # Errors
    /// [`Refusal::User`]: nobody has that name, or the agent may not start processes of others.
    pub fn find(name: &str) -> Result<Self, Refusal> {
        let by_number = || name.parse().ok().and_then(uzers::get_user_by_uid);
        let Some(user) = uzers::get_user_by_name(name).or_else(by_number) else {
            return Err(Refusal::User(format!("there is no user {name}")));
        };
        if !geteuid().is_root() && geteuid().as_raw() != user.uid() {
            return Err(Refusal::User(format!("the agent is not root: it can't run a plugin as {name}")));
        }
        Ok(Self { uid: user.uid(), gid: user.primary_group_id(), home: user.home_dir().into() })
    }

    /// Whether this is somebody else than the agent.
    pub(super) fn is_other(&self) -> bool {
        geteuid().as_raw() != self.uid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let own = geteuid().as_raw();
        let user = User::find(&own.to_string()).unwrap();
        assert!(user.uid == own && !user.is_other());
        let error = User::find("no-such-user-here").unwrap_err();
        assert_eq!(error.to_string(), "there is no user no-such-user-here");
        match User::find("root") {
            Ok(root) => assert_eq!((root.uid, root.gid), (0, 0)),
            Err(error) => assert!(own != 0 && error.to_string().contains("not root"), "{error}"),
        }
    }
}
