//! A program that runs on. A collection takes the lines that it printed since the last one, and never waits.

use crate::{
    child::{Running, ending},
    config::Config,
    output::{Output, cut_unfinished},
};
use std::time::{Duration, Instant};
use twarga_plugin_api::{Error, Result, Sink, duration, formats::Absent};

/// The pause before a program is started again: doubled each time up to the longest, and the first again after it ran
/// for that long.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// A line longer than this has lost its end.
const LONGEST_LINE: usize = 64 * 1024;

pub(crate) struct Stream {
    config: Config,
    state: State,
    pause: Duration,
    text: Vec<u8>,
    pub(crate) starts: u64,
}

enum State {
    Running {
        running: Running,
        since: Instant,
        heard: Instant,
    },
    /// Why it does not run, and when it is started.
    Waiting {
        why: String,
        until: Instant,
    },
    /// It could not be ended: no other is started beside it.
    Stuck(Running),
}

impl Stream {
    /// It is started at once, so that the first collection finds something.
    pub(crate) fn new(config: Config) -> Self {
        let state = State::Waiting { why: String::new(), until: Instant::now() };
        let mut stream = Self { config, state, pause: PAUSES[0], text: Vec::new(), starts: 0 };
        stream.start();
        stream
    }

    pub(crate) fn collect(&mut self, output: &mut Output, sink: &mut Sink<'_>) -> Result<()> {
        let failure = self.read();
        let unfinished = cut_unfinished(&mut self.text);
        let absent = Absent::RetireAfter(self.config.expiry());
        output.publish(&self.text, absent, sink);
        self.text = unfinished;
        if self.text.len() > LONGEST_LINE {
            self.text.clear();
            return Err(Error::transient(format_args!(
                "a line of more than {LONGEST_LINE} bytes is left out"
            )));
        }
        if failure.is_err() {
            self.text.clear();
            output.begin();
        }
        failure
    }

    fn start(&mut self) {
        let now = Instant::now();
        self.state = match Running::start(&self.config) {
            Ok(running) => {
                self.starts += 1;
                State::Running { running, since: now, heard: now }
            }
            Err(error) => self.waiting(error.message().to_owned()),
        };
    }

    fn waiting(&mut self, why: String) -> State {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES[1]);
        State::Waiting { why, until }
    }

    /// Reads what was printed; where the program doesn't run, says why, and starts it when it is time.
    fn read(&mut self) -> Result<()> {
        let start = match &mut self.state {
            State::Stuck(running) => running.end().is_some(),
            State::Waiting { until, .. } => *until <= Instant::now(),
            State::Running { .. } => false,
        };
        if start {
            self.start();
        }
        let most = usize::try_from(self.config.max_output).unwrap_or(usize::MAX);
        let (running, since, heard) = match &mut self.state {
            State::Running { running, since, heard } => (running, since, heard),
            State::Waiting { why, until } => {
                let left = until.saturating_duration_since(Instant::now()).as_secs() + 1;
                return Err(Error::transient(format_args!("{why}; started again in {left}s")));
            }
            State::Stuck(_) => {
                return Err(Error::transient("the program hangs in the kernel: no other is started"));
            }
        };
        let (before, ended) = (self.text.len(), running.has_ended());
        let open = running.read(&mut self.text, most);
        if self.text.len() > before {
            *heard = Instant::now();
        }
        let silent = self.config.timeout.filter(|timeout| heard.elapsed() > *timeout);
        let ran = since.elapsed();
        if open && !ended && silent.is_none() {
            if ran > PAUSES[1] {
                self.pause = PAUSES[0];
            }
            return Ok(());
        }
        Err(self.ended(silent))
    }

    /// The program is no more, or is killed because it was silent or closed its output.
    fn ended(&mut self, silent: Option<Duration>) -> Error {
        let gone = State::Waiting { why: String::new(), until: Instant::now() };
        let mut running = match std::mem::replace(&mut self.state, gone) {
            State::Running { running, .. } | State::Stuck(running) => running,
            State::Waiting { .. } => return Error::transient("the program does not run"),
        };
        let by_itself = running.has_ended();
        let status = running.end();
        let how = match silent {
            Some(timeout) => format!("printed nothing for {}", duration::words(timeout)),
            None if by_itself => ending(status),
            None => "closed its output".to_owned(),
        };
        let why = format!("`{}` {how}{}", self.config.command[0], running.last_words());
        self.state = match status {
            Some(_) => self.waiting(why.clone()),
            None => State::Stuck(running),
        };
        Error::transient(why)
    }
}
