//! Ends the process where its own end does not come: a plugin that hangs in an initialiser holds a lock of the dynamic
//! linker, which every thread needs that begins to use something thread-local, and the end of the process as well.

use crate::host::leave;
use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long the agent may take to end once everything is written.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// Room of the thread.
const STACK: usize = 64 << 10;

/// A thread that waits for the stop. It is there before any plugin: later it might not come to be.
#[derive(Clone)]
pub(super) struct WayOut {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// When the process is ended if it still is there.
    by: Option<Instant>,
    written: bool,
}

impl WayOut {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn prepare() -> io::Result<Self> {
        Self::with(|written| leave(u8::from(!written)))
    }

    fn with(end: impl FnOnce(bool) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let own = Arc::clone(&shared);
        thread::Builder::new().name("way-out".into()).stack_size(STACK).spawn(move || {
            let (state, changed) = &*own;
            let mut now = state.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let left = now.by.map(|by| by.saturating_duration_since(Instant::now()));
                now = match left {
                    Some(Duration::ZERO) => break,
                    Some(left) => changed.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0,
                    None => changed.wait(now).unwrap_or_else(PoisonError::into_inner),
                };
            }
            end(now.written);
        })?;
        Ok(Self { shared })
    }

    /// The agent stops, and is to have ended by then.
    pub(super) fn by(&self, deadline: Instant) {
        self.change(|state| state.by = Some(deadline));
    }

    /// Everything is written: nothing is lost any more, whatever does not end.
    pub(super) fn written(&self) {
        self.change(|state| {
            state.written = true;
            state.by = state.by.map(|by| by.min(Instant::now() + AFTERWARDS));
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.shared;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn it_waits_for_the_stop_and_says_whether_all_was_written() {
        for written in [false, true] {
            let (sender, ended) = mpsc::channel();
            let way_out = WayOut::with(move |written| sender.send(written).unwrap()).unwrap();
            if written {
                way_out.by(Instant::now() + 10 * LIMIT);
                way_out.written();
            } else {
                assert!(ended.try_recv().is_err(), "nobody stops");
                way_out.by(Instant::now());
            }
            assert_eq!(ended.recv_timeout(LIMIT).unwrap(), written);
        }
    }
}
