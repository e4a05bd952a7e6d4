//! The one thread behind all isolated plugins: it starts their processes, reads what they print, notices when they end,
//! and reaps those that nobody waits for any more.
//!
//! Lanes come and go, and a call of one may hang; this thread stays as long as the agent.

use super::{
    cgroup::Delegated,
    channel::timespec,
    output::{Output, Stream},
};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    io::{read, write},
    process::{Pid, PidfdFlags, pidfd_open},
};
use std::{
    io,
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Between two looks at whether a killed process has ended.
const REAPING: Duration = Duration::from_secs(1);
/// Between two looks at who has printed too much.
const SUMMARY: Duration = Duration::from_secs(10);

enum Request {
    /// Boxed: it is large, and rare.
    Spawn(Box<Spawn>),
    Reap(Child),
    /// The process that printed this has been killed.
    Close(Arc<Output>),
    Stop,
}

struct Spawn {
    command: Command,
    printed: Stream,
    answer: mpsc::SyncSender<io::Result<Child>>,
}

/// Called on the keeper's thread when a process has ended: must not block.
type EndNoticed = Box<dyn Fn() + Send + Sync>;

struct Shared {
    requests: Mutex<Vec<Request>>,
    wake: OwnedFd,
}

/// Starts its thread when it is first needed, and ends it when it is dropped.
#[derive(Default)]
pub struct Keeper {
    shared: Mutex<Option<Arc<Shared>>>,
    /// The agent's control group, if it may divide it; looked for at the first start.
    groups: OnceLock<Option<Delegated>>,
    end_noticed: Arc<OnceLock<EndNoticed>>,
}

impl Keeper {
    /// The agent's control group, where it may divide it.
    pub(super) fn groups(&self) -> Option<&Delegated> {
        self.groups.get_or_init(Delegated::find).as_ref()
    }

    /// Calls this whenever one of its processes has ended, whoever ended it: once for several is enough. Only the first
    /// one counts.
    pub fn on_end(&self, end_noticed: impl Fn() + Send + Sync + 'static) {
        let _ = self.end_noticed.set(Box::new(end_noticed));
    }

    /// Starts a process on the keeper's thread, whose standard output and error are the other end of `printed`.
    pub(super) fn spawn(&self, command: Command, printed: Stream, until: Instant) -> io::Result<Child> {
        // without a buffer: a process that nobody waits for any more must come back to be waited for
        let (answer, answered) = mpsc::sync_channel(0);
        let spawn = Spawn { command, printed, answer };
        self.request(Request::Spawn(Box::new(spawn)))?;
        let left = until.saturating_duration_since(Instant::now());
        answered.recv_timeout(left).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Waits for a process that was killed and has not ended yet.
    pub(super) fn reap(&self, child: Child) {
        if let Err(error) = self.request(Request::Reap(child)) {
            tracing::warn!("a process that was killed can't be waited for: {error}");
        }
    }

    /// Reads what a process had printed before it was killed, and closes the pipe: a process that it had started and that
    /// nobody could kill may hold the other end for ever.
    pub(super) fn close(&self, output: &Arc<Output>) {
        if let Err(error) = self.request(Request::Close(Arc::clone(output))) {
            tracing::warn!("the output of a process that was killed can't be closed: {error}");
        }
    }

    fn request(&self, request: Request) -> io::Result<()> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_none() {
            *shared = Some(start(Arc::clone(&self.end_noticed))?);
        }
        let Some(shared) = &*shared else { return Ok(()) };
        shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        write(&shared.wake, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let started = self.shared.get_mut().unwrap_or_else(PoisonError::into_inner).is_some();
        if started {
            let _ = self.request(Request::Stop); // the thread has ended: nothing to stop
        }
    }
}

fn start(end_noticed: Arc<OnceLock<EndNoticed>>) -> io::Result<Arc<Shared>> {
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared { requests: Mutex::default(), wake });
    let own = Arc::clone(&shared);
    thread::Builder::new().name("isolated".into()).spawn(move || {
        let (streams, alive, dying, buffer) = (Vec::new(), Vec::new(), Vec::new(), vec![0; 64 * 1024]);
        Loop { shared: own, streams, alive, end_noticed, dying, buffer }.run();
    })?;
    Ok(shared)
}

struct Loop {
    shared: Arc<Shared>,
    streams: Vec<Stream>,
    /// Each becomes readable when its process ends.
    alive: Vec<OwnedFd>,
    end_noticed: Arc<OnceLock<EndNoticed>>,
    /// Killed, and not ended yet.
    dying: Vec<Child>,
    buffer: Vec<u8>,
}

impl Loop {
    fn run(mut self) {
        let mut summary = Instant::now() + SUMMARY;
        loop {
            self.wait();
            let requests =
                std::mem::take(&mut *self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner));
            for request in requests {
                match request {
                    Request::Spawn(spawn) => self.spawn(*spawn),
                    Request::Reap(child) => self.dying.push(child),
                    Request::Close(output) => {
                        let closed = self.streams.extract_if(.., |stream| stream.is_of(&output));
                        closed.for_each(|stream| stream.close(&mut self.buffer));
                    }
                    Request::Stop => return,
                }
            }
            self.dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            if Instant::now() >= summary {
                summary = Instant::now() + SUMMARY;
                self.streams.iter_mut().for_each(Stream::tell_left_out);
            }
        }
    }

    /// Sleeps until somebody asks, a plugin prints or ends, or it is time to look; reads what was printed.
    fn wait(&mut self) {
        let mut wanted = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        wanted.extend(self.alive.iter().map(|process| PollFd::new(process, PollFlags::IN)));
        wanted.extend(self.streams.iter().map(|stream| PollFd::new(stream.pipe(), PollFlags::IN)));
        let timeout = match () {
            () if !self.dying.is_empty() => Some(timespec(REAPING)),
            () if self.streams.iter().any(Stream::left_out) => Some(timespec(SUMMARY)),
            () => None,
        };
        if poll(&mut wanted, timeout.as_ref()).is_err() {
            return; // interrupted
        }
        let ready: Vec<bool> = wanted.iter().map(|one| !one.revents().is_empty()).collect();
        if ready[0] {
            let _ = read(&self.shared.wake, &mut [0; 8]); // the number means nothing
        }
        let mut ready = ready.into_iter().skip(1);
        let before = self.alive.len();
        self.alive.retain(|_| !ready.next().unwrap_or(false));
        self.streams.retain_mut(|stream| !ready.next().unwrap_or(false) || stream.read(&mut self.buffer));
        // after its last words were read, which may explain it
        if self.alive.len() < before
            && let Some(end_noticed) = self.end_noticed.get()
        {
            end_noticed();
        }
    }

    fn spawn(&mut self, Spawn { mut command, printed, answer }: Spawn) {
        let spawned = command.spawn();
        drop(command); // its end of the pipe, so that the child has the only one
        // without it, its end is noticed at its next call
        let alive =
            spawned.as_ref().ok().map(|child| pidfd_open(Pid::from_child(child), PidfdFlags::empty()));
        match answer.send(spawned) {
            Ok(()) => {
                if let Some(alive) = alive {
                    self.streams.push(printed);
                    self.alive.extend(alive);
                }
            }
            Err(mpsc::SendError(Err(_))) => {}
            // whoever asked has lost patience: the process must not stay
            Err(mpsc::SendError(Ok(mut child))) => {
                let _ = child.kill(); // it may have ended
                self.dying.push(child);
            }
        }
    }
}
