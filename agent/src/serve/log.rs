//! Lines in the log about requests, bounded so that a flood of requests is no flood of lines.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// At most this many lines of one kind in a window.
const LINES: u32 = 10;
/// The length of a window.
const WINDOW: Duration = Duration::from_secs(60);

/// Lets the first few lines of each window through and counts the others.
pub(super) struct Throttle {
    window: Mutex<Option<(Instant, u32)>>,
    left_out: AtomicU32,
}

impl Throttle {
    pub(super) const fn new() -> Self {
        Self { window: Mutex::new(None), left_out: AtomicU32::new(0) }
    }

    /// The number of lines left out since the last one, if a line may be written now.
    pub(super) fn admit(&self, now: Instant) -> Option<u32> {
        // the state is two plain values: a panic elsewhere cannot have left it half-written
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, lines) = match *window {
            Some((start, lines)) if now.duration_since(start) < WINDOW => (start, lines),
            _ => (now, 0),
        };
        if lines >= LINES {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *window = Some((start, lines + 1));
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

static REFUSED: Throttle = Throttle::new();
static FAILED: Throttle = Throttle::new();
static CAUSES: Throttle = Throttle::new();
static CONNECTIONS: Throttle = Throttle::new();

/// A request was refused for its token. The path is without its query, which may hold what belongs to nobody else.
pub(super) fn refused(status: u16, method: &str, path: &str, peer: std::net::IpAddr) {
    if let Some(left_out) = REFUSED.admit(Instant::now()) {
        tracing::warn!(status, method, path, %peer, left_out, "request refused");
    }
}

/// A request was answered with a 5xx.
pub(super) fn failed(status: u16, method: &str, path: &str, peer: std::net::IpAddr) {
    if let Some(left_out) = FAILED.admit(Instant::now()) {
        tracing::warn!(status, method, path, %peer, left_out, "request failed");
    }
}

/// The cause of a 500.
pub(super) fn internal(cause: &dyn std::fmt::Display) {
    if let Some(left_out) = CAUSES.admit(Instant::now()) {
        tracing::error!(%cause, left_out, "internal error while answering a request");
    }
}

/// A connection could not be taken.
pub(super) fn connection(what: &str, cause: &dyn std::fmt::Display) {
    if let Some(left_out) = CONNECTIONS.admit(Instant::now()) {
        tracing::warn!(%cause, left_out, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_not_written() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let written = (0..1000).filter(|_| throttle.admit(start).is_some()).count();
        assert_eq!(written, LINES as usize);
        assert_eq!(throttle.admit(start + WINDOW), Some(1000 - LINES));
        assert_eq!(throttle.admit(start + WINDOW), Some(0));
    }
}
