//! A new version that missed its deadline, tried again by itself: a machine that was busy for a moment must not keep it
//! out. What fails otherwise fails again, and is not.

use super::{
    Manager,
    upgrade::{Trial, refused},
};
use crate::{
    app::canary::Unfit,
    host::{Identity, discover},
    model::Event,
};
use std::time::Duration;
use tokio::sync::oneshot;
use twarga_plugin_api::duration::words;

/// The pauses before the second try and those after it: so many intervals of the plugin, and at most so long.
const PAUSES: [(u32, Duration); 3] =
    [(1, Duration::from_secs(10)), (5, Duration::from_secs(60)), (30, Duration::from_secs(600))];

/// One try of a file.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The key of the plugin's table.
    pub(super) name: String,
    /// The state of that table that it is made for.
    pub(super) revision: u64,
    /// Its own number: a later one takes its place.
    pub(super) number: u64,
    /// The first, the second …
    pub(super) ordinal: usize,
    /// The plugin's.
    pub(super) interval: Duration,
}

impl Attempt {
    /// How long after this one, where it was late, the next is made; nothing after the last.
    fn pause(&self) -> Option<Duration> {
        let (intervals, most) = PAUSES.get(self.ordinal.checked_sub(1)?)?;
        Some(self.interval.saturating_mul(*intervals).min(*most))
    }
}

/// Hears why a file is not used, and decides whether it is tried again.
pub(super) struct RetryDecision {
    attempt: Attempt,
    sender: oneshot::Sender<(Attempt, Duration)>,
}

/// Whether a file is to be tried again, as soon as that is known.
pub(super) struct RetryLater(oneshot::Receiver<(Attempt, Duration)>);

impl RetryDecision {
    pub(super) fn new(attempt: &Attempt) -> (Self, RetryLater) {
        let (sender, receiver) = oneshot::channel();
        (Self { attempt: attempt.clone(), sender }, RetryLater(receiver))
    }

    /// Tells it, and has it tried again where it was late. Never blocks.
    pub(super) fn refused(self, name: &str, unfit: Unfit) -> Event {
        let Unfit { mut reason, is_late } = unfit;
        let pause = self.attempt.pause().filter(|_| is_late);
        match pause {
            Some(pause) => {
                let told = words(pause);
                reason.push_str(&format!("; a busy machine may be why: it is tried again in {told}"));
                let _ = self.sender.send((self.attempt, pause)); // the agent may be stopping
            }
            None if is_late => {
                let times = self.attempt.ordinal;
                reason.push_str(&format!("; it was tried {times} times, and is not again until it changes"));
            }
            None => {}
        }
        refused(name, &reason, pause)
    }
}

impl RetryLater {
    /// Waits until it is time for the next try; nothing where there is none.
    pub(super) async fn comes(self) -> Option<Attempt> {
        let (attempt, pause) = self.0.await.ok()?;
        tokio::time::sleep(pause).await;
        Some(attempt)
    }
}

impl Manager {
    /// The same file once more, unless the plugin, its table or the file has changed meanwhile.
    pub(super) fn try_again(&mut self, last: &Attempt) -> Option<Trial> {
        let Attempt { name, revision, number, ordinal, .. } = last;
        let running = self.running.get(name)?;
        if (running.revision, running.trial) != (*revision, *number) {
            return None;
        }
        let table = self.config.plugins.get(name).filter(|table| table.enabled)?;
        let catalogue = discover(&self.config.agent.plugin_dirs);
        let found = catalogue.find(&table.plugin).ok()?;
        // another file is for whoever looks for files
        let identity = Identity::of(&found.file).ok().filter(|found| self.tried.get(name) == Some(found));
        identity.and_then(|_| self.trial(name, found.file, &catalogue, ordinal + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(ordinal: usize, interval: Duration) -> Attempt {
        Attempt { name: "x".into(), revision: 1, number: 1, ordinal, interval }
    }

    fn pauses(interval: Duration) -> Vec<Option<Duration>> {
        (1..=5).map(|ordinal| attempt(ordinal, interval).pause()).collect()
    }

    #[test]
    fn pauses_grow_with_the_interval_and_end() {
        let seconds = |all: [f64; 3]| -> Vec<Option<Duration>> {
            let all = all.into_iter().map(|seconds| Some(Duration::from_secs_f64(seconds)));
            all.chain([None, None]).collect()
        };
        assert_eq!(pauses(Duration::from_millis(200)), seconds([0.2, 1.0, 6.0]));
        assert_eq!(pauses(Duration::from_secs(5)), seconds([5.0, 25.0, 150.0]));
        assert_eq!(pauses(Duration::from_secs(3600)), seconds([10.0, 60.0, 600.0]));
        assert_eq!(pauses(Duration::MAX), seconds([10.0, 60.0, 600.0]));
    }

    #[test]
    fn only_what_was_late_is_tried_again() {
        let next = |ordinal, is_late| {
            let (decision, mut later) = RetryDecision::new(&attempt(ordinal, Duration::from_secs(1)));
            let event = decision.refused("x", Unfit { reason: "why".into(), is_late });
            let sent = later.0.try_recv().ok().map(|(_, pause)| pause.as_secs_f64());
            assert_eq!(event.details["retry_seconds"].as_f64(), sent, "{event:?}");
            (sent, event.details["reason"].as_str().unwrap().to_string())
        };
        assert_eq!(next(1, false), (None, "why".into()));
        let told = "why; a busy machine may be why: it is tried again in 5s".to_string();
        assert_eq!(next(2, true), (Some(5.0), told));
        let told = "why; it was tried 4 times, and is not again until it changes".to_string();
        assert_eq!(next(4, true), (None, told));
    }
}
