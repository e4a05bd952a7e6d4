//! What the tests run: the agent's binary and the plugins' shared libraries.
//!
//! `cargo test --workspace` builds neither the binary for another package's tests nor the shared libraries, so the tests
//! ask cargo for them, with the profile that they were built with themselves. Nothing is built twice.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The files that cargo built.
#[derive(Debug)]
pub struct Artifacts {
    agent: PathBuf,
    libraries: BTreeMap<String, PathBuf>,
}

impl Artifacts {
    /// The agent's binary.
    pub fn agent(&self) -> &Path {
        &self.agent
    }

    /// The shared library of a plugin's crate or of an example of this one: `host-cpu`, `faulty`.
    pub fn library(&self, name: &str) -> &Path {
        let known = || self.libraries.keys().cloned().collect::<Vec<_>>().join(", ");
        let file = self.libraries.get(&name.replace('-', "_"));
        file.unwrap_or_else(|| panic!("no shared library `{name}` was built, only {}", known()))
    }

    /// The names of all shared libraries.
    pub fn libraries(&self) -> impl Iterator<Item = &str> {
        self.libraries.keys().map(String::as_str)
    }
}

/// Builds everything, once in a process.
///
/// # Panics
/// Where cargo can't build it, with what cargo says.
pub fn build() -> &'static Artifacts {
    static BUILT: OnceLock<Artifacts> = OnceLock::new();
    BUILT.get_or_init(run_cargo)
}

fn run_cargo() -> Artifacts {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--lib", "--bins", "--examples"]);
    cargo.arg("--message-format=json-render-diagnostics");
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // not from the tests' directory: a relative CARGO_TARGET_DIR counts from the workspace's root
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let output = cargo.output().unwrap_or_else(|error| panic!("can't run cargo: {error}"));
    assert!(output.status.success(), "cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8_lossy(&output.stdout);
    read_messages(&messages).unwrap_or_else(|| panic!("cargo named no binary twarga-agent"))
}

/// Picks the files out of cargo's messages; nothing where the agent is not among them.
fn read_messages(messages: &str) -> Option<Artifacts> {
    let (mut agent, mut libraries) = (None, BTreeMap::new());
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let name = message["target"]["name"].as_str().unwrap_or_default().replace('-', "_");
        if let Some(file) = message["executable"].as_str().filter(|_| name == "twarga_agent") {
            agent = Some(PathBuf::from(file));
        }
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if let Some(file) = files.into_iter().find(|file| file.ends_with(".so"))
            && message["target"]["crate_types"]
                .as_array()
                .is_some_and(|types| types.contains(&"cdylib".into()))
        {
            libraries.insert(name, PathBuf::from(file));
        }
    }
    Some(Artifacts { agent: agent?, libraries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_picked_out_of_the_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"x","crate_types":["proc-macro"]},"filenames":["/t/libx.so"],"executable":null}
{"reason":"compiler-artifact","target":{"name":"host_cpu","crate_types":["cdylib","rlib"]},"filenames":["/t/libhost_cpu.rlib","/t/libhost_cpu.so"],"executable":null}
no json
{"reason":"compiler-artifact","target":{"name":"twarga-agent","crate_types":["bin"]},"filenames":["/t/twarga-agent"],"executable":"/t/twarga-agent"}"#;
        let artifacts = read_messages(messages).unwrap();
        assert_eq!(artifacts.agent(), Path::new("/t/twarga-agent"));
        assert_eq!(artifacts.library("host-cpu"), Path::new("/t/libhost_cpu.so"));
        assert_eq!(artifacts.libraries().collect::<Vec<_>>(), ["host_cpu"]);
        assert!(read_messages("{}").is_none());
    }
}
