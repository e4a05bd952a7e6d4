//! Why a call to libvirt's service has no result.

use super::wire::{Malformed, RemoteError};
use rustix::io::Errno;
use std::fmt;

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum CallError {
    /// Nobody listens: the socket is not there, or left over.
    Absent,
    /// The system says so.
    Io(Errno),
    /// The service closed the connection.
    Closed,
    /// Not in time.
    Late,
    Malformed(Malformed),
    /// The service answered something else than was asked.
    Unasked,
    /// The service refuses.
    Remote(RemoteError),
    /// None of its ways to log in is one of ours.
    Login,
    /// The socket's owner is somebody else than the user whose service it should be.
    Foreign,
}

impl CallError {
    /// Whether the connection is of no more use.
    pub(super) fn is_fatal(&self) -> bool {
        !matches!(self, Self::Remote(_))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("libvirt is not running"),
            Self::Io(error) => write!(f, "libvirt can't be reached: {error}"),
            Self::Closed => f.write_str("libvirt closed the connection"),
            Self::Late => f.write_str("libvirt does not answer"),
            Self::Malformed(what) => write!(f, "libvirt sent {what}"),
            Self::Unasked => f.write_str("libvirt answered something else than was asked"),
            Self::Remote(error) => write!(f, "libvirt refuses: {} (error {})", error.message, error.code),
            Self::Login => f.write_str("libvirt demands a way to log in that is not supported"),
            Self::Foreign => f.write_str("the socket's service belongs to another user"),
        }
    }
}

impl From<Malformed> for CallError {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

impl From<Errno> for CallError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR => Self::Absent,
            Errno::PIPE | Errno::CONNRESET => Self::Closed,
            other => Self::Io(other),
        }
    }
}
