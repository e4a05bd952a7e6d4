//! Does everything that API 1.0 has, step by step; plugin.c does the same in C. What comes of it: samples.txt.

#![forbid(unsafe_code)]

use twarga_plugin_api::prelude::*;

const VALUE: Metric = Metric::gauge("abi_value_bytes", Unit::BYTES, "1000 or 2000 a collection.").labels("part");
const EVENTS: Metric = Metric::counter("abi_events_total", Unit::NONE, "10 a collection, anew in the third.");
const INFO: Metric = Metric::info("abi_info", "Facts.").labels("text");
const STATE: Metric = Metric::state_set("abi_state", "On, then off.").labels("state");

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The time of the second batch, in milliseconds since 1970.
    time: i64,
    fail: bool,
}

pub struct Fixture {
    time: i64,
    collection: u32,
    values: [Series; 2],
    events: Series,
    info: Series,
    states: [Series; 2],
}

impl Collector for Fixture {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["abi_"];
    const METRICS: &'static [Metric<'static>] = &[VALUE, EVENTS, INFO, STATE];
    const CONFIG_SCHEMA: &'static str = r#"{"type":"object"}"#;

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        if config.fail {
            return Err(Error::config("fail", "planned"));
        }
        Ok(Self {
            time: config.time,
            collection: 0,
            values: [host.series(&VALUE, &["a"])?, host.series(&VALUE, &["b"])?],
            events: host.series(&EVENTS, &[])?,
            info: host.series(&INFO, &["\u{fc}ber"])?,
            states: [host.series(&STATE, &["on"])?, host.series(&STATE, &["off"])?],
        })
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.collection += 1;
        let n = f64::from(self.collection);
        match self.collection {
            1 => sink.host().log(Level::Info, "the first collection"),
            2 => {
                let later = Metric::try_new(Kind::Gauge, "abi_later_ratio", Unit::RATIO, "Half.", "")?;
                let family = sink.host().declare(&later)?;
                let later = sink.host().series_of(family, &[])?;
                sink.put(later, 0.5);
                sink.set_time(self.time);
            }
            3 => {
                sink.unavailable(self.values[0], "gone for now");
                sink.host().retire(self.values[1]);
                sink.put_after_reset(self.events, 50.0);
                return Ok(());
            }
            _ => return Err(Error::transient("planned")),
        }
        sink.put(self.values[0], 1000.0 * n);
        sink.put(self.values[1], 2000.0 * n);
        sink.put(self.events, 10.0 * n);
        sink.put(self.info, 1.0);
        sink.put_states(&self.states, Some(self.collection as usize - 1));
        Ok(())
    }
}

export_plugin!(Fixture, name = "abi-fixture");
