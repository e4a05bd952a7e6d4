//! The agent's end of the socket to a plugin's process: every wait ends with a deadline or with the process.

use super::frames::{FrameError, MAX_FRAME, complete};
use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType, recv, send, sendmsg, socketpair,
    },
};
use std::{
    fs::File,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// Room that the buffer keeps from frame to frame.
const KEPT: usize = 1 << 20;
/// Room for a small answer.
const FIRST: usize = 4096;

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    /// The process ended, or closed its end.
    #[error("the connection is closed")]
    Ended,
    #[error("too late")]
    TooLate,
    #[error("{0}")]
    Nonsense(#[from] FrameError),
    #[error("{0}")]
    Io(#[from] Errno),
}

/// A socket, and the bytes that came last.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
    received: Vec<u8>,
}

impl Channel {
    /// A new one, and the child's end of it.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (own, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        Ok((Self { socket: own, received: Vec::with_capacity(FIRST) }, other))
    }

    /// Sends all of it, an open file with its first byte.
    pub(super) fn send(
        &self,
        mut bytes: &[u8],
        mut file: Option<&File>,
        until: Instant,
    ) -> Result<(), Silence> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        while !bytes.is_empty() {
            let sent = match file {
                Some(file) => send_with(self.socket.as_fd(), bytes, file.as_fd(), flags),
                None => send(&self.socket, bytes, flags),
            };
            match sent {
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    file = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut wanted = [PollFd::new(&self.socket, PollFlags::OUT)];
                    wait(&mut wanted, until)?;
                }
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Silence::Ended),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for one frame. `process` becomes readable when the child has ended: its own children may hold the other
    /// end of the socket open.
    pub(super) fn receive(&mut self, process: BorrowedFd<'_>, until: Instant) -> Result<&[u8], Silence> {
        self.received.clear();
        self.received.shrink_to(KEPT);
        loop {
            let mut wanted =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::from_borrowed_fd(process, PollFlags::IN)];
            wait(&mut wanted, until)?;
            let ended = !wanted[1].revents().is_empty();
            // what it said before its end counts
            let open = wanted[0].revents().is_empty() || self.read()?;
            if complete(&self.received)?.is_some() {
                return Ok(&self.received);
            }
            if !open || (ended && wanted_nothing(&self.socket)) {
                return Err(Silence::Ended);
            }
        }
    }

    /// Reads what is there; whether the other end is open.
    fn read(&mut self) -> Result<bool, Silence> {
        // once it has room for the plugin's longest answer it never grows again, however that comes in pieces
        if self.received.capacity() == self.received.len() {
            let more = self.received.capacity().clamp(FIRST, MAX_FRAME);
            self.received.reserve(more);
        }
        match recv(&self.socket, spare_capacity(&mut self.received), RecvFlags::DONTWAIT) {
            Ok((count, _)) => Ok(count > 0),
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(Errno::CONNRESET) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn wanted_nothing(socket: &OwnedFd) -> bool {
    let mut wanted = [PollFd::new(socket, PollFlags::IN)];
    !matches!(poll(&mut wanted, Some(&Timespec::default())), Ok(1..))
}

fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    file: BorrowedFd<'_>,
    flags: SendFlags,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    control.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
}

/// Waits until one of them is ready.
///
/// # Errors
/// [`Silence::TooLate`], or the system's.
pub(super) fn wait(wanted: &mut [PollFd<'_>], until: Instant) -> Result<(), Silence> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(wanted, Some(&timespec(left))) {
            Ok(0) if left.is_zero() => return Err(Silence::TooLate),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 })
}
