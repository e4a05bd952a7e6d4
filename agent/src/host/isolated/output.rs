//! What a plugin's process prints: into the log, line by line, not more than a reader can bear.

use super::super::series_table::cut;
use rustix::io::{Errno, read};
use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// So many lines in [`WINDOW`] are logged, the others counted.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// The most bytes of a line.
const MAX_LINE: usize = 500;
/// Lines that are kept to explain a death.
const LAST: usize = 2;

/// At the end of a process, more of its output than a pipe holds is another's.
const LAST_READS: usize = 16;

/// The last lines of one process, for whoever has to say why it died.
#[derive(Debug, Default)]
pub(super) struct Output {
    tail: Mutex<Tail>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<Box<str>>,
    closed: bool,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All went well so far: what was printed explains no later end.
    pub(super) fn forget(&self) {
        self.lock().lines.clear();
    }

    /// The last lines, once the process and its children have closed their end; else those that came within the time.
    pub(super) fn last_lines(&self, patience: Duration) -> String {
        let open = |tail: &mut Tail| !tail.closed;
        let waited = self.ended.wait_timeout_while(self.lock(), patience, open);
        let (tail, _) = waited.unwrap_or_else(PoisonError::into_inner);
        tail.lines.iter().map(|line| &**line).collect::<Vec<_>>().join(" / ")
    }

    fn push(&self, line: &str) {
        // Rust's advice about backtraces is none for an operator
        if line.is_empty() || line.starts_with("note:") {
            return;
        }
        let mut tail = self.lock();
        if tail.lines.len() == LAST {
            tail.lines.pop_front();
        }
        tail.lines.push_back(line.into());
    }

    fn close(&self) {
        self.lock().closed = true;
        self.ended.notify_all();
    }
}

/// The pipe of one process.
pub(super) struct Stream {
    pipe: OwnedFd,
    output: Arc<Output>,
    plugin: Arc<str>,
    line: Vec<u8>,
    window: Instant,
    logged: u32,
    left_out: u64,
}

impl Stream {
    pub(super) fn new(pipe: OwnedFd, plugin: Arc<str>, output: Arc<Output>) -> Self {
        let line = Vec::new();
        Self { pipe, output, plugin, line, window: Instant::now(), logged: 0, left_out: 0 }
    }

    pub(super) fn pipe(&self) -> &OwnedFd {
        &self.pipe
    }

    /// Whether there are lines that were not logged.
    pub(super) fn left_out(&self) -> bool {
        self.left_out > 0
    }

    /// Reads what there is; whether more may come.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        match read(&self.pipe, &mut *buffer) {
            Ok(0) => {
                self.end();
                false
            }
            Ok(count) => {
                self.take(buffer.get(..count).unwrap_or_default());
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => {
                self.end();
                false
            }
        }
    }

    /// Whether these are the lines that it keeps.
    pub(super) fn is_of(&self, output: &Arc<Output>) -> bool {
        Arc::ptr_eq(&self.output, output)
    }

    /// Reads what is there, and closes the pipe, whoever holds the other end.
    pub(super) fn close(mut self, buffer: &mut [u8]) {
        for _ in 0..LAST_READS {
            match read(&self.pipe, &mut *buffer) {
                Ok(0) => break,
                Ok(count) => self.take(buffer.get(..count).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(_) => break, // nothing is there
            }
        }
        self.end();
    }

    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(self.line.len());
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.line.extend_from_slice(text.get(..room).unwrap_or(text));
            if part.ends_with(b"\n") {
                self.line_ended();
            }
        }
    }

    fn line_ended(&mut self) {
        if self.window.elapsed() >= WINDOW {
            self.tell_left_out();
        }
        let text = cut(&String::from_utf8_lossy(&self.line), MAX_LINE);
        self.line.clear();
        let text = text.trim();
        self.output.push(text);
        if self.logged < LINES {
            self.logged += 1;
            tracing::info!(plugin = &*self.plugin, "prints: {text}");
        } else {
            self.left_out += 1;
        }
    }

    /// Says how many lines were left out, and begins anew.
    pub(super) fn tell_left_out(&mut self) {
        if self.window.elapsed() < WINDOW {
            return;
        }
        self.window = Instant::now();
        self.logged = 0;
        let more = std::mem::take(&mut self.left_out);
        if more > 0 {
            tracing::info!(plugin = &*self.plugin, "prints: {more} more lines are left out");
        }
    }

    fn end(&mut self) {
        if !self.line.is_empty() {
            self.line_ended();
        }
        if self.left_out > 0 {
            tracing::info!(plugin = &*self.plugin, "prints: {} more lines are left out", self.left_out);
        }
        self.output.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::io::Write;

    #[test]
    fn lines_are_cut_cleaned_and_counted() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let output = Arc::new(Output::default());
        let mut stream = Stream::new(reader, "p".into(), Arc::clone(&output));
        let mut buffer = vec![0; 4096];
        assert!(stream.read(&mut buffer), "nothing yet");
        let mut writer = std::fs::File::from(writer);
        writer.write_all(b"one\ntwo \x1b[31mred\xff\n").unwrap();
        writer.write_all(&[b'x'; 2000]).unwrap();
        writer.write_all(b"\nnote: run with RUST_BACKTRACE\n\n").unwrap();
        assert!(stream.read(&mut buffer));
        let last = output.last_lines(Duration::ZERO);
        assert!(last.starts_with("two  [31mred\u{fffd} / xxx"), "{last}");
        assert!(last.len() < 600 && !last.contains(char::is_control));
        for _ in 0..LINES {
            writer.write_all(b"y\n").unwrap();
        }
        assert!(stream.read(&mut buffer));
        assert_eq!(stream.left_out, 5);
        drop(writer);
        assert!(!stream.read(&mut buffer));
        assert_eq!(output.last_lines(Duration::from_secs(60)), "y / y", "does not wait: it is closed");
        output.forget();
        assert_eq!(output.last_lines(Duration::ZERO), "");
    }

    #[test]
    fn a_pipe_that_somebody_holds_is_closed() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let output = Arc::new(Output::default());
        let stream = Stream::new(reader, "p".into(), Arc::clone(&output));
        assert!(stream.is_of(&output) && !stream.is_of(&Arc::default()));
        let mut writer = std::fs::File::from(writer);
        writer.write_all(b"first\nlast words").unwrap();
        stream.close(&mut vec![0; 4096]);
        assert_eq!(output.last_lines(Duration::from_secs(60)), "first / last words", "does not wait");
        let error = writer.write_all(b"more").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
}
