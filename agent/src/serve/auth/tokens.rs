//! Where tokens come from: files, the environment, or made at the first start.

use super::Access;
use std::{
    ffi::{OsStr, OsString},
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use subtle::{Choice, ConstantTimeEq};

/// The fewest characters of a token.
const SHORTEST: usize = 16;
/// The most characters of a token.
const LONGEST: usize = 256;
/// The most bytes of a token file.
const LARGEST_FILE: u64 = 1 << 20;
/// The file of the token that is made at the first start, in the data directory.
pub(super) const MADE: &str = "admin.token";

/// A token, padded so that two are compared in the same time wherever they differ.
#[derive(Clone)]
pub(super) struct Token {
    bytes: [u8; LONGEST],
    length: u64,
}

impl Token {
    /// A token that is configured; the error says what is wrong with it.
    pub(super) fn configured(text: &str) -> Result<Self, &'static str> {
        if text.len() < SHORTEST {
            return Err("a token needs at least 16 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token has only visible ASCII characters, and no spaces");
        }
        Self::padded(text.as_bytes()).ok_or("a token has at most 256 characters")
    }

    /// A token that a client shows; nothing where it can't be a token of ours.
    pub(super) fn of_request(shown: &[u8]) -> Option<Self> {
        Self::padded(shown)
    }

    fn padded(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, length: text.len() as u64 })
    }
}

impl ConstantTimeEq for Token {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.length.ct_eq(&other.length)
    }
}

/// Where tokens come from.
#[derive(Clone, Debug, Default)]
pub struct TokenSources {
    /// A file with one user token a line; `#` begins a comment line.
    pub user_file: Option<PathBuf>,
    /// A file with one admin token a line; `#` begins a comment line.
    pub admin_file: Option<PathBuf>,
    /// The value of `TWARGA_USER_TOKEN`.
    pub user_token: Option<OsString>,
    /// The value of `TWARGA_ADMIN_TOKEN`.
    pub admin_token: Option<OsString>,
    /// Where the token that is made at the first start lies.
    pub data_dir: PathBuf,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The tokens.
    pub access: Access,
    /// The file of the admin token that the agent made itself, now or at an earlier start; nothing where one is
    /// configured.
    pub made: Option<PathBuf>,
    /// For the log: what is not wrong but not good.
    pub warnings: Vec<String>,
}

/// Why the tokens can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// A file can't be read or made.
    #[error("the token file {} can't be {doing}: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// `read`, `made`
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file that is too large for one of tokens: most likely another one is meant.
    #[error("the token file {} has more than 1 MiB: is it one of tokens?", .0.display())]
    TooLarge(PathBuf),
    /// A file without a token.
    #[error("the token file {} has no token: one a line, lines that begin with # are comments", .0.display())]
    NoToken(PathBuf),
    /// The file that the agent made is not whole.
    #[error("{} has no usable token; delete it, and the next start makes a new one", .0.display())]
    Broken(PathBuf),
    /// A token that can't be one.
    #[error("{place}: {reason}")]
    BadToken {
        /// `FILE line N`, or the name of the variable.
        place: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Others could reach the agent, and there are no tokens.
    #[error(
        "{address} can be reached from other machines, so tokens are needed: set {missing} \
         (or listen on 127.0.0.1 and [::1] only)"
    )]
    TokensNeeded {
        /// The address.
        address: SocketAddr,
        /// The keys and variables to set.
        missing: &'static str,
    },
    /// The machine's source of randomness failed.
    #[error("no random bytes for an admin token: {0}")]
    Random(getrandom::Error),
}

