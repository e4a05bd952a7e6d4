//! What a source of readings is, and the thread that each one has.
//!
//! A hypervisor may hang for as long as it likes. Each provider is asked on a thread of its own; while an answer is
//! outstanding, it is not asked again, and nothing waits for it beyond its deadline.

use crate::machine::{Machine, Reading, Reason};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Instant,
};
use twarga_plugin_api::Level;

/// What a provider says of a machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Reading(Box<Reading>),
    /// The provider is there, and knows no such machine.
    Gone,
}

impl Answer {
    pub(crate) fn unknown(reason: impl Into<Reason>) -> Self {
        Self::Reading(Reading::unknown(reason).into())
    }
}

/// A kind of hypervisor.
pub(crate) trait Provider: Send + 'static {
    /// One answer for each machine, in their order; all of them have an [`id`](Machine::id) and this provider. Better
    /// answers with reasons than no answer by `deadline`.
    fn read(&mut self, machines: &[Machine], deadline: Instant, notes: &mut Notes) -> Vec<Answer>;
}

/// Lines for the log. A line is written when its subject comes up, or says something else than before, not again and again.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<Note>);

/// What a provider has to say of a subject: nothing any more, or this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Such as `"libvirt /run/libvirt/libvirt-sock-ro"`; begins the line.
    pub(crate) subject: String,
    pub(crate) said: Option<(Level, String)>,
}

impl Notes {
    /// Something is as it should not be, or worth knowing.
    pub(crate) fn say(&mut self, level: Level, subject: impl Into<String>, text: impl Into<String>) {
        self.0.push(Note { subject: subject.into(), said: Some((level, text.into())) });
    }

    /// What was said of this subject before is over.
    pub(crate) fn over(&mut self, subject: impl Into<String>) {
        self.0.push(Note { subject: subject.into(), said: None });
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// What was noted since the last time.
    pub(crate) fn take(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.0)
    }
}

/// What was logged already, by subject.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<String, (Level, String)>);

impl Said {
    /// The lines that are new.
    pub(crate) fn news(&mut self, notes: &mut Notes) -> Vec<(Level, String)> {
        let mut lines = Vec::new();
        for Note { subject, said } in notes.take() {
            match said {
                Some(said) if self.0.get(&subject) != Some(&said) => {
                    lines.push((said.0, format!("{subject}: {}", said.1)));
                    self.0.insert(subject, said);
                }
                Some(_) => {}
                None => {
                    if let Some((level, _)) = self.0.remove(&subject)
                        && level <= Level::Warn
                    {
                        lines.push((Level::Info, format!("{subject}: well again")));
                    }
                }
            }
        }
        lines
    }
}

/// A request to the provider's thread.
struct Request {
    machines: Arc<Vec<Machine>>,
    deadline: Instant,
}

/// The answers to a request, of its machines in their order.
struct Told {
    answers: Vec<Answer>,
    notes: Notes,
}

/// A provider on its own thread, which ends when this is dropped and the call in flight returns.
pub(crate) struct Desk {
    requests: SyncSender<Request>,
    told: Receiver<Told>,
    /// Asked, and not answered yet.
    outstanding: bool,
}

/// What came of asking.
pub(crate) enum Outcome {
    /// The answers for the machines that were asked for, in their order.
    Answers(Vec<Answer>),
    /// Nothing in time.
    Late,
    /// Its thread ended: it panicked.
    Ended,
}

impl Desk {
    /// # Errors
    /// Where no thread can be made.
    pub(crate) fn open(name: &str, mut provider: impl Provider) -> io::Result<Self> {
        let (requests, asked) = sync_channel::<Request>(1);
        let (answer, told) = sync_channel::<Told>(1);
        let thread = thread::Builder::new().name(format!("vm-{name}")).stack_size(256 << 10);
        thread.spawn(move || {
            for Request { machines, deadline } in asked {
                let mut notes = Notes::default();
                let answers = provider.read(&machines, deadline, &mut notes);
                if answer.send(Told { answers, notes }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, told, outstanding: false })
    }

    /// Asks, unless an answer is outstanding; tells whether it did. The answer is fetched by [`Desk::answer`].
    pub(crate) fn ask(&mut self, machines: &Arc<Vec<Machine>>, deadline: Instant) -> bool {
        if self.outstanding {
            // an answer that comes too late is of another time: it says nothing of the present
            match self.told.try_recv() {
                Err(TryRecvError::Empty) => return false,
                Ok(_) | Err(TryRecvError::Disconnected) => self.outstanding = false,
            }
        }
        // where the thread has ended, `answer` tells it
        let _ = self.requests.try_send(Request { machines: Arc::clone(machines), deadline });
        self.outstanding = true;
        true
    }

    /// The answer to the last [`Desk::ask`], waited for until `deadline`.
    pub(crate) fn answer(&mut self, deadline: Instant, notes: &mut Notes) -> Outcome {
        let patience = deadline.saturating_duration_since(Instant::now());
        match self.told.recv_timeout(patience) {
            Ok(told) => {
                self.outstanding = false;
                notes.append(told.notes);
                Outcome::Answers(told.answers)
            }
            Err(RecvTimeoutError::Timeout) => Outcome::Late,
            Err(RecvTimeoutError::Disconnected) => Outcome::Ended,
        }
    }
}
