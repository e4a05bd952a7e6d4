//! The counters of the protocols (`host_netstat_…`) and the counts of sockets (`host_sockstat_…`).

use crate::{
    config::Config,
    metrics,
    parse::{auxv, keyed, snmp::Layout},
};
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use twarga_plugin_api::{prelude::*, pseudo_file::PseudoFile};

/// How long until a file that was missing is looked for again: IPv6 may be loaded at run time.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The files of protocols that the configuration asks for.
#[derive(Debug)]
pub(crate) struct Protocols(Vec<Statistics>);

#[derive(Debug)]
enum Format {
    Snmp(Layout),
    Snmp6,
    Sockstat { page_size: Option<u64> },
}

/// One file with what is wanted of it.
#[derive(Debug)]
struct Statistics {
    root: PathBuf,
    path: PathBuf,
    format: Format,
    /// Nothing while the file is missing.
    file: Option<PseudoFile>,
    looked: Option<Instant>,
    /// Protocol and field of each slot that is read from the file; the slots after those are made from them.
    keys: Vec<(&'static str, &'static str)>,
    slots: Vec<Slot>,
    values: Vec<Option<u64>>,
    refusal_said: bool,
}

#[derive(Debug)]
struct Slot {
    metric: &'static Metric<'static>,
    series: Option<Series>,
    last: Option<u64>,
}

impl Protocols {
    /// The files below `root/net`, those that are there opened.
    pub(crate) fn new(config: &Config, net: &Path, host: &mut Host<'_>) -> Self {
        let mut files = vec![];
        let mut add = |name: &str, format, metrics| {
            files.push(Statistics::new(&config.root, net.join(name), format, metrics));
        };
        if config.netstat {
            add("snmp", Format::Snmp(Layout::default()), metrics::SNMP);
            add("netstat", Format::Snmp(Layout::default()), metrics::NETSTAT);
            add("snmp6", Format::Snmp6, metrics::SNMP6);
        }
        if config.sockstat {
            let page_size = page_size(&config.root);
            add("sockstat", Format::Sockstat { page_size }, metrics::SOCKSTAT);
            add("sockstat6", Format::Sockstat { page_size: None }, metrics::SOCKSTAT6);
        }
        for file in &mut files {
            file.look(host);
        }
        Self(files)
    }

    /// Puts everything that can be read.
    ///
    /// # Errors
    /// The first file's that could not be.
    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut outcome = Ok(());
        for file in &mut self.0 {
            outcome = outcome.and(file.collect(sink));
        }
        outcome
    }
}

/// The size of a page belongs to the kernel, so that another root has the same.
fn page_size(root: &Path) -> Option<u64> {
    let read = |path: &Path| std::fs::read(path).ok().as_deref().and_then(auxv::page_size);
    read(&root.join("proc/self/auxv")).or_else(|| read(Path::new("/proc/self/auxv")))
}

impl Statistics {
    fn new(root: &Path, path: PathBuf, format: Format, metrics: &'static [Metric<'static>]) -> Self {
        let slot = |metric| Slot { metric, series: None, last: None };
        let mut slots: Vec<_> = metrics.iter().map(slot).collect();
        if matches!(format, Format::Sockstat { page_size: Some(_) }) {
            slots.extend(metrics::MEMORY.iter().map(|(metric, _)| slot(metric)));
        }
        let keys: Vec<_> = metrics.iter().map(key).collect();
        let values = vec![None; slots.len()];
        let root = root.to_owned();
        Self { root, path, format, file: None, looked: None, keys, slots, values, refusal_said: false }
    }

    /// Looks for the file. That it is missing is said once.
    fn look(&mut self, host: &mut Host<'_>) {
        let first = self.looked.replace(Instant::now()).is_none();
        match PseudoFile::open(&self.root, &self.path) {
            Ok(file) => self.file = Some(file),
            Err(error) if first => host.log(Level::Info, &format!("left out: {error}")),
            Err(_) => {}
        }
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        if self.file.is_none() && self.looked.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.look(sink.host());
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        match file.read() {
            Ok(content) => decode(&mut self.format, content, &self.keys, &mut self.values),
            Err(error) => return Err(self.lost(error, sink)),
        }
        for (slot, value) in self.slots.iter_mut().zip(&self.values) {
            if let Err(error) = slot.put(*value, sink)
                && !std::mem::replace(&mut self.refusal_said, true)
            {
                sink.host().log(Level::Warn, &format!("{} is left out: {error}", slot.metric.name()));
            }
        }
        Ok(())
    }

    fn lost(&self, error: io::Error, sink: &mut Sink<'_>) -> Error {
        for series in self.slots.iter().filter_map(|slot| slot.series) {
            sink.unavailable(series, "file not readable");
        }
        error.into()
    }
}

