//! A host with machines: users, an index, projects and disk images in a folder, processes that have the machines' ids among
//! their arguments, and a stand-in for libvirt. Its /proc is the real one: reading that is a part of the price.

use std::{
    fmt::Write as _,
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;
use twarga_fake_libvirt::{Domain, FakeLibvirt};

/// Users beside the one with machines: as many as a Debian without any has.
const OTHERS: u32 = 25;

/// See the [module](self).
pub(super) struct Lab {
    root: TempDir,
    _fake: Option<FakeLibvirt>,
    processes: Vec<Child>,
}

impl Lab {
    /// With so many running machines; with none there is no libvirt either.
    pub(super) fn with(machines: u32) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let mut lab = Self { root, _fake: None, processes: Vec::new() };
        symlink("/proc", lab.root().join("proc")).expect("a link");
        let uid = rustix::process::getuid().as_raw();
        let mut passwd = format!("lab:x:{uid}:{uid}::/home/lab:/bin/sh\n");
        for other in 0..OTHERS {
            let uid = 70_000 + other;
            let _ = writeln!(passwd, "other{other}:x:{uid}:{uid}::/var/lib/other{other}:/usr/sbin/nologin"); // to a string
        }
        lab.write("etc/passwd", &passwd);
        if machines > 0 {
            lab.fill(machines);
        }
        lab
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    fn fill(&mut self, machines: u32) {
        fs::create_dir_all(self.root().join("run/libvirt/qemu")).expect("a folder");
        let fake = FakeLibvirt::start(&self.root().join("run/libvirt/libvirt-sock-ro")).expect("a socket");
        let mut entries = Vec::new();
        for number in 0..machines {
            let domain = Domain::running(number);
            let (id, name) = (domain.uuid_text(), domain.name.clone());
            let process = process(&id);
            self.write(&format!("run/libvirt/qemu/{name}.pid"), &format!("{}\n", process.id()));
            self.processes.push(process);
            self.write(&format!("var/lib/libvirt/images/{name}.img"), &"x".repeat(64 << 10));
            let folder = format!("home/lab/project/.vagrant/machines/m{number}/libvirt");
            self.write(&format!("{folder}/id"), &id);
            entries.push(format!(
                r#""{number:032x}":{{"local_data_path":"/home/lab/project/.vagrant","name":"m{number}","provider":"libvirt",
                "state":"running","vagrantfile_name":null,"vagrantfile_path":"/home/lab/project","updated_at":null,
                "extra_data":{{"box":{{"name":"tiny","provider":"libvirt","version":"0"}}}}}}"#
            ));
            fake.domains(|domains| domains.push(domain));
        }
        let index = format!(r#"{{"version":1,"machines":{{{}}}}}"#, entries.join(","));
        self.write("home/lab/.vagrant.d/data/machine-index/index", &index);
        self._fake = Some(fake);
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
}

/// Stands for a machine's QEMU, and waits for its input to end.
fn process(id: &str) -> Child {
    let mut command = Command::new("sh");
    command.arg0("qemu-system-x86_64").args(["-c", "read line", "-uuid", id]);
    command.stdin(Stdio::piped()).spawn().expect("a process")
}

impl Drop for Lab {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill(); // it may have ended
            let _ = process.wait();
        }
    }
}
