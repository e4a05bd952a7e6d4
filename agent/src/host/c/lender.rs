//! The `twarga_host` and `twarga_out` of a C collector. They stay as long as the collector, and work during its calls,
//! on the thread of the call: a plugin that keeps the pointers and uses them elsewhere is refused, not believed.

use super::{given, size_of_u32, utf8};
use abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec};
use std::{
    cell::Cell,
    ffi::{c_char, c_void},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};
use twarga_plugin_api::{
    MAX_LABELS,
    abi::{
        API_VERSION, HostHandle, RawKind, RawMetric, Sample,
        c::{CError, CHost, CMetric, COut, FATAL, OK},
        services::Lent,
    },
};

/// The most samples that one `put` takes: more series than any collector may have.
const MOST_SAMPLES: usize = 1 << 24;
/// What the functions that register answer in place of an id.
const NO_ID: i64 = -1;
/// The level of the lines about a plugin's mistakes.
const WARN: u8 = 1;

thread_local! {
    static HERE: u8 = const { 0 };
}

/// A number that no other running thread has, and not 0.
fn this_thread() -> usize {
    HERE.with(|here| ptr::from_ref(here).addr())
}

fn api_minor() -> u32 {
    API_VERSION.split_once('.').and_then(|(_, minor)| minor.parse().ok()).unwrap_or(0)
}

/// What the functions find behind `ctx`.
struct Desk {
    host: CHost,
    out: COut,
    /// The thread of the call that is under way; 0 between calls. Only that thread touches the cells below.
    caller: AtomicUsize,
    handle: Cell<Option<HostHandle>>,
    samples: Cell<Option<NonNull<RVec<Sample>>>>,
    /// Uses of the host from elsewhere since the last call.
    strayed: AtomicU32,
}

/// Lends the host's services to a C collector, call by call.
pub(super) struct Lender(NonNull<Desk>);

// SAFETY: the desk is on the heap and has no owner but this; between calls its cells are empty, and `lend` fills and
// empties them on one thread.
unsafe impl Send for Lender {}

impl Lender {
    pub(super) fn new() -> Self {
        let desk = Box::new(Desk {
            host: CHost {
                size: size_of_u32::<CHost>(),
                api_minor: api_minor(),
                ctx: ptr::null_mut(),
                metric,
                series,
                retire,
                unavailable,
                batch_time,
                log,
            },
            out: COut { size: size_of_u32::<COut>(), reserved: 0, ctx: ptr::null_mut(), put },
            caller: AtomicUsize::new(0),
            handle: Cell::new(None),
            samples: Cell::new(None),
            strayed: AtomicU32::new(0),
        });
        let desk = NonNull::from(Box::leak(desk));
        // SAFETY: just made, and nobody else knows it yet. From here on it is only ever shared.
        unsafe {
            (*desk.as_ptr()).host.ctx = desk.as_ptr().cast();
            (*desk.as_ptr()).out.ctx = desk.as_ptr().cast();
        }
        Self(desk)
    }

