//! What runs in the process of an isolated plugin.

use super::{
    super::{
        claims::Claims,
        intake::error_of,
        library::{Code, load_approved},
        metadata::Metadata,
        series_table::{SeriesTable, cut},
    },
    confine::{confine, without_core_files},
    descriptors::take_socket,
    frames::{Answer, Calls, Frame, FrameError, Hello, Recorded, Samples, complete, decode, write_answer},
    session,
};
use abi_stable::std_types::{RStr, RVec};
use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send},
    process::getpid,
};
use std::{
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    process::ExitCode,
    sync::Arc,
};
use twarga_plugin_api::{
    Error,
    abi::{
        RawCollectorBox, RawMetric, Sample,
        services::{self, HostServices},
    },
};

/// The command that runs this, which only the agent itself gives.
pub const SUBCOMMAND: &str = "isolated-plugin";

/// Lines of log in one call beyond this many are only counted. The agent has the same limit.
const MAX_LINES: u32 = 20;
/// And of a line, in bytes.
const MAX_LINE: usize = 1000;
/// What one read takes.
const READ: usize = 64 * 1024;

/// Runs one plugin until the agent closes the connection. To be called before anything else of the process.
pub fn run() -> ExitCode {
    let served = take_socket().and_then(|socket| {
        session::begin()?;
        let served = serve(socket);
        session::kill_others(getpid()); // the agent does it too, but may have ended
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            // the agent reads it, and logs it with the plugin's name
            let _ = writeln!(io::stderr(), "twarga-agent {SUBCOMMAND}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(socket: OwnedFd) -> io::Result<()> {
    let mut wire = Wire { socket, frame: Vec::new() };
    let _ = rustix::thread::set_name(c"twarga-plugin"); // for `ps` alone
    let Some((first, file)) = wire.first()? else { return Ok(()) };
    let hello = match first {
        First::Hello(hello) => hello,
        First::Rehearse(agent) => return rehearse(&mut wire, agent, file),
    };
    let mut host = Recorder::default();
    let mut confined = false;
    let made = confine(&hello)
        .map_err(Error::fatal)
        .and_then(|whole| {
            confined = whole;
            load_approved(file)
                .map_err(|refusal| Error::fatal(format_args!("{refusal}; {}", refusal.advice())))
        })
        .and_then(|(code, metadata)| make(code, &metadata, &hello, &mut host));
    let error = made.as_ref().err().cloned();
    wire.answer(&mut host, confined, error.as_ref(), &[])?;
    let Ok(mut collector) = made else { return Ok(()) };
    let mut samples = RVec::new();
    while wire.asked()? {
        samples.clear();
        let answer = collector.collect(&mut samples, services::handle(&mut host)).into_result();
        wire.answer(&mut host, confined, answer.err().map(error_of).as_ref(), &samples)?;
    }
    Ok(())
}

/// Loads a file that is to run in the agent's process, with the rights that it has there, to see that this comes to an
/// end. What is wrong with it otherwise shows there.
fn rehearse(wire: &mut Wire, agent: u32, file: File) -> io::Result<()> {
    without_core_files()?;
    session::end_with(agent)?;
    let loaded = load_approved(file).map(drop);
    let error = loaded.map_err(Error::fatal).err();
    wire.answer(&mut Recorder::default(), false, error.as_ref(), &[])
}

fn make(
    code: Code,
    metadata: &Metadata,
    hello: &Hello,
    host: &mut Recorder,
) -> Result<RawCollectorBox, Error> {
    // names of other plugins are the agent's to know: it checks them again
    let claims = Arc::new(Claims::new(|_| false));
    let table = SeriesTable::new(metadata, None, claims, 0, hello.max_series as usize);
    host.families = table.next_family();
    host.max_samples = 2 * hello.max_series as usize + 1000;
    host.table = Some(table);
    code.create(&hello.config, services::handle(host)).map_err(error_of)
}

/// The host of the plugin: answers at once, and notes for the agent what was new in it.
#[derive(Default)]
struct Recorder {
    /// There as soon as the plugin's code runs.
    table: Option<SeriesTable>,
    recorded: Recorded,
    /// Families and series that the agent knows of.
    families: u32,
    series: u32,
    lines: u32,
    unlogged: u32,
    batch_time: Option<i64>,
    /// More than that are refused here: a series has one sample, and a frame has its bounds.
    max_samples: usize,
    refused_samples: u64,
}

impl Recorder {
    fn known(&mut self) -> Result<&mut SeriesTable, String> {
        self.table.as_mut().ok_or_else(|| "no plugin is loaded".into())
    }

    /// Begins anew after a call.
    fn end_call(&mut self) {
        if let Some(table) = &mut self.table {
            table.end_call();
            table.said.registered.clear();
            table.said.retired.clear();
            table.said.absent.clear();
        }
        self.recorded.clear();
        (self.lines, self.unlogged, self.batch_time) = (0, 0, None);
    }
}

impl HostServices for Recorder {
    fn metric(&mut self, metric: &RawMetric<'_>) -> Result<u32, String> {
        let id = self.known()?.metric(metric)?;
        if id == self.families {
            self.families += 1;
            self.recorded.metric(id, metric);
        }
        Ok(id)
    }

    fn series(&mut self, metric: u32, labels: &[RStr<'_>]) -> Result<u32, String> {
        let id = self.known()?.series(metric, labels)?;
        if id == self.series {
            self.series += 1;
            self.recorded.series(id, metric, labels.iter().map(RStr::as_str));
        }
        Ok(id)
    }

    fn retire(&mut self, series: u32) {
        let Some(table) = &mut self.table else { return };
        let before = table.said.retired.len();
        table.retire(series);
        if table.said.retired.len() > before {
            self.recorded.retire(series);
        }
    }

    fn unavailable(&mut self, series: u32, reason: &str) {
        let Some(table) = &mut self.table else { return };
        table.unavailable(series, reason);
        // the table has cut it, and takes only the first of a series
        if let Some(absence) = table.said.absent.pop() {
            self.recorded.unavailable(series, &absence.reason);
        }
    }

    fn batch_time(&mut self, unix_ms: i64) {
        self.batch_time = Some(unix_ms);
    }

    fn log(&mut self, level: u8, message: &str) {
        if self.lines < MAX_LINES {
            self.lines += 1;
            self.recorded.log(level, &cut(message, MAX_LINE));
        } else {
            self.unlogged = self.unlogged.saturating_add(1);
        }
    }
}

/// What the agent says first.
enum First {
    Hello(Hello),
    Rehearse(u32),
}

/// The child's end of the socket.
struct Wire {
    socket: OwnedFd,
    frame: Vec<u8>,
}

impl Wire {
    /// The first frame and the plugin's file; nothing where the agent has closed before.
    fn first(&mut self) -> io::Result<Option<(First, File)>> {
        let mut file = None;
        if !self.receive(&mut file)? {
            return Ok(None);
        }
        match (decode(&self.frame).map_err(broken)?, file) {
            (Frame::Hello(hello), Some(file)) => Ok(Some((First::Hello(hello), file.into()))),
            (Frame::Rehearse(agent), Some(file)) => Ok(Some((First::Rehearse(agent), file.into()))),
            _ => Err(io::Error::other("the first frame must come with a file")),
        }
    }

    /// Waits until the agent asks for a collection; not, once it has closed.
    fn asked(&mut self) -> io::Result<bool> {
        if !self.receive(&mut None)? {
            return Ok(false);
        }
        match decode(&self.frame).map_err(broken)? {
            Frame::Collect => Ok(true),
            Frame::Hello(_) | Frame::Rehearse(_) | Frame::Answer(_) => {
                Err(io::Error::other("not a frame of the agent"))
            }
        }
    }

    /// One frame, and a file that may come with it; not, where the other end is closed.
    fn receive(&mut self, file: &mut Option<OwnedFd>) -> io::Result<bool> {
        self.frame.clear();
        while complete(&self.frame).map_err(broken)?.is_none() {
            let mut bytes = [0; READ];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            let got = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
            let count = match got {
                Ok(message) => message.bytes,
                Err(Errno::INTR) => continue,
                Err(Errno::CONNRESET) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(mut files) = message {
                    *file = files.next();
                }
            }
            if count == 0 {
                return Ok(false);
            }
            self.frame.extend_from_slice(bytes.get(..count).unwrap_or_default());
        }
        Ok(true)
    }

    /// Sends what one call brought.
    fn answer(
        &mut self,
        host: &mut Recorder,
        confined: bool,
        error: Option<&Error>,
        samples: &[Sample],
    ) -> io::Result<()> {
        let taken = samples.get(..host.max_samples).unwrap_or(samples);
        host.refused_samples += (samples.len() - taken.len()) as u64;
        if let Some(time) = host.batch_time {
            host.recorded.batch_time(time);
        }
        let answer = Answer {
            error: error.map(|error| (error.kind().to_raw(), error.message(), error.location())),
            confined,
            refused_samples: host.refused_samples,
            refused_series: host.table.as_ref().map_or(0, |table| table.refused),
            unlogged: host.unlogged,
            calls: Calls::default(),
            samples: Samples::default(),
        };
        write_answer(&mut self.frame, &answer, &host.recorded, taken).map_err(broken)?;
        host.end_call();
        let mut rest = &self.frame[..];
        while !rest.is_empty() {
            match send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn broken(error: FrameError) -> io::Error {
    io::Error::other(error)
}
