//! Machines of providers that have no service to ask, by their processes: vagrant-qemu's, and whatever else runs in a QEMU.

mod arguments;

use crate::{
    config::Config,
    finder::{Finder, Found},
    machine::{Machine, Owner, Quantity, Reading, Reason, Run, State, Value, Values},
    process::{Process, Processes},
    provider::{Answer, Notes, Provider},
};
use arguments::Shape;
use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

/// The provider.
pub(crate) struct Qemu {
    root: PathBuf,
    processes: Processes,
    finder: Finder,
    /// What the command lines of the running machines say.
    shapes: HashMap<String, (Run, Shape)>,
}

impl Qemu {
    pub(crate) fn new(config: &Config) -> Self {
        let processes = Processes::below(&config.root);
        let finder = Finder::new(processes.clone(), arguments::is_of);
        Self { root: config.root.clone(), processes, finder, shapes: HashMap::new() }
    }

    fn answer(&mut self, machine: &Machine, found: Found) -> Answer {
        match found {
            Found::Process(process) => Answer::Reading(self.running(machine, process).into()),
            // only of this provider it is known how the processes of its machines look
            _ if machine.provider != "qemu" => {
                let name: String = machine.provider.chars().take(32).collect();
                Answer::unknown(format!("no way to ask {name}"))
            }
            Found::Hidden => Answer::unknown("its process is hidden"),
            Found::None => Answer::Reading(Box::new(Reading {
                state: State::Shutoff,
                doubt: None,
                run: None,
                at: Instant::now(),
                ip_address: None,
                values: Values::none("shut off"),
            })),
        }
    }

    fn running(&mut self, machine: &Machine, process: Process) -> Reading {
        let at = process.at;
        let mut values = Values::none("QEMU's process does not tell");
        values[Quantity::CpuSeconds] = Ok(process.cpu_seconds);
        values[Quantity::Uptime] =
            self.processes.age(process.run).map_err(|_| Reason::from("/proc/uptime can't be read"));
        values[Quantity::MemoryUsed] = Err("no guest figures".into());
        match self.shape(machine.vm(), process.run) {
            Some(shape) => {
                values[Quantity::Vcpus] = shape.vcpus.clone();
                values[Quantity::MemoryTotal] = shape.memory_bytes.clone();
                let disks = shape.disks.clone();
                values[Quantity::DiskUsed] =
                    disks.and_then(|disks| used_bytes(&self.root, &disks, &machine.owner));
            }
            None => values[Quantity::Vcpus] = Err("its command line can't be read".into()),
        }
        // stopped by a signal, or by a debugger: nothing of the guest runs
        let state = if matches!(process.state, 'T' | 't') { State::Paused } else { State::Running };
        Reading { state, doubt: None, run: Some(process.run), at, ip_address: None, values }
    }

    /// What the machine was started with: read once in its run.
    fn shape(&mut self, id: &str, run: Run) -> Option<&Shape> {
        if self.shapes.get(id).is_none_or(|(of, _)| *of != run) {
            let arguments = self.processes.arguments(run.pid).ok()?;
            self.shapes.insert(id.to_owned(), (run, arguments::shape(&arguments)));
        }
        self.shapes.get(id).map(|(_, shape)| shape)
    }
}

impl Provider for Qemu {
    fn read(&mut self, machines: &[Machine], _: Instant, _: &mut Notes) -> Vec<Answer> {
        let found = self.finder.look(machines);
        let answers: Vec<Answer> =
            machines.iter().zip(found).map(|(machine, found)| self.answer(machine, found)).collect();
        if self.shapes.len() > machines.len() {
            let ids: HashSet<&str> = machines.iter().map(Machine::vm).collect();
            self.shapes.retain(|id, _| ids.contains(id.as_str()));
        }
        answers
    }
}

