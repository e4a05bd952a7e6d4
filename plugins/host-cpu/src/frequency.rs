//! The frequency of each CPU: from cpufreq in `/sys`, else from `/proc/cpuinfo`.

use crate::{
    metrics::FREQUENCY,
    parse::{cpuinfo, lone_number},
    reading::{self, NO_FREQUENCY},
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use twarga_plugin_api::{Host, Level, Result, Series, Sink, pseudo_file::PseudoFile};

/// Descriptors that are kept at most: an agent may have 1024 altogether. Further CPUs are opened for each reading.
const KEPT_FILES: usize = 128;

/// Some kernels measure for milliseconds when they are asked for a frequency, and `/proc/cpuinfo` is long on large
/// hosts: a reading is repeated only after a pause, and its values are put again meanwhile. A frequency changes many
/// times between any two readings, so that a reading of some seconds ago says no less than the present one; all the
/// same it is never older than a few seconds where reading takes less than some milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    due: Option<Instant>,
}

impl Pace {
    /// The pause in times of what the reading took, as long as that is short …
    const SHARE: u32 = 100_000;
    /// … that is, no longer than this: just below the usual interval, so that there nothing is put twice.
    const SHORT: Duration = Duration::from_secs(4);
    /// The same for readings that take long …
    const SLOW_SHARE: u32 = 1000;
    /// … and the end of it.
    const LONGEST: Duration = Duration::from_secs(60);

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| now >= due)
    }

    pub(crate) fn took(&mut self, began: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(began);
        let short = took.saturating_mul(Self::SHARE).min(Self::SHORT);
        let long = took.saturating_mul(Self::SLOW_SHARE).min(Self::LONGEST);
        self.due = ended.checked_add(short.max(long));
    }
}

enum Source {
    /// Not looked for yet, or not there.
    None,
    Cpufreq,
    Cpuinfo(PseudoFile),
}

struct Core {
    cpu: u32,
    file: Option<File>,
    hertz: Option<f64>,
    /// Without series where single CPUs have none.
    series: Option<Series>,
}

/// The frequencies as they were last read.
pub(crate) struct Frequency {
    root: PathBuf,
    per_core: bool,
    source: Source,
    cores: Vec<Core>,
    all: Option<Series>,
    pace: Pace,
    said: bool,
}

impl Frequency {
    pub(crate) fn new(root: &Path, per_core: bool) -> Self {
        Self {
            root: root.into(),
            per_core,
            source: Source::None,
            cores: vec![],
            all: None,
            pace: Pace::default(),
            said: false,
        }
    }

    /// After the set of online CPUs changed.
    ///
    /// # Errors
    /// Where the host refuses a series.
    pub(crate) fn adopt(&mut self, online: impl Iterator<Item = u32>, host: &mut Host<'_>) -> Result<()> {
        let mut old = std::mem::take(&mut self.cores);
        for cpu in online {
            let core = match old.iter().position(|core| core.cpu == cpu) {
                Some(index) => old.swap_remove(index),
                None => Core { cpu, file: None, hertz: None, series: None },
            };
            self.cores.push(core);
        }
        old.into_iter().filter_map(|core| core.series).for_each(|series| host.retire(series));
        self.source = self.find();
        self.pace = Pace::default();
        if matches!(self.source, Source::None) {
            self.forget(host);
            return Ok(());
        }
        if !self.per_core {
            self.all = Some(host.series(&FREQUENCY, &["all"])?);
            return Ok(());
        }
        for core in self.cores.iter_mut().filter(|core| core.series.is_none()) {
            core.series = Some(host.series(&FREQUENCY, &[&core.cpu.to_string()])?);
        }
        Ok(())
    }

