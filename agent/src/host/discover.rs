//! Which plugin files there are, and which one a name means.

use super::{
    error::{LoadError, Refusal},
    metadata::Metadata,
    preflight::{open_file, preflight},
};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A file in a plugin directory that is a plugin, or has the name of one.
#[derive(Debug)]
pub struct Candidate {
    /// Its path in the plugin directory.
    pub file: PathBuf,
    /// Device and inode: links to one file are one candidate.
    identity: (u64, u64),
    /// Its directory's place in the search order.
    directory: usize,
    /// What it says it is, or why it is not loaded.
    pub metadata: Result<Metadata, Refusal>,
}

impl Candidate {
    /// The plugin's name: its own word, else what the file's name suggests.
    pub fn name(&self) -> String {
        match &self.metadata {
            Ok(metadata) => metadata.name.clone(),
            Err(_) => name_of_file(&self.file),
        }
    }
}

/// A name resolved to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub file: PathBuf,
    /// Files of the same name in later directories, which are not used.
    pub shadowed: Vec<PathBuf>,
}

/// All candidates of the plugin directories, in the search order.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The directories, in the search order.
    pub directories: Vec<PathBuf>,
    /// What was found there.
    pub candidates: Vec<Candidate>,
}

/// Looks through the directories. One that is not there is passed over, for the search order has places that a
/// machine needs not have.
pub fn discover(directories: &[PathBuf]) -> Catalogue {
    let mut catalogue = Catalogue { directories: directories.to_vec(), candidates: Vec::new() };
    for (index, directory) in directories.iter().enumerate() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "so"));
        files.sort();
        for file in files {
            catalogue.add(file, index);
        }
    }
    catalogue
}

impl Catalogue {
    fn add(&mut self, file: PathBuf, directory: usize) {
        let identity = fs::metadata(&file).map(|meta| (meta.dev(), meta.ino())).unwrap_or_default();
        let known = self.candidates.iter().any(|other| other.identity == identity && identity != (0, 0));
        if !known {
            let metadata = read(&file);
            self.candidates.push(Candidate { file, identity, directory, metadata });
        }
    }

    /// The file of a plugin. The first directory that has one decides, as in `PATH`; two different files of one name
    /// in one directory are refused, because which one is meant can't be known.
    ///
    /// # Errors
    /// None there, or several in one directory.
    pub fn find(&self, name: &str) -> Result<Found, LoadError> {
        let named = || self.candidates.iter().filter(|candidate| candidate.name() == name);
        // a broken file only has a plugin's name; a sound one in the same directory is the plugin
        let sound = |directory| named().any(|other| other.directory == directory && other.metadata.is_ok());
        let mut named = named().filter(|candidate| candidate.metadata.is_ok() || !sound(candidate.directory));
        let Some(first) = named.next() else {
            return Err(LoadError {
                file: file_name(name).into(),
                refusal: Refusal::NotFound(self.not_found(name)),
            });
        };
        let (same, later): (Vec<_>, Vec<_>) = named.partition(|other| other.directory == first.directory);
        if !same.is_empty() {
            let files = std::iter::once(first).chain(same).map(|candidate| candidate.file.clone()).collect();
            return Err(LoadError { file: first.file.clone(), refusal: Refusal::Ambiguous(files) });
        }
        let shadowed = later.into_iter().map(|candidate| candidate.file.clone()).collect();
        Ok(Found { file: first.file.clone(), shadowed })
    }

    fn not_found(&self, name: &str) -> String {
        let names = self.candidates.iter().map(Candidate::name);
        let close =
            names.map(|other| (strsim::jaro_winkler(name, &other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = match close {
            Some((similarity, other)) if similarity > 0.8 => format!(" (did you mean `{other}`?)"),
            _ => String::new(),
        };
        let places: Vec<String> = self.directories.iter().map(|place| place.display().to_string()).collect();
        format!("no plugin `{name}` in {}{hint}", places.join(", "))
    }

    /// The plugins that no name of `configured` means; files that are no plugins at all are left out.
    pub fn available<'a>(&'a self, configured: &'a [String]) -> impl Iterator<Item = &'a Candidate> {
        let of_interest = |candidate: &&Candidate| match &candidate.metadata {
            Err(Refusal::NotAPlugin) => false,
            _ => !configured.contains(&candidate.name()),
        };
        self.candidates.iter().filter(of_interest)
    }
}

fn read(file: &Path) -> Result<Metadata, Refusal> {
    Ok(preflight(&open_file(file)?)?.metadata)
}

/// The file that a plugin's crate builds: `host-cpu` is `libhost_cpu.so`.
fn file_name(plugin: &str) -> String {
    format!("lib{}.so", plugin.replace('-', "_"))
}

fn name_of_file(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_prefix("lib").unwrap_or(&stem).replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_files_are_known_by_their_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("libhost_cpu.so"), b"\x7fELF").unwrap();
        fs::write(dir.path().join("notes.txt"), b"").unwrap();
        let catalogue = discover(&[dir.path().into(), dir.path().join("missing")]);
        assert_eq!(catalogue.candidates.len(), 1);
        assert_eq!(catalogue.find("host-cpu").unwrap().file, dir.path().join("libhost_cpu.so"));
        let error = catalogue.find("host-cpy").unwrap_err().to_string();
        assert!(error.contains("did you mean `host-cpu`?"), "{error}");
    }

    #[test]
    fn the_first_directory_wins_and_a_tie_is_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for directory in [&one, &two] {
            fs::write(directory.path().join("libthermal.so"), b"x").unwrap();
        }
        let directories = [one.path().to_path_buf(), two.path().to_path_buf()];
        let found = discover(&directories).find("thermal").unwrap();
        assert_eq!(found.file, one.path().join("libthermal.so"));
        assert_eq!(found.shadowed, [two.path().join("libthermal.so")]);

        fs::hard_link(one.path().join("libthermal.so"), one.path().join("thermal.so")).unwrap();
        assert!(discover(&directories).find("thermal").is_ok(), "a link is the same file");
        fs::write(one.path().join("lib-thermal.so"), b"y").unwrap();
        fs::rename(one.path().join("lib-thermal.so"), one.path().join("thermal.so")).unwrap();
        let error = discover(&directories).find("thermal").unwrap_err();
        assert!(matches!(error.refusal, Refusal::Ambiguous(files) if files.len() == 2));
    }
}
