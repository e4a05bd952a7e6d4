//! The portable source: what sysinfo gives on every system it knows, under the same names.

use crate::{
    metrics::LINES,
    reading::{self, UNKNOWN_TO_SYSINFO},
    usage::Usage,
};
use sysinfo::System;
use twarga_plugin_api::{Host, Level, Result, Series, Sink};

/// The lines of meminfo that sysinfo knows.
const KNOWN: [&str; 5] = ["MemTotal", "MemFree", "MemAvailable", "SwapTotal", "SwapFree"];

pub(crate) struct Portable {
    system: System,
    lines: Vec<Series>, // of KNOWN
    usage: Usage,
}

impl Portable {
    pub(crate) fn new(host: &mut Host<'_>) -> Result<Self> {
        let mut lines = vec![];
        for (_, metric) in KNOWN.iter().filter_map(|known| LINES.iter().find(|(line, _)| line == known)) {
            lines.push(host.series(metric, &[])?);
        }
        host.log(Level::Info, "source is sysinfo: no details of memory, no paging counters, no pressure");
        Ok(Self { system: System::new()?, lines, usage: Usage::new(host)? })
    }

    pub(crate) fn collect(&mut self, sink: &mut Sink<'_>) {
        self.system.refresh_memory();
        let system = &self.system;
        let (total, available) = (system.total_memory(), system.available_memory());
        let (swap_total, swap_free) = (system.total_swap(), system.free_swap());
        // sysinfo gives 0 where it failed, and no host has no memory
        let known = (total > 0).then_some(()).ok_or(UNKNOWN_TO_SYSINFO);
        let values = [total, system.free_memory(), available, swap_total, swap_free];
        for (series, value) in self.lines.iter().zip(values) {
            reading::put(sink, *series, known.map(|()| value as f64));
        }
        self.usage.put(known.map(|()| (total, available)), known.map(|()| (swap_total, swap_free)), sink);
    }
}
