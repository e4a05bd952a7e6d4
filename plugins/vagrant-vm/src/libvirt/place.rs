//! A service of libvirt, and the connections to it.
//!
//! A QEMU that hangs holds up the first request that needs it for as long as it hangs, and the thread of the service that
//! serves it. The request also holds the machine's lock meanwhile, and requests that don't want to wait pass over a machine
//! whose lock is held. So the connection whose answer is outstanding is left alone, and another one is opened: over it
//! come the answers about all machines but that one.

use super::{
    client::{CallError, Connection, mask},
    stats::Stats,
    wire::Domain,
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// So many connections may wait for answers: each holds up one of the service's threads, of which it has twenty. The last
/// of them is for requests that need no QEMU.
const MAX_WAITING: usize = 4;

/// A machine that is asked for.
pub(super) struct Wanted<'a> {
    pub(super) domain: Domain<'a>,
    /// Its process was stopped: QEMU can't answer.
    pub(super) stopped: bool,
}

/// What the service said of a machine.
pub(super) struct Told {
    pub(super) name: String,
    pub(super) uuid: [u8; 16],
    pub(super) id: i32,
    pub(super) stats: Stats,
}

/// See the [module](self).
pub(super) struct Place {
    /// Where its socket may be. The first that somebody listens at is taken.
    sockets: Vec<PathBuf>,
    uris: &'static [&'static str],
    /// Who must run it; none where the folder of the socket is nobody's but root's, or the operator named it.
    uid: Option<u32>,
    connection: Option<Connection>,
    waiting: Vec<Connection>,
    /// How long the last survey took.
    pub(super) took: Duration,
}

type Result<T> = std::result::Result<T, CallError>;

impl Place {
    pub(super) fn new(sockets: Vec<PathBuf>, uris: &'static [&'static str], uid: Option<u32>) -> Self {
        Self { sockets, uris, uid, connection: None, waiting: Vec::new(), took: Duration::ZERO }
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
    pub(super) fn survey(&mut self, wanted: &[Wanted<'_>], until: Instant) -> Result<Vec<Told>> {
        self.waiting.retain_mut(|connection| !connection.is_settled());
        let stopped = |wanted: &&Wanted<'_>| wanted.stopped;
        let mut light: Vec<Domain<'_>> = wanted.iter().filter(stopped).map(|wanted| wanted.domain).collect();
        let full: Vec<Domain<'_>> =
            wanted.iter().filter(|wanted| !wanted.stopped).map(|wanted| wanted.domain).collect();
        let mut told = Vec::with_capacity(wanted.len());
        if !full.is_empty() {
            match self.full(&full, until)? {
                Some(all) => told = all,
                None => light.extend(full),
            }
        }
        if !light.is_empty() {
            told.append(&mut self.stats(&light, mask::LIGHT, until)?);
        }
        Ok(told)
    }

    /// None where too many machines hang.
    fn full(&mut self, domains: &[Domain<'_>], until: Instant) -> Result<Option<Vec<Told>>> {
        // the second time passes over the machine that hung the first time
        for _ in 0..2 {
            if self.waiting.len() + 1 >= MAX_WAITING {
                return Ok(None);
            }
            match self.stats(domains, mask::FULL, half_way(until)) {
                Err(CallError::Late) => {}
                told => return told.map(Some),
            }
        }
        Ok(None)
    }

    fn stats(&mut self, domains: &[Domain<'_>], mask: u32, until: Instant) -> Result<Vec<Told>> {
        self.call(until, |connection| {
            let mut told = Vec::with_capacity(domains.len());
            connection.domain_stats(domains, mask, until, |domain, params| {
                let Domain { name, uuid, id } = domain;
                told.push(Told { name: name.to_owned(), uuid, id, stats: Stats::of(params) });
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
                    self.waiting.push(connection);
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
        for socket in &self.sockets {
            if self.waiting.len() >= MAX_WAITING {
                return Err(CallError::Late);
            }
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
                    self.waiting.push(connection);
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