/// What these files take on the host. They must be the owner's: a command line can name any file.
fn used_bytes(root: &Path, files: &[String], owner: &Owner) -> Value {
    let mut seen = HashSet::new();
    let mut bytes = 0.0;
    for file in files {
        let path = root.join(file.trim_start_matches('/'));
        let Ok(metadata) = fs::metadata(path) else { return Err("a disk can't be looked at".into()) };
        if metadata.uid() != owner.uid || !metadata.is_file() {
            return Err("a disk is not a file of the machine's owner".into());
        }
        if seen.insert((metadata.dev(), metadata.ino())) {
            bytes += metadata.blocks() as f64 * 512.0;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finder::tests::{machine, process, root};
    use rustix::process::{Pid, Signal, kill_process};
    use std::{
        os::unix::process::CommandExt,
        process::{Child, Command, Stdio},
        time::Duration,
    };

    const ID: &str = "vq_Ab-3_dEf";

    fn qemu(root: &Path) -> Qemu {
        Qemu::new(&Config { root: root.into(), ..Config::default() })
    }

    fn own_machine() -> Machine {
        let mut machine = machine("qemu", ID);
        machine.owner.uid = rustix::process::getuid().as_raw();
        machine
    }

    fn read(qemu: &mut Qemu, machine: &Machine) -> Reading {
        let answers = qemu.read(std::slice::from_ref(machine), Instant::now(), &mut Notes::default());
        let [Answer::Reading(reading)] = &answers[..] else { panic!("{answers:?}") };
        (**reading).clone()
    }

    fn start(root: &Path, pid: u32, state: char, machine: &Machine, more: &[&str]) {
        let socket = format!("socket,id=mon0,path=/tmp/{ID}/qemu_socket");
        let mut line = vec!["qemu-system-x86_64", "-chardev", &socket, "-smp", "2", "-m", "512"];
        line.extend(more);
        process(root, pid, 10_000, state, machine.owner.uid, &line);
    }

    #[test]
    fn a_running_machine_has_what_its_process_tells() {
        let (root, machine) = (root(), own_machine());
        fs::create_dir_all(root.path().join("srv")).unwrap();
        let disk = root.path().join("srv/a.img");
        fs::write(&disk, vec![1; 100_000]).unwrap();
        start(root.path(), 7, 'S', &machine, &["-drive", "if=virtio,file=/srv/a.img", "-hdb", "/srv/a.img"]);
        let mut qemu = qemu(root.path());
        let reading = read(&mut qemu, &machine);
        assert_eq!((reading.state, reading.run), (State::Running, Some(Run { pid: 7, start: 10_000 })));
        let values = &reading.values;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(values[Quantity::Vcpus], Ok(2.0));
        assert_eq!(values[Quantity::MemoryTotal], Ok(f64::from(512 << 20)));
        assert_eq!(values[Quantity::CpuSeconds], Ok(1000.0 / ticks));
        assert_eq!(values[Quantity::Uptime], Ok(1000.0 - 10_000.0 / ticks));
        let blocks = fs::metadata(&disk).unwrap().blocks();
        assert_eq!(values[Quantity::DiskUsed], Ok(blocks as f64 * 512.0), "one file, counted once");
        for absent in
            [Quantity::MemoryUsed, Quantity::DiskCapacity, Quantity::DiskRead, Quantity::NetworkReceived]
        {
            assert!(values[absent].is_err(), "{absent:?}");
        }
        // stopped, then gone
        start(root.path(), 7, 'T', &machine, &[]);
        assert_eq!(read(&mut qemu, &machine).state, State::Paused);
        fs::remove_dir_all(root.path().join("proc/7")).unwrap();
        let reading = read(&mut qemu, &machine);
        assert_eq!((reading.state, reading.run), (State::Shutoff, None));
        assert_eq!(reading.values, Values::none("shut off"));
    }

    #[test]
    fn another_run_has_its_own_shape() {
        let (root, machine) = (root(), own_machine());
        start(root.path(), 7, 'S', &machine, &[]);
        let mut qemu = qemu(root.path());
        assert_eq!(read(&mut qemu, &machine).values[Quantity::Vcpus], Ok(2.0));
        fs::remove_dir_all(root.path().join("proc/7")).unwrap();
        start(root.path(), 8, 'S', &machine, &["-smp", "4"]);
        assert_eq!(read(&mut qemu, &machine).values[Quantity::Vcpus], Ok(4.0));
    }

    #[test]
    fn disks_of_others_tell_nothing() {
        let (root, mut machine) = (root(), own_machine());
        fs::create_dir_all(root.path().join("srv")).unwrap();
        fs::write(root.path().join("srv/a.img"), "x").unwrap();
        let owner = machine.owner.clone();
        let used = |files: &[&str], owner: &Owner| {
            used_bytes(root.path(), &files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>(), owner)
        };
        assert!(used(&["/srv/a.img"], &owner).is_ok());
        assert!(used(&["/srv/a.img", "/srv/none.img"], &owner).is_err());
        assert!(used(&["/srv"], &owner).is_err());
        machine.owner.uid += 1;
        assert!(used(&["/srv/a.img"], &machine.owner).is_err());
    }

    #[test]
    fn who_can_t_be_asked_is_unknown() {
        let root = root();
        let docker = machine("docker", &"a".repeat(64));
        // its shim has the id among its arguments, and is no machine
        let line = ["containerd-shim-runc-v2", "-namespace", "moby", "-id", docker.vm()];
        process(root.path(), 7, 70, 'S', 0, &line);
        let reading = read(&mut qemu(root.path()), &docker);
        assert_eq!(reading, Reading { at: reading.at, ..Reading::unknown("no way to ask docker") });
        // hidden processes: no machine is off because of that
        let bare = tempfile::tempdir().unwrap();
        let mut other = own_machine();
        other.owner.uid += 1;
        assert_eq!(read(&mut qemu(bare.path()), &other).doubt, Some("its process is hidden".into()));
    }

    /// Processes of this test under QEMU's name, with an id each; they wait for their input to end.
    fn children(count: usize) -> (Vec<Child>, Vec<Machine>) {
        let ids: Vec<String> =
            (0..count).map(|number| format!("vq_{}-{number}", std::process::id())).collect();
        let start = |id: &String| {
            let mut command = Command::new("sh");
            command.arg0("qemu-system-x86_64").args(["-c", "read line", "-name", id, "-smp", "3"]);
            command.stdin(Stdio::piped()).spawn().unwrap()
        };
        let machines = ids.iter().map(|id| Machine { id: Some(id.clone()), ..own_machine() });
        (ids.iter().map(start).collect(), machines.collect())
    }

    /// Reads until all machines have this state.
    fn until(qemu: &mut Qemu, machines: &[Machine], state: State) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let answers = qemu.read(machines, Instant::now(), &mut Notes::default());
            let is = |answer: &Answer| matches!(answer, Answer::Reading(reading) if reading.state == state);
            if answers.iter().all(is) {
                return;
            }
            assert!(Instant::now() < end, "{answers:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The real /proc.
    #[test]
    fn a_real_process_is_found_stopped_and_gone() {
        let (mut children, machines) = children(1);
        let mut qemu = qemu(Path::new("/"));
        until(&mut qemu, &machines, State::Running);
        let reading = read(&mut qemu, &machines[0]);
        assert_eq!(reading.run.map(|run| run.pid), Some(children[0].id()));
        assert_eq!(reading.values[Quantity::Vcpus], Ok(3.0));
        assert!(reading.values[Quantity::Uptime].as_ref().is_ok_and(|age| *age < 60.0));
        let pid = Pid::from_child(&children[0]);
        kill_process(pid, Signal::STOP).unwrap();
        until(&mut qemu, &machines, State::Paused);
        kill_process(pid, Signal::CONT).unwrap();
        until(&mut qemu, &machines, State::Running);
        children[0].kill().unwrap();
        // not waited for yet, it is a zombie
        until(&mut qemu, &machines, State::Shutoff);
        children[0].wait().unwrap();
        until(&mut qemu, &machines, State::Shutoff);
    }

    /// Prints what a round costs: `cargo test -p vagrant-vm --lib cost -- --ignored --nocapture`.
    #[test]
    #[ignore = "prints figures"]
    fn the_cost_of_a_round() {
        for (count, what) in [(2, "that run"), (200, "that run"), (2, "that are off"), (200, "that are off")]
        {
            let (mut children, machines) = children(count);
            let mut qemu = qemu(Path::new("/"));
            until(&mut qemu, &machines, State::Running);
            if what == "that are off" {
                children.iter_mut().for_each(|child| child.kill().unwrap());
                until(&mut qemu, &machines, State::Shutoff);
            }
            let clock = || {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
                time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
            };
            let (rounds, began) = (300, clock());
            for _ in 0..rounds {
                qemu.read(&machines, Instant::now(), &mut Notes::default());
            }
            println!("{count} machines {what}: {:.4} ms a round", (clock() - began) / f64::from(rounds));
            for child in &mut children {
                let _ = child.kill();
                child.wait().unwrap();
            }
        }
    }
}
