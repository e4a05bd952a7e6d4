//! The Linux source: `/proc` and `/sys` with kept descriptors.

use crate::{
    Config,
    cgroup::Cgroup,
    meminfo::Meminfo,
    metrics::{STALLED, VMSTAT, WAITING},
    parse::{
        self,
        meminfo::{Memory, Role},
        vmstat,
    },
    reading::{self, MISSING, NO_AVAILABLE, UNREADABLE},
    usage::Usage,
};
use std::{io, path::PathBuf};
use twarga_plugin_api::{
    Error, Host, Level, Metric, Result, Series, Sink,
    pseudo_file::{PseudoFile, pressure_seconds},
};

/// A file whose numbers are counters. Those that it lacks at the start have no series.
struct Counters<const N: usize> {
    file: PseudoFile,
    parse: fn(&[u8]) -> [Option<f64>; N],
    series: [Option<Series>; N],
}

/// `vm.min_free_kbytes`, opened where the kernel has no MemAvailable.
enum MinFree {
    NotNeeded,
    Missing,
    File(PseudoFile),
}

pub(crate) struct Procfs {
    root: PathBuf,
    file: PseudoFile,
    meminfo: Meminfo,
    usage: Usage,
    min_free: MinFree,
    cgroup: Option<Cgroup>,
    vmstat: Option<Counters<{ vmstat::NAMES.len() }>>,
    pressure: Option<Counters<2>>,
}

impl Procfs {
    pub(crate) fn new(config: &Config, host: &mut Host<'_>) -> Result<Self> {
        let root = &config.root;
        let file = PseudoFile::open(root, "proc/meminfo").map_err(|error| refuse(config, &error))?;
        let counts = |content: &[u8]| vmstat::parse(content).map(|count| count.map(|count| count as f64));
        let seconds = |content: &[u8]| {
            let (some, full) = pressure_seconds(content);
            [some, full]
        };
        Ok(Self {
            root: root.clone(),
            file,
            meminfo: Meminfo::default(),
            usage: Usage::new(host)?,
            min_free: MinFree::NotNeeded,
            cgroup: config.cgroup.then(|| Cgroup::new(root)),
            vmstat: Counters::open(config, "proc/vmstat", counts, &VMSTAT, host)?,
            pressure: Counters::open(config, "proc/pressure/memory", seconds, &[WAITING, STALLED], host)?,
        })
    }

    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut outcome = self.memory(sink);
        // each is evaluated: a failure hides none of the others
        outcome = outcome.and(collect(self.vmstat.as_mut(), sink));
        outcome.and(collect(self.pressure.as_mut(), sink))
    }

    fn memory(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let content = match self.file.read() {
            Ok(content) => content,
            Err(error) => {
                self.meminfo.unavailable(sink);
                self.usage.put(Err(UNREADABLE), Err(UNREADABLE), sink);
                if let Some(cgroup) = &self.cgroup {
                    cgroup.unavailable(UNREADABLE, sink);
                }
                return Err(error.into());
            }
        };
        let mut memory = Memory::default();
        let outcome = self.meminfo.collect(content, &mut memory, sink);
        let available = memory.available.or_else(|| self.estimate(&memory, sink.host()));
        let bytes = |(total, left): (u64, u64)| (total.saturating_mul(1024), left.saturating_mul(1024));
        let of_memory = match (memory.total, available) {
            (Some(total), Some(available)) => Ok(bytes((total, available))),
            (None, _) => Err(MISSING),
            (_, None) => Err(NO_AVAILABLE),
        };
        let of_swap = memory.swap_total.zip(memory.swap_free).map(bytes).ok_or(MISSING);
        self.usage.put(of_memory, of_swap, sink);
        match (&mut self.cgroup, memory.total) {
            (Some(cgroup), Some(total)) => outcome.and(cgroup.collect(total.saturating_mul(1024), sink)),
            (Some(cgroup), None) => {
                cgroup.unavailable(MISSING, sink);
                outcome
            }
            (None, _) => outcome,
        }
    }

    /// Only where the kernel has no such line: one that is broken this time is absent, not another number.
    fn estimate(&mut self, memory: &Memory, host: &mut Host<'_>) -> Option<u64> {
        if self.meminfo.has(Role::Available) {
            return None;
        }
        if let MinFree::NotNeeded = self.min_free {
            let opened = PseudoFile::open(&self.root, "proc/sys/vm/min_free_kbytes");
            self.min_free = opened.map_or(MinFree::Missing, MinFree::File);
            host.log(Level::Info, "no MemAvailable in /proc/meminfo: estimated from free memory and caches");
        }
        let MinFree::File(file) = &mut self.min_free else { return None };
        let min_free = parse::lone_number(file.read().ok()?)?;
        memory.estimate_available(min_free)
    }
}

/// Without `/proc/meminfo` there is nothing to do: a wrong root is the operator's to mend, another system is not.
fn refuse(config: &Config, error: &io::Error) -> Error {
    if config.root == Config::default().root {
        Error::unsupported(format_args!("{error}; try source = \"sysinfo\""))
    } else {
        Error::config("root", error)
    }
}

impl<const N: usize> Counters<N> {
    /// Nothing, and a line in the log, where the file is missing: an old kernel, or one without this part.
    fn open(
        config: &Config,
        path: &str,
        parse: fn(&[u8]) -> [Option<f64>; N],
        metrics: &[Metric<'static>; N],
        host: &mut Host<'_>,
    ) -> Result<Option<Self>> {
        let mut series = [None; N];
        // a kernel where pressure is switched off opens the file, and fails to read it
        let opened = PseudoFile::open(&config.root, path).and_then(|mut file| {
            let values = parse(file.read()?);
            Ok((file, values))
        });
        let (file, values) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                host.log(Level::Info, &format!("no {} and the like: {error}", metrics[0].name()));
                return Ok(None);
            }
        };
        for ((series, metric), value) in series.iter_mut().zip(metrics).zip(values) {
            if value.is_some() {
                *series = Some(host.series(metric, &[])?);
            } else {
                host.log(Level::Info, &format!("no {}: not in {}", metric.name(), file.path().display()));
            }
        }
        Ok(Some(Self { file, parse, series }))
    }
}

fn collect<const N: usize>(counters: Option<&mut Counters<N>>, sink: &mut Sink<'_>) -> Result<()> {
    let Some(counters) = counters else { return Ok(()) };
    let (values, outcome) = match counters.file.read() {
        Ok(content) => ((counters.parse)(content).map(|value| value.ok_or(MISSING)), Ok(())),
        Err(error) => ([Err(UNREADABLE); N], Err(error.into())),
    };
    for (series, value) in counters.series.iter().zip(values) {
        if let Some(series) = *series {
            reading::put(sink, series, value);
        }
    }
    outcome
}
