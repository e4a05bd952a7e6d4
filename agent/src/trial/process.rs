//! The process in which a plugin is certified, as the certifying one sees it.

use super::report::Answer;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What a child is to do, as JSON on its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) file: PathBuf,
    /// The plugin's own table.
    pub(super) config: Map<String, Json>,
    pub(super) interval: Duration,
    pub(super) phase: Phase,
}

/// How far a child goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// All checks, then it ends.
    Checks,
    /// The first collection, then it ends.
    Once,
    /// It collects until it is killed.
    Endless,
}

/// What a child says, a line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    /// A check begins: if the child ends now, it failed.
    Begin(String),
    /// A check is answered.
    Done(Answer),
    /// A collection went well.
    Collected,
}

/// What came, or why nothing came.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Message),
    /// It has ended; how.
    Ended(String),
    /// It said nothing for so long.
    Silence,
}

/// A child with a plugin in it. Killed when it is dropped.
pub(super) struct Process {
    child: Child,
    messages: Receiver<Message>,
    errors: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts this executable again.
    pub(super) fn start(task: &Task) -> Result<Self> {
        // survives an upgrade of the file
        let mut command = Command::new("/proc/self/exe");
        command.args(["plugins", "certify-child"]).env("TWARGA_LOG", "error").env("NO_COLOR", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("can't start a process for the plugin")?;
        let (mut input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (sender, messages) = channel();
        std::thread::Builder::new().name("certify-out".into()).spawn(move || {
            for line in output.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok) {
                let Ok(message) = serde_json::from_str(&line) else { continue };
                if sender.send(message).is_err() {
                    break;
                }
            }
        })?;
        let errors = std::thread::Builder::new().name("certify-err".into()).spawn(move || {
            let mut text = Vec::new();
            if let Some(mut errors) = errors {
                // the beginning is enough, and the pipe is read to its end
                let _ = errors.by_ref().take(64 * 1024).read_to_end(&mut text);
                let _ = std::io::copy(&mut errors, &mut std::io::sink());
            }
            String::from_utf8_lossy(&text).into_owned()
        })?;
        let process = Self { child, messages, errors: Some(errors) };
        if let Some(input) = &mut input {
            serde_json::to_writer(&mut *input, task).context("can't tell the plugin's process its task")?;
            input.flush()?;
        }
        Ok(process)
    }

    /// The next message.
    pub(super) fn hear(&mut self, patience: Duration) -> Heard {
        match self.messages.recv_timeout(patience) {
            Ok(message) => Heard::Message(message),
            Err(RecvTimeoutError::Timeout) => Heard::Silence,
            Err(RecvTimeoutError::Disconnected) => match self.wait(patience) {
                Some(status) => Heard::Ended(self.how(status)),
                None => Heard::Silence,
            },
        }
    }

    /// Waits for its end.
    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
                _ => return None,
            }
        }
    }

    fn how(&mut self, status: ExitStatus) -> String {
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("the plugin's process was ended by {}", signal_name(signal)),
            (None, code) => {
                format!("the plugin ended the process with exit code {}", code.unwrap_or_default())
            }
        };
        let errors = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        match errors.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with("note: ")) {
            Some(line) => format!("{how}: {}", line.trim().chars().take(200).collect::<String>()),
            None => how,
        }
    }

    /// Ends it by SIGKILL.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.into()
}
