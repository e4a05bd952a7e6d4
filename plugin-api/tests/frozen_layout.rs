//! The boundary as it was published. A failure here means that plugins which exist would no longer load: change the
//! code, not the numbers. Fields are only ever added after the last one of a prefix type.

use std::mem::{align_of, offset_of, size_of};
use twarga_plugin_api::abi::{
    API_VERSION, HostHandle, HostVt, PluginMod, RawError, RawKind, RawMetric, Sample, metadata,
};

#[test]
fn values_keep_their_layout() {
    assert_eq!((size_of::<Sample>(), align_of::<Sample>()), (16, 8));
    assert_eq!((offset_of!(Sample, series), offset_of!(Sample, flags), offset_of!(Sample, value)), (0, 4, 8));
    assert_eq!(Sample::RESET, 1);
    assert_eq!(size_of::<RawKind>(), 1);
    assert_eq!(
        [RawKind::GAUGE, RawKind::COUNTER, RawKind::INFO, RawKind::STATE_SET].map(|kind| kind.0),
        [0, 1, 2, 3]
    );
    assert_eq!(size_of::<RawMetric<'_>>(), 88);
    assert_eq!((offset_of!(RawMetric<'_>, name), offset_of!(RawMetric<'_>, kind)), (0, 80));
    assert_eq!(
        (size_of::<RawError>(), offset_of!(RawError, message), offset_of!(RawError, location)),
        (72, 8, 40)
    );
    assert_eq!(size_of::<HostHandle>(), 16);
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
        [0, 8, 16, 24, 32, 40]
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
        [0, 16, 32, 48, 64, 80, 96, 112]
    );
}

#[test]
fn the_file_format_keeps_its_names() {
    assert_eq!((metadata::MAGIC, metadata::SECTION), ("twarga-plugin-metadata 1", ".twarga_plugin"));
    assert_eq!(API_VERSION.split('.').next(), Some("1"));
}