/// `host_netstat_Tcp_CurrEstab` is the field `CurrEstab` of the protocol `Tcp`.
fn key(metric: &Metric<'static>) -> (&'static str, &'static str) {
    let name = metric.name();
    let key = name.strip_prefix("host_netstat_").or(name.strip_prefix("host_sockstat_"));
    key.and_then(|key| key.split_once('_')).unwrap_or((name, ""))
}

fn decode(format: &mut Format, content: &[u8], keys: &[(&str, &str)], values: &mut [Option<u64>]) {
    let (read, made) = values.split_at_mut(keys.len());
    match format {
        Format::Snmp(layout) => layout.read(content, keys, read),
        Format::Snmp6 => keyed::snmp6(content, keys, read),
        Format::Sockstat { page_size } => {
            keyed::sockstat(content, keys, read);
            for (value, (_, source)) in made.iter_mut().zip(&metrics::MEMORY) {
                let at = metrics::SOCKSTAT.iter().position(|metric| metric.name() == *source);
                let pages = at.and_then(|at| read[at]);
                *value = pages.zip(*page_size).and_then(|(pages, size)| pages.checked_mul(size));
            }
        }
    }
}

impl Slot {
    fn put(&mut self, value: Option<u64>, sink: &mut Sink<'_>) -> Result<()> {
        let counter = self.metric.kind() == Kind::Counter;
        // the kernel sums gauges over processors without a lock: a moment below zero is printed as nearly 2⁶⁴
        let value = value.filter(|value| counter || i64::try_from(*value).is_ok());
        let series = match (self.series, value) {
            (Some(series), _) => series,
            (None, Some(_)) => *self.series.insert(sink.host().series(self.metric, &[])?),
            (None, None) => return Ok(()),
        };
        match value {
            Some(value) if counter && self.last.is_some_and(|last| value < last) => {
                sink.put_after_reset(series, value as f64);
            }
            Some(value) => sink.put(series, value as f64),
            None => sink.unavailable(series, "no such number in the file"),
        }
        self.last = value.or(self.last);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_protocol_and_field() {
        assert_eq!(key(&metrics::SNMP[0]), ("Ip", "Forwarding"));
        assert_eq!(key(&metrics::SOCKSTAT[0]), ("sockets", "used"));
        for metric in [metrics::SNMP, metrics::NETSTAT, metrics::SNMP6, metrics::SOCKSTAT, metrics::SOCKSTAT6]
            .into_iter()
            .flatten()
        {
            assert_ne!(key(metric).1, "", "{}", metric.name());
        }
    }

    #[test]
    fn memory_is_pages_times_their_size() {
        let keys: Vec<_> = metrics::SOCKSTAT.iter().map(key).collect();
        let mut values = vec![None; keys.len() + 2];
        let mut format = Format::Sockstat { page_size: Some(16384) };
        decode(&mut format, b"TCP: inuse 1 mem 3\nUDP: inuse 0 mem x\n", &keys, &mut values);
        assert_eq!(values[keys.len()..], [Some(49152), None]);
        decode(&mut format, b"TCP: inuse 1 mem 18446744073709551615\n", &keys, &mut values);
        assert_eq!(values[keys.len()..], [None, None]);
    }
}
