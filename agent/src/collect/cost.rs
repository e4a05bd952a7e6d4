//! What a collection cost, and what follows where a collector costs more than it may: rarer samples, which is no gap.

use super::{
    budget::{LONGEST, Verdict},
    job::{Job, Outcome},
    source::Usage,
};
use crate::model::{OwnThreads, PluginState, Severity};
use std::time::Duration;
use twarga_plugin_api::duration;

/// Measures processor time.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// What the collector's own process had used when it was last asked.
    process: Duration,
    /// What the collector's own threads had, with all that was the same plugin's before; nothing where it had none in this
    /// process.
    threads: Option<OwnThreads>,
}

impl Meter {
    /// From these figures on: what the same plugin's threads have used before is not this collector's cost.
    pub(super) fn from(threads: Option<OwnThreads>) -> Self {
        Self { process: Duration::ZERO, threads }
    }

    /// The collector was made anew: so was its process, if it has one.
    pub(super) fn restarted(&mut self) {
        self.process = Duration::ZERO;
    }

    /// What a collection cost: of the agent's thread, and of the collector's own process and threads since the collection
    /// before.
    pub(super) fn cost(
        &mut self,
        thread: Duration,
        process: Option<Usage>,
        threads: Option<OwnThreads>,
    ) -> Spent {
        let mut spent = Spent { call: thread, threads: Duration::ZERO };
        if let Some(Usage { cpu, .. }) = process {
            let before = std::mem::replace(&mut self.process, cpu);
            // a smaller figure is that of another process
            spent.call += cpu.checked_sub(before).unwrap_or(cpu);
        }
        let before = std::mem::replace(&mut self.threads, threads);
        if let (Some(before), Some(now)) = (before, threads) {
            // what was told of this call while it lasted is not told again
            spent.call = spent.call.saturating_sub(now.returned.saturating_sub(before.returned));
            spent.threads = now.cpu.saturating_sub(before.cpu);
        }
        spent
    }
}

/// What a collection cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    /// Of the call, and of the collector's own process, as far as nobody told it before.
    pub(super) call: Duration,
    /// Of the collector's own threads.
    pub(super) threads: Duration,
}

impl Job {
    /// Judges what a scheduled collection cost, and stretches the interval, or shortens it again.
    pub(super) fn keep_to_budget(&mut self, cost: Duration, outcome: &mut Outcome) {
        let Some(budget) = &mut self.budget else { return };
        let most = budget.most;
        let Some(verdict) = budget.spend(cost) else { return };
        let Verdict { share, stretch, before } = verdict;
        if stretch == before && stretch == 1 {
            return;
        }
        let (own_cadence, own_interval) = self.configured;
        self.cadence = own_cadence.stretched(stretch);
        self.interval = own_interval * stretch;
        self.coverage.set_cadence(self.cadence);
        let every = duration::words(self.interval);
        // what its threads use need not become more with more collections
        let now = if before > 1 {
            format!("{} of a processor, up to {}", percent(share / f64::from(before)), percent(share))
        } else {
            format!("{} of a processor", percent(share))
        };
        let uses = format!(
            "uses {now} at its interval of {}, max_cpu is {}",
            duration::words(own_interval),
            percent(most)
        );
        let still = stretch == LONGEST && share > most * f64::from(LONGEST);
        let still =
            if still { ", the longest that is chosen for this, and still costs too much" } else { "" };
        self.over = (stretch > 1).then(|| format!("{uses}: collects every {every}{still}"));
        {
            let mut status = self.status();
            status.interval = self.interval;
            if status.state == PluginState::Running {
                status.reason.clone_from(&self.over);
            }
        }
        let (kind, severity, what) = match (before, stretch) {
            _ if before == stretch => return,
            (1, _) => ("plugin_over_budget", Severity::Warning, self.over.clone().unwrap_or_default()),
            (_, 1) => {
                ("plugin_within_budget", Severity::Info, format!("{uses}: collects every {every} again"))
            }
            _ => return tracing::info!("{uses}: collects every {every}"),
        };
        match severity {
            Severity::Info => tracing::info!("{what}"),
            _ => tracing::warn!("{what}"),
        }
        let mut event = self.event(kind, severity, &what);
        event.details["cpu_ratio"] = share.into();
        event.details["max_cpu_ratio"] = most.into();
        event.details["interval_seconds"] = self.interval.as_secs_f64().into();
        outcome.events.push(event);
    }
}

/// `1.25%`, without the noise of a product.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e4).round() / 1e2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(cpu: u64) -> Option<Usage> {
        Some(Usage { cpu: Duration::from_millis(cpu), resident: 0 })
    }

    #[test]
    fn a_process_of_its_own_counts_beside_the_thread() {
        let mut meter = Meter::default();
        let thread = Duration::from_millis(1);
        assert_eq!(meter.cost(thread, None, None), Spent { call: thread, threads: Duration::ZERO });
        let costs = [used(10), used(25), used(25), used(3)]
            .map(|used| meter.cost(thread, used, None).call.as_millis());
        assert_eq!(costs, [11, 16, 1, 4], "the last one is a new process");
        meter.restarted();
        assert_eq!(meter.cost(thread, used(20), None).call.as_millis(), 21);
    }

    fn own(cpu: u64, returned: u64) -> Option<OwnThreads> {
        let [cpu, returned] = [cpu, returned].map(Duration::from_millis);
        Some(OwnThreads { count: 1, cpu, returned })
    }

    /// Milliseconds of the call, and of the threads.
    fn cost(meter: &mut Meter, thread: u64, cpu: u64, returned: u64) -> (u128, u128) {
        let Spent { call, threads } = meter.cost(Duration::from_millis(thread), None, own(cpu, returned));
        (call.as_millis(), threads.as_millis())
    }

    #[test]
    fn what_threads_used_before_the_collector_is_none_of_its_cost() {
        let hours = 4 * 3_600_000;
        let mut meter = Meter::from(own(hours, hours));
        assert_eq!(cost(&mut meter, 3, hours + 2, hours), (3, 2));
        // first in a process of its own, then in this one
        let mut meter = Meter::from(None);
        assert_eq!(cost(&mut meter, 3, hours, hours), (3, 0));
        assert_eq!(cost(&mut meter, 3, hours + 2, hours), (3, 2));
        assert_eq!(meter.cost(Duration::ZERO, used(5), None).call.as_millis(), 5);
        assert_eq!(cost(&mut meter, 3, hours * 2, hours), (3, 0));
    }

    #[test]
    fn threads_count_once_and_so_does_a_call_that_came_back_late() {
        let mut meter = Meter::from(own(0, 0));
        assert_eq!(cost(&mut meter, 1, 10, 0), (1, 10));
        assert_eq!(cost(&mut meter, 1, 10, 0), (1, 0));
        assert_eq!(cost(&mut meter, 1, 15, 0), (1, 5));
        // a call of 100 ms, of which 80 were told while it lasted
        assert_eq!(cost(&mut meter, 100, 96, 80), (20, 81));
        meter.restarted();
        assert_eq!(cost(&mut meter, 1, 97, 80), (1, 1), "threads outlive what started them");
    }

    #[test]
    fn shares_as_people_write_them() {
        assert_eq!([0.01, 0.07, 0.123_456, 2.5].map(percent), ["1%", "7%", "12.35%", "250%"]);
    }
}