    /// Puts the frequencies, read anew where that is due.
    ///
    /// # Errors
    /// Where `/proc/cpuinfo` can't be read.
    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let began = Instant::now();
        let mut outcome = Ok(());
        if !matches!(self.source, Source::None) && self.pace.is_due(began) {
            outcome = self.read();
            self.pace.took(began, Instant::now());
        }
        for core in &self.cores {
            put(core.series, core.hertz, sink);
        }
        let known = self.cores.iter().filter_map(|core| core.hertz);
        let (sum, count) = known.fold((0.0, 0_u32), |(sum, count), hertz| (sum + hertz, count + 1));
        put(self.all, (count > 0).then(|| sum / f64::from(count)), sink);
        outcome
    }

    fn find(&mut self) -> Source {
        let has_cpufreq = self.cores.iter().any(|core| cpufreq(&self.root, core.cpu).exists());
        if has_cpufreq {
            return Source::Cpufreq;
        }
        let Ok(mut file) = PseudoFile::open(&self.root, "proc/cpuinfo") else { return Source::None };
        let mut some = false;
        if let Ok(content) = file.read() {
            cpuinfo::frequencies(content, |_, _| some = true);
        }
        if some { Source::Cpuinfo(file) } else { Source::None }
    }

    fn read(&mut self) -> Result<()> {
        match &mut self.source {
            Source::None => {}
            Source::Cpufreq => {
                for (index, core) in self.cores.iter_mut().enumerate() {
                    core.read_cpufreq(&self.root, index < KEPT_FILES);
                }
            }
            Source::Cpuinfo(file) => {
                self.cores.iter_mut().for_each(|core| core.hertz = None);
                let cores = &mut self.cores;
                cpuinfo::frequencies(file.read()?, |cpu, hertz| {
                    if let Ok(index) = cores.binary_search_by_key(&cpu, |core| core.cpu) {
                        cores[index].hertz = Some(hertz);
                    }
                });
            }
        }
        Ok(())
    }

    fn forget(&mut self, host: &mut Host<'_>) {
        let series = self.cores.iter_mut().filter_map(|core| core.series.take()).chain(self.all.take());
        series.for_each(|series| host.retire(series));
        if !std::mem::replace(&mut self.said, true) {
            host.log(Level::Info, "no frequencies: neither cpufreq in /sys nor /proc/cpuinfo has them");
        }
    }
}

impl Core {
    fn read_cpufreq(&mut self, root: &Path, keep: bool) {
        let file = self.file.take().or_else(|| File::open(cpufreq(root, self.cpu)).ok());
        self.hertz = file.as_ref().and_then(|file| {
            let mut content = [0; 32];
            let length = file.read_at(&mut content, 0).ok()?;
            // kHz; "<unknown>" where the driver can't tell
            lone_number(&content[..length]).filter(|khz| *khz > 0).map(|khz| khz as f64 * 1000.0)
        });
        // a file that fails is opened again: its driver may have been exchanged
        self.file = file.filter(|_| keep && self.hertz.is_some());
    }
}

fn cpufreq(root: &Path, cpu: u32) -> PathBuf {
    root.join(format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq"))
}

fn put(series: Option<Series>, hertz: Option<f64>, sink: &mut Sink<'_>) {
    if let Some(series) = series {
        reading::put(sink, series, hertz.ok_or(NO_FREQUENCY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cheap_reading_is_repeated_within_seconds() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut pace = Pace::default();
        pace.took(start, at(10)); // a second later
        assert!(!pace.is_due(at(1_000_009)) && pace.is_due(at(1_000_010)));
        pace.took(start, at(2_000)); // not three minutes later, but four seconds
        assert!(!pace.is_due(at(4_001_999)) && pace.is_due(at(4_002_000)));
    }

    #[test]
    fn a_slow_reading_is_repeated_later() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::default();
        assert!(pace.is_due(start));
        pace.took(start, at(5));
        assert!(!pace.is_due(at(5004)));
        assert!(pace.is_due(at(5005)));
        pace.took(at(5005), at(8005)); // three seconds: not an hour's pause, but a minute's
        assert!(!pace.is_due(at(68_004)));
        assert!(pace.is_due(at(68_005)));
    }
}
