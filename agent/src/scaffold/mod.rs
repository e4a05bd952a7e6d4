//! The crate of a new plugin: what `plugins new` writes.
//!
//! The files stand in `agent/template`, with `{{name}}` (the plugin), `{{prefix}}` (the crate and the prefix of its
//! metrics), `{{api}}`, `{{serde}}` and `{{rust}}` to be filled in. The plugin API is packed by `build.rs`.

mod name;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

include!(concat!(env!("OUT_DIR"), "/packed.rs"));

/// The folder of the unpacked API in the new crate.
const VENDOR: &str = "vendor/twarga-plugin-api";

macro_rules! template {
    ($($file:literal from $source:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../template/", $source)))),*]
    };
}

const TEMPLATE: &[(&str, &str)] = template![
    "Cargo.toml" from "Cargo.toml.in",
    "README.md" from "README.md",
    ".gitignore" from "gitignore",
    "config.schema.json" from "config.schema.json",
    "src/lib.rs" from "src/lib.rs",
    "src/parse.rs" from "src/parse.rs",
    "tests/golden.rs" from "tests/golden.rs",
    "tests/fixtures/golden.txt" from "tests/fixtures/golden.txt",
    "tests/fixtures/proc/stat" from "tests/fixtures/proc/stat",
];

/// Where the new crate takes the plugin API from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// The copy in this binary, unpacked into the crate.
    Packed,
    /// A checkout.
    Folder(PathBuf),
    /// A version of the registry.
    Version(String),
}

/// Why no crate was made. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// No plugin can have this name.
    #[error("`{name}` can't be a plugin's name: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// There is something already.
    #[error("{} is already there and not empty: take another name, or another --dir", .0.display())]
    Exists(PathBuf),
    /// `--api` names something else.
    #[error("--api {}: {problem}", given.display())]
    Api {
        /// What was given.
        given: PathBuf,
        /// Why it is not the API.
        problem: String,
    },
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Makes the crate `directory/name` and gives its path.
///
/// # Errors
/// A name that no plugin can have, a folder that is already there, an API that is none, or the system's.
pub fn create(directory: &Path, name: &str, api: &Api) -> Result<PathBuf, ScaffoldError> {
    name::check(name).map_err(|problem| ScaffoldError::Name { name: name.into(), problem })?;
    let here = directory == Path::new(".");
    let target = if here { PathBuf::from(name) } else { directory.join(name) };
    // an empty folder is replaced; everything else belongs to somebody
    match fs::read_dir(&target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        _ => return Err(ScaffoldError::Exists(target)),
    }
    let api_line = dependency(api)?;
    // written beside it and renamed, so that there is the whole crate or none
    let beside = tempfile::Builder::new().prefix(".twarga-new-").tempdir_in(directory);
    let beside = beside.map_err(|source| ScaffoldError::Io { path: directory.into(), source })?;
    let draft = beside.path().join(name);
    write_all(&draft, name, api, &api_line)?;
    fs::rename(&draft, &target).map_err(|source| ScaffoldError::Io { path: target.clone(), source })?;
    Ok(target)
}

/// The API as a dependency in `Cargo.toml`.
fn dependency(api: &Api) -> Result<String, ScaffoldError> {
    match api {
        Api::Packed => Ok(format!("{{ path = {VENDOR:?} }}")),
        Api::Version(version) => Ok(format!("{version:?}")),
        Api::Folder(given) => {
            let refuse = |problem: String| ScaffoldError::Api { given: given.clone(), problem };
            let folder = given.canonicalize().map_err(|error| {
                refuse(format!("{error}; write the folder of twarga-plugin-api, or a version such as 1.0.0"))
            })?;
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
            let package =
                manifest.parse::<toml::Table>().ok().and_then(|table| table.get("package").cloned());
            let named = package.as_ref().and_then(|package| package.get("name")?.as_str());
            if named != Some("twarga-plugin-api") {
                return Err(refuse("not the folder of the crate twarga-plugin-api".into()));
            }
            Ok(format!("{{ path = {:?} }}", folder.display().to_string()))
        }
    }
}

fn write_all(folder: &Path, name: &str, api: &Api, api_line: &str) -> Result<(), ScaffoldError> {
    let prefix = name.replace('-', "_");
    let fill = |text: &str| {
        [("name", name), ("prefix", &prefix), ("api", api_line), ("serde", SERDE), ("rust", RUST)]
            .iter()
            .fold(text.to_string(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value))
    };
    for (file, content) in TEMPLATE {
        write(&folder.join(file), &fill(content))?;
    }
    write(&folder.join("Cargo.lock"), LOCK)?;
    if *api == Api::Packed {
        for (file, content) in API {
            write(&folder.join(VENDOR).join(file), content)?;
        }
    }
    Ok(())
}

fn write(file: &Path, content: &str) -> Result<(), ScaffoldError> {
    let written = match file.parent() {
        Some(folder) => fs::create_dir_all(folder).and_then(|()| fs::write(file, content)),
        None => fs::write(file, content),
    };
    written.map_err(|source| ScaffoldError::Io { path: file.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_whole_and_nothing_is_left_to_fill_in() {
        let dir = tempfile::tempdir().unwrap();
        let made = create(dir.path(), "my-load", &Api::Packed).unwrap();
        assert_eq!(made, dir.path().join("my-load"));
        for (file, _) in TEMPLATE {
            let content = fs::read_to_string(made.join(file)).unwrap();
            for key in ["name", "prefix", "api", "serde", "rust"] {
                assert!(!content.contains(&format!("{{{{{key}}}}}")), "{file}: {content}");
            }
        }
        let manifest: toml::Table = fs::read_to_string(made.join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("my-load"));
        assert_eq!(manifest["dependencies"]["twarga-plugin-api"]["path"].as_str(), Some(VENDOR));
        let api = fs::read_to_string(made.join(VENDOR).join("Cargo.toml")).unwrap();
        assert!(!api.contains("workspace") && api.contains("abi_stable"), "{api}");
        let lock: toml::Table = LOCK.parse().unwrap();
        let locked: Vec<_> =
            lock["package"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert!(locked.contains(&"abi_stable".into()) && !locked.contains(&"rusqlite".into()), "{locked:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside it");
    }

    #[test]
    fn what_is_there_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("mine");
        fs::create_dir(&there).unwrap();
        create(dir.path(), "mine", &Api::Version("1.0.0".into())).unwrap();
        assert!(there.join("Cargo.toml").is_file() && !there.join("vendor").exists());
        let error = create(dir.path(), "mine", &Api::Packed).unwrap_err().to_string();
        assert!(error.contains("already there and not empty"), "{error}");
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(matches!(create(dir.path(), "file", &Api::Packed), Err(ScaffoldError::Exists(_))));
        let error = create(&dir.path().join("none"), "a-b", &Api::Packed).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
        let error = create(dir.path(), "other", &Api::Folder(dir.path().into())).unwrap_err().to_string();
        assert!(error.contains("not the folder of the crate"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing was left");
    }
}
