//! One process of a plugin: how it is started, how it is ended, and what its end was.

use super::{
    cgroup::Group,
    channel::{Channel, Silence, wait},
    child::SUBCOMMAND,
    frames::{Hello, write_hello, write_rehearse},
    keeper::Keeper,
    output::{Output, Stream},
    prepared::Confinement,
    session::kill_others,
};
use crate::collect::Usage;
use rustix::{
    event::{PollFd, PollFlags},
    io::pread,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Signal, getpid, kill_process_group, pidfd_open},
};
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::duration;

/// Variables that every plugin is given.
const ENVIRONMENT: [&str; 4] = ["PATH", "LANG", "TZ", "HOME"];
/// How long a process that has closed its connection may take to end by itself.
const ENDING: Duration = Duration::from_millis(100);
/// How long a collector may take to be dropped.
const LETTING_GO: Duration = Duration::from_millis(200);
/// How long the kernel may take to end what was killed, before the keeper waits for it.
const DYING: Duration = Duration::from_millis(200);
/// How long the last lines that a process printed are waited for.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// What a process is for.
#[derive(Clone, Copy)]
pub(super) enum Task<'a> {
    /// A collector, with its configuration, and so many series at most.
    Collect(&'a Confinement, &'a str, usize),
    /// To load the plugin as the agent's own process would, and no more.
    Rehearse,
}

impl<'a> Task<'a> {
    fn confinement(self) -> Option<&'a Confinement> {
        match self {
            Self::Collect(confinement, ..) => Some(confinement),
            Self::Rehearse => None,
        }
    }

    fn frame(self) -> io::Result<Vec<u8>> {
        let mut frame = Vec::new();
        let written = match self {
            Self::Collect(confinement, config, max_series) => {
                write_hello(&mut frame, &hello(confinement, config, max_series))
            }
            Self::Rehearse => write_rehearse(&mut frame, own_pid()),
        };
        written.map_err(io::Error::other)?;
        Ok(frame)
    }
}

/// A running process. Dropped, it is let go: it may drop its collector, and is then killed with all its children.
pub(super) struct Process {
    /// Nothing once it was waited for.
    child: Option<Child>,
    /// The number of its process, of its group and of its session.
    pid: Pid,
    /// Becomes readable at its end.
    pidfd: OwnedFd,
    /// `/proc/PID/stat`: of this process and no later one.
    stat: File,
    output: Arc<Output>,
    keeper: Arc<Keeper>,
    memory: u64,
    /// Its control group, where it has one of its own.
    group: Option<Group>,
}

impl Process {
    /// Starts it and hands it the plugin's file and all that it needs to know.
    pub(super) fn start(
        name: &str,
        library: &File,
        task: Task<'_>,
        keeper: &Arc<Keeper>,
        until: Instant,
    ) -> io::Result<(Self, Channel)> {
        // before there is a process: the agent can leave its group only while it is alone in it
        keeper.groups();
        let (channel, other) = Channel::pair()?;
        let (printed, print) = pipe_with(PipeFlags::CLOEXEC)?;
        // the reader never waits for a plugin; the plugin's end is an ordinary pipe
        rustix::fs::fcntl_setfl(&printed, rustix::fs::OFlags::NONBLOCK)?;
        let frame = task.frame()?;
        let command = command(name, task.confinement(), other, print)?;
        let output = Arc::new(Output::default());
        let stream = Stream::new(printed, name.into(), Arc::clone(&output));
        let child = keeper.spawn(command, stream, until)?;
        let pid = Pid::from_child(&child);
        let (pidfd, stat) = match (pidfd_open(pid, PidfdFlags::empty()), File::open(stat_file(pid))) {
            (Ok(pidfd), Ok(stat)) => (pidfd, stat),
            (pidfd, stat) => {
                let _ = kill_process_group(pid, Signal::KILL); // it may have ended
                keeper.reap(child);
                keeper.close(&output);
                return Err(pidfd
                    .err()
                    .map(Into::into)
                    .or(stat.err())
                    .unwrap_or(io::ErrorKind::Other.into()));
            }
        };
        // before it is told what to run
        let group = task.confinement().and_then(|confinement| group(name, confinement, keeper, pid));
        let keeper = Arc::clone(keeper);
        let memory = task.confinement().map_or(u64::MAX, |confinement| confinement.memory);
        let mut process = Self { child: Some(child), pid, pidfd, stat, output, keeper, memory, group };
        match channel.send(&frame, Some(library), until) {
            // its death is told with the answer that does not come
            Ok(()) | Err(Silence::Ended) => Ok((process, channel)),
            Err(error) => {
                process.kill();
                Err(io::Error::other(error))
            }
        }
    }

