//! The host's half of the boundary: a safe trait in place of [`HostVt`]'s function pointers.
//!
//! The agent and the testing harness both implement [`HostServices`]; the pointer work is here, once.
#![allow(unsafe_code, reason = "turns the context pointer of a call back into the host's object")]

use super::{HostHandle, HostVt, HostVt_Ref, RawMetric};
use abi_stable::{
    prefix_type::WithMetadata,
    staticref,
    std_types::{RResult, RSlice, RStr, RString},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a host offers a plugin during a call; see [`HostVt`] for each method.
pub trait HostServices {
    /// Declares a family at run time.
    ///
    /// # Errors
    /// A sentence for the plugin's author.
    fn metric(&mut self, metric: &RawMetric<'_>) -> Result<u32, String>;
    /// Finds or registers a series.
    ///
    /// # Errors
    /// A sentence for the plugin's author.
    fn series(&mut self, metric: u32, labels: &[RStr<'_>]) -> Result<u32, String>;
    /// Ends a series.
    fn retire(&mut self, series: u32);
    /// Notes that a series has no value this time.
    fn unavailable(&mut self, series: u32, reason: &str);
    /// Notes the time of this batch.
    fn batch_time(&mut self, unix_ms: i64);
    /// Writes to the log.
    fn log(&mut self, level: u8, message: &str);
}

/// The handle that a call into a plugin takes: the table of `T`'s functions, and `services` as their context.
///
/// The handle must not be used after `services` is gone; the plugin's glue borrows it for one call only.
pub fn handle<T: HostServices>(services: &mut T) -> HostHandle {
    HostHandle { ctx: std::ptr::from_mut(services).cast(), vt: Table::<T>::REF }
}

struct Table<T>(std::marker::PhantomData<T>);

impl<T: HostServices> Table<T> {
    staticref!(const VT: WithMetadata<HostVt> = WithMetadata::new(HostVt {
        metric: metric::<T>,
        series: series::<T>,
        retire: retire::<T>,
        unavailable: unavailable::<T>,
        batch_time: batch_time::<T>,
        log: log::<T>,
    }));
    const REF: HostVt_Ref = HostVt_Ref(Self::VT.as_prefix());
}

/// Runs one service for the plugin. A panic of the host must not unwind through the plugin's frames.
fn serve<T: HostServices, R>(
    ctx: *mut (),
    call: impl FnOnce(&mut T) -> R,
    panicked: impl FnOnce() -> R,
) -> R {
    // SAFETY: `ctx` comes from `handle::<T>`, whose `&mut T` is borrowed for the whole call into the plugin; the
    // plugin's glue uses it on the calling thread only, one service at a time, so the reference is unique.
    let services = unsafe { &mut *ctx.cast::<T>() };
    catch_unwind(AssertUnwindSafe(|| call(services))).unwrap_or_else(|_| panicked())
}

fn answer(result: Result<u32, String>) -> RResult<u32, RString> {
    result.map_err(RString::from).into()
}

fn host_panicked() -> RResult<u32, RString> {
    RResult::RErr("the host panicked: see its log".into())
}

extern "C" fn metric<T: HostServices>(ctx: *mut (), metric: &RawMetric<'_>) -> RResult<u32, RString> {
    serve(ctx, |host: &mut T| answer(host.metric(metric)), host_panicked)
}

extern "C" fn series<T: HostServices>(
    ctx: *mut (),
    metric: u32,
    labels: RSlice<'_, RStr<'_>>,
) -> RResult<u32, RString> {
    serve(ctx, |host: &mut T| answer(host.series(metric, labels.as_slice())), host_panicked)
}

extern "C" fn retire<T: HostServices>(ctx: *mut (), series: u32) {
    serve(ctx, |host: &mut T| host.retire(series), || ());
}

extern "C" fn unavailable<T: HostServices>(ctx: *mut (), series: u32, reason: RStr<'_>) {
    serve(ctx, |host: &mut T| host.unavailable(series, reason.as_str()), || ());
}

extern "C" fn batch_time<T: HostServices>(ctx: *mut (), unix_ms: i64) {
    serve(ctx, |host: &mut T| host.batch_time(unix_ms), || ());
}

extern "C" fn log<T: HostServices>(ctx: *mut (), level: u8, message: RStr<'_>) {
    serve(ctx, |host: &mut T| host.log(level, message.as_str()), || ());
}
