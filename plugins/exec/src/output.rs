//! What was printed, on its way to the agent.

use crate::config::{Config, Run};
use twarga_plugin_api::{
    Sink,
    formats::{Absent, Again, Format, Parser, Publisher},
};

/// The parser and the series of one program.
pub(crate) struct Output {
    /// What the log calls it.
    name: String,
    format: Format,
    run: Run,
    /// Of a stream: it remembers what was said before.
    parser: Parser,
    publisher: Publisher,
    /// The time of the samples that came last, where they had one.
    last_time: Option<i64>,
}

impl Output {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            name: config.command.first().cloned().unwrap_or_default(),
            format: config.format,
            run: config.run,
            parser: Parser::new(config.format),
            publisher: Publisher::new(config.prefix()),
            last_time: None,
        }
    }

    pub(crate) fn refused(&self) -> u64 {
        self.publisher.refused()
    }

    pub(crate) fn strings(&self) -> u64 {
        self.publisher.strings()
    }

    /// A program was started anew: nothing that the one before said of its metrics holds.
    pub(crate) fn begin(&mut self) {
        self.parser = Parser::new(self.format);
    }

    /// Passes on these lines.
    pub(crate) fn publish(&mut self, text: &[u8], absent: Absent<'_>, sink: &mut Sink<'_>) {
        let parsed = self.parser.parse(text);
        let time = parsed.common_time();
        // told a second time at the same time, it is not a second sample
        let known = time.is_some() && time == self.last_time;
        let again = match self.run {
            Run::Once => Again::Mistake,
            Run::Stream => Again::Newer,
        };
        if let Some(time) = time.filter(|_| !known) {
            sink.set_time(time);
            self.last_time = Some(time);
        }
        let reason = known.then_some("no newer sample");
        self.publisher.add(parsed, &self.name, again, reason);
        self.publisher.finish(sink, absent);
    }
}

/// The lines of `text` that have their end; the rest is cut away and answered.
pub(crate) fn cut_unfinished(text: &mut Vec<u8>) -> Vec<u8> {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    text.split_off(end)
}
