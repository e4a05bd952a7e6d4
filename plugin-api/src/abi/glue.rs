//! The plugin's half of the boundary: every entry point catches its panics, because one that reached
//! abi_stable's own guard would end the whole process.
#![allow(
    unsafe_code,
    reason = "drops a collector exactly once under catch_unwind; views [Metric] as [RawMetric]; borrows the host for a call"
)]

use super::{
    HostHandle, PluginMod, PluginMod_Ref, RawCollector, RawCollector_TO, RawCollectorBox, RawError,
    RawMetric, Sample, services::Lent,
};
use crate::{
    collector::{Collector, Host, Sink},
    error::{Error, ErrorKind, Result},
    metric::Metric,
};
use abi_stable::{
    prefix_type::PrefixTypeTrait,
    sabi_trait::prelude::TD_Opaque,
    std_types::{RErr, ROk, RResult, RSlice, RStr, RVec},
};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    io::Write,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Records message and place of panics inside calls, in place of printing them. Called by the exported entry
/// point only: a shared library has its own copy of std, so the host's hook is never touched.
pub fn install_panic_hook() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !IN_CALL.try_with(Cell::get).unwrap_or(false) {
            return previous(info); // a thread that the plugin started itself
        }
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = Some((payload_text(info.payload()), place)));
    }));
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    (payload.downcast_ref::<&str>().map(ToString::to_string))
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

fn guard<T>(call: impl FnOnce() -> Result<T>) -> RResult<T, RawError> {
    IN_CALL.with(|flag| flag.set(true));
    let outcome = catch_unwind(AssertUnwindSafe(call));
    IN_CALL.with(|flag| flag.set(false));
    match outcome {
        Ok(Ok(value)) => ROk(value),
        Ok(Err(error)) => RErr(to_raw(&error)),
        Err(payload) => {
            let (message, place) = LAST_PANIC
                .with(|last| last.borrow_mut().take())
                .unwrap_or_else(|| (payload_text(&*payload), String::new()));
            std::mem::forget(payload); // dropping it may panic again
            RErr(to_raw(&Error::new(ErrorKind::Panicked, format!("panicked: {message}"), place)))
        }
    }
}

fn to_raw(error: &Error) -> RawError {
    RawError {
        kind: error.kind().to_raw(),
        message: error.message().into(),
        location: error.location().into(),
    }
}

/// An error that came across the boundary.
pub fn from_raw(raw: RawError) -> Error {
    Error::new(ErrorKind::from_raw(raw.kind), raw.message.into_string(), raw.location.into_string())
}

/// A collector whose panics stay inside, and which is not called again after one.
struct Guarded<C> {
    inner: ManuallyDrop<C>,
    poisoned: bool,
}

impl<C> Drop for Guarded<C> {
    fn drop(&mut self) {
        // SAFETY: `inner` is dropped here and nowhere else, and nothing can use it after this drop.
        let dropped = guard(|| unsafe {
            ManuallyDrop::drop(&mut self.inner);
            Ok(())
        });
        if let RErr(error) = dropped {
            // no call is left whose answer could tell; standard error is the agent's log
            let name = std::any::type_name::<C>();
            let _ = writeln!(std::io::stderr(), "drop of {name} {} at {}", error.message, error.location);
        }
    }
}

impl<C: Collector> RawCollector for Guarded<C> {
    fn collect(&mut self, out: &mut RVec<Sample>, host: HostHandle) -> RResult<(), RawError> {
        if self.poisoned {
            let message = "not called again after its panic";
            return RErr(to_raw(&Error::new(ErrorKind::Panicked, message, "")));
        }
        // SAFETY: `host` is the handle of this call; the sink and what it lends end within it.
        let lent = unsafe { Lent::new(host) };
        let result = guard(|| self.inner.collect(&mut Sink::new(out, Host::new(lent, C::METRICS))));
        if let RErr(error) = &result {
            self.poisoned = error.kind == ErrorKind::Panicked.to_raw();
        }
        result
    }
}

extern "C" fn create<C: Collector>(config: RStr<'_>, host: HostHandle) -> RResult<RawCollectorBox, RawError> {
    guard(|| {
        let config = parse_config::<C::Config>(config.as_str())?;
        // SAFETY: `host` is the handle of this call; what it lends ends within it.
        let lent = unsafe { Lent::new(host) };
        let inner = C::new(config, &mut Host::new(lent, C::METRICS))?;
        Ok(RawCollector_TO::from_value(
            Guarded { inner: ManuallyDrop::new(inner), poisoned: false },
            TD_Opaque,
        ))
    })
}

fn parse_config<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        // serde_json adds a place in the JSON text, which the operator never sees
        let message = message.split(" at line ").next().unwrap_or(&message);
        Error::config(if path == "." { "" } else { &path }, message)
    })
}

/// The root module of the plugin whose collector is `C`.
pub fn module<C: Collector>(
    name: &'static str,
    version: &'static str,
    description: &'static str,
    authors: &'static str,
) -> PluginMod_Ref {
    let namespaces: Vec<RStr<'static>> = C::NAMESPACES.iter().map(|name| RStr::from_str(name)).collect();
    PluginMod {
        name: name.into(),
        version: version.into(),
        description: description.into(),
        authors: authors.into(),
        config_schema: C::CONFIG_SCHEMA.into(),
        namespaces: RSlice::from_slice(namespaces.leak()),
        metrics: RSlice::from_slice(raw_metrics(C::METRICS)),
        create: create::<C>,
    }
    .leak_into_prefix()
}

fn raw_metrics(metrics: &'static [Metric<'static>]) -> &'static [RawMetric<'static>] {
    // SAFETY: `Metric` is `repr(transparent)` over `RawMetric`, so a slice of one has the layout of a slice of the other.
    unsafe { std::slice::from_raw_parts(metrics.as_ptr().cast(), metrics.len()) }
}
