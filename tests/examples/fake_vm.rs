//! Virtual machines that exist in the configuration only. Their values are known, their states come from a file.
//!
//! In collection `c` a running machine has used `10 c` seconds of processor time and sent `1000 c` bytes. Lines of the
//! file `states`, with the names of the configuration:
//!
//! * `name=state`: the state, `running` without a line; `gone` ends the series of a machine.
//! * `name:metric=reason`: the metric has no value, for this reason.
//! * `name:label=value`: a label of `vm_info` is another than in the configuration; `name:vm=uuid` its identity.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use twarga_plugin_api::prelude::*;

const STATES: [&str; 8] =
    ["running", "paused", "shutoff", "saved", "crashed", "not_created", "destroyed", "unknown"];

const STATE: Metric = Metric::state_set("vm_state", "State of the machine.").labels("vm,state");
const INFO: Metric =
    Metric::info("vm_info", "The machine.").labels("vm,name,provider,project,box,ip_address,owner");
const VCPUS: Metric = Metric::gauge("vm_vcpus", Unit::NONE, "Virtual processors.").labels("vm");
const CPU: Metric =
    Metric::counter("vm_cpu_seconds_total", Unit::SECONDS, "Processor time used.").labels("vm");
const CPU_USAGE: Metric =
    Metric::gauge("vm_cpu_usage_ratio", Unit::RATIO, "Part of its processors in use.").labels("vm");
const MEMORY_TOTAL: Metric =
    Metric::gauge("vm_memory_total_bytes", Unit::BYTES, "Memory of the machine.").labels("vm");
const MEMORY_USED: Metric = Metric::gauge("vm_memory_used_bytes", Unit::BYTES, "Memory in use.").labels("vm");
const DISK_CAPACITY: Metric =
    Metric::gauge("vm_disk_capacity_bytes", Unit::BYTES, "Size of its disks.").labels("vm");
const DISK_USED: Metric = Metric::gauge("vm_disk_used_bytes", Unit::BYTES, "Disk in use.").labels("vm");
const RECEIVED: Metric =
    Metric::counter("vm_network_receive_bytes_total", Unit::BYTES, "Bytes received.").labels("vm");
const SENT: Metric =
    Metric::counter("vm_network_transmit_bytes_total", Unit::BYTES, "Bytes sent.").labels("vm");
const UPTIME: Metric =
    Metric::gauge("vm_uptime_seconds", Unit::SECONDS, "Time since its start.").labels("vm");

/// A metric, and its value in collection `c`.
type Known = (Metric<'static>, fn(f64) -> f64);

/// What only a running machine has.
const RUNNING: [Known; 9] = [
    (VCPUS, |_| 2.0),
    (CPU, |c| 10.0 * c),
    (CPU_USAGE, |_| 0.25),
    (MEMORY_TOTAL, |_| 1_073_741_824.0),
    (MEMORY_USED, |_| 536_870_912.0),
    (DISK_USED, |_| 2_147_483_648.0),
    (RECEIVED, |c| 2000.0 * c),
    (SENT, |c| 1000.0 * c),
    (UPTIME, |c| 3600.0 + c),
];

#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    vm: String,
    name: String,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    project: String,
    #[serde(default, rename = "box")]
    boxed: String,
    #[serde(default)]
    ip_address: String,
    #[serde(default)]
    owner: String,
}

/// The lines of the file about one machine.
struct Said<'a> {
    text: &'a str,
    name: &'a str,
}

impl<'a> Said<'a> {
    /// The state.
    fn state(&self) -> &'a str {
        self.find(|of| of == self.name).unwrap_or("running")
    }

    /// The reason of a metric without a value, or the value of a label.
    fn about(&self, what: &str) -> Option<&'a str> {
        self.find(|of| of.split_once(':') == Some((self.name, what)))
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<&'a str> {
        (self.text.lines().filter_map(|line| line.split_once('=')))
            .find_map(|(of, said)| wanted(of).then_some(said))
    }
}

