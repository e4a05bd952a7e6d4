//! What doesn't change from one collection to the next: Info series about kernel, operating system and CPUs.

use crate::{
    metrics::{CPU_INFO, OS, UNAME},
    parse::{
        cpuinfo::{self, Processor},
        os_release,
    },
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use twarga_plugin_api::{Host, Level, Metric, Result, Series, Sink};

/// How often host name and operating system are looked at again: both change while the host runs, but rarely.
const REFRESH: Duration = Duration::from_secs(600);

/// The Info series of one family, with the labels they were registered with.
struct Infos {
    metric: Metric<'static>,
    known: Vec<(Vec<String>, Series)>,
    said: bool,
}

/// All facts.
pub(crate) struct Facts {
    root: PathBuf,
    per_core: bool,
    uname: Infos,
    os: Infos,
    cpu: Infos,
    read: Option<Instant>,
}

impl Facts {
    pub(crate) fn new(root: &Path, per_core: bool) -> Self {
        let infos = |metric| Infos { metric, known: vec![], said: false };
        Self {
            root: root.into(),
            per_core,
            uname: infos(UNAME),
            os: infos(OS),
            cpu: infos(CPU_INFO),
            read: None,
        }
    }

    /// Puts the facts, read anew where that is due; those of the CPUs where `cpus_changed`.
    ///
    /// # Errors
    /// Where the host refuses a series.
    pub(crate) fn collect(&mut self, cpus_changed: bool, sink: &mut Sink<'_>) -> Result<()> {
        let mut outcome = Ok(());
        if cpus_changed {
            outcome = self.cpu.set(cpus(&self.root, self.per_core), "/proc/cpuinfo", sink.host());
        }
        if self.read.is_none_or(|read| read.elapsed() >= REFRESH) {
            self.read = Some(Instant::now());
            let uname = self.uname.set(uname(&self.root), "/proc/sys/kernel", sink.host());
            let os = self.os.set(os(&self.root), "/etc/os-release", sink.host());
            outcome = outcome.and(uname).and(os);
        }
        for (_, series) in [&self.uname, &self.os, &self.cpu].into_iter().flat_map(|infos| &infos.known) {
            sink.put(*series, 1.0);
        }
        outcome
    }
}

impl Infos {
    /// Registers what is new in `wanted` and retires what is not in it.
    fn set(&mut self, wanted: BTreeSet<Vec<String>>, source: &str, host: &mut Host<'_>) -> Result<()> {
        if wanted.is_empty() && !std::mem::replace(&mut self.said, true) {
            host.log(Level::Info, &format!("no {}: {source} doesn't tell", self.metric.name()));
        }
        self.known.retain(|(labels, series)| {
            let kept = wanted.contains(labels);
            if !kept {
                host.retire(*series);
            }
            kept
        });
        for labels in wanted {
            if self.known.iter().all(|(known, _)| *known != labels) {
                let texts: Vec<&str> = labels.iter().map(String::as_str).collect();
                let series = host.series(&self.metric, &texts)?;
                self.known.push((labels, series));
            }
        }
        Ok(())
    }
}

fn uname(root: &Path) -> BTreeSet<Vec<String>> {
    let kernel = |name| fs::read(root.join("proc/sys/kernel").join(name)).ok().map(|content| text(&content));
    let machine = || kernel("arch").unwrap_or_else(|| text(rustix::system::uname().machine().to_bytes()));
    let labels = || {
        let (sysname, release, version) = (kernel("ostype")?, kernel("osrelease")?, kernel("version")?);
        Some(vec![sysname, release, version, machine(), kernel("hostname")?, kernel("domainname")?])
    };
    labels().into_iter().collect()
}

fn os(root: &Path) -> BTreeSet<Vec<String>> {
    let files = ["etc/os-release", "usr/lib/os-release"];
    let content = files.iter().find_map(|name| fs::read(root.join(name)).ok());
    content.map(|content| os_release::parse(&content).to_vec()).into_iter().collect()
}

fn cpus(root: &Path, per_core: bool) -> BTreeSet<Vec<String>> {
    let Ok(content) = fs::read(root.join("proc/cpuinfo")) else { return BTreeSet::new() };
    let mut packages = BTreeSet::new();
    let processors = cpuinfo::processors(&content).into_iter();
    processors.filter(|one| per_core || packages.insert(one.package.clone())).map(labels).collect()
}

/// In the order of the keys of [`CPU_INFO`].
fn labels(cpu: Processor) -> Vec<String> {
    let Processor { id, package, core, vendor, family, model, model_name, microcode, stepping, cache_size } =
        cpu;
    let id = id.to_string();
    vec![package, core, id, vendor, family, model, model_name, microcode, stepping, cache_size]
}

fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(content).chars().filter(|char| !char.is_control()).collect()
}
