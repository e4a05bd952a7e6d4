//! The machine index, `data/machine-index/index` in Vagrant's home, version 1:
//!
//! ```json
//! {"version":1,"machines":{"<32 hexadecimal digits>":{"local_data_path":"/srv/project/.vagrant","name":"web",
//!  "provider":"libvirt","vagrantfile_path":"/srv/project","extra_data":{"box":{"name":"debian/bookworm64"}}}}}
//! ```
//!
//! Its states are not read: they are those of the last time that Vagrant looked.

use super::lenient::{Lenient, Wanted, wanted_object};
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess},
};
use std::{collections::HashSet, fmt};
use twarga_plugin_api::serde_json;

/// The most bytes that are read: some 10 000 machines.
pub(crate) const MAX_BYTES: usize = 4 << 20;
/// The most machines of one index.
pub(crate) const MAX_MACHINES: usize = 10_000;

const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;
/// Lengths of texts that only describe.
pub(super) const MAX_LABEL: usize = 256;

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) entries: Vec<Entry>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A machine of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 32 hexadecimal digits.
    pub(crate) index_id: String,
    /// No path in itself: it is a part of one.
    pub(crate) name: String,
    /// The same.
    pub(crate) provider: String,
    /// The folder of what Vagrant keeps of the project, usually `.vagrant` in it. Absolute.
    pub(crate) local_data: String,
    /// The folder of the Vagrantfile; empty where it is not told.
    pub(crate) project: String,
    pub(crate) box_name: Option<String>,
}

/// An entry that is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// The key, as far as it can be shown.
    pub(crate) index_id: String,
    pub(crate) why: &'static str,
}

/// Why there is no index in these bytes. Never quotes them: they may be what not everybody shall read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Empty,
    /// It breaks off.
    HalfWritten,
    /// No JSON.
    Garbage {
        line: usize,
        column: usize,
    },
    /// JSON, but no index.
    NoIndex,
    /// Of another version, where that is a number.
    Version(Option<u64>),
    TooLarge,
    TooManyMachines,
    /// Two entries of the same id.
    Duplicate(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => to.write_str("it is empty"),
            Self::HalfWritten => to.write_str("it breaks off in the middle"),
            Self::Garbage { line, column } => write!(to, "it is no JSON (line {line}, column {column})"),
            Self::NoIndex => to.write_str("it is no machine index of Vagrant"),
            Self::Version(Some(version)) => write!(to, "it has version {version}, only 1 is known"),
            Self::Version(None) => to.write_str("its version is not 1"),
            Self::TooLarge => write!(to, "it is larger than {} MiB, the most that is read", MAX_BYTES >> 20),
            Self::TooManyMachines => write!(to, "it has more than {MAX_MACHINES} machines"),
            Self::Duplicate(index_id) => write!(to, "it has two machines with the id {index_id}"),
        }
    }
}

