//! A plugin whose names can be loaded, and are no good names all the same.

#![forbid(unsafe_code)]

use twarga_plugin_api::prelude::*;

const LATENCY: Metric =
    Metric::gauge("badly_named_latency_milliseconds", Unit::NONE, "How long it takes.").labels("le");
const REQUESTS: Metric = Metric::counter("badly_named_requests", Unit::NONE, "How many there were.");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub struct BadlyNamed(Series, Series);

impl Collector for BadlyNamed {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["badly_named_"];
    const METRICS: &'static [Metric<'static>] = &[LATENCY, REQUESTS];

    fn new(_: Config, host: &mut Host<'_>) -> Result<Self> {
        Ok(Self(host.series(&LATENCY, &["1"])?, host.series(&REQUESTS, &[])?))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        sink.put(self.0, 5.0);
        sink.put(self.1, 1.0);
        Ok(())
    }
}

export_plugin!(BadlyNamed, name = "badly-named");
