//! The Linux source: `/proc` and `/sys` with kept descriptors.

use crate::{
    Config,
    cores::Cores,
    facts::Facts,
    frequency::Frequency,
    metrics::*,
    parse::{self, stat::Totals},
    reading::{self, MISSING, NO_TOPOLOGY, UNREADABLE},
    topology,
};
use std::{io, path::PathBuf};
use twarga_plugin_api::{
    Error, Host, Level, Metric, Result, Series, Sink,
    pseudo_file::{PseudoFile, pressure_seconds},
};

/// A small file whose first numbers are series.
struct Values<const N: usize> {
    file: PseudoFile,
    parse: fn(&[u8]) -> [Option<f64>; N],
    series: [Series; N],
}

/// The series of [`Totals`].
struct TotalsSeries([Series; 6]);

pub(crate) struct Procfs {
    root: PathBuf,
    stat: PseudoFile,
    cores: Cores,
    totals: TotalsSeries,
    logical: Series,
    physical: Series,
    physical_cores: Option<usize>,
    load: Option<Values<3>>,
    uptime: Option<Values<1>>,
    pressure: Option<Values<1>>,
    frequency: Frequency,
    facts: Facts,
}

impl Procfs {
    pub(crate) fn new(config: &Config, host: &mut Host<'_>) -> Result<Self> {
        let root = &config.root;
        let stat = PseudoFile::open(root, "proc/stat").map_err(|error| refuse(config, &error))?;
        let load = Values::open(config, "proc/loadavg", parse::loadavg, [LOAD1, LOAD5, LOAD15], host)?;
        let uptime = Values::open(config, "proc/uptime", |content| [parse::uptime(content)], [UPTIME], host)?;
        let waiting = |content: &[u8]| [pressure_seconds(content).0];
        let pressure = Values::open(config, "proc/pressure/cpu", waiting, [PRESSURE], host)?;
        Ok(Self {
            root: root.clone(),
            stat,
            cores: Cores::new(config.per_core, rustix::param::clock_ticks_per_second().max(1), host)?,
            totals: TotalsSeries::new(host)?,
            logical: host.series(&LOGICAL, &[])?,
            physical: host.series(&PHYSICAL, &[])?,
            physical_cores: None,
            load,
            uptime,
            pressure,
            frequency: Frequency::new(root, config.per_core),
            facts: Facts::new(root, config.per_core),
        })
    }

    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut changed = false;
        let mut outcome = self.stat(&mut changed, sink);
        if changed {
            self.physical_cores = topology::physical_cores(&self.root, self.cores.online());
            outcome = outcome.and(self.frequency.adopt(self.cores.online(), sink.host()));
        }
        self.put_counts(sink);
        // each is evaluated: a failure hides none of the others
        outcome = outcome.and(self.frequency.collect(sink));
        outcome = outcome.and(collect(self.load.as_mut(), sink));
        outcome = outcome.and(collect(self.uptime.as_mut(), sink));
        outcome = outcome.and(collect(self.pressure.as_mut(), sink));
        outcome.and(self.facts.collect(changed, sink))
    }

    fn stat(&mut self, changed: &mut bool, sink: &mut Sink<'_>) -> Result<()> {
        let content = match self.stat.read() {
            Ok(content) => content,
            Err(error) => {
                self.cores.unavailable(UNREADABLE, sink);
                self.totals.0.iter().for_each(|series| sink.unavailable(*series, UNREADABLE));
                return Err(error.into());
            }
        };
        self.cores.begin();
        let totals = parse::stat::parse(content, |cpu, times| self.cores.line(cpu, times, sink));
        self.totals.put(&totals, sink);
        self.cores.finish(changed, sink)
    }

    fn put_counts(&self, sink: &mut Sink<'_>) {
        let logical = self.cores.online().count();
        reading::put(sink, self.logical, (logical > 0).then_some(logical as f64).ok_or(MISSING));
        let physical = self.physical_cores.map(|cores| cores as f64).ok_or(NO_TOPOLOGY);
        reading::put(sink, self.physical, physical);
    }
}

/// Without `/proc/stat` there is nothing to do: a wrong root is the operator's to mend, another system is not.
fn refuse(config: &Config, error: &io::Error) -> Error {
    if config.root == Config::default().root {
        Error::unsupported(format_args!("{error}; try source = \"sysinfo\""))
    } else {
        Error::config("root", error)
    }
}

impl<const N: usize> Values<N> {
    /// Nothing, and a line in the log, where the file is missing: an old kernel, or one without this part.
    fn open(
        config: &Config,
        path: &str,
        parse: fn(&[u8]) -> [Option<f64>; N],
        metrics: [Metric<'static>; N],
        host: &mut Host<'_>,
    ) -> Result<Option<Self>> {
        // a kernel where pressure is switched off opens the file, and fails to read it
        let opened =
            PseudoFile::open(&config.root, path).and_then(|mut file| file.read().map(drop).map(|()| file));
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                host.log(Level::Info, &format!("no {}: {error}", metrics[0].name()));
                return Ok(None);
            }
        };
        let mut series = Vec::with_capacity(N);
        for metric in &metrics {
            series.push(host.series(metric, &[])?);
        }
        let series = series.try_into().map_err(|_| Error::fatal("as many series as metrics"))?;
        Ok(Some(Self { file, parse, series }))
    }
}

fn collect<const N: usize>(values: Option<&mut Values<N>>, sink: &mut Sink<'_>) -> Result<()> {
    let Some(values) = values else { return Ok(()) };
    match values.file.read() {
        Ok(content) => {
            for (series, value) in values.series.iter().zip((values.parse)(content)) {
                reading::put(sink, *series, value.ok_or(MISSING));
            }
            Ok(())
        }
        Err(error) => {
            values.series.iter().for_each(|series| sink.unavailable(*series, UNREADABLE));
            Err(error.into())
        }
    }
}

impl TotalsSeries {
    fn new(host: &mut Host<'_>) -> Result<Self> {
        Ok(Self([
            host.series(&INTERRUPTS, &[])?,
            host.series(&CONTEXT_SWITCHES, &[])?,
            host.series(&BOOT_TIME, &[])?,
            host.series(&FORKS, &[])?,
            host.series(&RUNNING, &[])?,
            host.series(&BLOCKED, &[])?,
        ]))
    }

    fn put(&self, totals: &Totals, sink: &mut Sink<'_>) {
        let Totals { interrupts, context_switches, boot_time, forks, running, blocked } = *totals;
        let values = [interrupts, context_switches, boot_time, forks, running, blocked];
        for (series, value) in self.0.iter().zip(values) {
            reading::put(sink, *series, value.map(|value| value as f64).ok_or(MISSING));
        }
    }
}
