//! placeholder
#![forbid(unsafe_code)]
use twarga_plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}
pub struct Plugin(Series);
const LOAD1: Metric = Metric::gauge("host_mem_placeholder", Unit::NONE, "Load average over one minute.");
impl Collector for Plugin {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["host_mem_"];
    const METRICS: &'static [Metric<'static>] = &[LOAD1];
    fn new(_: Config, host: &mut Host<'_>) -> Result<Self> {
        Ok(Self(host.series(&LOAD1, &[])?))
    }
    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        sink.put(self.0, 1.0);
        Ok(())
    }
}
export_plugin!(Plugin);
