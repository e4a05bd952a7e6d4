//! All that a plugin's process has started: its session. A process that has a group of its own is still in it; only one
//! that begins a session itself (setsid(2)) is not.

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, getpid, getppid, kill_process, pidfd_open, pidfd_send_signal, setsid,
    },
};
use std::{
    fs, io,
    os::fd::OwnedFd,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

/// What is killed may just have started others, but not this often.
const ROUNDS: usize = 20;
/// Room of the thread that waits for the agent's end.
const STACK: usize = 128 << 10;

/// Between two looks at the agent, where its end can't be waited for.
const LOOK: Duration = Duration::from_secs(1);

/// Begins a session of this process, in the child.
pub(super) fn begin() -> io::Result<()> {
    setsid()?;
    Ok(())
}

/// Has a thread end this process, with its session, as soon as the agent ends. The kernel can end a process with its
/// parent too (`PR_SET_PDEATHSIG`), but not what that has started, and then nobody is left to do it.
///
/// # Errors
/// Where the agent has ended before; where there is no thread.
pub(super) fn end_with(agent: u32) -> io::Result<()> {
    let ended = || io::Error::other("the agent has ended");
    let agent = Pid::from_raw(agent.cast_signed()).ok_or_else(ended)?;
    let pidfd = pidfd_open(agent, PidfdFlags::empty())?;
    // looked at after it was opened: it is no later process with the agent's number
    if getppid() != Some(agent) {
        return Err(ended());
    }
    // no channel: whether waiting at one allocates depends on who comes first, and the allocations of this process are counted
    let begun = Arc::new(Barrier::new(2));
    let has_begun = Arc::clone(&begun);
    thread::Builder::new().name("agent-watch".into()).stack_size(STACK).spawn(move || {
        has_begun.wait(); // it has come to be; what it needs later is for the list of the others alone
        while !has_ended(&pidfd) && getppid() == Some(agent) {
            thread::sleep(LOOK); // the plugin has closed the descriptor
        }
        drop(pidfd); // the plugin may have opened as many files as it may
        kill_others(getpid());
        let _ = kill_process(getpid(), Signal::KILL); // it can't fail, and nobody is left to tell
    })?;
    begun.wait();
    Ok(())
}

/// Waits for the end of a process; not, where that can't be waited for.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut wanted = [PollFd::new(pidfd, PollFlags::IN)];
    while let Err(Errno::INTR) = poll(&mut wanted, None) {}
    wanted[0].revents().contains(PollFlags::IN)
}

/// Kills all processes of a session but the one that began it. That one must be there, or not have been waited for: its
/// number must not be another's.
pub(super) fn kill_others(session: Pid) {
    let mut killed = Vec::new();
    for _ in 0..ROUNDS {
        let new: Vec<Pid> = members(session).filter(|pid| !killed.contains(pid)).collect();
        if new.is_empty() {
            return;
        }
        for pid in new {
            kill(pid, session);
            killed.push(pid);
        }
    }
}

fn kill(pid: Pid, session: Pid) {
    let killed = match pidfd_open(pid, PidfdFlags::empty()) {
        // it may have ended, and its number be another's, since it was looked at
        Ok(pidfd) if session_of(pid) == Some(session) => pidfd_send_signal(pidfd, Signal::KILL),
        Ok(_) | Err(Errno::SRCH) => return,
        Err(_) => kill_process(pid, Signal::KILL), // no descriptor is left
    };
    if let Err(error) = killed.or_else(|error| if error == Errno::SRCH { Ok(()) } else { Err(error) }) {
        tracing::debug!("process {} of a plugin can't be ended: {error}", pid.as_raw_nonzero());
    }
}

fn members(session: Pid) -> impl Iterator<Item = Pid> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    // all names first: one open file at a time
    let all: Vec<Pid> = names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?)).collect();
    all.into_iter().filter(move |pid| *pid != session && session_of(*pid) == Some(session))
}

/// The session of a process that has not ended.
fn session_of(pid: Pid) -> Option<Pid> {
    session_in(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
}

/// Fields 3 and 6 of `/proc/PID/stat` (proc_pid_stat(5)).
fn session_in(stat: &str) -> Option<Pid> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let session = fields.nth(2)?;
    if matches!(state, "Z" | "X") { None } else { Pid::from_raw(session.parse().ok()?) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Read,
        process::{Command, Stdio},
    };

    #[test]
    fn the_session_is_read_behind_any_name() {
        let session = |stat: &str| session_in(stat).map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(session("12 (a b) 1 2) S 1 12 77 0 -1"), Some(77));
        assert_eq!(session("12 (a) Z 1 12 77 0 -1"), None, "it has ended");
        assert_eq!(session("12 (a) S 1 12 0 0 -1"), None, "of the kernel");
        assert_eq!(session("12 (a) S 1"), None);
    }

    /// Not that of this process: it may have begun outside of its PID namespace, and has no number here then.
    #[test]
    fn the_session_of_a_process_is_read_until_it_ends() {
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", "echo begun; read line"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut begun = [0; 6];
        child.stdout.take().unwrap().read_exact(&mut begun).unwrap();
        let pid = Pid::from_child(&child);
        assert_eq!(session_of(pid), Some(pid));
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        drop(child.stdin.take());
        assert!(has_ended(&pidfd));
        assert_eq!(session_of(pid), None, "it has not been waited for");
        child.wait().unwrap();
    }
}
