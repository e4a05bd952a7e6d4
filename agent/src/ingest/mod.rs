//! The writer: the one thread that owns the store. Takes the rounds that `collect` sends, maps each collector's series
//! to the store's, evaluates alerts, commits all of a round in one transaction, and publishes the latest values.
//!
//! A store that fails freezes nothing: rounds are published all the same, and wait in a bounded backlog.

mod absence;
mod backlog;
mod clock;
mod parcel;
mod published;
mod space;
mod stats;
mod storage;
mod table;
mod writer;

pub use clock::{Clock, SystemClock};
pub use published::Published;
pub use stats::{Count, Stats};

use crate::{
    config::AlertRule,
    model::{CollectorInfo, Round, Timestamp},
    store::{self, Deleted, Store},
};
use arc_swap::ArcSwap;
use std::{
    fmt, io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use storage::Storage;
use writer::Writer;

/// Without a round for so long, alerts and staleness are looked at all the same.
const IDLE: Duration = Duration::from_secs(60);
/// How long a stop may take to work off what is queued, and then to write what the store refused before.
const DRAIN: Duration = Duration::from_millis(1000);

/// Called once with the answer, on the writer's thread: must not block.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// What the writer is told.
pub enum Input {
    /// What was collected.
    Round(Box<Round>),
    /// Delete what is strictly older; answers with what was deleted, or the error for the log.
    Delete {
        /// The earliest time that is kept.
        before: Timestamp,
        /// Called when it is done.
        reply: Reply<Result<Deleted, String>>,
    },
    /// The collectors as they are now, by [`CollectorId`](crate::model::CollectorId). Comes before the first round of a new one.
    Collectors(Vec<CollectorInfo>),
    /// The alert rules as they are now.
    Rules(Vec<AlertRule>),
    /// The mount point of the disk views as it is now.
    Disk(Arc<str>),
    /// How much of the history is kept as it is now.
    Storage(store::Options),
    /// Answers when all rounds before it are published: whether they are also stored.
    Flush {
        /// Called when it is done.
        reply: Reply<bool>,
    },
    /// Work off what is queued, write, close the store.
    Stop {
        /// Called when it is done.
        reply: Reply<Stopped>,
    },
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Round(_) => "Round",
            Self::Delete { .. } => "Delete",
            Self::Collectors(_) => "Collectors",
            Self::Rules(_) => "Rules",
            Self::Disk(_) => "Disk",
            Self::Storage(_) => "Storage",
            Self::Flush { .. } => "Flush",
            Self::Stop { .. } => "Stop",
        })
    }
}

/// How the writer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Samples that the store did not take any more.
    pub lost_samples: usize,
    /// The error of closing the store, for the log.
    pub error: Option<String>,
}

/// How the writer begins.
#[derive(Debug, Default)]
pub struct Options {
    /// The collectors, by their numbers.
    pub collectors: Vec<CollectorInfo>,
    /// The alert rules.
    pub rules: Vec<AlertRule>,
    /// The mount point of the disk views (`views.disk`).
    pub disk: Arc<str>,
    /// Where rounds are sent back to, emptied, so that their room is used again.
    pub recycled: Option<SyncSender<Box<Round>>>,
}

/// The writer.
#[derive(Debug)]
pub struct Ingest;

impl Ingest {
    /// Starts the thread `ingest` on the machine's clocks. It ends when it is told to stop, or when no sender of `inputs`
    /// is left.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn spawn(store: Store, options: Options, inputs: Receiver<Input>) -> io::Result<Handle> {
        spawn(store, SystemClock, options, inputs)
    }
}

fn spawn<S, C>(store: S, clock: C, mut options: Options, inputs: Receiver<Input>) -> io::Result<Handle>
where
    S: Storage + Send + 'static,
    C: Clock,
{
    let stats = Arc::new(Stats::default());
    let recycled = options.recycled.take();
    let writer = Writer::new(store, clock, options, Arc::clone(&stats));
    let published = writer.published();
    let thread = std::thread::Builder::new().name("ingest".into());
    let (ended, end) = std::sync::mpsc::sync_channel(1);
    let thread = thread.spawn(move || {
        run(writer, &inputs, recycled.as_ref());
        drop(ended);
    })?;
    Ok(Handle { published, stats, thread, end })
}

/// The running writer.
#[derive(Debug)]
pub struct Handle {
    published: Arc<ArcSwap<Published>>,
    stats: Arc<Stats>,
    thread: JoinHandle<()>,
    end: Receiver<()>,
}

impl Handle {
    /// Where the latest state is found.
    pub fn published(&self) -> Arc<ArcSwap<Published>> {
        Arc::clone(&self.published)
    }

    /// What the writer counts.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Whether the thread still runs.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Waits for the end of the thread, after [`Input::Stop`]; whether it ended well and in time.
    pub fn join_within(self, timeout: Duration) -> bool {
        // nothing is ever sent: the end of the thread, also by a panic, closes the channel
        match self.end.recv_timeout(timeout) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => self.thread.join().is_ok(),
        }
    }
}

/// The thread.
fn run<S: Storage, C: Clock>(
    mut writer: Writer<S, C>,
    inputs: &Receiver<Input>,
    recycled: Option<&SyncSender<Box<Round>>>,
) {
    let (reply, deadline) = loop {
        match inputs.recv_timeout(IDLE) {
            Ok(Input::Stop { reply }) => break (Some(reply), Instant::now() + DRAIN),
            Ok(input) => handle(&mut writer, input, recycled),
            Err(RecvTimeoutError::Timeout) => writer.idle(),
            Err(RecvTimeoutError::Disconnected) => break (None, Instant::now() + DRAIN),
        }
    };
    let mut replies = Vec::from_iter(reply);
    while Instant::now() < deadline {
        match inputs.try_recv() {
            Ok(Input::Stop { reply }) => replies.push(reply),
            Ok(input) => handle(&mut writer, input, recycled),
            Err(_) => break,
        }
    }
    let stopped = match writer.stop(Instant::now() + DRAIN) {
        Ok(lost_samples) => Stopped { lost_samples, error: None },
        Err(error) => Stopped { lost_samples: 0, error: Some(error.to_string()) },
    };
    for reply in replies {
        reply(stopped.clone());
    }
}

fn handle<S: Storage, C: Clock>(
    writer: &mut Writer<S, C>,
    input: Input,
    recycled: Option<&SyncSender<Box<Round>>>,
) {
    match input {
        Input::Round(mut round) => {
            writer.round(&mut round);
            if let Some(recycled) = recycled {
                clear(&mut round);
                // a full channel: there are rounds enough
                let _ = recycled.try_send(round);
            }
        }
        Input::Delete { before, reply } => {
            reply(writer.delete_before(before).map_err(|error| error.to_string()));
        }
        Input::Collectors(infos) => writer.set_collectors(infos),
        Input::Rules(rules) => writer.set_rules(rules),
        Input::Disk(disk) => writer.set_disk(disk),
        Input::Storage(options) => writer.set_storage(&options),
        Input::Flush { reply } => reply(writer.is_stored()),
        // taken by the caller
        Input::Stop { reply } => reply(Stopped::default()),
    }
}

/// Empties a round; its batches keep their room.
fn clear(round: &mut Round) {
    for batch in &mut round.batches {
        batch.clear();
    }
    round.gaps.clear();
    round.events.clear();
    round.clock_stepped = false;
    round.vacated.clear();
}

#[cfg(test)]
mod tests;
