//! Opens a plugin: the one place where foreign code enters the process.
#![allow(unsafe_code, reason = "dlopen, dlsym, and trusting a layout that was just checked")]

use super::{
    approve::{Approved, approve},
    c,
    claims::Claims,
    digest::digest as digest_of,
    error::{LoadError, Refusal},
    identity::Identity,
    layout,
    mapped::Entering,
    metadata::{DeclaredMetric, Metadata},
    preflight::preflight,
};
use crate::model::Digest;
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
use twarga_plugin_api::abi::{HostHandle, PluginMod_Ref, RawCollectorBox, RawError, c::CPlugin};

/// A loaded plugin. It stays in the process for ever: a library with threads or thread-locals can't be unloaded safely.
#[derive(Clone)]
pub struct Library {
    /// Its entry points.
    pub(super) code: Code,
    /// What its file says.
    pub metadata: Metadata,
    /// Its file, without symbolic links.
    pub file: PathBuf,
    /// What tells the loaded file from every other.
    pub digest: Digest,
    /// Which file that was.
    identity: Identity,
    /// The file with this content that lay there when it was last looked at.
    seen: Identity,
    /// A sealed copy of the file is loaded, and the file itself is closed.
    copied: bool,
    /// What is loaded, by its descriptor.
    mapped: String,
}

impl Library {
    /// Whether nobody can change what is loaded, whatever is done to its file.
    pub fn is_sealed(&self) -> bool {
        self.copied
    }

    /// Whether both are one library in the process.
    pub fn is(&self, other: &Self) -> bool {
        match (self.copied, other.copied) {
            (true, true) => self.digest == other.digest,
            (false, false) => self.identity.is_same_file(&other.identity),
            _ => false,
        }
    }

    /// The file, as it was when it was loaded or last looked at.
    pub fn seen(&self) -> Identity {
        self.seen
    }

    /// A file with the same content lies there: the one that was loaded with another name, mode or time, or a copy of it.
    pub fn found(&mut self, identity: Identity) {
        self.seen = identity;
    }

    /// Whether the file that lies there is the one that is loaded itself, whatever was done to it; never where a copy is.
    pub fn is_mapped(&self, found: &Identity) -> bool {
        !self.copied && self.identity.is_same_file(found)
    }

    /// Whether this is what lies there: of a file that is loaded itself, whatever was done to it; else as long as that is
    /// unchanged.
    pub fn is_of(&self, found: &Identity) -> bool {
        self.seen == *found || self.is_mapped(found)
    }

    /// Whether a file with this digest is the same as what is loaded, which must not have been written over meanwhile.
    pub fn has_content(&self, digest: Digest) -> bool {
        let mapped = || File::open(&self.mapped).and_then(|file| digest_of(&file));
        self.digest == digest && (self.copied || mapped().is_ok_and(|mapped| mapped == digest))
    }

    /// Claims its metrics again, after they were given back.
    ///
    /// # Errors
    /// Where another plugin has one of them by now.
    pub fn claim(&self, claims: &Claims) -> Result<(), LoadError> {
        claims.claim(&self.metadata).map_err(|refusal| LoadError { file: self.file.clone(), refusal })
    }
}

/// A plugin's entry points, by the ABI that it speaks.
#[derive(Clone, Copy)]
pub(super) enum Code {
    Rust(PluginMod_Ref),
    C(c::Entry),
}

impl Code {
    /// Opens a file that passed all checks, whatever it is written in.
    ///
    /// # Errors
    /// What the linker says, or what is wrong behind the entry symbol.
    fn open(file: File, metadata: &Metadata) -> Result<(Self, Opened), Refusal> {
        let opened = open(file, &metadata.name)?;
        if metadata.is_c() {
            return Ok((Self::C(c_entry(&opened, metadata)?), opened));
        }
        let module = rust_module(&opened, metadata)?;
        check_consistent(module, metadata)?;
        Ok((Self::Rust(module), opened))
    }

    /// Makes a collector; `config` is its configuration table as JSON text. The only way from a loaded file to
    /// something that runs.
    ///
    /// # Errors
    /// What the plugin answers.
    pub(super) fn create(self, config: &str, handle: HostHandle) -> Result<RawCollectorBox, RawError> {
        match self {
            Self::Rust(module) => module.create()(config.into(), handle).into_result(),
            Self::C(entry) => c::create(entry, config, handle),
        }
    }
}

/// Loads a file as the plugin `name` and claims its metrics.
///
/// # Errors
/// The file, what is wrong with it and what to do. Nothing of a refused file runs, except where its own
/// initialisers ran before the last checks (layout, consistency).
pub fn load(path: &Path, name: &str, claims: &Claims) -> Result<Library, LoadError> {
    load_pinned(path, name, None, claims)
}

