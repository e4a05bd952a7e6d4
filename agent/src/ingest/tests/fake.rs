//! A store in memory that outlives the writer, and clocks that are set by hand.

use crate::{
    ingest::{
        clock::Clock,
        storage::{Fault, Storage},
    },
    inventory::Registry,
    model::{SeriesDef, SeriesId, Timestamp},
    store::{Commit, Deleted, Options, Point},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

#[derive(Debug, thiserror::Error)]
#[error("told to fail: {0:?}")]
pub(super) struct Told(pub(super) Fault);

/// What lies on the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) series: HashMap<String, u32>,
    pub(super) commits: Vec<Commit>,
    pub(super) meta: HashMap<String, String>,
    pub(super) vms: Vec<String>,
    /// Calls of `expire`.
    pub(super) expired: Vec<(Timestamp, bool)>,
    pub(super) closed: bool,
    /// What it was told to keep.
    pub(super) options: Option<Options>,
    /// What the full disk has cost.
    pub(super) full: Option<u64>,
    pub(super) forgotten: Vec<SeriesId>,
    /// Commits fail so.
    pub(super) fault: Option<Fault>,
    /// No numbers for series and machines either.
    pub(super) no_numbers: bool,
    /// None for machines alone.
    pub(super) no_machines: bool,
    pub(super) attempts: usize,
    /// Commits with this value, or this event, are refused for ever.
    pub(super) poison: Option<(f64, &'static str)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FakeStore(Arc<Mutex<Disk>>);

impl FakeStore {
    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    pub(super) fn commits(&self) -> Vec<Commit> {
        self.disk().commits.clone()
    }

    pub(super) fn fail(&self, fault: Option<Fault>) {
        self.disk().fault = fault;
    }

    pub(super) fn id(&self, series: &str) -> SeriesId {
        SeriesId(self.disk().series[series])
    }

    /// The points of a series in the order of the writing, with the runs that the store would give them.
    pub(super) fn points(&self, series: &str) -> Vec<Point> {
        let id = self.id(series);
        let mut points = Vec::new();
        let mut run = 0;
        for commit in &self.disk().commits {
            run += u32::from(commit.new_run);
            for batch in &commit.batches {
                let of_series = batch.samples.iter().filter(|sample| sample.series == id);
                points.extend(of_series.map(|sample| Point {
                    time: batch.time,
                    value: sample.value,
                    reset: sample.reset,
                    run,
                }));
            }
        }
        points
    }
}

impl Registry for FakeStore {
    type Error = Told;

    fn vm_id(&mut self, vm: &str) -> Result<i64, Told> {
        let mut disk = self.disk();
        if disk.no_numbers || disk.no_machines {
            return Err(Told(Fault::Busy));
        }
        let known = disk.vms.iter().position(|known| known == vm).unwrap_or_else(|| {
            disk.vms.push(vm.into());
            disk.vms.len() - 1
        });
        Ok(known as i64 + 1)
    }

    fn rename_vm(&mut self, vm_id: i64, vm: &str) -> Result<(), Told> {
        let mut disk = self.disk();
        if disk.no_numbers || disk.no_machines {
            return Err(Told(Fault::Busy));
        }
        disk.vms[vm_id as usize - 1] = vm.into();
        Ok(())
    }

    fn vms(&self) -> Result<Vec<(i64, String)>, Told> {
        Ok(self.disk().vms.iter().enumerate().map(|(at, vm)| (at as i64 + 1, vm.clone())).collect())
    }

    fn meta(&self, key: &str) -> Result<Option<String>, Told> {
        Ok(self.disk().meta.get(key).cloned())
    }
}

impl Storage for FakeStore {
    fn last_commit(&self) -> Option<Timestamp> {
        self.disk().commits.iter().flat_map(|commit| &commit.batches).map(|batch| batch.time).max()
    }

    fn series(&mut self, def: &SeriesDef, _collector: &str) -> Result<SeriesId, Told> {
        let mut disk = self.disk();
        if disk.no_numbers {
            return Err(Told(Fault::Busy));
        }
        let next = disk.series.len() as u32 + 100;
        Ok(SeriesId(*disk.series.entry(def.to_string()).or_insert(next)))
    }

    fn commit(&mut self, commit: &Commit) -> Result<usize, Told> {
        let mut disk = self.disk();
        disk.attempts += 1;
        if let Some(fault) = disk.fault {
            return Err(Told(fault));
        }
        if let Some((value, kind)) = disk.poison {
            let mut samples = commit.batches.iter().flat_map(|batch| &batch.samples);
            if samples.any(|sample| sample.value == value)
                || commit.events.iter().any(|event| event.kind == kind)
            {
                return Err(Told(Fault::Refused));
            }
        }
        for batch in &commit.batches {
            let mut ids: Vec<SeriesId> = batch.samples.iter().map(|sample| sample.series).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), batch.samples.len(), "a series stands twice in a batch");
            assert!(batch.samples.iter().all(|sample| sample.value.is_finite()));
        }
        disk.meta.extend(commit.meta.iter().cloned());
        disk.commits.push(commit.clone());
        Ok(commit.batches.iter().map(|batch| batch.samples.len() * 10).sum())
    }

    fn delete_before(&mut self, before: Timestamp) -> Result<Deleted, Told> {
        let mut deleted = Deleted::default();
        for commit in &mut self.disk().commits {
            commit.batches.retain(|batch| {
                if batch.time < before {
                    deleted.samples += batch.samples.len() as u64;
                }
                batch.time >= before
            });
        }
        Ok(deleted)
    }

    fn disk_full(&self) -> Option<u64> {
        self.disk().full
    }

    fn forget(&mut self, series: SeriesId) {
        self.disk().forgotten.push(series);
    }

    fn expire(&mut self, now: Timestamp, trusted: bool) -> Result<Deleted, Told> {
        self.disk().expired.push((now, trusted));
        Ok(Deleted { samples: 1 })
    }

    fn set_options(&mut self, options: &Options) {
        self.disk().options = Some(options.clone());
    }

    fn close(self) -> Result<(), Told> {
        self.disk().closed = true;
        Ok(())
    }

    fn fault(error: &Told) -> Fault {
        error.0
    }
}

/// Clocks that stand still until they are told to move.
#[derive(Clone, Debug)]
pub(super) struct FakeClock(Arc<Mutex<(Timestamp, Duration)>>);

impl FakeClock {
    pub(super) fn new(wall: i64) -> Self {
        Self(Arc::new(Mutex::new((Timestamp::from_millis(wall), Duration::from_secs(1000)))))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    /// Both clocks go on.
    pub(super) fn pass(&self, time: Duration) {
        let mut clocks = self.0.lock().unwrap();
        clocks.0 = clocks.0.plus(time);
        clocks.1 += time;
    }

    /// The wall clock alone is set.
    pub(super) fn step_to(&self, wall: i64) {
        self.0.lock().unwrap().0 = Timestamp::from_millis(wall);
    }
}

impl Clock for FakeClock {
    fn wall(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().1
    }
}
