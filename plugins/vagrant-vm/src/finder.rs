//! Finds the processes of machines among all processes, and holds on to those that it found.
//!
//! Walking through /proc is expensive: it is done when a machine is new or has lost its process, and else once in a few
//! rounds as long as some machine has none. A walk reads the command lines of processes that are new.

use crate::{
    machine::{Machine, Run},
    process::{Process, Processes},
};
use std::collections::{HashMap, HashSet};

/// So many rounds are left out between two walks that look for the same machines.
const PAUSE: u32 = 2;
/// A process is looked at in so many walks: at first it may still have the command line of the one that forked it.
const LOOKS: u8 = 2;
/// In every such walk all processes are looked at anew, since a pid may come a second time.
const ALL_ANEW: u32 = 20;

/// What became of the search for one machine's process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    Process(Process),
    /// There is none.
    None,
    /// Its owner's processes can't be seen.
    Hidden,
}

/// A machine's owner and id: two users may name the same machine.
type Whose = (u32, String);

fn whose(machine: &Machine) -> Whose {
    (machine.owner.uid, machine.vm().to_owned())
}

/// See the [module](self).
pub(crate) struct Finder {
    processes: Processes,
    /// Whether the process with these arguments is that of the machine with this id.
    is_of: fn(&[String], &str) -> bool,
    known: HashMap<Whose, Run>,
    /// The machines that the last walk did not find.
    missing: HashSet<Whose>,
    /// How often each process was looked at.
    looks: HashMap<u32, u8>,
    pause: u32,
    walks: u32,
    hidden: bool,
}

impl Finder {
    pub(crate) fn new(processes: Processes, is_of: fn(&[String], &str) -> bool) -> Self {
        let (known, missing, looks) = <(HashMap<_, _>, HashSet<_>, HashMap<_, _>)>::default();
        Self { processes, is_of, known, missing, looks, pause: 0, walks: 0, hidden: false }
    }

