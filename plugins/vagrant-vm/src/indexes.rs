//! `vm_index_read`: of which users all machines are known.

use crate::{metrics, provider::Notes, publish::cut};
use std::{collections::BTreeMap, sync::Arc};
use twarga_plugin_api::{Level, Series, Sink};

/// The series, one for each user who has an index.
#[derive(Default)]
pub(crate) struct Indexes {
    known: Arc<BTreeMap<String, bool>>,
    series: BTreeMap<String, Series>,
}

impl Indexes {
    /// `follows_all`: whether all that was read of that user is told of.
    pub(crate) fn publish(
        &mut self,
        indexes: &Arc<BTreeMap<String, bool>>,
        follows_all: impl Fn(&str) -> bool,
        sink: &mut Sink<'_>,
        notes: &mut Notes,
    ) {
        if !Arc::ptr_eq(&self.known, indexes) {
            self.known = Arc::clone(indexes);
            self.series.retain(|owner, series| {
                let stays = indexes.contains_key(owner);
                if !stays {
                    sink.host().retire(*series);
                }
                stays
            });
        }
        let mut failure = None;
        for (owner, read) in indexes.iter() {
            let series = match self.series.get(owner) {
                Some(series) => *series,
                None => match sink.host().series(&metrics::INDEX_READ, &[cut(owner)]) {
                    Ok(series) => *self.series.entry(owner.clone()).or_insert(series),
                    Err(error) => {
                        failure = Some(error.to_string());
                        continue;
                    }
                },
            };
            sink.put(series, f64::from(u8::from(*read && follows_all(owner))));
        }
        match failure {
            Some(error) => notes.say(Level::Warn, metrics::INDEX_READ.name(), error),
            None => notes.over(metrics::INDEX_READ.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{fs, path::Path};
    use twarga_plugin_api::{
        Collector, Host, Metric, Result, Sink, abi::glue, serde_json::json, testing::Harness,
    };

    /// The plugin, all homes looked at with each collection.
    struct Restless(crate::VagrantVm);

    impl Collector for Restless {
        type Config = crate::Config;
        const NAMESPACES: &'static [&'static str] = crate::VagrantVm::NAMESPACES;
        const METRICS: &'static [Metric<'static>] = crate::metrics::METRICS;

        fn new(config: crate::Config, host: &mut Host<'_>) -> Result<Self> {
            crate::VagrantVm::new(config, host).map(Self)
        }

        fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
            self.0.scanner.hurry();
            self.0.collect(sink)
        }
    }

    fn index(root: &Path, user: &str, bytes: &str) {
        let folder = root.join(format!("home/{user}/.vagrant.d/data/machine-index"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("index"), bytes).unwrap();
    }

    #[test]
    fn each_user_with_an_index_has_a_series() {
        let root = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let users = ["alice", "bob"].map(|name| format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n"));
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/passwd"), users.concat()).unwrap();
        let config = json!({"root": root.path(), "users": ["alice", "bob"], "timeout": "1m"});
        let mut harness =
            Harness::new(glue::module::<Restless>("restless", "1.0.0", "", ""), &config.to_string()).unwrap();
        let value = |harness: &mut Harness, user: &str| {
            harness.collect().unwrap().value(&format!("vm_index_read{{owner=\"{user}\"}}"))
        };
        assert_eq!(value(&mut harness, "alice"), None);
        assert_eq!(harness.series_count(), 0, "nobody has one");
        index(root.path(), "alice", r#"{"version":1,"machines":{}}"#);
        assert_eq!(value(&mut harness, "alice"), Some(1.0));
        assert_eq!(value(&mut harness, "bob"), None);
        let entry = r#"{"name":"web","provider":"libvirt","vagrantfile_path":"/nowhere"}"#;
        let id = "0123456789abcdef0123456789abcdef";
        index(root.path(), "bob", &format!(r#"{{"version":1,"machines":{{"{id}":{entry}}}}}"#));
        // too early to tell, for two looks: somebody may be at work there
        assert!((0..2).all(|_| harness.collect().is_err()));
        assert_eq!(value(&mut harness, "bob"), Some(0.0));
        assert_eq!((value(&mut harness, "alice"), harness.series_count()), (Some(1.0), 2));
        fs::remove_dir_all(root.path().join("home/bob")).unwrap();
        assert_eq!(value(&mut harness, "bob"), None);
        assert_eq!(harness.series_count(), 1);
    }
}