    /// Readable once it has ended.
    pub(super) fn ended(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether it has.
    pub(super) fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// A call went well: what it printed explains no later end.
    pub(super) fn answered(&self) {
        self.output.forget();
    }

    /// What it and its children that were waited for have used, and its memory.
    pub(super) fn usage(&self) -> Option<Usage> {
        let mut buffer = [0; 1024];
        let count = pread(&self.stat, &mut buffer, 0).ok()?;
        usage_in(std::str::from_utf8(buffer.get(..count)?).ok()?)
    }

    /// Ends it after it went silent, and says why in words for an operator.
    pub(super) fn end(&mut self, silence: &Silence, deadline: Duration) -> String {
        match silence {
            Silence::TooLate => {
                self.kill();
                format!("killed: took longer than its deadline of {}", duration::words(deadline))
            }
            Silence::Nonsense(error) => self.kill_for(&format!("what it sent can't be understood: {error}")),
            Silence::Io(error) => self.kill_for(&format!("its connection failed: {error}")),
            Silence::Ended => {
                let by_itself = self.wait(ENDING);
                match self.kill() {
                    Some(status) if by_itself && self.ran_out(status) => {
                        format!("ran out of memory, max_memory is {} MiB", self.memory >> 20)
                    }
                    Some(status) if by_itself => {
                        let last = self.output.last_lines(LAST_WORDS);
                        describe(status, &last, self.memory)
                    }
                    _ => "killed: it closed its connection to the agent".into(),
                }
            }
        }
    }

    /// Ends it because of what it said.
    pub(super) fn kill_for(&mut self, reason: &str) -> String {
        self.kill();
        format!("killed: {reason}")
    }

    /// Whether the kernel has ended it because its group had no memory left.
    fn ran_out(&self, status: ExitStatus) -> bool {
        status.signal() == Some(Signal::KILL.as_raw())
            && self.group.as_ref().is_some_and(|group| group.out_of_memory() > 0)
    }

    fn wait(&self, time: Duration) -> bool {
        let mut wanted = [PollFd::new(&self.pidfd, PollFlags::IN)];
        wait(&mut wanted, Instant::now() + time).is_ok()
    }

    /// Kills it and all of its session, and waits for it; its status, where it had one by then.
    fn kill(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        // all at once, before it is waited for: until then nobody else can have its number
        let _ = kill_process_group(self.pid, Signal::KILL); // nobody may be left
        let _ = child.kill(); // it may have no group of its own yet
        kill_others(self.pid); // those with groups of their own
        if let Some(group) = &self.group {
            group.kill(); // also those that have left the session
        }
        let status = if self.wait(DYING) {
            child.wait().ok()
        } else {
            self.keeper.reap(child);
            None
        };
        self.keeper.close(&self.output);
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.wait(LETTING_GO);
            self.kill();
        }
    }
}

fn group(name: &str, confinement: &Confinement, keeper: &Keeper, pid: Pid) -> Option<Group> {
    let number = pid.as_raw_nonzero().get();
    // one more for the thread that waits for the agent's end
    let processes = confinement.processes.saturating_add(1);
    let group = keeper.groups()?.group(name, number, confinement.memory, processes);
    match group.and_then(|group| group.add(number).map(|()| group)) {
        Ok(group) => Some(group),
        Err(error) => {
            tracing::warn!("plugin {name} runs without a control group: {error}");
            None
        }
    }
}

fn stat_file(pid: Pid) -> String {
    format!("/proc/{}/stat", pid.as_raw_nonzero())
}