    /// The processes of these machines, in their order.
    pub(crate) fn look(&mut self, machines: &[Machine]) -> Vec<Found> {
        let mut lost = false;
        let mut found: Vec<Option<Process>> = machines
            .iter()
            .map(|machine| {
                let whose = whose(machine);
                let run = *self.known.get(&whose)?;
                let process = self.alive(run);
                if process.is_none() {
                    self.known.remove(&whose);
                    lost = true;
                }
                process
            })
            .collect();
        let missing: HashSet<Whose> = machines
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(machine, _)| whose(machine))
            .collect();
        if self.known.len() + missing.len() > machines.len() {
            let all: HashSet<(u32, &str)> =
                machines.iter().map(|machine| (machine.owner.uid, machine.vm())).collect();
            self.known.retain(|(uid, id), _| all.contains(&(*uid, id.as_str())));
        }
        if !missing.is_empty() {
            let anew = lost || !missing.is_subset(&self.missing);
            if anew || self.pause == 0 {
                self.walk(machines, &mut found, anew);
                self.pause = PAUSE;
            } else {
                self.pause -= 1;
            }
        }
        self.missing = missing;
        let own = rustix::process::getuid().as_raw();
        let outcome = |(found, machine): (Option<Process>, &Machine)| match found {
            Some(process) => Found::Process(process),
            None if self.hidden && machine.owner.uid != own => Found::Hidden,
            None => Found::None,
        };
        found.into_iter().zip(machines).map(outcome).collect()
    }

    /// The process of this run; none when it ended, also when another one has its pid.
    fn alive(&self, run: Run) -> Option<Process> {
        let process = self.processes.read(run.pid).ok()?;
        (process.run == run && !matches!(process.state, 'Z' | 'X' | 'x')).then_some(process)
    }

    fn walk(&mut self, machines: &[Machine], found: &mut [Option<Process>], anew: bool) {
        self.walks = self.walks.wrapping_add(1);
        let anew = anew || self.walks.is_multiple_of(ALL_ANEW);
        self.hidden = !self.processes.shows_others();
        let Ok(pids) = self.processes.pids() else {
            self.hidden = true;
            return;
        };
        let mut looks = HashMap::with_capacity(self.looks.len());
        for pid in pids {
            let before = if anew { 0 } else { self.looks.get(&pid).copied().unwrap_or(0) };
            looks.insert(pid, (before + 1).min(LOOKS + 1));
            if before < LOOKS {
                self.look_at(pid, machines, found);
            }
        }
        self.looks = looks;
    }

    /// Takes the process for a machine's if it is. Of two, the younger: a QEMU that goes to the background is its own child.
    fn look_at(&mut self, pid: u32, machines: &[Machine], found: &mut [Option<Process>]) {
        let Ok(arguments) = self.processes.arguments(pid) else { return };
        for (machine, found) in machines.iter().zip(found) {
            if !(self.is_of)(&arguments, machine.vm()) {
                continue;
            }
            // somebody else may have named a machine as a part of this one's command line
            let Some(process) = self.verified(pid, &arguments, machine) else { continue };
            let age = |process: &Process| (process.run.start, process.run.pid);
            if found.is_none_or(|found| age(&process) > age(&found)) {
                self.known.insert(whose(machine), process.run);
                *found = Some(process);
            }
        }
    }

    /// The process, if it is its owner's or root's, and all that was read of it is of one and the same: anybody may start
    /// a program with somebody else's id among its arguments.
    fn verified(&self, pid: u32, arguments: &[String], machine: &Machine) -> Option<Process> {
        let process = self.processes.read(pid).ok()?;
        let uid = self.processes.uid(pid).ok()?;
        if uid != machine.owner.uid && uid != 0 {
            return None;
        }
        if self.processes.arguments(pid).ok()? != arguments {
            return None;
        }
        self.alive(process.run)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::machine::Owner;
    use std::{fs, path::Path};

    /// A machine of the user 1000.
    pub(crate) fn machine(provider: &str, id: &str) -> Machine {
        Machine {
            index_id: format!("{id:0>32}"),
            id: Some(id.into()),
            name: "web".into(),
            provider: provider.into(),
            project: "/srv/lab/project".into(),
            box_name: String::new(),
            owner: Owner { name: "lab".into(), uid: 1000, gid: 1000, home: "/home/lab".into() },
            unread: None,
            vm_info: None,
        }
    }

    /// A process below `root`, with one hundredth of a second of time and this start.
    pub(crate) fn process(root: &Path, pid: u32, start: u64, state: char, uid: u32, arguments: &[&str]) {
        let folder = root.join(format!("proc/{pid}"));
        fs::create_dir_all(&folder).unwrap();
        let stat = format!("{pid} (x) {state} 1 1 1 0 -1 0 0 0 0 0 700 300 0 0 20 0 5 0 {start} 1 1 0\n");
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(folder.join("status"), format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")).unwrap();
        fs::write(folder.join("cmdline"), arguments.iter().flat_map(|text| [text, "\0"]).collect::<String>())
            .unwrap();
        fs::write(root.join("proc/uptime"), "1000.00 1.00\n").unwrap();
    }

    /// A root in which only process 1 runs.
    pub(crate) fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 1, 1, 'S', 0, &["init"]);
        root
    }

    fn finder(root: &Path) -> Finder {
        Finder::new(Processes::below(root), |arguments, id| arguments.iter().any(|text| text == id))
    }

    fn pids(found: &[Found]) -> Vec<u32> {
        let pid = |found: &Found| match found {
            Found::Process(process) => process.run.pid,
            Found::None | Found::Hidden => 0,
        };
        found.iter().map(pid).collect()
    }

    #[test]
    fn a_process_is_found_and_kept_without_another_walk() {
        let root = root();
        process(root.path(), 7, 70, 'S', 1000, &["vm", "a"]);
        process(root.path(), 8, 80, 'S', 1000, &["vm", "b"]);
        let machines = [machine("qemu", "b"), machine("qemu", "a")];
        let mut finder = finder(root.path());
        assert_eq!(pids(&finder.look(&machines)), [8, 7]);
        for _ in 0..10 {
            assert_eq!(pids(&finder.look(&machines)), [8, 7]);
        }
        assert_eq!(finder.walks, 1);
    }

    #[test]
    fn who_vanished_or_whose_pid_is_another_ones_is_gone() {
        let root = root();
        let machines = [machine("qemu", "a")];
        process(root.path(), 7, 70, 'S', 1000, &["vm", "a"]);
        let mut finder = finder(root.path());
        assert_eq!(pids(&finder.look(&machines)), [7]);
        process(root.path(), 7, 71, 'S', 1000, &["other"]);
        assert_eq!(pids(&finder.look(&machines)), [0]);
        process(root.path(), 9, 90, 'S', 1000, &["vm", "a"]);
        let rounds = (0..10).position(|_| pids(&finder.look(&machines)) == [9]);
        assert_eq!(rounds, Some(usize::try_from(PAUSE).unwrap()), "found by the next walk");
        process(root.path(), 9, 90, 'Z', 1000, &[]);
        assert_eq!(pids(&finder.look(&machines)), [0], "a zombie runs nothing");
    }

    #[test]
    fn a_machine_without_a_process_does_not_make_every_round_walk() {
        let root = root();
        let machines = [machine("qemu", "a")];
        let mut finder = finder(root.path());
        for _ in 0..30 {
            assert_eq!(finder.look(&machines), [Found::None]);
        }
        assert_eq!(finder.walks, 10);
        let more = [machine("qemu", "a"), machine("qemu", "b")];
        process(root.path(), 8, 80, 'S', 1000, &["vm", "b"]);
        assert_eq!(pids(&finder.look(&more)), [0, 8], "a new machine is looked for at once");
    }

    #[test]
    fn a_process_that_was_seen_before_it_was_the_machine_is_found() {
        let root = root();
        let machines = [machine("qemu", "a")];
        process(root.path(), 7, 70, 'S', 1000, &["vagrant", "up"]);
        let mut finder = finder(root.path());
        assert_eq!(pids(&finder.look(&machines)), [0]);
        process(root.path(), 7, 70, 'S', 1000, &["vm", "a"]);
        assert!((0..3).any(|_| pids(&finder.look(&machines)) == [7]));
    }

    #[test]
    fn another_users_process_is_not_the_machines() {
        let root = root();
        process(root.path(), 7, 70, 'S', 1001, &["vm", "a"]);
        let mut finder = finder(root.path());
        assert_eq!(finder.look(&[machine("qemu", "a")]), [Found::None]);
        process(root.path(), 8, 80, 'S', 0, &["vm", "b"]);
        assert_eq!(pids(&finder.look(&[machine("qemu", "b")])), [8], "root may start a user's machine");
    }

    /// Whatever others name among the arguments, and in whatever order, the machine has its process.
    #[test]
    fn a_claim_of_somebody_else_takes_no_process_away() {
        let root = root();
        process(root.path(), 7, 70, 'S', 1000, &["vm", "a", "q35"]);
        let claim = |id: &str, uid: u32| {
            let mut machine = machine("qemu", id);
            machine.owner.uid = uid;
            machine
        };
        let machines = [claim("q35", 1001), claim("a", 1001), claim("a", 1000), claim("a", 1002)];
        let mut finder = finder(root.path());
        for _ in 0..5 {
            assert_eq!(pids(&finder.look(&machines)), [0, 0, 7, 0]);
        }
        // root's may be anybody's
        process(root.path(), 8, 80, 'S', 0, &["vm", "b", "q35"]);
        let machines = [claim("q35", 1001), claim("b", 1000)];
        assert_eq!(pids(&finder.look(&machines))[1], 8);
    }

    #[test]
    fn the_younger_of_two_is_taken() {
        let root = root();
        process(root.path(), 7, 70, 'S', 1000, &["vm", "a"]);
        process(root.path(), 6, 71, 'S', 1000, &["vm", "a"]);
        assert_eq!(pids(&finder(root.path()).look(&[machine("qemu", "a")])), [6]);
    }

    #[test]
    fn hidden_processes_are_not_taken_for_missing_ones() {
        let root = tempfile::tempdir().unwrap();
        let mut machines = [machine("qemu", "a")];
        let other = rustix::process::getuid().as_raw() + 1;
        machines[0].owner.uid = other;
        assert_eq!(finder(root.path()).look(&machines), [Found::Hidden], "no proc at all");
        process(root.path(), 7, 70, 'S', other, &["vm", "b"]);
        assert_eq!(finder(root.path()).look(&machines), [Found::Hidden], "process 1 can't be seen");
        machines[0].owner.uid = other - 1;
        assert_eq!(finder(root.path()).look(&machines), [Found::None], "one's own are always seen");
    }
}