    /// Makes one call with the services of `handle`, and gives its code. `samples` is where `put` puts, if it may.
    pub(super) fn lend(
        &self,
        handle: HostHandle,
        samples: Option<&mut RVec<Sample>>,
        call: impl FnOnce(*const CHost, *const COut) -> i32,
    ) -> i32 {
        // SAFETY: the desk lives as long as `self`, and nobody has a `&mut` to it after `new`.
        let desk = unsafe { self.0.as_ref() };
        desk.handle.set(Some(handle));
        desk.samples.set(samples.map(NonNull::from));
        desk.caller.store(this_thread(), Ordering::Release);
        let strayed = desk.strayed.swap(0, Ordering::Relaxed);
        if strayed > 0 {
            desk.complain(&format!(
                "{strayed} uses of the host from another thread or outside a call are refused"
            ));
        }
        let code = call(&raw const desk.host, &raw const desk.out);
        desk.caller.store(0, Ordering::Release);
        desk.handle.set(None);
        desk.samples.set(None);
        code
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` in `new`, freed here alone. The plugin's collector is destroyed, and by the
        // header it has ended its threads with it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Desk {
    /// The host of the call that is under way, if this is its thread.
    fn host(&self) -> Result<Lent<'_>, String> {
        if self.caller.load(Ordering::Acquire) == this_thread()
            && let Some(handle) = self.handle.get()
        {
            // SAFETY: the call is under way on this very thread, so the handle is alive, and stays so until the
            // function that asks returns to the plugin.
            return Ok(unsafe { Lent::new(handle) });
        }
        self.strayed.fetch_add(1, Ordering::Relaxed);
        Err("the host is used from another thread, or outside a call".into())
    }

    /// A line of log about a mistake of the plugin, where there is a call to say it in.
    fn complain(&self, mistake: &str) {
        if self.caller.load(Ordering::Acquire) == this_thread()
            && let Some(handle) = self.handle.get()
        {
            // SAFETY: as in `host`.
            unsafe { Lent::new(handle) }.log(WARN, mistake);
        }
    }

    /// The code of a function that gives nothing back.
    fn code(&self, function: &str, result: Result<(), String>) -> i32 {
        match result {
            Ok(()) => OK,
            Err(mistake) => {
                self.complain(&format!("{function}: {mistake}"));
                FATAL
            }
        }
    }
}

/// The desk of a host that the plugin passes.
///
/// # Safety
/// The pointer is NULL, or the `twarga_host` that this collector was given or a copy of it, and the collector is not
/// destroyed.
unsafe fn desk_of<'a>(host: *const CHost) -> Option<&'a Desk> {
    // SAFETY: by the caller's promise it is a `CHost` where it is not NULL.
    let ctx: *const c_void = unsafe { host.as_ref() }?.ctx;
    // SAFETY: `new` made `ctx` from the desk, which lives as long as the collector and is only ever shared.
    unsafe { ctx.cast::<Desk>().as_ref() }
}

/// Gives an id, or writes the error.
///
/// # Safety
/// `error` is NULL or a `twarga_error` of the size that it names.
unsafe fn id(result: Result<RResult<u32, RString>, String>, error: *mut CError) -> i64 {
    let message = match result {
        Ok(RResult::ROk(id)) => return id.into(),
        Ok(RResult::RErr(message)) => message.into_string(),
        Err(message) => message,
    };
    // SAFETY: NULL or a struct of the header, by the caller's promise; its size is asked before the rest is touched.
    if let Some(size) = unsafe { error.cast::<u32>().as_ref() }
        && *size >= size_of_u32::<CError>()
    {
        // SAFETY: it is as large as `CError`, and the plugin leaves it to the host for this call.
        let error = unsafe { &mut *error };
        let end = message.floor_char_boundary(error.message.len() - 1);
        error.message.fill(0);
        for (to, from) in error.message.iter_mut().zip(&message.as_bytes()[..end]) {
            *to = c_char::from_ne_bytes([*from]);
        }
    }
    NO_ID
}

unsafe extern "C" fn metric(host: *const CHost, metric: *const CMetric, error: *mut CError) -> i64 {
    // SAFETY: the header's promises: the host's own pointer, structs of the sizes that they name, texts with a NUL.
    unsafe {
        let Some(desk) = desk_of(host) else { return id(Err("metric: host is NULL".into()), error) };
        id(declare(desk, metric), error)
    }
}

/// # Safety
/// `metric` is NULL or a `twarga_metric` of the size that it names, whose texts end with a NUL.
unsafe fn declare(desk: &Desk, metric: *const CMetric) -> Result<RResult<u32, RString>, String> {
    // SAFETY: NULL or a struct that begins with its size.
    let size = unsafe { metric.cast::<u32>().as_ref() }.ok_or("metric: metric is NULL")?;
    if *size < size_of_u32::<CMetric>() {
        let least = size_of::<CMetric>();
        return Err(format!("metric: twarga_metric.size is {size}, and it is at least {least}"));
    }
    // SAFETY: as large as `CMetric`; its texts are NULL or end with a NUL, and stay for the call.
    let (metric, name, unit, help, label_keys) = unsafe {
        let metric = *metric;
        let name = utf8(metric.name, "metric: the name")?;
        let (unit, help) =
            (utf8(metric.unit, "metric: the unit")?, utf8(metric.help, "metric: the help text")?);
        (metric, name, unit, help, utf8(metric.label_keys, "metric: the text of label keys")?)
    };
    let kind = u8::try_from(metric.kind).map_err(|_| format!("metric: there is no kind {}", metric.kind))?;
    let raw = RawMetric {
        name: name.into(),
        unit: unit.into(),
        help: help.into(),
        label_keys: label_keys.into(),
        ext_json: RStr::empty(),
        kind: RawKind(kind),
    };
    Ok(desk.host()?.metric(&raw))
}

unsafe extern "C" fn series(
    host: *const CHost,
    metric: u32,
    labels: *const *const c_char,
    count: usize,
    error: *mut CError,
) -> i64 {
    // SAFETY: as in `metric`; `labels` has `count` texts.
    unsafe {
        let Some(desk) = desk_of(host) else { return id(Err("series: host is NULL".into()), error) };
        id(register(desk, metric, labels, count), error)
    }
}

/// # Safety
/// `labels` is NULL or leads to `count` pointers, each NULL or a text that ends with a NUL.
unsafe fn register(
    desk: &Desk,
    metric: u32,
    labels: *const *const c_char,
    count: usize,
) -> Result<RResult<u32, RString>, String> {
    // before the first is read: a count that is garbage must not lead anywhere
    if count > MAX_LABELS {
        return Err(format!("series: {count} labels, the most is {MAX_LABELS}"));
    }
    if count > 0 && (labels.is_null() || !labels.is_aligned()) {
        return Err(format!("series: labels is no array, and there should be {count}"));
    }
    let mut values = [RStr::empty(); MAX_LABELS];
    for (index, value) in values.iter_mut().enumerate().take(count) {
        // SAFETY: `index` is below `count`; the text is as the caller promises.
        let text = unsafe { utf8(*labels.add(index), "it") };
        *value = text.map_err(|problem| format!("series: label {index}: {problem}"))?.into();
    }
    Ok(desk.host()?.series(metric, RSlice::from_slice(&values[..count])))
}

unsafe extern "C" fn retire(host: *const CHost, series: u32) -> i32 {
    // SAFETY: the header's promise about `host`.
    let Some(desk) = (unsafe { desk_of(host) }) else { return FATAL };
    desk.code("retire", desk.host().map(|mut host| host.retire(series)))
}

unsafe extern "C" fn unavailable(host: *const CHost, series: u32, reason: *const c_char) -> i32 {
    // SAFETY: the header's promises about `host` and texts.
    let (desk, reason) = unsafe { (desk_of(host), given(reason, "reason")) };
    let Some(desk) = desk else { return FATAL };
    // prose for people: what is no UTF-8 in it is replaced
    let done = reason
        .and_then(|reason| desk.host().map(|mut host| host.unavailable(series, &reason.to_string_lossy())));
    desk.code("unavailable", done)
}

unsafe extern "C" fn batch_time(host: *const CHost, unix_ms: i64) -> i32 {
    // SAFETY: the header's promise about `host`.
    let Some(desk) = (unsafe { desk_of(host) }) else { return FATAL };
    desk.code("batch_time", desk.host().map(|mut host| host.batch_time(unix_ms)))
}

unsafe extern "C" fn log(host: *const CHost, level: u32, message: *const c_char) -> i32 {
    // SAFETY: the header's promises about `host` and texts.
    let (desk, message) = unsafe { (desk_of(host), given(message, "message")) };
    let Some(desk) = desk else { return FATAL };
    let level = u8::try_from(level).unwrap_or(u8::MAX); // the host takes what it doesn't know for details
    let done =
        message.and_then(|message| desk.host().map(|mut host| host.log(level, &message.to_string_lossy())));
    desk.code("log", done)
}

unsafe extern "C" fn put(out: *const COut, samples: *const Sample, count: usize) -> i32 {
    // SAFETY: `out` is NULL or the `twarga_out` of this collector, by the header.
    let ctx = unsafe { out.as_ref() }.map_or(ptr::null(), |out| out.ctx.cast_const());
    // SAFETY: as in `desk_of`.
    let Some(desk) = (unsafe { ctx.cast::<Desk>().as_ref() }) else { return FATAL };
    // SAFETY: `samples` leads to `count` samples, by the header.
    desk.code("put", unsafe { append(desk, samples, count) })
}

/// # Safety
/// `samples` is NULL or leads to `count` samples.
unsafe fn append(desk: &Desk, samples: *const Sample, count: usize) -> Result<(), String> {
    desk.host().map(|_| ())?; // a call is under way, on this thread
    let out = desk.samples.get().ok_or("samples are for collect() alone")?;
    if count == 0 {
        return Ok(());
    }
    if samples.is_null() || !samples.is_aligned() || count > MOST_SAMPLES {
        return Err(format!("samples is no array of {count}"));
    }
    // SAFETY: neither NULL nor misaligned; `count` samples by the caller's promise, and every pattern of bits is one.
    let samples = unsafe { std::slice::from_raw_parts(samples, count) };
    // SAFETY: the vector that `lend` borrowed for the call under way; this is its thread, and nobody else uses the
    // vector meanwhile. It is the host's own, so `samples` can't lie in it.
    unsafe { (*out.as_ptr()).extend_from_slice(samples) };
    Ok(())
}
