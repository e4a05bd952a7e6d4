//! The descriptors of a plugin's process, before anything of the plugin is there.
#![allow(unsafe_code, reason = "closes descriptors by their number")]

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::{close, fcntl_dupfd_cloexec},
    stdio::{dup2_stdin, stdin},
};
use std::{
    fs::{read_dir, read_link},
    io,
    os::fd::OwnedFd,
};

/// The socket's number, where the limit allows it: plugins that close what they don't know begin with the low ones.
const HIGH: i32 = 500;

/// Takes the socket from standard input, puts `/dev/null` there, and closes all that the agent's own parent may have
/// left open. To be called first of all.
///
/// # Errors
/// Where standard input is no socket: somebody has typed the command.
pub(super) fn take_socket() -> io::Result<OwnedFd> {
    if FileType::from_raw_mode(fstat(stdin())?.st_mode) != FileType::Socket {
        let message = "this command is for the agent alone, which runs isolated plugins with it";
        return Err(io::Error::other(message));
    }
    close_others()?;
    let socket = fcntl_dupfd_cloexec(stdin(), HIGH).or_else(|_| fcntl_dupfd_cloexec(stdin(), 3))?;
    dup2_stdin(open("/dev/null", OFlags::RDONLY, Mode::empty())?)?;
    Ok(socket)
}

fn close_others() -> io::Result<()> {
    let names = read_dir("/proc/self/fd")?.flatten().map(|entry| entry.file_name());
    let numbers: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    // the one that the folder was read with is closed by now
    let open = |number: &i32| *number > 2 && read_link(format!("/proc/self/fd/{number}")).is_ok();
    for number in numbers.into_iter().filter(open) {
        // SAFETY: this is the first thing that the process does, on its only thread: nothing in it owns a descriptor
        // yet but the three standard ones, and this one was just there.
        unsafe { close(number) };
    }
    Ok(())
}
