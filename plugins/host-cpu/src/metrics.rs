//! The families of this plugin. Names and label keys are node_exporter's, with `host_` for `node_`.

use twarga_plugin_api::{Metric, Unit};

pub(crate) const SECONDS: Metric =
    Metric::counter("host_cpu_seconds_total", Unit::SECONDS, "Seconds the CPU spent in each mode.")
        .labels("cpu,mode");
pub(crate) const GUEST_SECONDS: Metric = Metric::counter(
    "host_cpu_guest_seconds_total",
    Unit::SECONDS,
    "Seconds the CPU ran guests, by the mode of host_cpu_seconds_total that contains them.",
)
.labels("cpu,mode");
pub(crate) const USAGE: Metric = Metric::gauge(
    "host_cpu_usage_ratio",
    Unit::RATIO,
    "Busy part of the time since the last collection: all modes but idle and iowait. cpu=\"all\" is the mean of the CPUs.",
)
.labels("cpu");
pub(crate) const FREQUENCY: Metric = Metric::gauge(
    "host_cpu_scaling_frequency_hertz",
    Unit::HERTZ,
    "Current frequency of the CPU; cpu=\"all\" is the mean.",
)
.labels("cpu");
pub(crate) const LOGICAL: Metric =
    Metric::gauge("host_cpu_logical_count", Unit::NONE, "Logical CPUs that are online.");
pub(crate) const PHYSICAL: Metric =
    Metric::gauge("host_cpu_physical_count", Unit::NONE, "Physical cores with an online CPU.");
pub(crate) const CPU_INFO: Metric = Metric::info("host_cpu_info", "What the CPU is, from its own words.")
    .labels("package,core,cpu,vendor,family,model,model_name,microcode,stepping,cachesize");
pub(crate) const LOAD1: Metric = Metric::gauge("host_load1", Unit::NONE, "Load average over 1 minute.");
pub(crate) const LOAD5: Metric = Metric::gauge("host_load5", Unit::NONE, "Load average over 5 minutes.");
pub(crate) const LOAD15: Metric = Metric::gauge("host_load15", Unit::NONE, "Load average over 15 minutes.");
pub(crate) const CONTEXT_SWITCHES: Metric =
    Metric::counter("host_context_switches_total", Unit::NONE, "Context switches of all CPUs.");
pub(crate) const INTERRUPTS: Metric =
    Metric::counter("host_intr_total", Unit::NONE, "Interrupts that were serviced.");
pub(crate) const FORKS: Metric = Metric::counter("host_forks_total", Unit::NONE, "Tasks that were created.");
pub(crate) const RUNNING: Metric =
    Metric::gauge("host_procs_running", Unit::NONE, "Tasks that run or wait for a CPU.");
pub(crate) const BLOCKED: Metric =
    Metric::gauge("host_procs_blocked", Unit::NONE, "Tasks that wait for I/O to complete.");
pub(crate) const PRESSURE: Metric = Metric::counter(
    "host_pressure_cpu_waiting_seconds_total",
    Unit::SECONDS,
    "Seconds in which at least one task waited for a CPU.",
);
pub(crate) const BOOT_TIME: Metric = Metric::gauge(
    "host_boot_time_seconds",
    Unit::SECONDS,
    "When the host booted, in seconds since 1970 UTC.",
);
pub(crate) const UPTIME: Metric =
    Metric::gauge("host_uptime_seconds", Unit::SECONDS, "Seconds since boot, time asleep included.");
pub(crate) const UNAME: Metric = Metric::info("host_uname_info", "The running kernel, as uname says.")
    .labels("sysname,release,version,machine,nodename,domainname");
pub(crate) const OS: Metric = Metric::info("host_os_info", "The operating system, from its os-release file.")
    .labels(
        "build_id,id,id_like,image_id,image_version,name,pretty_name,variant,variant_id,version,version_codename,version_id",
    );

pub(crate) const NAMESPACES: &[&str] = &[
    "host_cpu_",
    "host_load",
    "host_context_switches_total",
    "host_intr_total",
    "host_forks_total",
    "host_procs_running",
    "host_procs_blocked",
    "host_pressure_cpu_",
    "host_boot_time_seconds",
    "host_uptime_seconds",
    "host_uname_info",
    "host_os_info",
];

pub(crate) const METRICS: &[Metric<'static>] = &[
    SECONDS,
    GUEST_SECONDS,
    USAGE,
    FREQUENCY,
    LOGICAL,
    PHYSICAL,
    CPU_INFO,
    LOAD1,
    LOAD5,
    LOAD15,
    CONTEXT_SWITCHES,
    INTERRUPTS,
    FORKS,
    RUNNING,
    BLOCKED,
    PRESSURE,
    BOOT_TIME,
    UPTIME,
    UNAME,
    OS,
];
