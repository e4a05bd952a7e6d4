//! The plugin files that are kept for each released ABI, and for one that has grown since: `tests/abi/`.

use flate2::read::GzDecoder;
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// The languages in which there is a plugin for each version.
pub const LANGUAGES: [&str; 2] = ["rust", "c"];

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("abi")
}

/// The versions that were released, and `grown`.
pub fn versions() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap_or_else(|error| panic!("tests/abi: {error}"));
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The packed file of a version's plugin.
pub fn packed(version: &str, language: &str) -> PathBuf {
    folder().join(version).join(format!("{language}.so.gz"))
}

/// The plugin itself.
///
/// # Panics
/// Where it is not there: `tests/abi/rebuild.sh` makes it.
pub fn library(version: &str, language: &str) -> Vec<u8> {
    let file = packed(version, language);
    let mut bytes = Vec::new();
    let read = File::open(&file).and_then(|packed| GzDecoder::new(packed).read_to_end(&mut bytes));
    read.unwrap_or_else(|error| panic!("{}: {error}; tests/abi/rebuild.sh makes it", file.display()));
    bytes
}

/// Whether this machine can run them; told where it can't.
pub fn runs_here() -> bool {
    let runs = cfg!(target_arch = "x86_64");
    if !runs {
        println!("skipped: the kept plugins are of x86_64");
    }
    runs
}
