//! The portable source: what sysinfo gives on every system it knows, under the same names.

use crate::{
    Config,
    metrics::*,
    reading::{self, FIRST_READING, TOO_SHORT, UNKNOWN_TO_SYSINFO},
};
use std::time::Instant;
use sysinfo::{CpuRefreshKind, MINIMUM_CPU_UPDATE_INTERVAL, System};
use twarga_plugin_api::{Host, Level, Metric, Result, Series, Sink};

pub(crate) struct Portable {
    system: System,
    usage: Series,
    frequency: Option<Series>,
    cores: Vec<(Series, Series)>, // usage and frequency
    /// When sysinfo last computed usage: between two of its readings must lie its minimum interval.
    measured: Option<Instant>,
    counts: [(Series, Option<f64>); 2],
    load: [Series; 3],
    boot_time: Series,
    uptime: Series,
    infos: Vec<Series>,
}

impl Portable {
    pub(crate) fn new(config: &Config, host: &mut Host<'_>) -> Result<Self> {
        let mut system = System::new()?;
        system.refresh_cpu_list(CpuRefreshKind::everything());
        let mut cores = vec![];
        if config.per_core {
            for label in (0..).zip(system.cpus()).map(|(index, cpu)| label(index, cpu.name())) {
                cores.push((host.series(&USAGE, &[&label])?, host.series(&FREQUENCY, &[&label])?));
            }
        }
        let logical = Some(system.cpus().len()).filter(|count| *count > 0);
        let physical = System::physical_core_count().ok();
        let count = |count: Option<usize>| count.map(|count| count as f64);
        let mut one = |metric: &Metric<'static>| host.series(metric, &[]);
        let counts = [(one(&LOGICAL)?, count(logical)), (one(&PHYSICAL)?, count(physical))];
        let load = [one(&LOAD1)?, one(&LOAD5)?, one(&LOAD15)?];
        let (boot_time, uptime) = (one(&BOOT_TIME)?, one(&UPTIME)?);
        let usage = host.series(&USAGE, &["all"])?;
        let frequency = if config.per_core { None } else { Some(host.series(&FREQUENCY, &["all"])?) };
        let infos = infos(&system, config.per_core, host)?;
        host.log(Level::Info, "source is sysinfo: no times by mode, no kernel counters, no pressure");
        Ok(Self { system, usage, frequency, cores, measured: None, counts, load, boot_time, uptime, infos })
    }

    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.put_usage(sink);
        self.put_frequencies(sink);
        for (series, count) in self.counts {
            put(series, count, sink);
        }
        let load = System::load_average().ok().map(|load| [load.one, load.five, load.fifteen]);
        for (index, series) in self.load.into_iter().enumerate() {
            put(series, load.map(|load| load[index]), sink);
        }
        put(self.boot_time, System::boot_time().ok().map(|seconds| seconds as f64), sink);
        put(self.uptime, System::uptime().ok().map(|seconds| seconds as f64), sink);
        self.infos.iter().for_each(|series| sink.put(*series, 1.0));
        Ok(())
    }

    fn put_usage(&mut self, sink: &mut Sink<'_>) {
        let ready = match self.measured {
            Some(then) if then.elapsed() < MINIMUM_CPU_UPDATE_INTERVAL => Err(TOO_SHORT),
            Some(_) => Ok(()),
            None => Err(FIRST_READING),
        };
        if ready != Err(TOO_SHORT) {
            self.system.refresh_cpu_usage();
            self.measured = Some(Instant::now());
        }
        let all = (self.usage, self.system.global_cpu_usage());
        let cores = self.cores.iter().zip(self.system.cpus());
        for (series, percent) in cores.map(|((series, _), cpu)| (*series, cpu.usage())).chain([all]) {
            let ratio = (f64::from(percent) / 100.0).clamp(0.0, 1.0);
            reading::put(sink, series, ready.map(|()| ratio));
        }
    }

    fn put_frequencies(&mut self, sink: &mut Sink<'_>) {
        self.system.refresh_cpu_frequency();
        // MHz; 0 where sysinfo doesn't know
        let hertz = |cpu: &sysinfo::Cpu| Some(cpu.frequency() as f64 * 1e6).filter(|hertz| *hertz > 0.0);
        for ((_, series), cpu) in self.cores.iter().zip(self.system.cpus()) {
            put(*series, hertz(cpu), sink);
        }
        if let Some(series) = self.frequency {
            let known: Vec<f64> = self.system.cpus().iter().filter_map(hertz).collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            put(series, (!known.is_empty()).then_some(mean), sink);
        }
    }
}

/// sysinfo names CPUs `cpu0` on Linux, otherwise elsewhere.
fn label(index: usize, name: &str) -> String {
    let number = name.strip_prefix("cpu").filter(|number| number.parse::<u32>().is_ok());
    number.map_or_else(|| index.to_string(), Into::into)
}

fn infos(system: &System, per_core: bool, host: &mut Host<'_>) -> Result<Vec<Series>> {
    let uname = rustix::system::uname();
    let uname = [uname.sysname(), uname.release(), uname.version(), uname.machine(), uname.nodename()]
        .map(|text| text.to_string_lossy().into_owned());
    let [sysname, release, version, machine, nodename] = &uname;
    let mut infos = vec![host.series(&UNAME, &[sysname, release, version, machine, nodename, ""])?];
    let (id, id_like) = (System::distribution_id(), System::distribution_id_like().join(" "));
    let name = System::name().unwrap_or_default();
    let (pretty, version) =
        (System::long_os_version().unwrap_or_default(), System::os_version().unwrap_or_default());
    let labels = ["", &id, &id_like, "", "", &name, &pretty, "", "", "", "", &version];
    infos.push(host.series(&OS, &labels)?);
    for (index, cpu) in system.cpus().iter().enumerate().take(if per_core { usize::MAX } else { 1 }) {
        let cpu_label = label(index, cpu.name());
        let labels = ["", "", &cpu_label, cpu.vendor_id(), "", "", cpu.brand(), "", "", ""];
        infos.push(host.series(&CPU_INFO, &labels)?);
    }
    Ok(infos)
}

fn put(series: Series, value: Option<f64>, sink: &mut Sink<'_>) {
    reading::put(sink, series, value.ok_or(UNKNOWN_TO_SYSINFO));
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels_are_numbers() {
        assert_eq!(label(0, "cpu7"), "7");
        assert_eq!(label(3, "CPU 4"), "3");
        assert_eq!(label(3, "cpufast"), "3");
    }
}
