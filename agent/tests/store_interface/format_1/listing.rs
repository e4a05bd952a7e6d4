//! All that a store holds, as text. Uses only what the interface of the store had when it wrote format 1, so that the
//! program that made the file and the test that reads it share it.

use std::fmt::Write;
use twarga_agent::{
    model::{Kind, Timestamp},
    store::{EventFilter, Range, Reader, Store},
};

/// The names under which the file has small values, and one that it has not.
const META: [&str; 3] = ["alerts", "empty", "missing"];

/// Everything: small values, machines, events, and of each series its definition, gaps and points, to the bit.
pub(super) fn listing(store: &Store, reader: &Reader) -> String {
    let mut text = format!("last commit {:?}\n", store.last_commit().map(Timestamp::as_millis));
    for key in META {
        let _ = writeln!(text, "meta {key} {:?}", store.meta(key).unwrap());
    }
    for (id, uuid) in reader.vms().unwrap() {
        let _ = writeln!(text, "vm {id} {uuid}");
    }
    let filter = EventFilter { limit: 1000, ..EventFilter::default() };
    for stored in reader.events(&filter).unwrap() {
        let event = stored.event;
        let (time, severity) = (event.time.as_millis(), event.severity.word());
        let _ = writeln!(
            text,
            "event {} {time} {} {severity} {:?} {} {:?}",
            stored.id, event.kind, event.message, event.details, event.vm_id
        );
    }
    for series in reader.all_series().unwrap() {
        let metric = &series.def.metric;
        let kind = match metric.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Info => "info",
            _ => "stateset",
        };
        let _ = writeln!(
            text,
            "series {} {} {kind} {:?} {:?} {:?} {}",
            series.id.0, series.def, metric.unit, metric.help, metric.label_keys, metric.plugin
        );
        for gap in reader.gaps(series.id, Range::ALL, 1000).unwrap() {
            let (from, to) = (gap.from.as_millis(), gap.to.as_millis());
            let _ = writeln!(text, "gap {from} {to} {} {:?}", gap.reason, gap.scope);
        }
        for point in reader.last(series.id, Range::ALL, 100_000).unwrap() {
            let reset = if point.reset { " reset" } else { "" };
            let (time, bits) = (point.time.as_millis(), point.value.to_bits());
            let _ = writeln!(text, "{time} {} {bits:x}{reset}", point.run);
        }
    }
    text
}
