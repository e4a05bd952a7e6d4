//! Why a plugin file is not loaded. One sentence says what is wrong, the advice says what to do.

use crate::model::Digest;
use std::{io, path::PathBuf};

/// A file that is not loaded.
#[derive(Debug, thiserror::Error)]
#[error("{}: {refusal}; {}", file.display(), refusal.advice())]
pub struct LoadError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub refusal: Refusal,
}

/// What is wrong with a plugin file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It can't be opened or read.
    #[error("{0}")]
    Io(io::Error),
    /// A directory, a pipe, a device.
    #[error("not a regular file")]
    NotAFile,
    /// Somebody else could have written it, or a directory above it.
    #[error("{0}")]
    Untrusted(String),
    /// Not the file that was pinned.
    #[error(
        "not the file that is pinned: agent.toml has sha256 = \"{pinned}\", this file would need sha256 = \"{found}\""
    )]
    OtherDigest {
        /// What agent.toml wants.
        pinned: Digest,
        /// What the file has.
        found: Digest,
    },
    /// A file that is pinned, or for an isolated plugin, can't be copied to where nobody can change it.
    #[error("no sealed copy of it can be made: {0}")]
    NoCopy(io::Error),
    /// Larger than any plugin that could be copied.
    #[error("too large for a sealed copy of it ({} MiB)", .0 >> 20)]
    TooLarge(u64),
    /// Not an ELF file at all.
    #[error("not an ELF shared library")]
    NotElf,
    /// An ELF file of another kind or machine.
    #[error("{0}")]
    WrongElf(String),
    /// Shorter than its own headers say.
    #[error("the file is truncated ({0})")]
    Truncated(&'static str),
    /// A shared library without our section.
    #[error("a shared library, but not a plugin of this agent")]
    NotAPlugin,
    /// The section is there and can't be understood.
    #[error("its metadata can't be read: {0}")]
    BadMetadata(String),
    /// Built with an API of another major version.
    #[error("built with plugin API {plugin}, this agent speaks {agent}")]
    ApiVersion {
        /// The plugin's.
        plugin: String,
        /// The agent's.
        agent: String,
    },
    /// A panic of it would end the agent.
    #[error("built with panic=abort, so a panic of it would end the agent")]
    PanicAbort,
    /// Its file carries another name than the one that was asked for.
    #[error("the file says it is the plugin `{0}`")]
    OtherName(String),
    /// The dynamic linker refused it.
    #[error("the dynamic linker refuses it: {0}")]
    Dlopen(String),
    /// Loaded by a process of its own, it ended that, or did not come to an end.
    #[error("its initialisers can't be run in the agent's process; in another one: {0}")]
    Rehearsal(String),
    /// The entry symbol or the header behind it is wrong.
    #[error("its entry point is unusable: {0}")]
    Entry(String),
    /// The types that it shares with the agent differ.
    #[error("its plugin API differs from the agent's: {0}")]
    Layout(String),
    /// The root module says another thing than the metadata.
    #[error("its code and its metadata disagree: {0}")]
    Inconsistent(String),
    /// A declared metric breaks a rule.
    #[error("metric `{metric}`: {problem}")]
    BadMetric {
        /// The metric.
        metric: String,
        /// The rule.
        problem: String,
    },
    /// A declared metric belongs to somebody else.
    #[error("metric `{metric}` is already claimed by {owner}")]
    Claimed {
        /// The metric.
        metric: String,
        /// Who has it.
        owner: String,
    },
    /// The process can hold no more of them.
    #[error("{0} versions of it are in the process already, and none can be unloaded")]
    TooManyVersions(usize),
    /// Its process can't belong to the user that was asked for.
    #[error("{0}")]
    User(String),
    /// Several files of one directory carry the name.
    #[error("several files carry this plugin's name: {}", list(.0))]
    Ambiguous(Vec<PathBuf>),
    /// No directory has it.
    #[error("{0}")]
    NotFound(String),
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Refusal {
    /// What an operator can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "make it readable for the agent's user"
            }
            Self::Io(_) => "check that the file is there and its disk is well",
            Self::NotAFile | Self::NotElf | Self::NotAPlugin => {
                "take it out of the plugin directory, or point `plugin` to another one"
            }
            Self::Untrusted(_) => "mend owner and mode, so that nobody else can replace what the agent runs",
            Self::OtherDigest { .. } => {
                "if you trust this file, put the second line into the plugin's table; else put the pinned one back"
            }
            Self::NoCopy(_) => {
                "allow memfd_create and give the agent more memory, or set mode = \"in_process\" without sha256"
            }
            Self::TooLarge(_) => "strip its debug information, or set mode = \"in_process\" without sha256",
            Self::WrongElf(_) => "build it for this machine",
            Self::Truncated(_) => "copy it again, to a new name and then by rename",
            Self::BadMetadata(_) | Self::Inconsistent(_) | Self::Entry(_) => {
                "build it again with export_plugin!, or TWARGA_PLUGIN in C"
            }
            Self::ApiVersion { .. } | Self::Layout(_) => "build it again with this agent's plugin API",
            Self::PanicAbort => "build it with panic=\"unwind\", or set mode = \"isolated\"",
            Self::OtherName(_) => "rename the table, or set `plugin` to that name",
            Self::Dlopen(message) if message.contains("GLIBC_") => {
                "it was built on a newer system: build it on this one or an older one"
            }
            Self::Rehearsal(_) => "mend what it does when it is loaded, or set mode = \"isolated\"",
            Self::Dlopen(_) => "install the library that it needs, or build it again",
            Self::BadMetric { .. } => "mend the declaration in the plugin",
            Self::Claimed { .. } => "disable one of the two plugins",
            Self::TooManyVersions(_) => "restart the agent, or run the plugin isolated",
            Self::User(_) => "run the agent as root, or mend or remove `user` in the plugin's table",
            Self::Ambiguous(_) => "leave one of them there",
            Self::NotFound(_) => "put its .so into one of these directories, or disable it",
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