/// Reads an index. An entry that lacks what is needed is left out, the others stay.
///
/// # Errors
/// Where it is none, or not all of one.
pub(crate) fn parse(bytes: &[u8]) -> Result<Index, Problem> {
    if bytes.len() > MAX_BYTES {
        return Err(Problem::TooLarge);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::Empty);
    }
    let read: Lenient<RawIndex> = serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() {
            Problem::HalfWritten
        } else {
            // the error's own words may quote the file
            Problem::Garbage { line: error.line(), column: error.column() }
        }
    })?;
    let RawIndex { version, machines } = read.good().ok_or(Problem::NoIndex)?;
    match version {
        Lenient::Good(1.0) => {}
        Lenient::Good(version) if version >= 0.0 && version.fract() == 0.0 && version < 1e9 => {
            return Err(Problem::Version(Some(version as u64)));
        }
        Lenient::Good(_) | Lenient::Odd => return Err(Problem::Version(None)),
        Lenient::Missing => return Err(Problem::NoIndex),
    }
    match machines {
        // as Vagrant takes it: an index without any
        Lenient::Missing => Ok(Index::default()),
        Lenient::Odd => Err(Problem::NoIndex),
        Lenient::Good(Machines { refused: Some(problem), .. }) => Err(problem),
        Lenient::Good(Machines { index, .. }) => Ok(index),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawIndex {
    version: Lenient<f64>,
    machines: Lenient<Machines>,
}
wanted_object!(RawIndex);

#[derive(Default)]
struct Machines {
    index: Index,
    refused: Option<Problem>,
}

impl Wanted for Machines {
    fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut machines = Self::default();
        let mut seen = HashSet::new();
        while let Some(index_id) = object.next_key::<String>()? {
            if seen.len() == MAX_MACHINES {
                machines.refused = Some(Problem::TooManyMachines);
            }
            if machines.refused.is_some() {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw: Lenient<RawEntry> = object.next_value()?;
            if !is_index_id(&index_id) {
                let index_id = index_id.chars().filter(char::is_ascii_graphic).take(32).collect();
                machines
                    .index
                    .left_out
                    .push(LeftOut { index_id, why: "its id is not 32 hexadecimal digits" });
                seen.insert(format!("odd {}", seen.len()));
            } else if !seen.insert(index_id.clone()) {
                machines.refused = Some(Problem::Duplicate(index_id));
            } else {
                match raw.good().ok_or("it is no object").and_then(|raw| raw.entry(&index_id)) {
                    Ok(entry) => machines.index.entries.push(entry),
                    Err(why) => machines.index.left_out.push(LeftOut { index_id, why }),
                }
            }
        }
        Ok(Some(machines))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEntry {
    name: Lenient<String>,
    provider: Lenient<String>,
    local_data_path: Lenient<String>,
    vagrantfile_path: Lenient<String>,
    extra_data: Lenient<ExtraData>,
}
wanted_object!(RawEntry);

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExtraData {
    r#box: Lenient<BoxData>,
}
wanted_object!(ExtraData);

/// `extra_data.box` of an entry, and all of `box_meta`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BoxData {
    name: Lenient<String>,
}
wanted_object!(BoxData);

impl BoxData {
    fn shown(self) -> Option<String> {
        self.name.good().filter(|name| is_label(name))
    }
}

impl RawEntry {
    fn entry(self, index_id: &str) -> Result<Entry, &'static str> {
        let name = self.name.good().ok_or("it has no name")?;
        if !is_file_name(&name) {
            return Err("its name can't be one");
        }
        let provider = self.provider.good().ok_or("it has no provider")?;
        if !is_file_name(&provider) || !is_plain(&provider) {
            return Err("its provider can't be one");
        }
        let local_data = self.local_data_path.good();
        let project = self.vagrantfile_path.good();
        if local_data.iter().chain(&project).any(|path| !is_path(path)) {
            return Err("its path can't be one");
        }
        let (local_data, project) = match (local_data, project) {
            (Some(local_data), Some(project)) => (local_data, project),
            (Some(local_data), None) => {
                let project = local_data.trim_end_matches('/').strip_suffix("/.vagrant").unwrap_or_default();
                let project = project.to_owned();
                (local_data, project)
            }
            // where Vagrant puts it if nothing else is told
            (None, Some(project)) => (format!("{}/.vagrant", project.trim_end_matches('/')), project),
            (None, None) => return Err("it has no project"),
        };
        let box_name = self.extra_data.good().and_then(|extra| extra.r#box.good()).and_then(BoxData::shown);
        Ok(Entry { index_id: index_id.to_owned(), name, provider, local_data, project, box_name })
    }
}

/// The name of the box in `box_meta`, a file in the folder of the machine.
pub(crate) fn box_name(box_meta: &[u8]) -> Option<String> {
    let read: Lenient<BoxData> = serde_json::from_slice(box_meta).ok()?;
    read.good()?.shown()
}

fn is_index_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether it is the form of what providers call their machines: at most 64 of these letters, as in a UUID.
pub(crate) fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a text can be shown.
pub(super) fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_file_name(text: &str) -> bool {
    let printable = !text.chars().any(|letter| letter.is_control() || letter == '/');
    (1..=MAX_NAME).contains(&text.len()) && printable && text != "." && text != ".."
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= MAX_PATH && !text.chars().any(char::is_control)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
