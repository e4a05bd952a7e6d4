//! The body of an answer on its way to the client.

use super::limits::BUFFER_BYTES;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};
use tokio::sync::OwnedSemaphorePermit;

/// The right to have a large answer in memory, until when. Travels as an extension of the response.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// Given back with the last piece.
    _permit: Arc<OwnedSemaphorePermit>,
    until: Instant,
}

impl Hold {
    pub(super) fn new(permit: OwnedSemaphorePermit, until: Instant) -> Self {
        Self { _permit: Arc::new(permit), until }
    }
}

/// A body that hands out its bytes in pieces: given as a whole, hyper would buffer it as a whole, and what it holds would
/// be given back before the client has taken it.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Bytes,
    hold: Option<Hold>,
}

impl Outgoing {
    pub(super) fn new(bytes: Bytes, hold: Option<Hold>) -> Self {
        Self { bytes, hold }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        if self.hold.as_ref().is_some_and(|hold| Instant::now() > hold.until) {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        let length = self.bytes.len().min(BUFFER_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
