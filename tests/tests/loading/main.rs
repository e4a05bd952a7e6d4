//! The loader, the ABI and the host's checks, with real shared libraries. What a broken plugin does to the whole agent
//! is tested elsewhere, against the real binary.
#![allow(clippy::unwrap_used, reason = "tests")]

mod broken_files;
mod c_abi;
mod declared_at_run_time;
mod faults;
mod kept;
mod metadata;
mod names;
mod pinned;
mod replaced;
mod trusted;

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use twarga_agent::{
    collect::Source,
    host::{Claims, Instance, InstanceOptions, Library, LoadError, Refusal, load},
    model::{Batch, CollectorId, LocalSeries, Sample, Timestamp},
};
use twarga_plugin_api::Error;

/// A directory for plugin files, and the claims of what is loaded from it.
struct Shelf {
    dir: TempDir,
    claims: Arc<Claims>,
}

/// The bytes of a sound plugin's library.
fn sound(plugin: &str) -> Vec<u8> {
    fs::read(twarga_tests::build().library(plugin)).unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Shelf {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), claims: Arc::new(Claims::new(|_| false)) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a plugin file.
    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (file, new) = (self.path(name), self.path("new"));
        fs::write(&new, bytes).unwrap();
        set_mode(&new, 0o755);
        // by rename: whoever has loaded the file before goes on with it, and would die of it if it were overwritten
        fs::rename(&new, &file).unwrap();
        file
    }

    fn load(&self, file: &Path, plugin: &str) -> Result<Library, LoadError> {
        load(file, plugin, &self.claims)
    }

    /// A copy of a plugin's library, with statics of its own.
    fn loaded(&self, plugin: &str) -> Library {
        let file = self.put(&format!("{plugin}.so"), &sound(plugin));
        self.load(&file, plugin).unwrap()
    }

    /// Why a file is not loaded, and the message, which must be of use to an operator.
    fn refused(&self, file: &Path, plugin: &str) -> (Refusal, String) {
        let error = match self.load(file, plugin) {
            Ok(library) => panic!("{} was loaded as {}", file.display(), library.metadata.name),
            Err(error) => error,
        };
        let message = error.to_string();
        assert!(message.len() <= 600, "{} bytes: {message}", message.len());
        assert!(!message.contains(char::is_control), "{message:?}");
        assert!(message.starts_with(&file.display().to_string()), "names the file first: {message}");
        assert!(message.ends_with(&format!("; {}", error.refusal.advice())), "ends with advice: {message}");
        assert_eq!(error.file, file);
        (error.refusal, message)
    }

    fn options(&self, config: &str) -> InstanceOptions {
        let claims = Arc::clone(&self.claims);
        InstanceOptions { config: config.into(), instance: None, max_series: 10_000, claims, owner: None }
    }

    fn run(&self, library: &Library, config: &str) -> Result<Run, Error> {
        Run::new(library, &self.options(config))
    }
}

/// A collector and what it said last.
struct Run {
    instance: Instance,
    batch: Batch,
    names: HashMap<LocalSeries, String>,
}

impl Run {
    fn new(library: &Library, options: &InstanceOptions) -> Result<Self, Error> {
        let instance = Instance::new(library, options, 0)?;
        Ok(Self { instance, batch: Batch::new(CollectorId(0)), names: HashMap::new() })
    }

    fn collect(&mut self) -> Result<(), Error> {
        self.batch.clear();
        self.batch.time = Timestamp::now();
        let result = self.instance.collect(&mut self.batch);
        self.names.extend(self.batch.registered.iter().map(|(id, def)| (*id, def.to_string())));
        result
    }

    /// The samples by the name of their series.
    fn samples(&self) -> BTreeMap<&str, Sample> {
        let named = self.batch.samples.iter().map(|sample| (self.names[&sample.series].as_str(), *sample));
        named.collect()
    }

    fn value(&self, series: &str) -> Option<f64> {
        self.samples().get(series).map(|sample| sample.value)
    }
}
