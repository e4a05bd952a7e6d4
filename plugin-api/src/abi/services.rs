//! Both ends of [`HostVt`]'s function pointers: [`HostServices`], a safe trait that the agent and the testing harness
//! implement, and [`Lent`], what the plugin's glue gives its collector for the length of a call. The pointer work is here, once.
#![allow(unsafe_code, reason = "turns the context pointer of a call back into the host's object")]

use super::{HostHandle, HostVt, HostVt_Ref, RawMetric};
use abi_stable::{
    prefix_type::WithMetadata,
    staticref,
    std_types::{RResult, RSlice, RStr, RString},
};
use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
};

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

/// The handle that a call into a plugin takes: the table of `T`'s functions, and `services` as their context. Using it
/// after `services` is gone would be unsound: that is why calling the table is unsafe, and why only [`Lent`] does it.
pub fn handle<T: HostServices>(services: &mut T) -> HostHandle {
    HostHandle { ctx: std::ptr::from_mut(services).cast(), vt: Table::<T>::REF }
}

/// The host's services, lent to a plugin for the length of one call.
pub struct Lent<'a> {
    handle: HostHandle,
    call: PhantomData<&'a mut ()>,
}

impl Lent<'_> {
    /// # Safety
    /// `handle` is the one of the call that is under way, and the lifetime ends with that call.
    pub unsafe fn new(handle: HostHandle) -> Self {
        Self { handle, call: PhantomData }
    }

    /// See [`HostVt::metric`].
    pub fn metric(&mut self, metric: &RawMetric<'_>) -> RResult<u32, RString> {
        // SAFETY: by the promise of `new`; `Lent` is neither `Send` nor `Sync`, for its handle holds a raw pointer.
        unsafe { self.handle.vt.metric()(self.handle.ctx, metric) }
    }

    /// See [`HostVt::series`].
    pub fn series(&mut self, metric: u32, labels: RSlice<'_, RStr<'_>>) -> RResult<u32, RString> {
        // SAFETY: as in `metric`.
        unsafe { self.handle.vt.series()(self.handle.ctx, metric, labels) }
    }

    /// See [`HostVt::retire`].
    pub fn retire(&mut self, series: u32) {
        // SAFETY: as in `metric`.
        unsafe { self.handle.vt.retire()(self.handle.ctx, series) }
    }

    /// See [`HostVt::unavailable`].
    pub fn unavailable(&mut self, series: u32, reason: &str) {
        // SAFETY: as in `metric`.
        unsafe { self.handle.vt.unavailable()(self.handle.ctx, series, reason.into()) }
    }

    /// See [`HostVt::batch_time`].
    pub fn batch_time(&mut self, unix_ms: i64) {
        // SAFETY: as in `metric`.
        unsafe { self.handle.vt.batch_time()(self.handle.ctx, unix_ms) }
    }

    /// See [`HostVt::log`].
    pub fn log(&mut self, level: u8, message: &str) {
        // SAFETY: as in `metric`.
        unsafe { self.handle.vt.log()(self.handle.ctx, level, message.into()) }
    }
}

struct Table<T>(PhantomData<T>);

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
///
/// # Safety
/// As [`HostVt`] says of `ctx`.
unsafe fn serve<T: HostServices, R>(
    ctx: *mut (),
    call: impl FnOnce(&mut T) -> R,
    panicked: impl FnOnce() -> R,
) -> R {
    // SAFETY: by the caller's promise `ctx` comes from the `handle::<T>` of the call that is under way, whose `&mut T`
    // lives for that call; services are called on its thread, one at a time, so the reference is unique.
    let services = unsafe { &mut *ctx.cast::<T>() };
    catch_unwind(AssertUnwindSafe(|| call(services))).unwrap_or_else(|_| panicked())
}

fn answer(result: Result<u32, String>) -> RResult<u32, RString> {
    result.map_err(RString::from).into()
}

fn host_panicked() -> RResult<u32, RString> {
    RResult::RErr("the host panicked: see its log".into())
}

unsafe extern "C" fn metric<T: HostServices>(ctx: *mut (), metric: &RawMetric<'_>) -> RResult<u32, RString> {
    // SAFETY: the caller's promise, passed on.
    unsafe { serve(ctx, |host: &mut T| answer(host.metric(metric)), host_panicked) }
}

unsafe extern "C" fn series<T: HostServices>(
    ctx: *mut (),
    metric: u32,
    labels: RSlice<'_, RStr<'_>>,
) -> RResult<u32, RString> {
    // SAFETY: the caller's promise, passed on.
    unsafe { serve(ctx, |host: &mut T| answer(host.series(metric, labels.as_slice())), host_panicked) }
}

unsafe extern "C" fn retire<T: HostServices>(ctx: *mut (), series: u32) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        serve(ctx, |host: &mut T| host.retire(series), || ());
    }
}

unsafe extern "C" fn unavailable<T: HostServices>(ctx: *mut (), series: u32, reason: RStr<'_>) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        serve(ctx, |host: &mut T| host.unavailable(series, reason.as_str()), || ());
    }
}

unsafe extern "C" fn batch_time<T: HostServices>(ctx: *mut (), unix_ms: i64) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        serve(ctx, |host: &mut T| host.batch_time(unix_ms), || ());
    }
}

unsafe extern "C" fn log<T: HostServices>(ctx: *mut (), level: u8, message: RStr<'_>) {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        serve(ctx, |host: &mut T| host.log(level, message.as_str()), || ());
    }
}
