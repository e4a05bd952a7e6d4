//! A program that is started at every interval.

use crate::{
    child::{Running, ending},
    config::Config,
    output::{Output, cut_unfinished},
};
use std::time::{Duration, Instant};
use twarga_plugin_api::{Error, Result, Sink, duration, formats::Absent};

pub(crate) struct Once {
    config: Config,
    /// One that could not be ended: it hangs in the kernel, and no other is started beside it.
    stuck: Option<Running>,
    text: Vec<u8>,
    pub(crate) starts: u64,
    /// How long the last run took.
    pub(crate) took: Option<Duration>,
}

impl Once {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, stuck: None, text: Vec::new(), starts: 0, took: None }
    }

    /// One run, whole or not: what was printed counts.
    pub(crate) fn collect(&mut self, output: &mut Output, sink: &mut Sink<'_>) -> Result<()> {
        self.took = None;
        self.text.clear();
        let failure = self.run();
        let absent = match &failure {
            Ok(()) => Absent::Retire,
            Err(_) => {
                // a line that was cut may lack digits
                cut_unfinished(&mut self.text);
                Absent::Unavailable("the command failed")
            }
        };
        output.begin();
        output.publish(&self.text, absent, sink);
        failure
    }

    fn run(&mut self) -> Result<()> {
        if self.stuck.as_mut().is_some_and(|stuck| stuck.end().is_none()) {
            return Err(Error::transient("the run before still hangs in the kernel: no other is started"));
        }
        self.stuck = None;
        let begin = Instant::now();
        let mut running = Running::start(&self.config)?;
        self.starts += 1;
        let stopped = read_to_end(&mut running, &mut self.text, &self.config, begin);
        let status = running.end();
        self.took = Some(begin.elapsed());
        let (program, last_words) = (&self.config.command[0], running.last_words());
        let result = match (stopped, status) {
            (Some(why), _) => Err(Error::transient(format_args!("`{program}` {why}{last_words}"))),
            (None, Some(status)) if status.success() => Ok(()),
            (None, status) => {
                Err(Error::transient(format_args!("`{program}` {}{last_words}", ending(status))))
            }
        };
        if status.is_none() {
            self.stuck = Some(running);
        }
        result
    }
}

/// Reads until the program has ended. Answers why it was not waited for.
fn read_to_end(running: &mut Running, text: &mut Vec<u8>, config: &Config, begin: Instant) -> Option<String> {
    let most = usize::try_from(config.max_output).unwrap_or(usize::MAX);
    let until = begin + config.run_timeout();
    loop {
        // in this order: what was printed before the end is in the pipe by then
        let ended = running.has_ended();
        running.read(text, most + 1);
        if text.len() > most {
            text.truncate(most);
            return Some(format!("printed more than max_output, {}", bytesize::ByteSize(config.max_output)));
        }
        if ended {
            return None; // whoever still holds the pipes is not waited for
        }
        if Instant::now() >= until {
            let timeout = duration::words(config.run_timeout());
            return Some(format!("was killed after its timeout, {timeout}"));
        }
        running.wait_for_output(until);
    }
}
