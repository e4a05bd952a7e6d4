//! A service of libvirt, and the connections to it.
//!
//! All machines are asked for in one request. A QEMU that hangs holds up the first request that needs it for as long as it
//! hangs, and the thread of the service that serves it. The request also holds the machine's job meanwhile, and requests
//! that don't want to wait pass over a machine whose job is held. So the connection whose answer is outstanding is left
//! alone, and another one is opened, over which the machines are asked for one by one: a machine that the service is just
//! stopping is locked as a whole, and holds up even those who ask for its state.

use super::{
    call_error::CallError,
    client::{Connection, mask},
    stats::Stats,
    wire::{Domain, Param},
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// So many connections may wait for answers: each holds up one of the service's threads, of which it has twenty. The last
/// of them is for requests that need no QEMU.
const MAX_WAITING: usize = 6;

/// How long a machine is waited for that the service seems to be stopping, or did not answer about before.
const ENDING: Duration = Duration::from_millis(100);

/// A longer name is none: no file could be called so.
const MAX_NAME: usize = 255;

/// A machine that is asked for.
pub(super) struct Wanted<'a> {
    pub(super) domain: Domain<'a>,
    pub(super) process: Condition,
}

/// What is known of a machine's process before it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing stands against asking.
    Well,
    /// It was stopped: QEMU can't answer.
    Stopped,
    /// It ended, and the service has not said so yet: it may be clearing up.
    Ended,
}

/// What came of asking.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) told: Vec<Told>,
    /// The machines for which there was no answer in time.
    pub(super) late: Vec<[u8; 16]>,
}

/// A connection with replies outstanding.
struct Waiting {
    connection: Connection,
    /// The machines that were asked for one by one, and with what mask.
    machines: Vec<[u8; 16]>,
    mask: u32,
    /// It is not even open yet: the service answers nobody.
    opening: bool,
}

/// What the service said of a machine.
#[derive(Clone)]
pub(super) struct Told {
    /// When.
    pub(super) at: Instant,
    /// Empty where it is no name.
    pub(super) name: String,
    pub(super) uuid: [u8; 16],
    pub(super) id: i32,
    pub(super) stats: Stats,
}

impl Waiting {
    fn with(connection: Connection, opening: bool) -> Self {
        Self { connection, machines: Vec::new(), mask: 0, opening }
    }
}

impl Told {
    fn of(domain: Domain<'_>, params: &[Param<'_>]) -> Self {
        // it becomes a file's name, and part of lines of the log
        let is_name = domain.name.len() <= MAX_NAME && !domain.name.chars().any(char::is_control);
        let name = if is_name { domain.name.to_owned() } else { String::new() };
        Self { at: Instant::now(), name, uuid: domain.uuid, id: domain.id, stats: Stats::of(params) }
    }
}

/// See the [module](self).
pub(super) struct Place {
    /// Where its socket may be. The first that somebody listens at is taken.
    sockets: Vec<PathBuf>,
    uris: &'static [&'static str],
    /// Who must run it; none where the folder of the socket is nobody's but root's, or the operator named it.
    uid: Option<u32>,
    connection: Option<Connection>,
    waiting: Vec<Waiting>,
    /// How long surveys take: the last one, or one before, which counts ever less.
    pub(super) took: Duration,
    /// How much of this poll's time it took.
    pub(super) spent: Duration,
}

type Result<T> = std::result::Result<T, CallError>;

