//! Opens a plugin: the one place where foreign code enters the process.
#![allow(unsafe_code, reason = "dlopen, dlsym, and trusting a layout that was just checked")]

use super::{
    claims::Claims,
    error::{LoadError, Refusal},
    layout,
    metadata::{DeclaredMetric, Metadata},
    preflight::{self, Strategy, open_file, preflight},
    trust,
};
use abi_stable::{
    StableAbi,
    library::{AbiHeaderRef, IsLayoutChecked},
};
use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
use std::{
    error::Error,
    fs::File,
    mem::ManuallyDrop,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};
use twarga_plugin_api::abi::PluginMod_Ref;

/// A loaded plugin. It stays in the process for ever: a library with threads or thread-locals can't be unloaded safely.
#[derive(Clone)]
pub struct Library {
    /// Its entry points.
    pub(super) module: PluginMod_Ref,
    /// What its file says.
    pub metadata: Metadata,
    /// Its file, without symbolic links.
    pub file: PathBuf,
}

/// Loads a file as the plugin `name` and claims its metrics.
///
/// # Errors
/// The file, what is wrong with it and what to do. Nothing of a refused file runs, except where its own
/// initialisers ran before the last checks (layout, consistency).
pub fn load(path: &Path, name: &str, claims: &Claims) -> Result<Library, LoadError> {
    load_checked(path, name, claims).map_err(|refusal| LoadError { file: path.into(), refusal })
}

fn load_checked(path: &Path, name: &str, claims: &Claims) -> Result<Library, Refusal> {
    let Examined { file, canonical, metadata } = examine(path, name, Strategy::InProcess, claims)?;
    let module = open(file, &metadata)?;
    check_consistent(module, &metadata)?;
    claims.claim(&metadata)?;
    Ok(Library { module, metadata, file: canonical })
}

/// A file that may be loaded; nothing of it ran.
pub(super) struct Examined {
    /// Open: what was checked is what is loaded.
    pub(super) file: File,
    /// Its path without symbolic links.
    pub(super) canonical: PathBuf,
    pub(super) metadata: Metadata,
}

/// Everything that can be known of a file without running it.
pub(super) fn examine(
    path: &Path,
    name: &str,
    strategy: Strategy,
    claims: &Claims,
) -> Result<Examined, Refusal> {
    let canonical = path.canonicalize()?;
    // One descriptor for every check and for dlopen: what was checked is what is loaded.
    let file = open_file(&canonical)?;
    trust::check(&canonical, &file)?;
    let metadata = preflight(&file)?.metadata;
    if metadata.name != name {
        return Err(Refusal::OtherName(metadata.name));
    }
    preflight::check_loadable(&metadata, strategy)?;
    claims.check(&metadata)?;
    Ok(Examined { file, canonical, metadata })
}

/// Loads a file that the parent of this process has examined.
pub(super) fn load_examined(file: File) -> Result<(PluginMod_Ref, Metadata), Refusal> {
    let metadata = preflight(&file)?.metadata;
    let module = open(file, &metadata)?;
    check_consistent(module, &metadata)?;
    Ok((module, metadata))
}

/// dlopen, header, layout.
fn open(file: File, metadata: &Metadata) -> Result<PluginMod_Ref, Refusal> {
    // The descriptor is never closed: the dynamic linker knows the library by this path, and would give it again
    // for another file that got the same number.
    let file = ManuallyDrop::new(file);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // RTLD_NOW: an undefined symbol is an error here, not the end of the process at the first call.
    // SAFETY: running the library's initialisers is the point; the file passed the trust and preflight checks, and it
    // is never unloaded (`ManuallyDrop`).
    let handle = unsafe { Handle::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let handle = match handle {
        Ok(handle) => ManuallyDrop::new(handle),
        Err(error) => {
            drop(ManuallyDrop::into_inner(file)); // the linker has forgotten it too
            return Err(Refusal::Dlopen(explain(&error, &path)));
        }
    };
    // SAFETY: the symbol is a `LibHeader` by the contract of `export_plugin!`, whose metadata section named it; its
    // magic and version are checked by `upgrade` before anything else of it is read.
    let header = unsafe { handle.get::<AbiHeaderRef>(metadata.entry.as_bytes()) };
    let header = *header.map_err(|error| Refusal::Entry(explain(&error, &path)))?;
    let header = header.upgrade().map_err(|error| Refusal::Entry(first_line(&error.to_string())))?;
    let IsLayoutChecked::Yes(plugin) = header.root_mod_consts().layout() else {
        return Err(Refusal::Entry("it carries no type layout".into()));
    };
    layout::check(<PluginMod_Ref as StableAbi>::LAYOUT, plugin).map_err(Refusal::Layout)?;
    // SAFETY: the layouts were just compared, in both directions.
    let module = unsafe { header.unchecked_layout::<PluginMod_Ref>() };
    module.map_err(|error| Refusal::Entry(first_line(&error.to_string())))
}

fn check_consistent(module: PluginMod_Ref, metadata: &Metadata) -> Result<(), Refusal> {
    let differs = |what: &str, code: &str, file: &str| {
        Refusal::Inconsistent(format!("{what} is `{code}` in one and `{file}` in the other"))
    };
    if module.name().as_str() != metadata.name {
        return Err(differs("the name", module.name().as_str(), &metadata.name));
    }
    let mut code = module.metrics().as_slice().iter().map(DeclaredMetric::from);
    let mut file = metadata.metrics.iter();
    loop {
        let name =
            |metric: Option<&DeclaredMetric>| metric.map_or(String::new(), |metric| metric.name.clone());
        match (code.next(), file.next()) {
            (None, None) => return Ok(()),
            (Some(code), Some(file)) if code == *file => {}
            (Some(code), Some(file)) if code.name == file.name => {
                let what = format!("metric `{}` is declared otherwise in one than in the other", code.name);
                return Err(Refusal::Inconsistent(what));
            }
            (code, file) => return Err(differs("a metric", &name(code.as_ref()), &name(file))),
        }
    }
}

/// libloading's Display is only "dlopen failed": the reason is in the sources.
fn explain(error: &dyn Error, path: &str) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    first_line(&text.replace(&format!("{path}: "), "").replace(path, "it"))
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().trim().into()
}