/// The same executable, also after an upgrade has replaced its file; without confinement as the agent itself.
fn command(
    name: &str,
    confinement: Option<&Confinement>,
    socket: OwnedFd,
    print: OwnedFd,
) -> io::Result<Command> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("twarga-agent").args([SUBCOMMAND, name]);
    command.stdin(socket).stdout(Stdio::from(print.try_clone()?)).stderr(print);
    let Some(confinement) = confinement else { return Ok(command) };
    command.env_clear();
    let given = ENVIRONMENT.into_iter().chain(confinement.environment.iter().map(String::as_str));
    command.envs(given.filter_map(|name| Some((name, std::env::var_os(name)?))));
    if let Some(user) = confinement.user.as_ref().filter(|user| user.is_other()) {
        // std drops the supplementary groups with the user
        command.uid(user.uid).gid(user.gid).env("HOME", &user.home);
    }
    Ok(command)
}

fn own_pid() -> u32 {
    getpid().as_raw_nonzero().get().cast_unsigned()
}

fn hello(confinement: &Confinement, config: &str, max_series: usize) -> Hello {
    Hello {
        parent: own_pid(),
        max_series: u32::try_from(max_series).unwrap_or(u32::MAX),
        memory: confinement.memory,
        processes: confinement.processes,
        files: confinement.files,
        config: config.into(),
        writable: confinement.writable.iter().map(|folder| folder.display().to_string()).collect(),
    }
}

/// utime, stime, cutime, cstime and rss: fields 14 to 17 and 24 of `/proc/PID/stat` (proc_pid_stat(5)).
fn usage_in(stat: &str) -> Option<Usage> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut number = || fields.next()?.parse::<u64>().ok();
    let ticks = number()? + number()? + number()? + number()?;
    let pages = fields.nth(6)?.parse::<u64>().ok()?;
    let second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / second));
    Some(Usage { cpu, resident: pages * rustix::param::page_size() as u64 })
}

/// The end of a process in words; `last` is what it printed before.
fn describe(status: ExitStatus, last: &str, memory: u64) -> String {
    let what = match (status.signal(), status.code()) {
        // Rust's own words for an allocation that failed, and what follows it
        (Some(_), _) if last.contains("memory allocation of") => {
            return format!("ran out of memory, max_memory is {} MiB: {last}", memory >> 20);
        }
        (Some(signal), _) => format!("ended by {}", signal_name(signal)),
        (None, Some(code)) => format!("ended by itself with exit code {code}"),
        (None, None) => "ended".into(),
    };
    if last.is_empty() { what } else { format!("{what}: {last}") }
}

fn signal_name(number: i32) -> String {
    let named = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::BUS, "SIGBUS"),
        (Signal::ILL, "SIGILL"),
        (Signal::FPE, "SIGFPE"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::SYS, "SIGSYS"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::KILL, "SIGKILL, sent by somebody else (perhaps the kernel, out of memory)"),
    ];
    let name = named.iter().find(|(signal, _)| signal.as_raw() == number);
    name.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_precisely() {
        let told = |raw, last| describe(ExitStatus::from_raw(raw), last, 32 << 20);
        assert_eq!(told(11, ""), "ended by SIGSEGV");
        assert_eq!(told(6, "fatal: overflow"), "ended by SIGABRT: fatal: overflow");
        assert_eq!(told(0, ""), "ended by itself with exit code 0");
        assert_eq!(told(3 << 8, "x"), "ended by itself with exit code 3: x");
        assert_eq!(told(50, ""), "ended by signal 50");
        let out = told(6, "memory allocation of 8 bytes failed");
        assert_eq!(out, "ran out of memory, max_memory is 32 MiB: memory allocation of 8 bytes failed");
    }

    #[test]
    fn usage_is_read_behind_any_name() {
        let stat =
            "12 (a b) 1 2) S 1 12 12 0 -1 4194560 100 0 0 0 7 5 2 1 20 0 1 0 100 4096 3 18446744073709551615";
        let usage = usage_in(stat).unwrap();
        assert_eq!(usage.cpu, Duration::from_millis(15 * 1000 / rustix::param::clock_ticks_per_second()));
        assert_eq!(usage.resident, 3 * rustix::param::page_size() as u64);
        assert_eq!(usage_in("12 (a) S 1"), None);
    }
}
