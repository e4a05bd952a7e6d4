//! What the machine itself withholds from everybody, seen from outside the agent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Between two looks of a witness.
const LOOK: Duration = Duration::from_millis(5);
/// A thread that wakes so late, in milliseconds, was kept from the processor. To lose a tick of 100 ms the agent must be
/// kept from it for 75 ms in all, in process, and for 80 ms isolated, in two or three wake-ups one after the other.
pub(super) const STALL: i64 = 25;

/// Milliseconds since 1970 by the wall clock.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap()
}

/// Threads of the test that do nothing but wake up, and note when they could not: as many as there are processors.
pub(super) struct Witness {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<(i64, i64)>>>,
}

impl Witness {
    pub(super) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = thread::available_parallelism().map_or(1, usize::from);
        let witness = || {
            let stop = Arc::clone(&stop);
            thread::spawn(move || look(&stop))
        };
        Self { threads: (0..count).map(|_| witness()).collect(), stop }
    }

    /// When the machine stalled, from and to.
    pub(super) fn stop(self) -> Vec<(i64, i64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

fn look(stop: &AtomicBool) -> Vec<(i64, i64)> {
    let mut stalls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let before = now();
        thread::sleep(LOOK);
        let after = now();
        if after - before > STALL {
            stalls.push((before, after));
        }
    }
    stalls
}
