//! The files of the folder.

use rustix::fs::OFlags;
use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};
use twarga_plugin_api::{Context, Error, Result};

/// A file larger than this is refused.
const MAX_SIZE: u64 = 4 << 20;
/// The most files of a folder.
const MAX_FILES: usize = 1000;
/// What the names end in.
const ENDING: &str = ".prom";

/// A file that is to be read.
pub(crate) struct Found {
    /// Its name without the folder, as the label says it.
    pub(crate) name: String,
    path: PathBuf,
}

/// What is in it.
pub(crate) struct Content {
    pub(crate) text: Vec<u8>,
    pub(crate) modified: SystemTime,
}

/// The files of the folder, by name.
pub(crate) fn found(directory: &Path) -> Result<Vec<Found>> {
    let entries = fs::read_dir(directory).context(directory.display())?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.context(directory.display())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(ENDING) && !name.starts_with('.') {
            found.push(Found { name, path: entry.path() });
        }
    }
    if found.len() > MAX_FILES {
        let (count, directory) = (found.len(), directory.display());
        let message =
            format_args!("{directory}: {count} files, the most is {MAX_FILES}: use several folders");
        return Err(Error::transient(message));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl Found {
    /// Reads it, never waiting for anybody: a pipe is no file.
    pub(crate) fn read(&self) -> Result<Content> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits())?;
        let file = File::options().read(true).custom_flags(flags).open(&self.path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(Error::transient("not a regular file"));
        }
        let mut text = Vec::with_capacity(usize::try_from(about.len().min(MAX_SIZE))?);
        // one byte more tells that it is too large, also where it grows meanwhile
        file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_SIZE {
            return Err(Error::transient("larger than 4 MiB, the most that is read"));
        }
        Ok(Content { text, modified: about.modified()? })
    }
}
