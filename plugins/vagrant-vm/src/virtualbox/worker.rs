//! A thread for each user who has machines: VBoxManage is run once at a time for a user, and one user's VirtualBox that
//! hangs delays no other's.

use super::command::{Failure, ask};
use crate::{machine::Owner, owned};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// What VBoxManage is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// All of a machine.
    Machine { id: String },
    /// The address of its first network card.
    Address { id: String },
    /// The sizes of one of its disks.
    Medium { id: String, disk: String },
}

impl Question {
    /// The machine's id.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Machine { id } | Self::Address { id } | Self::Medium { id, .. } => id,
        }
    }

    fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Machine { id } => vec!["showvminfo", id, "--machinereadable"],
            Self::Address { id } => vec!["guestproperty", "get", id, "/VirtualBox/GuestInfo/Net/0/V4/IP"],
            Self::Medium { disk, .. } => vec!["showmediuminfo", "disk", disk],
        }
    }
}

/// Who made a machine, as Vagrant noted it in a file of the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creator {
    /// Nothing is noted.
    Untold,
    User(u32),
    /// There is a note that can't be read, or not be trusted.
    Unread,
}

impl Creator {
    /// Reads the note, which must be the owner's or root's.
    fn read(file: &Path, owner: u32) -> Self {
        let opened = owned::open(file, Some(owner)).or_else(|_| owned::open(file, Some(0)));
        let mut text = String::new();
        match opened.and_then(|file| file.take(32).read_to_string(&mut text)) {
            Ok(_) => text.trim().parse().map_or(Self::Unread, Self::User),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Self::Untold
            }
            Err(_) => Self::Unread,
        }
    }
}

/// An answer.
pub(super) struct Told {
    /// Whose machine it is about.
    pub(super) uid: u32,
    /// Of a machine that is not found.
    pub(super) creator: Creator,
    pub(super) question: Question,
    pub(super) answer: Result<String, Failure>,
    /// When it was asked: what happened since may not be in the answer.
    pub(super) asked: Instant,
}

/// A program, what it is asked, and where it is noted who made the machine.
type Asked = (PathBuf, Question, PathBuf);

/// A user's thread. It ends when this is dropped; the program that runs then is killed.
pub(super) struct Worker {
    questions: Sender<Asked>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// # Errors
    /// Where no thread can be made.
    pub(super) fn start(owner: Owner, limit: Duration, told: Sender<Told>) -> io::Result<Self> {
        let (questions, asked): (_, Receiver<Asked>) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name(format!("vm-vbox-{}", owner.uid)).stack_size(256 << 10);
        thread.spawn(move || {
            for (program, question, note) in asked {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let asked = Instant::now();
                let answer = ask(&program, &owner, &question.arguments(), limit, &stopped);
                let is_missing = answer == Err(Failure::NotFound);
                let creator = match question {
                    Question::Machine { .. } if is_missing => Creator::read(&note, owner.uid),
                    _ => Creator::Untold,
                };
                if told.send(Told { uid: owner.uid, creator, question, answer, asked }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, stop })
    }

    /// Puts a question behind those that wait; whether the thread is there to ask it.
    pub(super) fn ask(&self, program: PathBuf, question: Question, note: PathBuf) -> bool {
        self.questions.send((program, question, note)).is_ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
