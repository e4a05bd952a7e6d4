/// Exports a [`Collector`](crate::Collector) as a plugin. Once in a crate, at its root.
///
/// `export_plugin!(Thermal);` takes name, version, description and authors from the crate's `Cargo.toml`;
/// `export_plugin!(Thermal, name = "thermal");` names the plugin otherwise. The crate's type must be
/// `crate-type = ["cdylib", "rlib"]`.
///
/// It makes the entry symbol and the metadata section of the shared library, and
/// `pub fn plugin()`, the same entry points for the [testing harness](crate::testing).
#[macro_export]
macro_rules! export_plugin {
    ($collector:ty) => {
        $crate::export_plugin!($collector, name = env!("CARGO_PKG_NAME"));
    };
    ($collector:ty, name = $name:expr) => {
        /// The plugin's entry points, for the testing harness or a host that links the plugin in.
        pub fn plugin() -> $crate::abi::PluginMod_Ref {
            $crate::abi::glue::module::<$collector>(
                $name,
                env!("CARGO_PKG_VERSION"),
                env!("CARGO_PKG_DESCRIPTION"),
                env!("CARGO_PKG_AUTHORS"),
            )
        }

        #[doc(hidden)]
        const _: () = {
            use $crate::{abi::metadata, abi_stable::library};

            const FACTS: metadata::Facts = metadata::Facts {
                name: $name,
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
                authors: env!("CARGO_PKG_AUTHORS"),
                entry: concat!("twarga_plugin_entry_", env!("CARGO_CRATE_NAME")),
                panic: if cfg!(panic = "unwind") { "unwind" } else { "abort" },
                profile: if cfg!(debug_assertions) { "debug" } else { "release" },
                schema: <$collector as $crate::Collector>::CONFIG_SCHEMA,
                namespaces: <$collector as $crate::Collector>::NAMESPACES,
                metrics: <$collector as $crate::Collector>::METRICS,
            };
            const _: () = metadata::check(&FACTS);

            // Readable in the file without running an instruction of the plugin.
            #[used]
            #[unsafe(link_section = ".twarga_plugin")]
            static METADATA: [u8; metadata::length(&FACTS)] = metadata::bytes(&FACTS);

            fn load() -> $crate::abi::PluginMod_Ref {
                $crate::abi::glue::install_panic_hook();
                plugin()
            }

            extern "C" fn constructor() -> library::RootModuleResult {
                library::__call_root_module_loader(load)
            }

            // What abi_stable's attribute would make, by hand: the author needs no dependency on abi_stable, and the
            // symbol is the crate's own, so that two plugins can be linked into one test binary.
            #[unsafe(export_name = concat!("twarga_plugin_entry_", env!("CARGO_CRATE_NAME")))]
            pub static HEADER: library::LibHeader =
                // SAFETY: `constructor` returns the root module of the very type named here.
                unsafe {
                    library::LibHeader::from_constructor::<$crate::abi::PluginMod_Ref>(
                        constructor,
                        library::CheckTypeLayout::Yes,
                    )
                };
        };
    };
}
