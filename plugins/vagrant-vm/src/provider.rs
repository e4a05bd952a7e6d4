//! What a source of readings is, and how it is asked.
//!
//! A hypervisor may hang for as long as it likes. Each provider is asked on a thread of the crew; while an answer is
//! outstanding, it is not asked again, and nothing waits for it beyond its deadline.

use crate::{
    job::Job,
    machine::{Machine, Reading, Reason},
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use twarga_plugin_api::{Level, crew::Crew};

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

    /// What is to be done ahead of each reading and may hang, such as a look at files: by the same thread as long as it
    /// does not. Asked for once.
    fn ahead(&mut self) -> Option<Box<dyn FnMut() + Send>> {
        None
    }
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

/// What a provider is asked.
struct Request {
    number: u64,
    machines: Arc<Vec<Machine>>,
    deadline: Instant,
}

/// The answers to a request, of its machines in their order.
struct Told {
    number: u64,
    answers: Vec<Answer>,
    notes: Notes,
}

/// A provider, the request that lies before it, and its answer: what a thread of the crew has while it is asked.
pub(crate) struct Desk {
    provider: Box<dyn Provider>,
    request: Option<Request>,
    told: Option<Told>,
    /// Of answers that nobody took, since there were other machines.
    notes: Notes,
    /// It was asked, and did not come to an end.
    failed: bool,
}

impl Desk {
    /// Answers the request.
    pub(crate) fn work(&mut self) {
        let Some(Request { number, machines, deadline }) = self.request.take() else { return };
        self.failed = true;
        let mut notes = std::mem::take(&mut self.notes);
        let answers = self.provider.read(&machines, deadline, &mut notes);
        self.failed = false;
        self.told = Some(Told { number, answers, notes });
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.request.is_some()
    }
}

/// What came of asking.
pub(crate) enum Outcome {
    /// The answers for the machines that were asked for, in their order.
    Answers(Vec<Answer>),
    /// Nothing in time.
    Late,
    /// It panicked.
    Failed,
}

/// The roster's side of a desk.
pub(crate) struct Seat {
    crew: Arc<Crew<Job>>,
    desk: usize,
    ahead: Option<usize>,
    /// Of the last request.
    number: u64,
    /// What it was asked for in this poll, before anybody knew whether there are other machines now.
    laid: Option<Arc<Vec<Machine>>>,
}

impl Seat {
    pub(crate) fn open(crew: &Arc<Crew<Job>>, mut provider: Box<dyn Provider>) -> Self {
        let ahead = provider.ahead().map(|work| crew.add(Job::Ahead(Ahead { work, due: false })));
        let desk = Desk { provider, request: None, told: None, notes: Notes::default(), failed: false };
        let desk = crew.add(Job::Desk(desk));
        Self { crew: Arc::clone(crew), desk, ahead, number: 0, laid: None }
    }

    /// Whether this is its place in the crew.
    pub(crate) fn is_at(&self, at: usize) -> bool {
        at == self.desk
    }

    /// Lays a request for these machines, for the next round of the crew.
    pub(crate) fn prepare(&mut self, machines: &Arc<Vec<Machine>>, deadline: Instant) {
        self.laid = Some(Arc::clone(machines));
        self.lay(machines, deadline);
        if let Some(at) = self.ahead {
            self.crew.with(at, |job| {
                if let Job::Ahead(ahead) = job {
                    ahead.due = true;
                }
            });
        }
    }

    /// Lays a request for these machines, unless that has been done for this poll. Tells whether a round is needed.
    pub(crate) fn ask(&mut self, machines: &Arc<Vec<Machine>>, deadline: Instant) -> bool {
        match self.laid.take() {
            Some(laid) if Arc::ptr_eq(&laid, machines) => false,
            _ => self.lay(machines, deadline),
        }
    }

    /// Nothing is laid while an answer is outstanding. One that comes too late is of another time and says nothing of the
    /// present: the number tells it from the others.
    fn lay(&mut self, machines: &Arc<Vec<Machine>>, deadline: Instant) -> bool {
        self.number += 1;
        let request = Request { number: self.number, machines: Arc::clone(machines), deadline };
        let laid = self.crew.with(self.desk, |job| {
            if let Job::Desk(desk) = job {
                desk.request = Some(request);
                if let Some(untaken) = desk.told.take() {
                    desk.notes.append(untaken.notes);
                }
            }
        });
        laid.is_some()
    }

    /// What came of the last request.
    pub(crate) fn outcome(&mut self, notes: &mut Notes) -> Outcome {
        let back = self.crew.with(self.desk, |job| match job {
            Job::Desk(desk) => (desk.told.take(), desk.failed),
            _ => (None, false),
        });
        match back {
            Some((Some(told), _)) if told.number == self.number => {
                notes.append(told.notes);
                Outcome::Answers(told.answers)
            }
            Some((_, true)) => Outcome::Failed,
            _ => Outcome::Late,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crew.remove(self.desk);
        if let Some(at) = self.ahead {
            self.crew.remove(at);
        }
    }
}

/// What a provider wants done before it is asked, apart from it: where it hangs, the provider does not.
pub(crate) struct Ahead {
    work: Box<dyn FnMut() + Send>,
    due: bool,
}

impl Ahead {
    pub(crate) fn work(&mut self) {
        self.due = false;
        (self.work)();
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due
    }
}
