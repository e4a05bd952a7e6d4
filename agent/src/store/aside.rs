//! Moving a store away that can't be used, so that the agent can go on with a new one. Nothing is deleted.

use super::{
    error::{Result, StoreError},
    file::{self, Lock, beside},
};
use crate::model::Timestamp;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Names of one second.
const NAMES: u32 = 1000;

/// Renames a store, with its log, to `history.db.set-aside-20261121T080000Z`. Returns the new path.
///
/// # Errors
/// In use by another agent, or the directory can't be written.
pub fn set_aside(file: &Path, now: Timestamp) -> Result<PathBuf> {
    let file = file::resolve(file)?;
    let _lock = Lock::take(&file)?;
    let aside = free_name(&file, now)?;
    // the database last: as long as it is there, a next try moves it, and its log is never taken for a new one's
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let (from, to) = (beside(&file, suffix), beside(&aside, suffix));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(&from, error)),
        }
    }
    let directory = file.parent().unwrap_or(Path::new("/"));
    let synced = File::open(directory).and_then(|open| open.sync_all());
    synced.map_err(|error| StoreError::io(directory, error))?;
    Ok(aside)
}

/// A name of this second that neither a database nor a log has.
fn free_name(file: &Path, now: Timestamp) -> Result<PathBuf> {
    let text = now.to_string();
    let stamp: String = text.chars().take_while(|c| *c != '.').filter(|c| !matches!(c, '-' | ':')).collect();
    let taken = |path: &PathBuf| {
        ["", "-wal", "-shm", "-journal"].iter().any(|suffix| beside(path, suffix).symlink_metadata().is_ok())
    };
    let names = (1..=NAMES).map(|number| match number {
        1 => beside(file, &format!(".set-aside-{stamp}Z")),
        number => beside(file, &format!(".set-aside-{stamp}Z-{number}")),
    });
    let mut free = names.filter(|path| !taken(path));
    free.next()
        .ok_or_else(|| StoreError::Exhausted { file: file.to_path_buf(), what: "store that is set aside" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_go_together_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("history.db");
        let now = Timestamp::from_millis(1_795_132_800_123);
        for (content, number) in [("first", ""), ("second", "-2")] {
            for suffix in ["", "-wal", "-shm"] {
                fs::write(beside(&file, suffix), format!("{content}{suffix}")).unwrap();
            }
            let aside = set_aside(&file, now).unwrap();
            assert_eq!(
                aside,
                fs::canonicalize(dir.path())
                    .unwrap()
                    .join(format!("history.db.set-aside-20261120T000000Z{number}"))
            );
            for suffix in ["", "-wal", "-shm"] {
                assert!(!beside(&file, suffix).exists());
                assert_eq!(fs::read_to_string(beside(&aside, suffix)).unwrap(), format!("{content}{suffix}"));
            }
        }
        assert!(
            fs::read_to_string(dir.path().join("history.db.set-aside-20261120T000000Z")).unwrap() == "first"
        );
    }

    #[test]
    fn a_store_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("history.db");
        fs::write(&file, "x").unwrap();
        let lock = Lock::take(&file).unwrap();
        assert!(matches!(set_aside(&file, Timestamp::now()), Err(StoreError::InUse { .. })));
        assert!(file.exists());
        drop(lock);
    }
}