impl MachineConfig {
    /// With the labels of the file.
    fn with(&self, said: &Said<'_>) -> Self {
        let label = |key: &str, own: &str| said.about(key).unwrap_or(own).to_owned();
        Self {
            vm: label("vm", &self.vm),
            name: label("name", &self.name),
            provider: label("provider", &self.provider),
            project: label("project", &self.project),
            boxed: label("box", &self.boxed),
            ip_address: label("ip_address", &self.ip_address),
            owner: label("owner", &self.owner),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    machines: Vec<MachineConfig>,
    states: Option<PathBuf>,
}

struct Machine {
    config: MachineConfig,
    series: Option<MachineSeries>,
}

struct MachineSeries {
    /// Whose they are.
    of: MachineConfig,
    states: Vec<Series>,
    info: Series,
    capacity: Series,
    running: Vec<Series>,
}

pub struct FakeVm {
    machines: Vec<Machine>,
    states: Option<PathBuf>,
    collections: u64,
}

impl Collector for FakeVm {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["vm_"];
    const METRICS: &'static [Metric<'static>] = &[
        STATE,
        INFO,
        VCPUS,
        CPU,
        CPU_USAGE,
        MEMORY_TOTAL,
        MEMORY_USED,
        DISK_CAPACITY,
        DISK_USED,
        RECEIVED,
        SENT,
        UPTIME,
    ];

    fn new(config: Config, _: &mut Host<'_>) -> Result<Self> {
        let machines = config.machines.into_iter().map(|config| Machine { config, series: None }).collect();
        Ok(Self { machines, states: config.states, collections: 0 })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.collections += 1;
        let text = match &self.states {
            Some(file) => std::fs::read_to_string(file).context(file.display())?,
            None => String::new(),
        };
        for machine in &mut self.machines {
            let name = machine.config.name.clone();
            machine.collect(&Said { text: &text, name: &name }, self.collections as f64, sink)?;
        }
        Ok(())
    }
}

impl Machine {
    fn collect(&mut self, said: &Said<'_>, c: f64, sink: &mut Sink<'_>) -> Result<()> {
        let state = said.state();
        let config = self.config.with(said);
        let identity = self.series.as_ref().map(|series| series.of.vm.as_str());
        if state == "gone" || identity.is_some_and(|vm| vm != config.vm) {
            for series in self.series.take().iter().flat_map(MachineSeries::all) {
                sink.host().retire(series);
            }
        }
        if state == "gone" {
            return Ok(());
        }
        let series = match &mut self.series {
            Some(series) => series,
            None => self.series.insert(MachineSeries::new(config.clone(), sink.host())?),
        };
        if series.of != config {
            sink.host().retire(series.info);
            series.info = config.info(sink.host())?;
            series.of = config;
        }
        series.put(state, said, c, sink);
        Ok(())
    }
}

impl MachineConfig {
    fn info(&self, host: &mut Host<'_>) -> Result<Series> {
        let Self { vm, name, provider, project, boxed, ip_address, owner } = self;
        host.series(&INFO, &[vm, name, provider, project, boxed, ip_address, owner])
    }
}

impl MachineSeries {
    fn new(of: MachineConfig, host: &mut Host<'_>) -> Result<Self> {
        let vm = of.vm.as_str();
        Ok(Self {
            states: STATES.iter().map(|state| host.series(&STATE, &[vm, state])).collect::<Result<_>>()?,
            info: of.info(host)?,
            capacity: host.series(&DISK_CAPACITY, &[vm])?,
            running: RUNNING.iter().map(|(metric, _)| host.series(metric, &[vm])).collect::<Result<_>>()?,
            of,
        })
    }

    fn put(&self, state: &str, said: &Said<'_>, c: f64, sink: &mut Sink<'_>) {
        match said.about("vm_state") {
            Some(reason) => self.states.iter().for_each(|series| sink.unavailable(*series, reason)),
            None => sink.put_states(&self.states, STATES.iter().position(|known| *known == state)),
        }
        sink.put(self.info, 1.0);
        sink.put(self.capacity, 10_737_418_240.0);
        for (series, (metric, value)) in self.running.iter().zip(RUNNING) {
            match said.about(metric.name()) {
                Some(reason) => sink.unavailable(*series, reason),
                None if state == "running" => sink.put(*series, value(c)),
                None => sink.unavailable(*series, "not running"),
            }
        }
    }

    fn all(&self) -> Vec<Series> {
        [&self.states[..], &[self.info, self.capacity], &self.running].concat()
    }
}

export_plugin!(FakeVm, name = "fake-vm");
