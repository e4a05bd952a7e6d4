//! Problems, as people read them.

use std::{fmt, path::PathBuf};

/// One thing that is wrong, where, and what to write instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The file, as short as it can be named; nothing for the command line.
    pub file: Option<PathBuf>,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 where the whole file is meant.
    pub column: usize,
    /// The key's path, such as `plugins.host-cpu.interval`; empty where there is none.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// In one line: ``agent.toml:12: agent.intervall: unknown key; did you mean `interval`?``. The column stands only where
/// no key says where to look.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if self.line > 0 {
                write!(f, "{}:", self.line)?;
                if self.key.is_empty() && self.column > 0 {
                    write!(f, "{}:", self.column)?;
                }
            }
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// All that is wrong with the configuration, in the order of the files and their lines; one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The errors; at least one.
    pub errors: Vec<Problem>,
    /// How many more there were than are worth showing.
    pub more: usize,
    /// What is allowed but hardly meant.
    pub warnings: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.errors.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// The most characters of a file's text that a message repeats.
const SHOWN: usize = 60;

/// Text of a file in quotes, shortened, with control characters made visible.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// One part of a key's path: as it is where TOML allows that, else in quotes.
pub(super) fn key_part(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.len() <= SHOWN && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}

/// The path of a key below another.
pub(crate) fn key_below(path: &str, key: &str) -> String {
    if path.is_empty() { key_part(key) } else { format!("{path}.{}", key_part(key)) }
}
