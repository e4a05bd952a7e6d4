//! A thread for each user who has machines: VBoxManage is run once at a time for a user, and one user's VirtualBox that
//! hangs delays no other's.

use super::command::{Failure, ask};
use crate::machine::Owner;
use std::{
    io,
    path::PathBuf,
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

/// An answer.
pub(super) struct Told {
    pub(super) question: Question,
    pub(super) answer: Result<String, Failure>,
    /// When it was asked: what happened since may not be in the answer.
    pub(super) asked: Instant,
}

/// A user's thread. It ends when this is dropped; the program that runs then is killed.
pub(super) struct Worker {
    questions: Sender<(PathBuf, Question)>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// # Errors
    /// Where no thread can be made.
    pub(super) fn start(owner: Owner, limit: Duration, told: Sender<Told>) -> io::Result<Self> {
        let (questions, asked): (_, Receiver<(PathBuf, Question)>) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name(format!("vm-vbox-{}", owner.uid)).stack_size(256 << 10);
        thread.spawn(move || {
            for (program, question) in asked {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let asked = Instant::now();
                let answer = ask(&program, &owner, &question.arguments(), limit, &stopped);
                if told.send(Told { question, answer, asked }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions, stop })
    }

    /// Puts a question behind those that wait; whether the thread is there to ask it.
    pub(super) fn ask(&self, program: PathBuf, question: Question) -> bool {
        self.questions.send((program, question)).is_ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
