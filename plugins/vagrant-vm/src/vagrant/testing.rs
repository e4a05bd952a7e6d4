//! A root with users, indexes and projects in it, and a reader that counts, hangs and refuses as it is told.

use super::{
    Pauses, Scan, Scanner,
    files::{Content, Files, Kernel, Reader, Refusal, Stamp},
    users::Oneself,
};
use crate::{
    config::Config,
    provider::{Notes, Said},
};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use twarga_plugin_api::{
    Level,
    crew::{Crew, Timing},
};

/// The kernel's files, counted.
#[derive(Default)]
pub(super) struct Probe {
    state: Mutex<ProbeState>,
    freed: Condvar,
}

#[derive(Default)]
struct ProbeState {
    stats: usize,
    reads: Vec<PathBuf>,
    hanging: Option<PathBuf>,
    denied: HashSet<PathBuf>,
    calls_in_hanging: usize,
}

impl Probe {
    /// Everything below does not answer, until it is [freed](Self::free).
    pub(super) fn hang(&self, below: &Path) {
        self.state.lock().unwrap().hanging = Some(below.to_owned());
    }

    pub(super) fn free(&self) {
        self.state.lock().unwrap().hanging = None;
        self.freed.notify_all();
    }

    pub(super) fn deny(&self, path: &Path) {
        self.state.lock().unwrap().denied.insert(path.to_owned());
    }

    pub(super) fn allow(&self, path: &Path) {
        self.state.lock().unwrap().denied.remove(path);
    }

    /// Calls that hang right now.
    pub(super) fn hanging(&self) -> usize {
        self.state.lock().unwrap().calls_in_hanging
    }

    /// How many stats, and what was read, since the last time.
    pub(super) fn counted(&self) -> (usize, Vec<PathBuf>) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.stats), std::mem::take(&mut state.reads))
    }

    fn pass(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let hangs = |state: &ProbeState| state.hanging.as_ref().is_some_and(|below| path.starts_with(below));
        while hangs(&state) {
            state.calls_in_hanging += 1;
            state = self.freed.wait(state).unwrap();
            state.calls_in_hanging -= 1;
        }
        if state.denied.contains(path) { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }
}

impl Files for Probe {
    fn stat(&self, path: &Path) -> io::Result<Stamp> {
        self.state.lock().unwrap().stats += 1;
        self.pass(path)?;
        Kernel.stat(path)
    }

    fn read(&self, path: &Path, reader: Reader, most: usize) -> Result<Content, Refusal> {
        self.state.lock().unwrap().reads.push(path.to_owned());
        self.pass(path).map_err(Refusal::Failed)?;
        // the files of a test are always new
        Kernel.read(path, reader, most).map(|content| Content { settled: true, ..content })
    }
}

pub(super) struct Lab {
    root: TempDir,
    pub(super) probe: Arc<Probe>,
    said: Said,
    pub(super) lines: Vec<String>,
}

/// 32 hexadecimal digits.
pub(super) fn index_id(number: u32) -> String {
    format!("{number:032x}")
}

impl Lab {
    /// With these users, whose files are those of the test.
    pub(super) fn new(users: &[&str]) -> Self {
        let root = TempDir::new().unwrap();
        let lab = Self { root, probe: Arc::default(), said: Said::default(), lines: Vec::new() };
        lab.passwd(users);
        lab
    }

    pub(super) fn passwd(&self, users: &[&str]) {
        let uid = rustix::process::geteuid().as_raw();
        let line = |name: &&str| format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n");
        self.write("etc/passwd", users.iter().map(line).collect::<String>());
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub(super) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(super) fn index_of(&self, user: &str) -> String {
        format!("home/{user}/.vagrant.d/data/machine-index/index")
    }

    /// An index of machines `web1`, `web2` … of these numbers, in the project of the user.
    pub(super) fn index(&self, user: &str, numbers: &[u32]) {
        let entry = |number: &u32| {
            format!(
                r#""{}":{{"local_data_path":"/home/{user}/project/.vagrant","name":"web{number}","provider":"libvirt",
                "vagrantfile_path":"/home/{user}/project","extra_data":{{"box":{{"name":"tiny"}}}}}}"#,
                index_id(*number)
            )
        };
        let entries: Vec<String> = numbers.iter().map(entry).collect();
        self.write(&self.index_of(user), format!(r#"{{"version":1,"machines":{{{}}}}}"#, entries.join(",")));
    }

    pub(super) fn id_of(&self, user: &str, number: u32) -> String {
        format!("home/{user}/project/.vagrant/machines/web{number}/libvirt/id")
    }

    /// An index of these machines, all created: their ids are `id-<number>`.
    pub(super) fn machines(&self, user: &str, numbers: &[u32]) {
        self.index(user, numbers);
        for number in numbers {
            self.write(&self.id_of(user, *number), format!("id-{number}\n"));
        }
    }

    pub(super) fn config(&self) -> Config {
        Config {
            users: Some(vec!["*".into()]),
            root: self.root.path().to_owned(),
            timeout: Duration::from_secs(60),
            ..Config::default()
        }
    }

    /// Which looks at everybody, whoever runs the tests.
    pub(super) fn scanner(&self) -> Scanner {
        self.scanner_of(&self.config())
    }

    pub(super) fn scanner_of(&self, config: &Config) -> Scanner {
        self.scanner_with(config, [Duration::ZERO; 2])
    }

    /// Which leaves homes with an index alone for so long, and those without.
    pub(super) fn scanner_with(&self, config: &Config, [calm, bare]: [Duration; 2]) -> Scanner {
        let oneself = rustix::process::geteuid().as_raw();
        let oneself = Oneself { uid: oneself, gid: oneself, vagrant_home: None, home: None };
        // nobody is slow, however busy this machine is
        let timing = Timing { slow: Duration::from_secs(60), ..Timing::default() };
        let crew = Arc::new(Crew::new("test-crew", timing));
        Scanner::new(config, oneself, Arc::clone(&self.probe) as Arc<dyn Files>, crew, Pauses { calm, bare })
    }

    pub(super) fn scan(&mut self, scanner: &mut Scanner) -> Scan {
        self.scan_for(scanner, Duration::from_secs(60))
    }

    pub(super) fn scan_for(&mut self, scanner: &mut Scanner, patience: Duration) -> Scan {
        let mut notes = Notes::default();
        let scan = scanner.scan(Instant::now() + patience, &mut notes);
        let root = self.root.path().display().to_string();
        self.lines =
            self.said.news(&mut notes).into_iter().map(|(level, line)| show(level, &line, &root)).collect();
        scan
    }

    /// `alice=1 bob=0`: whose index is known.
    pub(super) fn indexes(scan: &Scan) -> String {
        let index = |(owner, read): (&String, &bool)| format!("{owner}={}", u8::from(*read));
        scan.indexes.iter().map(index).collect::<Vec<_>>().join(" ")
    }

    /// `web1=id-1 web2=-`: the names and ids.
    pub(super) fn shown(scan: &Scan) -> String {
        let machine = |machine: &crate::machine::Machine| {
            let id = match (&machine.id, &machine.unread) {
                (Some(id), None) => id.clone(),
                (None, None) => "-".into(),
                (None, Some(_)) => "?".into(),
                (Some(_), Some(_)) => panic!("an id that is not known: {machine:?}"),
            };
            format!("{}={id}", machine.name)
        };
        scan.machines.iter().map(machine).collect::<Vec<_>>().join(" ")
    }
}

fn show(level: Level, line: &str, root: &str) -> String {
    format!("{level:?} {}", line.replace(root, ""))
}
