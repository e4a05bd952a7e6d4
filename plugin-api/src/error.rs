//! What a collector answers when it can't deliver.

use std::fmt;

/// What the host should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// May work next time: the host keeps the samples already put, counts a failure and tries again,
    /// less often when it keeps failing.
    Transient,
    /// The plugin's configuration is wrong: the host does not try again until it changes.
    Config,
    /// This machine has nothing to collect (no such device, file or service): said once, not retried soon.
    Unsupported,
    /// The collector can't go on: the host drops it and may create it anew.
    Fatal,
    /// The plugin panicked. Set by the glue; a collector has no need to return it.
    Panicked,
}

impl ErrorKind {
    /// The number that crosses the boundary.
    #[doc(hidden)]
    pub const fn to_raw(self) -> u8 {
        match self {
            Self::Transient => 0,
            Self::Config => 1,
            Self::Unsupported => 2,
            Self::Fatal => 3,
            Self::Panicked => 4,
        }
    }

    /// Kinds that a newer plugin may know and this host does not count as fatal.
    pub(crate) const fn from_raw(raw: u8) -> Self {
        match raw {
            0 => Self::Transient,
            1 => Self::Config,
            2 => Self::Unsupported,
            4 => Self::Panicked,
            _ => Self::Fatal,
        }
    }
}

/// The error of a collector: a kind, a message for people, and where it is.
///
/// Every `std::error::Error` converts with `?` into a [transient](ErrorKind::Transient) one, its sources
/// included in the message:
///
/// ```
/// use twarga_plugin_api::prelude::*;
/// fn read(path: &str) -> Result<String> {
///     Ok(std::fs::read_to_string(path).context(path)?)
/// }
/// let error = read("/does/not/exist").unwrap_err();
/// assert!(error.message().starts_with("/does/not/exist: No such file"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    location: String,
}

/// `Result` with the [`Error`] of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, location: impl Into<String>) -> Self {
        Self { kind, message: message.into(), location: location.into() }
    }

    /// A passing failure: see [`ErrorKind::Transient`].
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Transient, message.to_string(), "")
    }

    /// A wrong value in the plugin's configuration; `key` is its path below the plugin's `config` table,
    /// such as `mounts.exclude[2]`. The host shows the line of the file beside it.
    pub fn config(key: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Config, message.to_string(), key.to_string())
    }

    /// Nothing to collect on this machine: see [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, message.to_string(), "")
    }

    /// The collector can't go on: see [`ErrorKind::Fatal`].
    pub fn fatal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Fatal, message.to_string(), "")
    }

    /// What the host should do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The path of a wrong configuration key, or the `file:line` of a panic; else empty.
    pub fn location(&self) -> &str {
        &self.location
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.location.is_empty()) {
            (ErrorKind::Panicked, false) => write!(f, "{} at {}", self.message, self.location),
            (_, false) => write!(f, "{}: {}", self.location, self.message),
            (_, true) => f.write_str(&self.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

// `Error` itself does not implement `std::error::Error`: that is what makes this blanket conversion possible.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::transient(message)
    }
}

/// Puts what was being done in front of an error's message.
pub trait Context<T> {
    /// `Err("no such file")` becomes `Err("/proc/stat: no such file")`.
    ///
    /// # Errors
    /// Whatever it was called on, with `what` in front; `None` becomes a transient error.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| {
            let mut error = error.into();
            error.message = format!("{what}: {}", error.message);
            error
        })
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::transient(what))
    }
}