/// Gathers the tokens, and makes an admin token where none is configured.
///
/// Refuses to go on where `listen` has an address that other machines can reach and a user or an admin token is not
/// configured.
pub fn load(sources: &TokenSources, listen: &[SocketAddr]) -> Result<Loaded, AuthError> {
    let mut warnings = Vec::new();
    let users = configured(
        sources.user_file.as_deref(),
        "TWARGA_USER_TOKEN",
        sources.user_token.as_deref(),
        &mut warnings,
    )?;
    let mut admins = configured(
        sources.admin_file.as_deref(),
        "TWARGA_ADMIN_TOKEN",
        sources.admin_token.as_deref(),
        &mut warnings,
    )?;
    if let Some(&address) = listen.iter().find(|address| !address.ip().to_canonical().is_loopback()) {
        let missing = match (users.is_empty(), admins.is_empty()) {
            (true, true) => {
                "http.auth.user_tokens and http.auth.admin_tokens, or TWARGA_USER_TOKEN and TWARGA_ADMIN_TOKEN"
            }
            (true, false) => "http.auth.user_tokens or TWARGA_USER_TOKEN",
            (false, true) => "http.auth.admin_tokens or TWARGA_ADMIN_TOKEN",
            (false, false) => "",
        };
        if !missing.is_empty() {
            return Err(AuthError::TokensNeeded { address, missing });
        }
    }
    let mut made = None;
    if admins.is_empty() {
        let file = sources.data_dir.join(MADE);
        admins.push(own(&file, &mut warnings)?);
        made = Some(file);
    }
    Ok(Loaded { access: Access { users, admins }, made, warnings })
}

/// The tokens of a file and of a variable.
fn configured(
    file: Option<&Path>,
    variable: &str,
    value: Option<&OsStr>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Token>, AuthError> {
    let mut tokens = match file {
        Some(file) => read(file, warnings)?,
        None => Vec::new(),
    };
    if let Some(value) = value {
        let bad = |reason| AuthError::BadToken { place: variable.into(), reason };
        let text = value.to_str().ok_or_else(|| bad("a token has only visible ASCII characters"))?;
        tokens.push(Token::configured(text.trim()).map_err(bad)?);
    }
    Ok(tokens)
}

/// The tokens of a file, at least one.
fn read(file: &Path, warnings: &mut Vec<String>) -> Result<Vec<Token>, AuthError> {
    let failed = |source| AuthError::File { file: file.into(), doing: "read", source };
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    if metadata.permissions().mode() & 0o007 != 0 {
        warnings.push(format!("the token file {} is open to every user: chmod o= it", file.display()));
    }
    let mut bytes = Vec::new();
    opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(AuthError::TooLarge(file.into()));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let tokens = parse(&text).map_err(|(line, reason)| AuthError::BadToken {
        place: format!("{} line {line}", file.display()),
        reason,
    })?;
    if tokens.is_empty() { Err(AuthError::NoToken(file.into())) } else { Ok(tokens) }
}

/// One token a line; the error has the line, from 1.
fn parse(text: &str) -> Result<Vec<Token>, (usize, &'static str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| Token::configured(line).map_err(|reason| (number, reason)))
        .collect()
}

/// The agent's own admin token: made at the first start, the same ever after.
fn own(file: &Path, warnings: &mut Vec<String>) -> Result<Token, AuthError> {
    match make(file) {
        Err(AuthError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    match read(file, warnings) {
        Err(AuthError::NoToken(file)) => Err(AuthError::Broken(file)),
        Err(AuthError::BadToken { .. }) => Err(AuthError::Broken(file.into())),
        Err(other) => Err(other),
        Ok(tokens) => tokens.into_iter().next().ok_or_else(|| AuthError::Broken(file.into())),
    }
}

/// Makes the file and its token; fails with `AlreadyExists` where the file is there.
fn make(file: &Path) -> Result<Token, AuthError> {
    let failed = |source| AuthError::File { file: file.into(), doing: "made", source };
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(AuthError::Random)?;
    let text = url_safe(&random);
    let mut opened =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    opened.write_all(format!("{text}\n").as_bytes()).map_err(failed)?;
    opened.sync_all().map_err(failed)?;
    Token::configured(&text).map_err(|reason| AuthError::BadToken { place: MADE.into(), reason })
}

/// Base64 for URLs (RFC 4648, section 5), without padding.
fn url_safe(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests;
