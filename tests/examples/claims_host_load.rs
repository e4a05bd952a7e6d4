//! A plugin that claims a metric of host-cpu.

#![forbid(unsafe_code)]

use twarga_plugin_api::prelude::*;

const LOAD1: Metric = Metric::gauge("host_load1", Unit::NONE, "Another load.");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub struct ClaimsHostLoad(Series);

impl Collector for ClaimsHostLoad {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["host_load"];
    const METRICS: &'static [Metric<'static>] = &[LOAD1];

    fn new(_: Config, host: &mut Host<'_>) -> Result<Self> {
        Ok(Self(host.series(&LOAD1, &[])?))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        sink.put(self.0, 4711.0);
        Ok(())
    }
}

export_plugin!(ClaimsHostLoad, name = "claims-host-load");
