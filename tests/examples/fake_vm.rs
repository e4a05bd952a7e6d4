//! Virtual machines that exist in the configuration only. Their values are known, their states come from a file.
//!
//! In collection `c` a running machine has used `10 c` seconds of processor time and sent `1000 c` bytes. The file
//! `states` has lines `name=state`; the state `gone` ends the series of a machine. Without a line, `running`.

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

#[derive(Deserialize)]
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
    states: Vec<Series>,
    always: [Series; 2],
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
            let name = machine.config.name.as_str();
            let state = (text.lines().filter_map(|line| line.split_once('=')))
                .find_map(|(of, state)| (of == name).then_some(state))
                .unwrap_or("running");
            machine.collect(state, self.collections as f64, sink)?;
        }
        Ok(())
    }
}

impl Machine {
    fn collect(&mut self, state: &str, c: f64, sink: &mut Sink<'_>) -> Result<()> {
        if state == "gone" {
            for series in self.series.take().iter().flat_map(MachineSeries::all) {
                sink.host().retire(series);
            }
            return Ok(());
        }
        let series = match &self.series {
            Some(series) => series,
            None => self.series.insert(MachineSeries::new(&self.config, sink.host())?),
        };
        sink.put_states(&series.states, STATES.iter().position(|known| *known == state));
        sink.put(series.always[0], 1.0);
        sink.put(series.always[1], 10_737_418_240.0);
        for (series, (_, value)) in series.running.iter().zip(RUNNING) {
            if state == "running" {
                sink.put(*series, value(c));
            } else {
                sink.unavailable(*series, "not running");
            }
        }
        Ok(())
    }
}

impl MachineSeries {
    fn new(config: &MachineConfig, host: &mut Host<'_>) -> Result<Self> {
        let vm = config.vm.as_str();
        let MachineConfig { name, provider, project, boxed, ip_address, owner, .. } = config;
        let info = host.series(&INFO, &[vm, name, provider, project, boxed, ip_address, owner])?;
        Ok(Self {
            states: STATES.iter().map(|state| host.series(&STATE, &[vm, state])).collect::<Result<_>>()?,
            always: [info, host.series(&DISK_CAPACITY, &[vm])?],
            running: RUNNING.iter().map(|(metric, _)| host.series(metric, &[vm])).collect::<Result<_>>()?,
        })
    }

    fn all(&self) -> Vec<Series> {
        [&self.states[..], &self.always, &self.running].concat()
    }
}

export_plugin!(FakeVm, name = "fake-vm");
