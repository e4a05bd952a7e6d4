//! Commits as the agent makes them, from the recording.

use crate::{Plan, recording::Recording};
use anyhow::Result;
use std::sync::Arc;
use twarga_agent::{
    model::{Kind, Labels, Metric, SeriesDef, SeriesId, Timestamp},
    store::{Commit, Store, StoredBatch, StoredSample},
};

/// 2026-01-01, the beginning of a part of every store that is compared; all samples must be of the past, because
/// victoria-metrics takes none of the future.
pub(crate) const START: i64 = 1_767_225_600_000;
/// All on one tick, as punctual collectors are.
const COLLECTORS: usize = 4;

/// The commits of a plan, one after the other in the same memory.
pub(crate) struct Feed<'a> {
    recording: &'a Recording,
    replicas: usize,
    interval: usize,
    commit: Commit,
}

impl<'a> Feed<'a> {
    /// With series numbers yet to come.
    pub(crate) fn new(plan: &Plan, recording: &'a Recording) -> Result<Self> {
        let sample = StoredSample { series: SeriesId(0), reset: false, value: 0.0 };
        let size = plan.series.div_ceil(COLLECTORS);
        let batches = (0..plan.series).step_by(size).map(|first| {
            let count = size.min(plan.series - first);
            StoredBatch { time: Timestamp::from_millis(START), samples: vec![sample; count] }
        });
        let commit = Commit { batches: batches.collect(), ..Commit::default() };
        Ok(Self { recording, replicas: plan.replicas()?, interval: plan.interval as usize, commit })
    }

    /// Makes the series known to the store. Returns their numbers.
    pub(crate) fn register(&mut self, store: &mut Store) -> Result<Vec<SeriesId>> {
        let metrics: Vec<Arc<Metric>> = self.recording.series().iter().map(metric).collect();
        let mut ids = Vec::new();
        let samples = self.commit.batches.iter_mut().enumerate();
        let mut samples = samples.flat_map(|(at, batch)| batch.samples.iter_mut().map(move |s| (at, s)));
        for replica in 0..self.replicas {
            for (metric, (collector, sample)) in metrics.iter().zip(&mut samples) {
                let labels = Labels::new([("replica", replica.to_string())]);
                let def = SeriesDef { metric: metric.clone(), labels };
                sample.series = store.series(&def, &format!("collector-{collector}"))?;
                ids.push(sample.series);
            }
        }
        Ok(ids)
    }

    /// The commit of a tick.
    pub(crate) fn tick(&mut self, tick: usize) -> &Commit {
        let second = tick * self.interval;
        let time = Timestamp::from_millis(START + second as i64 * 1000);
        let mut samples = self.commit.batches.iter_mut().flat_map(|batch| {
            batch.time = time;
            &mut batch.samples
        });
        for replica in 0..self.replicas {
            for (value, sample) in self.recording.values(second, replica).zip(&mut samples) {
                sample.value = value;
            }
        }
        &self.commit
    }
}

fn metric(series: &crate::recording::Recorded) -> Arc<Metric> {
    Arc::new(Metric {
        name: series.name.clone().into(),
        kind: if series.counter { Kind::Counter } else { Kind::Gauge },
        unit: "1".into(),
        help: "One of a recording.".into(),
        label_keys: vec!["replica".into()],
        plugin: "bench".into(),
    })
}