impl Place {
    pub(super) fn new(sockets: Vec<PathBuf>, uris: &'static [&'static str], uid: Option<u32>) -> Self {
        let (took, spent) = (Duration::ZERO, Duration::ZERO);
        Self { sockets, uris, uid, connection: None, waiting: Vec::new(), took, spent }
    }

    /// The subject of notes about it.
    pub(super) fn subject(&self) -> String {
        let socket = self.sockets.last().map(|path| path.display().to_string());
        format!("libvirt {}", socket.unwrap_or_default())
    }

    /// Whether a request is held up.
    pub(super) fn is_held_up(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What it says of these machines; nothing of those it doesn't have.
    pub(super) fn survey(&mut self, wanted: &[Wanted<'_>], until: Instant) -> Result<Survey> {
        self.waiting.retain_mut(|waiting| !waiting.connection.is_settled());
        let mut survey = Survey::default();
        let (mut full, mut light, mut ended, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Wanted { domain, process } in wanted {
            let asked = |mask| {
                let mut waiting = self.waiting.iter().filter(|waiting| waiting.mask == mask);
                waiting.any(|waiting| waiting.machines.contains(&domain.uuid))
            };
            match process {
                _ if asked(mask::LIGHT) => survey.late.push(domain.uuid),
                Condition::Stopped => light.push(*domain),
                _ if asked(mask::FULL) => again.push(*domain),
                Condition::Ended => ended.push(*domain),
                Condition::Well => full.push(*domain),
            }
        }
        // the last connection is for requests that need no QEMU
        let may_hang = self.waiting.len() + 1 < MAX_WAITING;
        let nothing_well = full.is_empty() && light.is_empty();
        if !full.is_empty() && may_hang {
            match self.stats(&full, half_way(until)) {
                Ok(told) => survey.told = told,
                Err(CallError::Late) => {
                    let mask = if self.waiting.len() + 1 < MAX_WAITING { mask::FULL } else { mask::LIGHT };
                    self.one_by_one(&full, mask, until, &mut survey)?;
                }
                Err(error) => return Err(error),
            }
        } else {
            light.append(&mut full);
        }
        if !light.is_empty() {
            self.one_by_one(&light, mask::LIGHT, until, &mut survey)?;
        }
        for (domains, mask) in [(&ended, mask::FULL), (&again, mask::LIGHT)] {
            if !domains.is_empty() {
                let until = until.min(Instant::now() + ENDING);
                self.one_by_one(domains, mask, until, &mut survey)?;
            }
        }
        // that one machine is not answered about says nothing of the service
        let answers = nothing_well || survey.late.is_empty() || !survey.told.is_empty();
        if answers { Ok(survey) } else { Err(CallError::Late) }
    }

    fn one_by_one(
        &mut self,
        domains: &[Domain<'_>],
        mask: u32,
        until: Instant,
        survey: &mut Survey,
    ) -> Result<()> {
        let outcome = self.call(until, |connection| {
            let mut told = Vec::with_capacity(domains.len());
            let late = connection.each_domain_stats(domains, mask, until, |domain, params| {
                told.push(Told::of(domain, params));
            })?;
            Ok((told, late))
        });
        let (mut told, late) = match outcome {
            // no connection in time
            Err(CallError::Late) => (Vec::new(), (0..domains.len()).collect()),
            other => other?,
        };
        survey.told.append(&mut told);
        let late: Vec<[u8; 16]> = late.into_iter().map(|at| domains[at].uuid).collect();
        if !late.is_empty()
            && let Some(connection) = self.connection.take()
        {
            let waiting = Waiting::with(connection, false);
            self.waiting.push(Waiting { machines: late.clone(), mask, ..waiting });
        }
        survey.late.extend(late);
        Ok(())
    }

    fn stats(&mut self, domains: &[Domain<'_>], until: Instant) -> Result<Vec<Told>> {
        self.call(until, |connection| {
            let mut told = Vec::with_capacity(domains.len());
            connection.domain_stats(domains, mask::FULL, until, |domain, params| {
                told.push(Told::of(domain, params));
            })?;
            Ok(told)
        })
    }

    /// Calls over the connection, which is opened if need be.
    pub(super) fn call<T>(
        &mut self,
        until: Instant,
        mut call: impl FnMut(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        loop {
            let (mut connection, kept) = match self.connection.take() {
                Some(connection) => (connection, true),
                None => (self.open(until)?, false),
            };
            match call(&mut connection) {
                Err(CallError::Late) => {
                    self.waiting.push(Waiting::with(connection, false));
                    return Err(CallError::Late);
                }
                // the service was restarted since the last time
                Err(CallError::Closed) if kept => {}
                Err(error) if error.is_fatal() => return Err(error),
                outcome => {
                    self.connection = Some(connection);
                    return outcome;
                }
            }
        }
    }

    fn open(&mut self, until: Instant) -> Result<Connection> {
        let mut outcome = Err(CallError::Absent);
        if self.waiting.len() >= MAX_WAITING || self.waiting.iter().any(|waiting| waiting.opening) {
            return Err(CallError::Late);
        }
        for socket in &self.sockets {
            let mut connection = match Connection::connect(socket, self.uid) {
                Ok(connection) => connection,
                Err(CallError::Absent) => continue,
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            };
            match connection.open(self.uris, until) {
                Ok(()) => return Ok(connection),
                Err(CallError::Late) => {
                    self.waiting.push(Waiting::with(connection, true));
                    return Err(CallError::Late);
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}

/// Half of the time until then is for this call.
fn half_way(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}
