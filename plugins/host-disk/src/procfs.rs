//! `source = "procfs"`: /proc, /sys and statvfs.

use crate::{
    config::Config, devices::Devices, filesystems::Filesystems, pressure::Pressure, prober::Timing,
    space::Probe,
};
use std::{io, sync::Arc};
use twarga_plugin_api::{Error, Host, Level, Result, Sink};

/// The three parts, each there if its file is.
pub(crate) struct Procfs {
    filesystems: Option<Filesystems>,
    devices: Option<Devices>,
    pressure: Option<Pressure>,
}

impl Procfs {
    /// Opens what there is. What is missing is logged once.
    ///
    /// # Errors
    /// Where there is nothing, or the series that are known at once can't be registered.
    pub(crate) fn open(
        config: &Config,
        probe: Arc<dyn Probe>,
        timing: Timing,
        host: &mut Host<'_>,
    ) -> Result<Self> {
        let filesystems = Filesystems::open(config, probe, timing);
        let filesystems = present(filesystems, Level::Warn, "no file systems", host);
        let devices = Devices::open(config, host);
        let devices = present(devices, Level::Info, "no block devices", host).transpose()?;
        let pressure = Pressure::open(&config.root, host);
        let pressure = present(pressure, Level::Info, "no IO pressure", host).transpose()?;
        if filesystems.is_none() && devices.is_none() && pressure.is_none() {
            let root = config.root.display();
            return Err(Error::unsupported(format_args!(
                "no mountinfo, diskstats or pressure/io below {root}: is there a proc file system?"
            )));
        }
        Ok(Self { filesystems, devices, pressure })
    }

    /// Puts all there is. While the mounts are asked on their own thread, the other files are read here.
    ///
    /// # Errors
    /// The first of what went wrong, after everything else was put.
    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        if let Some(filesystems) = &mut self.filesystems {
            filesystems.start(sink.host());
        }
        let devices = self.devices.as_mut().map_or(Ok(()), |devices| devices.collect(sink));
        let pressure = self.pressure.as_mut().map_or(Ok(()), |pressure| pressure.collect(sink));
        let filesystems = self.filesystems.as_mut().map_or(Ok(()), |filesystems| filesystems.finish(sink));
        filesystems.and(devices).and(pressure)
    }

    #[cfg(test)]
    pub(crate) fn filesystems(&self) -> &Filesystems {
        self.filesystems.as_ref().expect("the test's mountinfo is there")
    }
}

fn present<T>(part: io::Result<T>, level: Level, without: &str, host: &mut Host<'_>) -> Option<T> {
    part.map_err(|error| host.log(level, &format!("{without}: {error}"))).ok()
}
