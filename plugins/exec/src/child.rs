//! A program that runs: its process group, and what it prints, read without ever waiting for it.

use crate::config::Config;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use std::{
    io::Read,
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use twarga_plugin_api::{Context, Error, Result};

/// Variables of the agent that a program gets. Not all of them: the agent's may hold its tokens.
const INHERITED: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"];
/// So much of the end of standard error is kept.
const STDERR: usize = 4096;
/// The longest last line of standard error that is told.
const LAST_LINE: usize = 300;
/// Between two looks whether a program has ended whose pipes are still open.
const LOOK: Duration = Duration::from_millis(20);
/// How long a killed program may take to vanish. The kernel is quick, but where it hangs in a system call.
const VANISH: Duration = Duration::from_millis(500);
/// The room of a stream's pipe: what it prints between two collections. The most that any user may have.
const PIPE: usize = 1 << 20;

/// A program that was started. Dropping it kills its process group.
pub(crate) struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    last_words: Vec<u8>,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts the program in a process group of its own, with /dev/null as its input and no other descriptors.
    pub(crate) fn start(config: &Config) -> Result<Self> {
        let (program, arguments) = config.command.split_first().context("no program is named")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&config.directory).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(&config.environment);
        let directory = config.directory.display();
        let mut child = command.spawn().context(format_args!(
            "`{program}` can't be started in {directory}; look at command and directory"
        ))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let running = Self { child, stdout, stderr, last_words: Vec::new(), ended: None };
        if let (Some(stdout), Some(stderr)) = (&running.stdout, &running.stderr) {
            never_wait(stdout)?;
            never_wait(stderr)?;
            // where the user has no room left, the usual 64 KiB must do
            let _ = rustix::pipe::fcntl_setpipe_size(stdout, PIPE);
        }
        Ok(running)
    }

    /// Reads what there is, until `out` has `most` bytes. Answers whether more may come.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, most: usize) -> bool {
        read_there_is(&mut self.stderr, |bytes| {
            self.last_words.extend_from_slice(bytes);
            let over = self.last_words.len().saturating_sub(STDERR);
            self.last_words.drain(..over);
            true
        });
        read_there_is(&mut self.stdout, |bytes| {
            out.extend_from_slice(bytes);
            out.len() < most
        });
        self.stdout.is_some()
    }

    /// Waits until there is something to read, the program has ended, or the time is over.
    pub(crate) fn wait_for_output(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now()).min(LOOK);
        let mut pipes = Vec::with_capacity(2);
        pipes.extend(self.stdout.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        pipes.extend(self.stderr.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let _ = poll(&mut pipes, Some(&timeout)); // interrupted, or over: looked at anew either way
    }

    /// Whether the program has ended. It stays a zombie until [`Running::end`], so that its group's number can't be
    /// another one's.
    pub(crate) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.ended.is_some()
            || !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None))
    }

    /// Kills what is left of the group and buries the program. Answers how it ended; nothing where even SIGKILL does
    /// not end it, as in a system call that hangs: [`Running::end`] may be called again.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_some() {
            return self.ended;
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL); // it may be empty
        let until = Instant::now() + VANISH;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.ended = Some(status);
            }
            if self.ended.is_some() || Instant::now() >= until {
                return self.ended;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The last line that it wrote to standard error, as the end of a sentence; empty where there is none.
    pub(crate) fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.last_words);
        match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => format!(": {}", &line[..line.floor_char_boundary(LAST_LINE)]),
            None => String::new(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads until nothing is there or `take` wants no more. A pipe that is at its end goes.
fn read_there_is<R: Read>(pipe: &mut Option<R>, mut take: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Some(open) = pipe {
        match open.read(&mut buffer) {
            Ok(0) => *pipe = None,
            Ok(count) if take(&buffer[..count]) => {}
            Ok(_) => return,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(_) => *pipe = None,
        }
    }
}

fn never_wait(pipe: &impl AsFd) -> Result<()> {
    let set =
        |pipe| -> std::result::Result<(), Errno> { fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK) };
    set(pipe.as_fd()).map_err(Error::from)
}

/// How a program ended, for people: `ended with status 3`, `was killed by signal 9`.
pub(crate) fn ending(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status {
        None => "can't be ended: it hangs in the kernel".into(),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended".into(),
        },
    }
}
