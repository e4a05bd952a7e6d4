//! Pressure stall information of IO: /proc/pressure/io.

use crate::{metrics::PRESSURE, registration::register_all};
use std::{io, path::Path};
use twarga_plugin_api::{
    Host, Result, Series, Sink,
    pseudo_file::{PseudoFile, pressure_seconds},
};

/// How long tasks waited for IO.
pub(crate) struct Pressure {
    file: PseudoFile,
    series: [Series; 2],
    last: [f64; 2],
}

impl Pressure {
    /// Opens the file and registers its series.
    ///
    /// # Errors
    /// Where it is missing, or the kernel was started without it and refuses to read it; within, where the series
    /// can't be registered.
    pub(crate) fn open(root: &Path, host: &mut Host<'_>) -> io::Result<Result<Self>> {
        let mut file = PseudoFile::open(root, "proc/pressure/io")?;
        file.read()?;
        Ok(register_all(host, &PRESSURE, &[]).map(|series| Self { file, series, last: [0.0; 2] }))
    }

    /// Reads and puts.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let (outcome, (waiting, stalled), reason) = match self.file.read() {
            Ok(content) => (Ok(()), pressure_seconds(content), "not told"),
            Err(error) => (Err(error.into()), (None, None), "unreadable"),
        };
        for ((series, value), last) in self.series.into_iter().zip([waiting, stalled]).zip(&mut self.last) {
            match value {
                Some(value) if value < std::mem::replace(last, value) => sink.put_after_reset(series, value),
                Some(value) => sink.put(series, value),
                None => sink.unavailable(series, reason),
            }
        }
        outcome
    }
}
