//! Which files make the configuration, and their text.

use super::{Environment, Flags, check::Problems};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The most bytes of one file.
pub(super) const MOST_BYTES: u64 = 1 << 20;
/// The name of the file.
const NAME: &str = "agent.toml";
/// The folder of drop-ins beside it.
const DROP_INS: &str = "agent.d";

/// The files: the main one first, then its drop-ins in the order of their names. None: the built-in defaults.
pub(super) fn find(flags: &Flags, environment: &Environment, problems: &mut Problems) -> Vec<PathBuf> {
    let main = match &flags.config {
        Some(path) => Some(environment.absolute(path)),
        None => search(environment, problems),
    };
    let Some(main) = main else {
        warn_of_lone_drop_ins(environment, problems);
        return Vec::new();
    };
    let mut files = vec![main];
    files.extend(drop_ins(&files[0].with_file_name(DROP_INS), environment, problems));
    files
}

fn search(environment: &Environment, problems: &mut Problems) -> Option<PathBuf> {
    for dir in environment.config_dirs() {
        let path = dir.join(NAME);
        // not followed: a link to nothing was meant to be read, and is reported
        match fs::symlink_metadata(&path) {
            Ok(_) => return Some(path),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => {
                let message = format!("can't look for it: {}; looked elsewhere", reason(&error));
                problems.warn_file(0, &path, &message, "");
            }
        }
    }
    None
}

fn warn_of_lone_drop_ins(environment: &Environment, problems: &mut Problems) {
    for dir in environment.config_dirs() {
        let drop_ins = dir.join(DROP_INS);
        if drop_ins.is_dir() {
            let hint = "create one";
            problems.warn_file(0, &drop_ins, "not read: no agent.toml stands beside it", hint);
        }
    }
}

fn drop_ins(dir: &Path, environment: &Environment, problems: &mut Problems) -> Vec<PathBuf> {
    let names = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>());
    match names {
        Ok(mut names) => {
            names.retain(|name| {
                let bytes = name.as_encoded_bytes();
                bytes.ends_with(b".toml") && !bytes.starts_with(b".")
            });
            names.sort();
            names.into_iter().map(|name| dir.join(name)).collect()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            let hint = "drop-ins are files in a folder of this name; rename this file";
            problems.file(1, &environment.shown(dir), "not a folder", hint);
            Vec::new()
        }
        Err(error) => {
            let message = format!("can't be read: {}", reason(&error));
            problems.file(1, &environment.shown(dir), &message, "");
            Vec::new()
        }
    }
}

/// Why a file gives no text.
pub(super) struct Unreadable {
    pub(super) message: String,
    pub(super) hint: &'static str,
}

/// The bytes of a file, and whether everybody may write to it.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, bool), Unreadable> {
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => "let the agent's user read it",
            ErrorKind::NotFound => "create it, or name another file with --config",
            _ => "",
        };
        Unreadable { message: format!("can't be read: {}", reason(&error)), hint }
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    // looked at before it is opened, because opening a pipe would wait for its other end
    if metadata.is_dir() {
        return Err(Unreadable { message: "is a folder, not a file".into(), hint: "name the file in it" });
    }
    if !metadata.is_file() {
        return Err(Unreadable { message: "is not a regular file".into(), hint: "" });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        let message = "is larger than 1 MiB".into();
        return Err(Unreadable { message, hint: "is it another file than was meant?" });
    }
    Ok((bytes, metadata.permissions().mode() & 0o002 != 0))
}

/// The reason of an error without the number of the system.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
