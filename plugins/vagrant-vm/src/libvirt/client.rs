//! A connection to libvirt's service, over its local socket, with a deadline for every call.

use super::{
    call_error::CallError,
    wire::{
        self, Decoder, Domain, Encoder, HEAD, Header, KEEP_ALIVE, Malformed, PING, PONG, Param, REMOTE,
        RemoteError, VERSION, kind, status,
    },
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, lstat},
    io::{Errno, ioctl_fionbio},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
        socket_with, sockopt,
    },
};
use std::{
    net::IpAddr,
    ops::Range,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

mod procedure {
    pub(super) const CONNECT_OPEN: u32 = 1;
    pub(super) const DOMAIN_GET_XML_DESC: u32 = 14;
    pub(super) const AUTH_LIST: u32 = 66;
    pub(super) const AUTH_POLKIT: u32 = 70;
    pub(super) const CONNECT_GET_ALL_DOMAIN_STATS: u32 = 344;
    pub(super) const DOMAIN_INTERFACE_ADDRESSES: u32 = 353;
}

/// What statistics are asked for.
pub(super) mod mask {
    const STATE: u32 = 1;
    const CPU_TOTAL: u32 = 1 << 1;
    const BALLOON: u32 = 1 << 2;
    const VCPU: u32 = 1 << 3;
    const INTERFACE: u32 = 1 << 4;
    const BLOCK: u32 = 1 << 5;
    pub(in crate::libvirt) const FULL: u32 = STATE | CPU_TOTAL | BALLOON | VCPU | INTERFACE | BLOCK;
    /// What the service knows without asking QEMU. Processor time is not among it: in its group stands the time that
    /// was spent polling, which only QEMU knows.
    pub(in crate::libvirt) const LIGHT: u32 = STATE | INTERFACE;
}

/// Open for reading only.
const READ_ONLY: u32 = 1;
/// A machine that another request has to do with is not waited for.
const NOWAIT: u32 = 1 << 29;
/// Addresses out of the leases of libvirt's own networks.
const SOURCE_LEASE: u32 = 0;
const AUTH_NONE: u32 = 0;
const AUTH_POLKIT: u32 = 2;
/// Frames that are no answer, in a row. Nobody asked for any.
const MAX_UNASKED: usize = 100;

type Result<T> = std::result::Result<T, CallError>;

/// So many calls are on their way at the same time. The service carries out five of them side by side.
const MAX_FLYING: usize = 64;

/// See the [module](self).
pub(super) struct Connection {
    socket: OwnedFd,
    serial: u32,
    /// The calls that are not answered yet, by their serials.
    outstanding: Vec<u32>,
    /// What was received and not taken yet, up to `filled`.
    inbox: Vec<u8>,
    filled: usize,
    /// How much of the inbox is the frame that was handed out last.
    handed_out: usize,
    /// A call was sent, and nothing received since.
    just_sent: bool,
    /// How long the socket itself waits for something to receive.
    patience: Duration,
}

/// How much is received at once at least.
const PIECE: usize = 64 << 10;
/// An inbox that grew beyond this for one reply is given back.
const KEPT: usize = 1 << 20;
/// The socket's patience is set in such steps: calls whose deadlines are alike have the same.
const PATIENCE_STEP: Duration = Duration::from_millis(100);

impl Connection {
    /// Of the service of a user, `uid` must run it.
    pub(super) fn connect(path: &Path, uid: Option<u32>) -> Result<Self> {
        if let Some(uid) = uid {
            // in a user's folder, it may be a link to a service of root's that nobody else may wake
            let found = lstat(path)?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Socket || found.st_uid != uid {
                return Err(CallError::Foreign);
            }
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // a local socket connects at once, or never: its queue is full
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            Err(Errno::AGAIN) => return Err(CallError::Late),
            other => other?,
        }
        if let Some(uid) = uid
            && sockopt::socket_peercred(&socket)?.uid.as_raw() != uid
        {
            return Err(CallError::Foreign);
        }
        // what must not wait says so from now on
        ioctl_fionbio(&socket, false)?;
        Ok(Self {
            socket,
            serial: 0,
            outstanding: Vec::new(),
            inbox: Vec::new(),
            filled: 0,
            handed_out: 0,
            just_sent: false,
            patience: Duration::ZERO,
        })
    }

    /// Logs in and opens the first of these that the service has, read-only.
    pub(super) fn open(&mut self, uris: &[&str], deadline: Instant) -> Result<()> {
        self.log_in(deadline)?;
        let mut outcome = Err(CallError::Unasked);
        for uri in uris {
            let mut call = Encoder::call(procedure::CONNECT_OPEN);
            call.u32(1).text(uri).u32(READ_ONLY);
            outcome = self.call(procedure::CONNECT_OPEN, call, deadline);
            if !matches!(outcome, Err(CallError::Remote(_))) {
                break;
            }
        }
        Ok(Decoder::new(&self.inbox[outcome?]).end()?)
    }

    fn log_in(&mut self, deadline: Instant) -> Result<()> {
        let body = self.call(procedure::AUTH_LIST, Encoder::call(procedure::AUTH_LIST), deadline)?;
        let mut decoder = Decoder::new(&self.inbox[body]);
        let count = decoder.list(4)?;
        let ways = (0..count).map(|_| decoder.u32()).collect::<std::result::Result<Vec<_>, _>>()?;
        decoder.end()?;
        if ways.is_empty() || ways.contains(&AUTH_NONE) {
            return Ok(());
        }
        if !ways.contains(&AUTH_POLKIT) {
            return Err(CallError::Login);
        }
        let body = self.call(procedure::AUTH_POLKIT, Encoder::call(procedure::AUTH_POLKIT), deadline)?;
        let mut decoder = Decoder::new(&self.inbox[body]);
        let complete = decoder.u32()?;
        decoder.end()?;
        if complete == 1 { Ok(()) } else { Err(CallError::Login) }
    }

    /// The statistics of these machines in one reply; of those that the service does not have, nothing.
    pub(super) fn domain_stats(
        &mut self,
        domains: &[Domain<'_>],
        mask: u32,
        deadline: Instant,
        each: impl FnMut(Domain<'_>, &[Param<'_>]),
    ) -> Result<()> {
        let call = stats_call(domains, mask);
        let body = self.call(procedure::CONNECT_GET_ALL_DOMAIN_STATS, call, deadline)?;
        Ok(wire::domain_stats(&self.inbox[body], each)?)
    }

    /// The statistics of these machines in a reply each, so that one that blocks the service blocks no other. Returns
    /// those that were not answered by the deadline, by their places; their replies are outstanding.
    pub(super) fn each_domain_stats(
        &mut self,
        domains: &[Domain<'_>],
        mask: u32,
        deadline: Instant,
        mut each: impl FnMut(Domain<'_>, &[Param<'_>]),
    ) -> Result<Vec<usize>> {
        let mut left = domains.iter().enumerate();
        let mut flying: Vec<(u32, usize)> = Vec::new();
        loop {
            while flying.len() < MAX_FLYING
                && let Some((at, domain)) = left.next()
            {
                let call = stats_call(std::slice::from_ref(domain), mask);
                flying.push((self.send_call(call, deadline)?, at));
            }
            if flying.is_empty() {
                return Ok(Vec::new());
            }
            let (header, body) = match self.reply(deadline) {
                Err(CallError::Late) => {
                    let flying = flying.into_iter().map(|(_, at)| at);
                    return Ok(flying.chain(left.map(|(at, _)| at)).collect());
                }
                other => other?,
            };
            flying.retain(|(serial, _)| *serial != header.serial);
            match self.outcome(header, body, procedure::CONNECT_GET_ALL_DOMAIN_STATS) {
                Ok(body) => wire::domain_stats(&self.inbox[body], &mut each)?,
                // it was removed just now
                Err(CallError::Remote(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The definition of a machine.
    pub(super) fn definition(&mut self, domain: Domain<'_>, deadline: Instant) -> Result<&str> {
        let mut call = Encoder::call(procedure::DOMAIN_GET_XML_DESC);
        domain.encode(&mut call);
        call.u32(0);
        let body = self.call(procedure::DOMAIN_GET_XML_DESC, call, deadline)?;
        Ok(wire::text(&self.inbox[body])?)
    }

    /// The first address of a running machine, IPv4 before IPv6.
    pub(super) fn address(&mut self, domain: Domain<'_>, deadline: Instant) -> Result<Option<IpAddr>> {
        let mut call = Encoder::call(procedure::DOMAIN_INTERFACE_ADDRESSES);
        domain.encode(&mut call);
        call.u32(SOURCE_LEASE).u32(0);
        let body = self.call(procedure::DOMAIN_INTERFACE_ADDRESSES, call, deadline)?;
        let addresses = wire::addresses(&self.inbox[body])?;
        let addresses = addresses.into_iter().filter_map(|text| text.parse().ok());
        Ok(addresses.min_by_key(IpAddr::is_ipv6))
    }

    /// Whether all replies that came too late have come now, or the connection ended: nothing waits for it any more.
    pub(super) fn is_settled(&mut self) -> bool {
        while !self.outstanding.is_empty() {
            match self.reply(Instant::now()) {
                Ok(_) => {}
                Err(error) => return !matches!(error, CallError::Late),
            }
        }
        true
    }

    /// Sends a call and waits for its reply; tells where in the inbox its body lies.
    fn call(&mut self, procedure: u32, call: Encoder, deadline: Instant) -> Result<Range<usize>> {
        self.send_call(call, deadline)?;
        let (header, body) = self.reply(deadline)?;
        self.outcome(header, body, procedure)
    }

    fn send_call(&mut self, call: Encoder, deadline: Instant) -> Result<u32> {
        self.serial = self.serial.wrapping_add(1);
        self.outstanding.push(self.serial);
        self.send(&call.finish(self.serial), deadline)?;
        self.just_sent = self.outstanding.len() == 1;
        Ok(self.serial)
    }

    /// The body of a reply, or the error that it is.
    fn outcome(&self, header: Header, body: Range<usize>, procedure: u32) -> Result<Range<usize>> {
        if header.procedure != procedure {
            return Err(CallError::Unasked);
        }
        match header.status {
            status::OK => Ok(body),
            status::ERROR => Err(CallError::Remote(RemoteError::decode(&self.inbox[body])?)),
            other => Err(Malformed::Choice(other).into()),
        }
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant) -> Result<()> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next reply, which must be that of an outstanding call.
    fn reply(&mut self, deadline: Instant) -> Result<(Header, Range<usize>)> {
        for _ in 0..MAX_UNASKED {
            let (header, body) = self.receive(deadline)?;
            let about = (header.program, header.version, header.kind);
            match about {
                (REMOTE, VERSION, kind::REPLY) => {
                    let asked = self.outstanding.iter().position(|serial| *serial == header.serial);
                    self.outstanding.swap_remove(asked.ok_or(CallError::Unasked)?);
                    return Ok((header, body));
                }
                (KEEP_ALIVE, VERSION, kind::MESSAGE) if header.procedure == PING => {
                    let pong = Header { procedure: PONG, ..header };
                    self.send(&Encoder::frame(pong).finish(header.serial), deadline)?;
                }
                // an event
                (_, _, kind::MESSAGE) => {}
                _ => return Err(CallError::Unasked),
            }
        }
        Err(CallError::Unasked)
    }

    /// The next frame. The one before it is given up.
    fn receive(&mut self, deadline: Instant) -> Result<(Header, Range<usize>)> {
        self.inbox.copy_within(self.handed_out..self.filled, 0);
        self.filled -= self.handed_out;
        self.handed_out = 0;
        if self.filled == 0 && self.inbox.len() > KEPT {
            self.inbox = Vec::new();
        }
        loop {
            if let Some((header, body)) = wire::frame(&self.inbox[..self.filled])? {
                self.handed_out = body.end;
                return Ok((header, body));
            }
            if self.inbox.len() - self.filled < PIECE {
                // doubled at most: a length that lies makes nothing grow before its bytes have come
                let grown = (self.inbox.len() * 2).clamp(self.filled + PIECE, wire::MAX_FRAME + HEAD + PIECE);
                self.inbox.resize(grown, 0);
            }
            // an answer that can't be there yet is waited for by the call that takes it
            let waits = std::mem::take(&mut self.just_sent) && self.be_patient(deadline)?;
            let flags = if waits { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
            match recv(&self.socket, &mut self.inbox[self.filled..], flags) {
                Ok((_, 0)) => return Err(CallError::Closed),
                Ok((_, received)) => self.filled += received,
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, deadline)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has the socket wait for something to receive, not longer than until then, by itself. Tells whether it does.
    fn be_patient(&mut self, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        let steps = u32::try_from(left.as_millis() / PATIENCE_STEP.as_millis()).unwrap_or(u32::MAX);
        let patience = PATIENCE_STEP.saturating_mul(steps);
        if !patience.is_zero() && patience != self.patience {
            sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, Some(patience))?;
            self.patience = patience;
        }
        Ok(!patience.is_zero())
    }

    fn wait(&self, events: PollFlags, deadline: Instant) -> Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CallError::Late);
            }
            let patience = Timespec::try_from(left).map_err(|_| CallError::Late)?;
            match poll(&mut [PollFd::new(&self.socket, events)], Some(&patience)) {
                Ok(0) => return Err(CallError::Late),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The call that asks for these machines, not waiting for those that another request has to do with.
fn stats_call(domains: &[Domain<'_>], mask: u32) -> Encoder {
    let mut call = Encoder::call(procedure::CONNECT_GET_ALL_DOMAIN_STATS);
    call.u32(u32::try_from(domains.len()).unwrap_or(u32::MAX));
    for domain in domains {
        domain.encode(&mut call);
    }
    call.u32(mask).u32(NOWAIT);
    call
}
