//! How much of everything a client may have.

use std::time::Duration;

/// Limits of the server. The defaults are for production; tests use smaller ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more are answered 503 and closed.
    pub connections: usize,
    /// Connections at once that are being answered 503; more are closed without a word.
    pub refusals: usize,
    /// Time in which a refused client must have taken its 503.
    pub refusal: Duration,
    /// Time in which the head of a request must arrive, and for which an idle connection is kept.
    pub head: Duration,
    /// Time in which the body of a request must arrive.
    pub body: Duration,
    /// Time in which a request must be answered.
    pub request: Duration,
    /// Time after which a client that takes nothing of its answer is given up.
    pub stall: Duration,
    /// Time in which a large answer must be taken.
    pub delivery: Duration,
    /// Time that running requests have to end when the server stops.
    pub grace: Duration,
    /// Bytes of a request's target.
    pub target_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Requests at once that read the store.
    pub readers: usize,
    /// Large answers at once, from the question until the client has taken all of it.
    pub large_answers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            refusals: 32,
            refusal: Duration::from_secs(1),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            request: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            delivery: Duration::from_secs(300),
            grace: Duration::from_secs(1),
            target_bytes: 8 * 1024,
            body_bytes: 64 * 1024,
            readers: 4,
            large_answers: 4,
        }
    }
}

/// Bytes of a request's head, and of what is buffered of an answer. Larger heads are answered 431 (by hyper, without a
/// body).
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
