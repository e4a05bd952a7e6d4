//! The boundary as it was published: what `frozen_types.rs` can't see, offsets, constants, the section's text, and the
//! structs of the C header. A failure here means that plugins which exist would no longer load, or be misread: change the
//! code, not the numbers. Fields are only ever added after the last one; `docs/abi.md` says how.

use std::mem::{align_of, offset_of, size_of};
use twarga_plugin_api::{
    Level, Metric, Unit,
    abi::{
        API_VERSION, HostHandle, HostVt, PluginMod, RawError, RawKind, RawMetric, Sample,
        c::{self, CError, CHost, CMetric, COut, CPlugin},
        metadata,
    },
};

/// What every failure here says.
const ADVICE: &str = "take the change back: the boundary only grows after its last fields, see docs/abi.md";

#[test]
fn values_keep_their_layout() {
    assert_eq!((size_of::<Sample>(), align_of::<Sample>()), (16, 8), "{ADVICE}");
    assert_eq!(
        (offset_of!(Sample, series), offset_of!(Sample, flags), offset_of!(Sample, value)),
        (0, 4, 8),
        "{ADVICE}"
    );
    assert_eq!(Sample::RESET, 1, "{ADVICE}");
    assert_eq!(size_of::<RawKind>(), 1, "{ADVICE}");
    assert_eq!(
        [RawKind::GAUGE, RawKind::COUNTER, RawKind::INFO, RawKind::STATE_SET].map(|kind| kind.0),
        [0, 1, 2, 3],
        "{ADVICE}"
    );
    assert_eq!(size_of::<RawMetric<'_>>(), 88, "{ADVICE}");
    assert_eq!((offset_of!(RawMetric<'_>, name), offset_of!(RawMetric<'_>, kind)), (0, 80), "{ADVICE}");
    assert_eq!(
        (size_of::<RawError>(), offset_of!(RawError, message), offset_of!(RawError, location)),
        (72, 8, 40),
        "{ADVICE}"
    );
    assert_eq!(size_of::<HostHandle>(), 16, "{ADVICE}");
}

#[test]
fn tables_keep_their_first_fields() {
    assert_eq!(
        [
            offset_of!(HostVt, metric),
            offset_of!(HostVt, series),
            offset_of!(HostVt, retire),
            offset_of!(HostVt, unavailable),
            offset_of!(HostVt, batch_time),
            offset_of!(HostVt, log),
        ],
        [0, 8, 16, 24, 32, 40],
        "{ADVICE}"
    );
    assert_eq!(
        [
            offset_of!(PluginMod, name),
            offset_of!(PluginMod, version),
            offset_of!(PluginMod, description),
            offset_of!(PluginMod, authors),
            offset_of!(PluginMod, config_schema),
            offset_of!(PluginMod, namespaces),
            offset_of!(PluginMod, metrics),
            offset_of!(PluginMod, create),
        ],
        [0, 16, 32, 48, 64, 80, 96, 112],
        "{ADVICE}"
    );
}

#[test]
fn the_file_format_keeps_its_names() {
    assert_eq!(
        (metadata::MAGIC, metadata::SECTION),
        ("twarga-plugin-metadata 1", ".twarga_plugin"),
        "{ADVICE}"
    );
    assert_eq!(API_VERSION.split('.').next(), Some("1"), "{ADVICE}");
}

/// The metadata section, byte for byte but for what the build puts into it.
#[test]
fn the_section_keeps_its_format() {
    const METRICS: &[Metric<'static>] = &[
        Metric::gauge("a_bytes", Unit::BYTES, "Help = text.").labels("x,y"),
        Metric::counter("a_total", Unit::NONE, "Help."),
        Metric::info("a_info", "Help."),
        Metric::state_set("a_state", "Help.").labels("state"),
    ];
    const FACTS: metadata::Facts = metadata::Facts {
        name: "a",
        version: "1.2.3",
        description: "d",
        authors: "e",
        entry: "f",
        panic: "unwind",
        profile: "release",
        schema: "{\n}",
        namespaces: &["a_", "b_"],
        metrics: METRICS,
    };
    let bytes: [u8; metadata::length(&FACTS)] = metadata::bytes(&FACTS);
    let text = std::str::from_utf8(&bytes).expect("it is made of texts");
    let fixed: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("rustc=") && !line.starts_with("target=")).collect();
    let expected = [
        "twarga-plugin-metadata 1",
        "name=a",
        "version=1.2.3",
        "description=d",
        "authors=e",
        "entry=f",
        &format!("api={API_VERSION}"),
        "panic=unwind",
        "profile=release",
        "namespace=a_",
        "namespace=b_",
        "metric=gauge\ta_bytes\tBy\tx,y\tHelp = text.",
        "metric=counter\ta_total\t\t\tHelp.",
        "metric=info\ta_info\t\t\tHelp.",
        "metric=stateset\ta_state\t\tstate\tHelp.",
        "schema={ }",
        "\0",
    ];
    assert_eq!(fixed, expected, "{ADVICE}");
    assert_eq!(text.lines().count(), fixed.len() + 2, "{ADVICE}");
}

#[test]
fn levels_keep_their_numbers() {
    let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug].map(|level| level as u8);
    assert_eq!(levels, [0, 1, 2, 3], "{ADVICE}");
}

/// Size, alignment and offsets of a struct.
macro_rules! layout {
    ($type:ty: $($field:ident),*) => {
        (size_of::<$type>(), align_of::<$type>(), vec![$(offset_of!($type, $field)),*])
    };
}

/// The same numbers as `frozen/header.c` has: host and header agree.
#[test]
fn the_structs_of_the_header_keep_their_layout() {
    let sample = layout!(Sample: series, flags, value);
    assert_eq!(sample, (16, 8, vec![0, 4, 8]), "{ADVICE}");
    let metric = layout!(CMetric: size, kind, name, unit, help, label_keys);
    assert_eq!(metric, (40, 8, vec![0, 4, 8, 16, 24, 32]), "{ADVICE}");
    let error = layout!(CError: size, reserved, message, location);
    assert_eq!(error, (776, 4, vec![0, 4, 8, 520]), "{ADVICE}");
    let host = layout!(CHost: size, api_minor, ctx, metric, series, retire, unavailable, batch_time, log);
    assert_eq!(host, (64, 8, vec![0, 4, 8, 16, 24, 32, 40, 48, 56]), "{ADVICE}");
    let out = layout!(COut: size, reserved, ctx, put);
    assert_eq!(out, (24, 8, vec![0, 4, 8, 16]), "{ADVICE}");
    let plugin = layout!(CPlugin: size, abi_major, metadata, create, collect, destroy);
    assert_eq!(plugin, (40, 8, vec![0, 4, 8, 16, 24, 32]), "{ADVICE}");
    assert_eq!((c::ABI_MAJOR, c::OK, c::FATAL), (1, 0, 4), "{ADVICE}");
}
