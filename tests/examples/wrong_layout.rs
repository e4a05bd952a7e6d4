//! A plugin made without `export_plugin!`, with types of its own: its samples carry integers. Everything else is as it
//! should be, so that only the comparison of the layouts can refuse it.

#![allow(unsafe_code, reason = "what export_plugin! would do, by hand")]
#![allow(non_local_definitions, non_camel_case_types, unused_qualifications, reason = "abi_stable's derives")]

use abi_stable::{
    StableAbi,
    library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModule, RootModuleResult},
    prefix_type::PrefixTypeTrait,
    sabi_trait,
    sabi_types::VersionStrings,
    std_types::{RBox, RErr, RResult, RSlice, RStr, RVec},
};
use twarga_plugin_api::abi::{
    HostHandle, RawError, RawMetric,
    metadata::{self, Facts},
};

#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct Sample {
    pub series: u32,
    pub flags: u32,
    pub value: u64,
}

#[sabi_trait]
pub trait RawCollector: Send {
    #[sabi(last_prefix_field)]
    fn collect(&mut self, out: &mut RVec<Sample>, host: HostHandle) -> RResult<(), RawError>;
}

pub type RawCollectorBox = RawCollector_TO<'static, RBox<()>>;

#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginMod_Ref)))]
pub struct PluginMod {
    pub name: RStr<'static>,
    pub version: RStr<'static>,
    pub description: RStr<'static>,
    pub authors: RStr<'static>,
    pub config_schema: RStr<'static>,
    pub namespaces: RSlice<'static, RStr<'static>>,
    pub metrics: RSlice<'static, RawMetric<'static>>,
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(config: RStr<'_>, host: HostHandle) -> RResult<RawCollectorBox, RawError>,
}

impl RootModule for PluginMod_Ref {
    abi_stable::declare_root_module_statics! {PluginMod_Ref}
    const BASE_NAME: &'static str = "twarga_plugin";
    const NAME: &'static str = "twarga_plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

const FACTS: Facts = Facts {
    name: "wrong-layout",
    version: "1.0.0",
    description: "A plugin with other types",
    authors: "the tests",
    entry: "twarga_plugin_entry_wrong_layout",
    panic: "unwind",
    profile: "debug",
    schema: "",
    namespaces: &["wrong_layout_"],
    metrics: &[],
};

#[used]
#[unsafe(link_section = ".twarga_plugin")]
static METADATA: [u8; metadata::length(&FACTS)] = metadata::bytes(&FACTS);

extern "C" fn create(_: RStr<'_>, _: HostHandle) -> RResult<RawCollectorBox, RawError> {
    RErr(RawError { kind: 3, message: "a plugin with the wrong layout ran".into(), location: "".into() })
}

fn load() -> PluginMod_Ref {
    PluginMod {
        name: FACTS.name.into(),
        version: FACTS.version.into(),
        description: FACTS.description.into(),
        authors: FACTS.authors.into(),
        config_schema: FACTS.schema.into(),
        namespaces: RSlice::EMPTY,
        metrics: RSlice::EMPTY,
        create,
    }
    .leak_into_prefix()
}

extern "C" fn constructor() -> RootModuleResult {
    __call_root_module_loader(load)
}

#[unsafe(export_name = "twarga_plugin_entry_wrong_layout")]
pub static HEADER: LibHeader =
    // SAFETY: `constructor` returns the root module of the very type named here.
    unsafe { LibHeader::from_constructor::<PluginMod_Ref>(constructor, CheckTypeLayout::Yes) };