/// The same of a file that must have this digest, if one is given: then a sealed copy of it is loaded, so that nobody
/// can change what was checked, not even who owns the file. See `docs/adr/0009-pinned-plugins.md`.
///
/// # Errors
/// As [`load`], and another digest. Of a file with another digest nothing runs, its initialisers neither.
pub fn load_pinned(
    path: &Path,
    name: &str,
    pinned: Option<Digest>,
    claims: &Claims,
) -> Result<Library, LoadError> {
    load_checked(path, name, pinned, claims).map_err(|refusal| LoadError { file: path.into(), refusal })
}

fn load_checked(
    path: &Path,
    name: &str,
    pinned: Option<Digest>,
    claims: &Claims,
) -> Result<Library, Refusal> {
    // One descriptor for every check and for dlopen: what was checked is what is loaded.
    let Approved { file, copied, path, digest, identity, metadata } = approve(path, name, pinned)?;
    // before it runs; given back where it is refused for what shows then
    let trial = claims.on_trial();
    trial.claim(&metadata)?;
    let (code, Opened { path: mapped, .. }) = Code::open(file, &metadata)?;
    trial.keep();
    Ok(Library { code, metadata, file: path, digest, identity, seen: identity, copied, mapped })
}

/// Loads a file that the parent of this process has approved.
pub(super) fn load_approved(file: File) -> Result<(Code, Metadata), Refusal> {
    let metadata = preflight(&file)?.metadata;
    Ok((Code::open(file, &metadata)?.0, metadata))
}

/// A library that the dynamic linker took, and the path that it knows it by.
struct Opened {
    handle: ManuallyDrop<Handle>,
    path: String,
}

/// dlopen; its initialisers run.
fn open(file: File, plugin: &str) -> Result<Opened, Refusal> {
    let entering = Entering::begin(plugin, &file)?;
    // The descriptor is never closed: the dynamic linker knows the library by this path, and would give it again
    // for another file that got the same number.
    let file = ManuallyDrop::new(file);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // RTLD_NOW: an undefined symbol is an error here, not the end of the process at the first call.
    // SAFETY: running the library's initialisers is the point; the file passed the trust and preflight checks, and it
    // is never unloaded (`ManuallyDrop`).
    let handle = unsafe { Handle::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    match handle {
        Ok(handle) => Ok(Opened { handle: ManuallyDrop::new(handle), path }),
        Err(error) => {
            entering.refused();
            drop(ManuallyDrop::into_inner(file)); // the linker has forgotten it too
            Err(Refusal::Dlopen(explain(&error, &path)))
        }
    }
}

/// Header and layout of a Rust plugin.
fn rust_module(opened: &Opened, metadata: &Metadata) -> Result<PluginMod_Ref, Refusal> {
    // SAFETY: the symbol is a `LibHeader` by the contract of `export_plugin!`, whose metadata section named it; its
    // magic and version are checked by `upgrade` before anything else of it is read.
    let header = unsafe { opened.handle.get::<AbiHeaderRef>(metadata.entry.as_bytes()) };
    let header = *header.map_err(|error| Refusal::Entry(explain(&error, &opened.path)))?;
    let header = header.upgrade().map_err(|error| Refusal::Entry(first_line(&error.to_string())))?;
    let IsLayoutChecked::Yes(plugin) = header.root_mod_consts().layout() else {
        return Err(Refusal::Entry("it carries no type layout".into()));
    };
    layout::check(<PluginMod_Ref as StableAbi>::LAYOUT, plugin).map_err(Refusal::Layout)?;
    // SAFETY: the layouts were just compared, in both directions.
    let module = unsafe { header.unchecked_layout::<PluginMod_Ref>() };
    module.map_err(|error| Refusal::Entry(first_line(&error.to_string())))
}

/// The struct of a C plugin.
fn c_entry(opened: &Opened, metadata: &Metadata) -> Result<c::Entry, Refusal> {
    // SAFETY: the address alone is taken; what lies there is `Entry::read`'s matter.
    let symbol = unsafe { opened.handle.get::<*const CPlugin>(metadata.entry.as_bytes()) };
    let symbol = *symbol.map_err(|error| Refusal::Entry(explain(&error, &opened.path)))?;
    // SAFETY: preflight found the symbol in this very file as a variable of at least `Entry::LEAST` bytes, the linker
    // looks into that file first, and the library is never unloaded (`ManuallyDrop`).
    unsafe { c::Entry::read(symbol, metadata) }
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
