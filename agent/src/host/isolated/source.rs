//! A collector in a process of its own, as the agent sees it.

use super::{
    super::{
        InstanceOptions,
        intake::{Intake, log_lines},
    },
    channel::{Channel, Silence},
    frames::write_collect,
    keeper::Keeper,
    prepared::{Confinement, Prepared},
    process::{Process, Task},
    replay::Replay,
};
use crate::{
    collect::{Source, Usage},
    model::{Batch, LocalSeries, Resets},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use twarga_plugin_api::Error;

/// What reading it costs is worth it so often.
const USAGE: Duration = Duration::from_millis(50);

/// A collector in a process of its own. Every error of it that is not the plugin's own answer means that the process is
/// gone.
pub struct Isolated {
    // dropped before the process: the closed connection asks it to end
    channel: Option<Channel>,
    process: Process,
    said: Replay,
    deadline: Duration,
    /// That of the next collection alone.
    shortened: Option<Duration>,
    /// Until then the first collection must be done too: it follows the start within one call.
    first: Option<Instant>,
    request: Vec<u8>,
    usage: Option<(Instant, Usage)>,
    /// It was ended at its deadline.
    overran: bool,
    /// Why it did not come to be: the first collection says so.
    stillborn: Option<Error>,
}

impl Isolated {
    /// Starts the process and makes the collector; `base` is the first number for its series.
    ///
    /// # Errors
    /// What the plugin's `new` answers, or why its process could not be started or ended. One that was killed at its
    /// deadline is told by its first collection.
    pub fn start(
        name: &str,
        prepared: &Prepared,
        confinement: &Confinement,
        options: &InstanceOptions,
        keeper: &Arc<Keeper>,
        base: LocalSeries,
    ) -> Result<Self, Error> {
        let until = Instant::now() + allowed(confinement.deadline);
        let task = Task::Collect(confinement, &options.config, options.max_series);
        let (process, channel) = Process::start(name, &prepared.library, task, keeper, until)
            .map_err(|error| Error::transient(format_args!("its process can't be started: {error}")))?;
        let mut request = Vec::new();
        write_collect(&mut request).map_err(Error::fatal)?;
        let mut isolated = Self {
            channel: Some(channel),
            process,
            said: Replay::new(Intake::new(&prepared.metadata, options, base)),
            deadline: confinement.deadline,
            shortened: None,
            first: Some(until),
            request,
            usage: None,
            overran: false,
            stillborn: None,
        };
        let made = isolated.hear(until, None);
        log_lines(&mut isolated.said.intake.table.said);
        match made {
            // as a collection that took too long, which the caller counts
            Err(error) if isolated.overran => isolated.stillborn = Some(error),
            made => made?,
        }
        Ok(isolated)
    }

    /// Asks for a collection.
    fn ask(&mut self, until: Instant) -> Result<(), Error> {
        let Some(channel) = &self.channel else { return Err(Error::fatal("its process has ended")) };
        match channel.send(&self.request, None, until) {
            Ok(()) | Err(Silence::Ended) => Ok(()), // why it ended is found where no answer comes
            Err(silence) => Err(self.lost(&silence)),
        }
    }

    /// Waits for the answer and takes it.
    fn hear(&mut self, until: Instant, batch: Option<&mut Batch>) -> Result<(), Error> {
        let Some(mut channel) = self.channel.take() else {
            return Err(Error::fatal("its process has ended"));
        };
        let heard = match channel.receive(self.process.ended(), until) {
            Ok(frame) => self.said.take(frame, batch),
            Err(silence) => return Err(self.lost(&silence)),
        };
        match heard {
            Ok(error) => {
                self.process.answered();
                self.channel = Some(channel);
                error.map_or(Ok(()), Err)
            }
            Err(lie) => Err(Error::fatal(self.process.kill_for(&lie))),
        }
    }

    fn lost(&mut self, silence: &Silence) -> Error {
        self.overran = matches!(silence, Silence::TooLate);
        self.channel = None;
        self.look();
        let deadline = self.shortened.unwrap_or(self.deadline);
        Error::fatal(self.process.end(silence, deadline))
    }

    fn look(&mut self) {
        if let Some(usage) = self.process.usage() {
            self.usage = Some((Instant::now(), usage));
        }
    }
}

impl Source for Isolated {
    fn collect(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if let Some(error) = self.stillborn.take() {
            return Err(error);
        }
        self.said.intake.begin();
        let now = Instant::now();
        let until = self.first.take().filter(|until| now < *until);
        let until = until.unwrap_or_else(|| now + allowed(self.deadline));
        let until = self.shortened.map_or(until, |most| until.min(now + allowed(most)));
        self.ask(until)?;
        self.hear(until, Some(batch))?;
        self.shortened = None;
        Ok(())
    }

    fn shorten_next(&mut self, deadline: Duration) {
        self.shortened = Some(deadline);
    }

    fn live_series(&self) -> usize {
        self.said.intake.table.live()
    }

    fn live_ids(&self) -> Vec<LocalSeries> {
        self.said.intake.table.live_ids().collect()
    }

    fn next_base(&self) -> LocalSeries {
        self.said.intake.table.next_base()
    }

    fn renumber(&mut self, base: LocalSeries, resets: &mut Resets<LocalSeries>) {
        self.said.intake.table.renumber(base, resets);
    }

    fn refused(&self) -> u64 {
        self.said.refused()
    }

    fn refused_series(&self) -> u64 {
        self.said.refused_series()
    }

    fn overran(&self) -> bool {
        self.overran
    }

    fn ended(&self) -> bool {
        self.channel.is_some() && self.process.has_ended()
    }

    fn usage(&mut self) -> Option<Usage> {
        if self.usage.is_none_or(|(read, _)| read.elapsed() >= USAGE) {
            self.look();
        }
        self.usage.map(|(_, usage)| usage)
    }
}

/// Of a deadline, what the process may take: the rest is for ending it, before the agent's own look.
fn allowed(deadline: Duration) -> Duration {
    let short = (deadline / 4).min(Duration::from_millis(20));
    deadline - (deadline / 10).clamp(short, Duration::from_millis(100))
}
