//! The series of one interface's link: its numbers and its info.

use crate::{
    metrics::{CARRIER_CHANGES, INFO, LINK, LINK_NUMBERS},
    parse::link::{Fact, Facts},
};
use twarga_plugin_api::prelude::*;

const OPERSTATE: usize = 3;

/// Facts as last read, with the series that show them. They are put at every collection, however old.
#[derive(Debug, Default)]
pub(crate) struct Link {
    facts: Facts,
    numbers: [Option<Series>; LINK_NUMBERS],
    info: Option<Series>,
    /// The carrier changes started anew and this was not said yet.
    reset: bool,
}

impl Link {
    /// Takes freshly read facts, and registers what they need. Facts are swapped in, so that their buffers
    /// are used again.
    pub(crate) fn update(
        &mut self,
        host: &mut Host<'_>,
        device: &str,
        facts: &mut Facts,
        recreated: bool,
    ) -> Result<()> {
        let changes = |facts: &Facts| facts.numbers[CARRIER_CHANGES];
        if let (Fact::Is(last), Fact::Is(now)) = (changes(&self.facts), changes(facts)) {
            self.reset |= recreated || now < last;
        }
        std::mem::swap(&mut self.facts, facts);
        for ((series, metric), fact) in self.numbers.iter_mut().zip(&LINK).zip(self.facts.numbers) {
            if series.is_none() && fact != Fact::Missing {
                *series = Some(host.series(metric, &[device])?);
            }
        }
        let same_labels = self.facts.has_labels == facts.has_labels && self.facts.labels == facts.labels;
        if same_labels && self.info.is_some() {
            return Ok(());
        }
        if let Some(old) = self.info.take() {
            host.retire(old);
        }
        if self.facts.has_labels {
            let [address, broadcast, duplex, operstate, adminstate, ifalias] = &self.facts.labels;
            let labels = [device, address, broadcast, duplex, operstate, adminstate, ifalias];
            self.info = Some(host.series(&INFO, &labels)?);
        }
        Ok(())
    }

    /// The operational state as last read.
    pub(crate) fn operstate(&self) -> &str {
        &self.facts.labels[OPERSTATE]
    }

    pub(crate) fn put(&mut self, sink: &mut Sink<'_>) {
        for (index, (series, fact)) in self.numbers.iter().zip(self.facts.numbers).enumerate() {
            match (*series, fact) {
                (Some(series), Fact::Is(value)) if index == CARRIER_CHANGES && self.reset => {
                    self.reset = false;
                    sink.put_after_reset(series, value as f64);
                }
                (Some(series), Fact::Is(value)) => sink.put(series, value as f64),
                (Some(series), Fact::Without(reason)) => sink.unavailable(series, reason),
                (Some(series), Fact::Missing) => sink.unavailable(series, "no such file"),
                (None, _) => {}
            }
        }
        if let Some(info) = self.info {
            sink.put(info, 1.0);
        }
    }

    pub(crate) fn series(&self) -> impl Iterator<Item = Series> {
        self.numbers.iter().chain([&self.info]).flatten().copied()
    }
}
