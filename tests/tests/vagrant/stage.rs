//! A host made of files: Vagrant's index and projects, /proc, pid files, disk images, and the stand-in for libvirt.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use twarga_fake_libvirt::{Domain, FakeLibvirt};
use twarga_tests::{Agent, Home};

/// What a disk image takes on the host.
pub(crate) const WRITTEN: usize = 64 << 10;
/// How long the host is up, and since when the machines run then, in seconds.
const HOST_UP: u64 = 1000;
const STARTED: u64 = 500;
const FIRST_PID: u32 = 1000;

/// See the [module](self).
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) fake: FakeLibvirt,
    /// The machines' names in Vagrant: `m0`, `m1` …
    entries: Vec<u32>,
}

impl Stage {
    /// With so many running machines, and these lines in the configuration.
    pub(crate) fn with(count: u32, interval: &str, more: &str) -> Self {
        let home = Home::new("").plugin("vagrant-vm");
        let root = home.path("root");
        home.write_config(&format!(
            "[agent]\ninterval = \"{interval}\"\n[plugins.vagrant-vm]\nmode = \"in_process\"\n\
             [plugins.vagrant-vm.config]\nroot = \"{0}\"\nusers = []\nindex = [\"{0}/index\"]\ntimeout = \"300ms\"\n\
             libvirt.sockets = [\"{0}/libvirt.sock\"]\n{more}",
            root.display()
        ));
        fs::create_dir_all(&root).unwrap();
        let fake = FakeLibvirt::start(&root.join("libvirt.sock")).unwrap();
        let mut stage = Self { home, fake, entries: Vec::new() };
        stage.write("proc/uptime", format!("{HOST_UP}.00 900.00\n"));
        (0..count).for_each(|number| stage.add(number));
        stage.write_index(&stage.index());
        stage
    }

    /// Writes a file below the root.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.home.path("root").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a running machine; the index is written by its own.
    pub(crate) fn add(&mut self, number: u32) {
        let mut domain = Domain::running(number);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        // as if the guest told its memory until the end of the test
        domain.set("balloon.last-update", now);
        let pid = FIRST_PID + number;
        self.write(&format!("run/libvirt/qemu/{}.pid", domain.name), format!("{pid}\n"));
        self.write(&format!("proc/{pid}/status"), "Uid:\t0\t0\t0\t0\n");
        self.write(&format!("proc/{pid}/cmdline"), format!("qemu\0-uuid\0{}\0-S\0", domain.uuid_text()));
        self.used(number, 300);
        self.write(&format!("var/lib/libvirt/images/{}.img", domain.name), vec![1; WRITTEN]);
        self.write(&format!("project/.vagrant/machines/m{number}/libvirt/id"), domain.uuid_text());
        self.fake.domains(|domains| domains.push(domain));
        self.entries.push(number);
    }

    /// Its process has used so many hundredths of a second. A reader sees the old file or the new one.
    pub(crate) fn used(&self, number: u32, hundredths: u64) {
        let (pid, ticks) = (FIRST_PID + number, rustix::param::clock_ticks_per_second());
        let (used, started) = (hundredths * ticks / 100, STARTED * ticks);
        let stat = format!(
            "{pid} (qemu-system-x86) S 1 1 1 0 -1 0 0 0 0 0 {used} 0 0 0 20 0 5 0 {started} 0 70000 0\n"
        );
        self.write(&format!("proc/{pid}/new"), stat);
        let folder = self.home.path("root/proc").join(pid.to_string());
        fs::rename(folder.join("new"), folder.join("stat")).unwrap();
    }

    /// Its process is gone.
    pub(crate) fn end_process(&self, number: u32) {
        fs::remove_dir_all(self.home.path("root/proc").join((FIRST_PID + number).to_string())).unwrap();
    }

    pub(crate) fn change(&self, number: u32, change: impl FnOnce(&mut Domain)) {
        let name = Domain::running(number).name;
        self.fake.domains(|domains| change(domains.iter_mut().find(|domain| domain.name == name).unwrap()));
    }

    /// Vagrant's index, as Vagrant writes it.
    pub(crate) fn index(&self) -> String {
        let mut machines = String::new();
        for number in &self.entries {
            let comma = if machines.is_empty() { "" } else { "," };
            write!(
                machines,
                "{comma}\"{number:032x}\":{{\"local_data_path\":\"/project/.vagrant\",\"name\":\"m{number}\",\
                 \"provider\":\"libvirt\",\"state\":\"running\",\"vagrantfile_name\":null,\
                 \"vagrantfile_path\":\"/project\",\"updated_at\":null,\
                 \"extra_data\":{{\"box\":{{\"name\":\"tiny\",\"provider\":\"libvirt\",\"version\":\"0\"}}}}}}"
            )
            .unwrap();
        }
        format!("{{\"version\":1,\"machines\":{{{machines}}}}}")
    }

    /// Writes the index in place, as Vagrant does.
    pub(crate) fn write_index(&self, text: &str) {
        self.write("index", text);
    }

    /// `vagrant destroy`.
    pub(crate) fn destroy(&mut self, number: u32) {
        let name = Domain::running(number).name;
        self.fake.domains(|domains| domains.retain(|domain| domain.name != name));
        self.end_process(number);
        let id = format!("project/.vagrant/machines/m{number}/libvirt/id");
        fs::remove_file(self.home.path("root").join(id)).unwrap();
        self.entries.retain(|entry| *entry != number);
        self.write_index(&self.index());
    }

    /// A file below the root.
    pub(crate) fn remove(&self, path: impl AsRef<Path>) {
        fs::remove_file(self.home.path("root").join(path)).unwrap();
    }

    pub(crate) fn start(&self) -> Agent {
        let mut agent = self.home.start();
        agent.until_ready();
        agent
    }
}

/// Collects now.
pub(crate) fn collect(agent: &Agent) {
    let answer = agent.post(Some(&agent.admin_token()), "/api/plugins/vagrant-vm/collect", "");
    assert_eq!(answer.json()["success"], true, "{}", answer.text());
}
