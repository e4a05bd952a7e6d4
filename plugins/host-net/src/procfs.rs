//! Linux: `/proc/net` for the counters, `/sys/class/net` for the links.

use crate::{
    config::Config, interfaces::Interfaces, metrics::COLUMNS, parse::dev, protocols::Protocols, sysfs::Sysfs,
};
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use twarga_plugin_api::{prelude::*, pseudo_file::PseudoFile};

/// The most links whose facts are read in one collection, so that a host with thousands of them does not make
/// it slow. Their facts are older, then.
const MOST_REFRESHED: usize = 64;

/// A line must have all columns.
const NEEDED: [usize; COLUMNS] = {
    let mut columns = [0; COLUMNS];
    let mut at = 0;
    while at < COLUMNS {
        columns[at] = at;
        at += 1;
    }
    columns
};

/// The collector of `source = "procfs"`.
#[derive(Debug)]
pub(crate) struct Procfs {
    dev: PseudoFile,
    sysfs: Sysfs,
    interfaces: Interfaces,
    protocols: Protocols,
    pace: Pace,
}

impl Procfs {
    /// # Errors
    /// [`Error::unsupported`] where there is no table of interfaces.
    pub(crate) fn new(config: &Config, host: &mut Host<'_>) -> Result<Self> {
        let net = net_folder(&config.root);
        let dev = PseudoFile::open(&config.root, net.join("dev")).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::unsupported(error),
            _ => error.into(),
        })?;
        let sysfs = Sysfs::new(&config.root);
        if !sysfs.exists() {
            let path = sysfs.path().display();
            host.log(Level::Info, &format!("left out: the facts of links, there is no {path}"));
        }
        Ok(Self {
            dev,
            sysfs,
            interfaces: Interfaces::new(config, &NEEDED, host)?,
            protocols: Protocols::new(config, &net, host),
            pace: Pace::new(Duration::from_secs(config.link_refresh_seconds)),
        })
    }

    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let interfaces = self.collect_interfaces(sink);
        interfaces.and(self.protocols.collect(sink))
    }

    fn collect_interfaces(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let budget = self.pace.budget(Instant::now(), self.interfaces.renewed());
        self.interfaces.refresh(&mut self.sysfs, sink.host(), budget);
        let content = match self.dev.read() {
            Ok(content) => content,
            Err(error) => {
                self.interfaces.lost(sink, "/proc/net/dev not readable");
                return Err(error.into());
            }
        };
        if !dev::is_table(content) {
            self.interfaces.lost(sink, "/proc/net/dev has no table");
            return Err(Error::transient(format_args!("{}: no table", self.dev.path().display())));
        }
        self.interfaces.collect(dev::rows(content), &mut self.sysfs, sink);
        Ok(())
    }
}

/// `/proc/net` shows the network namespace of the reader. With the host's root mounted in a container, that would
/// be the container's; process 1 of that root is in the host's.
fn net_folder(root: &Path) -> PathBuf {
    let of_init = Path::new("proc/1/net");
    if root != Path::new("/") && root.join(of_init).join("dev").exists() {
        of_init.into()
    } else {
        PathBuf::from("proc/net")
    }
}

/// Spreads the reading of the links' facts evenly over their period.
#[derive(Debug)]
struct Pace {
    period: Duration,
    last: Option<Instant>,
    /// Links that might have been read already.
    credit: f64,
}

impl Pace {
    fn new(period: Duration) -> Self {
        Self { period, last: None, credit: 0.0 }
    }

    /// How many of `links` to read now.
    fn budget(&mut self, now: Instant, links: usize) -> usize {
        if self.period.is_zero() {
            return links;
        }
        let elapsed =
            self.last.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.credit += links as f64 * elapsed.as_secs_f64() / self.period.as_secs_f64();
        let whole = self.credit.floor();
        self.credit -= whole;
        (whole as usize).min(links).min(MOST_REFRESHED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_spread_over_the_period() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let read: Vec<usize> = (0..=20).map(|second| pace.budget(at(second), 4)).collect();
        assert_eq!((read[0], read.iter().sum(), read.iter().max()), (0, 8, Some(&1)));
        assert_eq!(pace.budget(at(1000), 4), 4);
        assert_eq!(pace.budget(at(2000), 5000), MOST_REFRESHED);
        assert_eq!(Pace::new(Duration::ZERO).budget(begin, 5000), 5000);
    }

    #[test]
    fn init_s_namespace_is_taken_below_another_root() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(net_folder(root.path()), Path::new("proc/net"));
        std::fs::create_dir_all(root.path().join("proc/1/net")).unwrap();
        std::fs::write(root.path().join("proc/1/net/dev"), "").unwrap();
        assert_eq!(net_folder(root.path()), Path::new("proc/1/net"));
        assert_eq!(net_folder(Path::new("/")), Path::new("proc/net"));
    }
}
