//! The collector as a whole: against fixture roots, against mounts that hang, and against the machine it runs on.

mod golden;
mod hanging;
mod live;
mod readme;

use crate::{
    Config, metrics,
    prober::Timing,
    procfs::Procfs,
    space::{Failure, Probe, Space},
};
use std::{
    ffi::CStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use twarga_plugin_api::{
    Collector, Host, Metric, Result, Sink,
    abi::glue,
    serde_json::json,
    testing::{Collected, Harness},
};

/// Longer than any test machine is busy with something else.
const AGES: Duration = Duration::from_secs(600);

/// The collector with the file `statvfs` of a fixture root in place of the system call.
struct OnFixture(Procfs);

impl Collector for OnFixture {
    type Config = Config;
    const NAMESPACES: &'static [&'static str] = <crate::HostDisk as Collector>::NAMESPACES;
    const METRICS: &'static [Metric<'static>] = metrics::METRICS;

    fn new(config: Config, host: &mut Host<'_>) -> Result<Self> {
        config.check()?;
        let probe = Arc::new(FixtureProbe { root: config.root.clone() });
        let timing = Timing { handover: AGES, patience: AGES, deadline: AGES };
        Ok(Self(Procfs::open(&config, probe, timing, host)?))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.0.collect(sink)
    }
}

/// A harness on a fixture root, with more of the configuration.
fn on_fixture(root: &Path, mut config: twarga_plugin_api::serde_json::Value) -> Result<Harness> {
    config["root"] = json!(root);
    Harness::new(glue::module::<OnFixture>("host-disk", "0", "", ""), &config.to_string())
}

/// Answers from lines `mount-point block blocks free avail files files_free ro|rw` or `mount-point error number`.
struct FixtureProbe {
    root: PathBuf,
}

impl Probe for FixtureProbe {
    fn space(&self, path: &CStr) -> Result<Space, Failure> {
        const NO_SUCH_FILE: Failure = Failure(2);
        let point = path.to_bytes().strip_prefix(self.root.as_os_str().as_bytes()).ok_or(NO_SUCH_FILE)?;
        let point = String::from_utf8_lossy(point).replace(' ', "\\040").replace('\n', "\\012");
        let lines = fs::read_to_string(self.root.join("statvfs")).map_err(|_| NO_SUCH_FILE)?;
        let line = lines.lines().find(|line| line.split(' ').next() == Some(&point)).ok_or(NO_SUCH_FILE)?;
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| fields[index].parse().expect("a number in the fixture's statvfs");
        if fields[1] == "error" {
            return Err(Failure(fields[2].parse().expect("an error number in the fixture's statvfs")));
        }
        Ok(Space {
            block: number(1),
            blocks: number(2),
            free: number(3),
            avail: number(4),
            files: number(5),
            files_free: number(6),
            readonly: fields[7] == "ro",
        })
    }
}

/// A copy of a fixture's first root that can be changed; [`lay_over`] makes it the second.
fn copy_of(root: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    lay_over(copy.path(), root);
    copy
}

/// Copies files over those that are there, keeping their inodes: the collector has them open.
fn lay_over(onto: &Path, from: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), onto.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source).unwrap(), &target).unwrap();
        } else if kind.is_dir() {
            fs::create_dir_all(&target).unwrap();
            lay_over(&target, &source);
        } else {
            fs::write(&target, fs::read(&source).unwrap()).unwrap();
        }
    }
}

fn testcases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testcases")
}
