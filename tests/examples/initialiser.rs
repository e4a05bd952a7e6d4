//! A plugin with an initialiser: the dynamic linker runs it when the library is loaded, before any code of the agent can
//! ask it anything. It makes the file that the variable `INITIALISER_MARK` names.

#![allow(unsafe_code, reason = "a function pointer in the section of initialisers")]

use twarga_plugin_api::prelude::*;

const VALUE: Metric = Metric::gauge("initialiser_value", Unit::NONE, "Always 1.");

extern "C" fn mark() {
    if let Some(file) = std::env::var_os("INITIALISER_MARK") {
        let _ = std::fs::write(file, b""); // the test sees that it is missing
    }
}

// SAFETY: the dynamic linker calls what stands in this section, once, with the C calling convention; `mark` needs no
// arguments, and std is usable then: in a library that is loaded by a running program.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOADING: extern "C" fn() = mark;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub struct Initialiser(Series);

impl Collector for Initialiser {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = &["initialiser_"];
    const METRICS: &'static [Metric<'static>] = &[VALUE];

    fn new(_: Config, host: &mut Host<'_>) -> Result<Self> {
        Ok(Self(host.series(&VALUE, &[])?))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        sink.put(self.0, 1.0);
        Ok(())
    }
}

export_plugin!(Initialiser, name = "initialiser");
