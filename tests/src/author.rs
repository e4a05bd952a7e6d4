//! What a plugin's author does, with cargo in a place that stays, so that it knows again what it has built.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of the tests that build crates of their own.
fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/author")
}

/// An empty folder for the crates of one test, always the same.
///
/// # Panics
/// Where it can't be made.
pub fn workshop(name: &str) -> PathBuf {
    let folder = place().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// Where cargo builds all these crates: their dependencies are built once.
///
/// # Panics
/// Where it can't be made.
pub fn target() -> PathBuf {
    let folder = place().join("target");
    // a link to a folder that is not there yet is no folder to cargo
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

/// Gives a command cargo's environment: nothing is downloaded, for the versions are those of the workspace.
pub fn offline(command: &mut Command) -> &mut Command {
    command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target())
}

/// Runs cargo in a crate and gives what it said.
///
/// # Panics
/// Where it fails, with what it said.
pub fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = offline(command.args(arguments).current_dir(folder)).output();
    let output = output.unwrap_or_else(|error| panic!("can't run cargo: {error}"));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cargo {arguments:?}:\n{text}");
    text
}
