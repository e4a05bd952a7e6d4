//! A collector in a process of its own, as the agent sees it.

use super::{
    super::{
        InstanceOptions,
        intake::{Intake, error_of, log_lines},
    },
    channel::{Channel, Silence},
    frames::{Call, Calls, Frame, FrameError, decode, write_collect},
    keeper::Keeper,
    prepared::{Confinement, Prepared},
    process::Process,
};
use crate::{
    collect::{Source, Usage},
    model::{Batch, LocalSeries},
};
use abi_stable::std_types::RStr;
use std::{
    sync::{Arc, Once},
    time::{Duration, Instant},
};
use twarga_plugin_api::{
    Error,
    abi::{RawError, services::HostServices},
};

/// What reading it costs is worth it so often.
const USAGE: Duration = Duration::from_secs(1);

/// A collector in a process of its own. Every error of it that is not the plugin's own answer means that the process is
/// gone.
pub struct Isolated {
    // dropped before the process: the closed connection asks it to end
    channel: Option<Channel>,
    process: Process,
    intake: Intake,
    deadline: Duration,
    /// Until then the first collection must be done too: it follows the start within one call.
    first: Option<Instant>,
    request: Vec<u8>,
    /// What the child refused by itself.
    refused_samples: u64,
    refused_series: u64,
    /// Series that the child has and the agent refused.
    disputed: usize,
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
        let (process, channel) =
            Process::start(name, prepared, confinement, (&options.config, options.max_series), keeper, until)
                .map_err(|error| Error::transient(format_args!("its process can't be started: {error}")))?;
        let mut request = Vec::new();
        write_collect(&mut request).map_err(Error::fatal)?;
        let mut isolated = Self {
            channel: Some(channel),
            process,
            intake: Intake::new(&prepared.metadata, options, base),
            deadline: confinement.deadline,
            first: Some(until),
            request,
            refused_samples: 0,
            refused_series: 0,
            disputed: 0,
            usage: None,
            overran: false,
            stillborn: None,
        };
        let made = isolated.hear(until, None);
        log_lines(&mut isolated.intake.table.said);
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
            Ok(frame) => self.take(frame, batch),
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
        Error::fatal(self.process.end(silence, self.deadline))
    }

    /// Takes an answer; the plugin's error, or what is wrong with the answer.
    fn take(&mut self, frame: &[u8], batch: Option<&mut Batch>) -> Result<Option<Error>, String> {
        let understood = |error: FrameError| format!("what it sent can't be understood: {error}");
        let Frame::Answer(answer) = decode(frame).map_err(understood)? else {
            return Err("what it sent is no answer".into());
        };
        confined_once(answer.confined);
        self.replay(answer.calls)?;
        self.intake.table.said.unlogged += answer.unlogged as usize;
        self.refused_samples = self.refused_samples.max(answer.refused_samples);
        self.refused_series = self.refused_series.max(answer.refused_series);
        if let Some(batch) = batch {
            self.intake.take_samples(answer.samples.iter(), batch);
            self.intake.take_said(batch);
        }
        Ok(answer.error.map(|(kind, message, location)| {
            error_of(RawError { kind, message: message.into(), location: location.into() })
        }))
    }

    /// Says to the agent's table what the plugin said to the child's. Both count alike, so that an id means the same
    /// series in both; what the agent refuses is left out of its count.
    fn replay(&mut self, calls: Calls<'_>) -> Result<(), String> {
        let table = &mut *self.intake.table;
        for call in calls {
            match call.map_err(|error| format!("what it sent can't be understood: {error}"))? {
                Call::Metric { id, metric } => {
                    expect("family", id, table.next_family())?;
                    match table.metric(&metric) {
                        Ok(known) => expect("family", known, id)?,
                        Err(refused) => {
                            table.log(1, &refused);
                            table.skip_family().ok_or("it declares too many metrics")?;
                        }
                    }
                }
                Call::Series { id, metric, labels } => {
                    expect("series", id, table.next_id())?;
                    let labels: Vec<RStr<'_>> = labels.map(RStr::from_str).collect();
                    match table.series(metric, &labels) {
                        Ok(known) => expect("series", known, id)?,
                        Err(refused) => {
                            table.log(1, &refused);
                            table.skip_id();
                            self.disputed += 1;
                        }
                    }
                    if self.disputed > table.max_series() {
                        return Err("it registers series that are refused, again and again".into());
                    }
                }
                Call::Retire(series) => table.retire(series),
                Call::Unavailable { series, reason } => table.unavailable(series, reason),
                Call::Log { level, message } => table.log(level, message),
                Call::BatchTime(time) => table.batch_time(time),
            }
        }
        Ok(())
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
        self.intake.begin();
        let now = Instant::now();
        let until = self.first.take().filter(|until| now < *until);
        let until = until.unwrap_or_else(|| now + allowed(self.deadline));
        self.ask(until)?;
        self.hear(until, Some(batch))
    }

    fn live_series(&self) -> usize {
        self.intake.table.live()
    }

    fn live_ids(&self) -> Vec<LocalSeries> {
        self.intake.table.live_ids().collect()
    }

    fn next_base(&self) -> LocalSeries {
        self.intake.table.next_base()
    }

    fn refused(&self) -> u64 {
        self.intake.refused().total() + self.refused_samples
    }

    fn refused_series(&self) -> u64 {
        self.intake.table.refused + self.refused_series
    }

    fn overran(&self) -> bool {
        self.overran
    }

    fn usage(&mut self) -> Option<Usage> {
        if self.usage.is_none_or(|(read, _)| read.elapsed() >= USAGE) {
            self.look();
        }
        self.usage.map(|(_, usage)| usage)
    }
}

/// Ids are given in turn by child and agent alike.
fn expect(what: &str, said: u32, expected: u32) -> Result<(), String> {
    match said == expected {
        true => Ok(()),
        false => Err(format!("it says {what} {said} where {expected} comes next")),
    }
}

/// Of a deadline, what the process may take: the rest is for ending it, before the agent's own look.
fn allowed(deadline: Duration) -> Duration {
    deadline - (deadline / 10).min(Duration::from_millis(100))
}

/// Says once that the kernel can't keep plugins from writing.
fn confined_once(confined: bool) {
    static TOLD: Once = Once::new();
    if !confined {
        TOLD.call_once(|| {
            tracing::info!("this kernel has no Landlock: isolated plugins can write wherever their user may");
        });
    }
}
