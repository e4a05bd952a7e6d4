//! A plugin that takes every configuration for a good one.

#![forbid(unsafe_code)]

use twarga_plugin_api::prelude::*;

const VALUE: Metric = Metric::gauge("credulous_value", Unit::NONE, "Always one.");

/// Without `deny_unknown_fields`.
#[derive(Deserialize)]
pub struct Config {}

pub struct Credulous(Series);

impl Collector for Credulous {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["credulous_"];
    const METRICS: &'static [Metric<'static>] = &[VALUE];

    fn new(_: Config, host: &mut Host<'_>) -> Result<Self> {
        Ok(Self(host.series(&VALUE, &[])?))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        sink.put(self.0, 1.0);
        Ok(())
    }
}

export_plugin!(Credulous, name = "credulous");
