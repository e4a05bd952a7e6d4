//! Against a program that prints what VBoxManage is documented to print, and misbehaves in many ways.

mod several;

use super::*;
use crate::{
    finder::tests::{machine, process, root},
    provider::Said,
};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};
use tempfile::TempDir;

const ID: &str = "6e0f3d3c-52f1-4bd5-9f35-5a1f7c2b9d10";
const OTHER: &str = "6e0f3d3c-52f1-4bd5-9f35-5a1f7c2b9d11";
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/virtualbox");

/// A shell script that stands for VBoxManage, in a folder that everybody may read.
pub(super) fn script(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("VBoxManage");
    let draft = folder.path().join("draft");
    fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // another program writes it: what this one has open for writing, a child of another test may inherit for a moment, and
    // then it can't be started
    assert!(Command::new("cp").arg("-p").arg(draft).arg(&path).status().unwrap().success());
    (folder, path)
}

/// A VirtualBox whose folder holds the script, what it should say (`info`), and a line for each call (`calls`).
struct Stage {
    root: TempDir,
    folder: TempDir,
    provider: VirtualBox,
    machines: Vec<Machine>,
}

impl Stage {
    /// `more` runs before anything is printed.
    fn set(more: &str) -> Self {
        let (folder, program) = script(&format!(
            r#"cd "${{0%/*}}"
            echo "$*" >> calls
            {more}
            case $1 in
                showvminfo) cat info ;;
                guestproperty) echo 'Value: 10.0.2.15' ;;
                showmediuminfo) cat '{FIXTURES}/medium.txt' ;;
            esac"#
        ));
        fs::copy(format!("{FIXTURES}/running.txt"), folder.path().join("info")).unwrap();
        let root = root();
        let mut config = Config { root: root.path().into(), ..Config::default() };
        config.virtualbox.command = program;
        let mut machine = machine("virtualbox", ID);
        machine.owner.uid = rustix::process::getuid().as_raw();
        machine.owner.gid = rustix::process::getgid().as_raw();
        Self { root, folder, provider: VirtualBox::new(&config), machines: vec![machine] }
    }

    /// VBoxManage says from now on that the state is this.
    fn says(&self, state: &str) {
        let text = fs::read_to_string(format!("{FIXTURES}/running.txt")).unwrap();
        let text = text.replace("VMState=\"running\"", &format!("VMState=\"{state}\""));
        fs::write(self.folder.path().join("draft"), text).unwrap();
        fs::rename(self.folder.path().join("draft"), self.folder.path().join("info")).unwrap();
    }

    fn start(&self, pid: u32) {
        let line =
            ["/usr/lib/virtualbox/VBoxHeadless", "--comment", "web", "--startvm", ID, "--vrde", "config"];
        process(self.root.path(), pid, 10_000, 'S', self.machines[0].owner.uid, &line);
    }

    fn end(&self, pid: u32) {
        fs::remove_dir_all(self.root.path().join(format!("proc/{pid}"))).unwrap();
    }

    fn read_within(&mut self, patience: Duration) -> (Answer, Vec<String>) {
        let mut notes = Notes::default();
        let mut answers = self.provider.read(&self.machines, Instant::now() + patience, &mut notes);
        let notes = notes.take().into_iter().filter_map(|note| note.said).map(|(_, text)| text).collect();
        (answers.remove(0), notes)
    }

    fn read(&mut self) -> Reading {
        match self.read_within(Duration::from_secs(30)).0 {
            Answer::Reading(reading) => *reading,
            Answer::Gone => panic!("gone"),
        }
    }

    /// Reads until this holds.
    fn read_until(&mut self, holds: impl Fn(&Reading) -> bool) -> Reading {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let reading = self.read();
            if holds(&reading) {
                return reading;
            }
            assert!(Instant::now() < until, "{reading:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(String::from).collect()
    }
}

#[test]
fn a_running_machine() {
    let mut stage = Stage::set("");
    stage.start(7);
    let reading = stage.read();
    assert_eq!((reading.state, reading.run), (State::Running, Some(Run { pid: 7, start: 10_000 })));
    assert_eq!(reading.values[Quantity::DiskUsed], Err("VBoxManage has not answered yet".into()));
    let reading = stage
        .read_until(|reading| reading.ip_address.is_some() && reading.values[Quantity::DiskUsed].is_ok());
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let mib = f64::from(1 << 20);
    for (quantity, value) in [
        (Quantity::Vcpus, 2.0),
        (Quantity::MemoryTotal, 1024.0 * mib),
        (Quantity::DiskCapacity, 2.0 * 40960.0 * mib),
        (Quantity::DiskUsed, 2.0 * 1437.0 * mib),
        (Quantity::CpuSeconds, 1000.0 / ticks),
        (Quantity::Uptime, 1000.0 - 10_000.0 / ticks),
    ] {
        assert_eq!(reading.values[quantity], Ok(value), "{quantity:?}");
    }
    assert_eq!(reading.values[Quantity::MemoryUsed], Err("no guest figures".into()));
    assert_eq!(reading.values[Quantity::NetworkReceived], Err("VBoxManage does not tell".into()));
    assert_eq!(reading.ip_address.as_deref(), Some("10.0.2.15"));
    // all that is kept, and the process is still read
    for _ in 0..5 {
        stage.read();
    }
    let mut calls = stage.calls();
    calls.sort();
    let expected = [
        &format!("guestproperty get {ID} /VirtualBox/GuestInfo/Net/0/V4/IP"),
        "showmediuminfo disk 0d5a3a4e-7a1e-4e0c-8a55-51b0a52d6c01",
        "showmediuminfo disk 0d5a3a4e-7a1e-4e0c-8a55-51b0a52d6c02",
        &format!("showvminfo {ID} --machinereadable"),
    ];
    assert_eq!(calls, expected);
}

#[test]
fn a_machine_that_is_off_has_what_belongs_to_its_definition() {
    let mut stage = Stage::set("");
    stage.says("poweroff");
    let reading = stage.read_until(|reading| reading.values[Quantity::DiskCapacity].is_ok());
    assert_eq!((reading.state, reading.run, &reading.ip_address), (State::Shutoff, None, &None));
    for quantity in Quantity::ALL {
        let value = &reading.values[quantity];
        match quantity.outlives_a_run() {
            true => assert!(value.is_ok(), "{quantity:?}"),
            false => assert_eq!(*value, Err("shut off".into()), "{quantity:?}"),
        }
    }
}

#[test]
fn a_process_that_ended_is_asked_about_at_once() {
    let mut stage = Stage::set("");
    stage.start(7);
    assert_eq!(stage.read().state, State::Running);
    stage.end(7);
    stage.says("aborted");
    let reading = stage.read();
    assert_eq!((reading.state, reading.doubt), (State::Crashed, None), "though the answer before was young");
    // and one that came
    stage.start(8);
    stage.says("running");
    let reading = stage.read_until(|reading| reading.state == State::Running);
    assert_eq!(reading.run.map(|run| run.pid), Some(8));
}

#[test]
fn no_state_is_told_that_the_process_disproves() {
    let mut stage = Stage::set(r#"[ -e slow ] && sleep 600"#);
    stage.start(7);
    assert_eq!(stage.read().state, State::Running);
    stage.end(7);
    fs::write(stage.folder.path().join("slow"), "").unwrap();
    let (answer, _) = stage.read_within(Duration::from_millis(300));
    let Answer::Reading(reading) = answer else { panic!("gone") };
    let doubt = "its process has ended, and VBoxManage has not told why yet";
    assert_eq!((reading.state, reading.doubt.as_deref()), (State::Unknown, Some(doubt)));
}

#[test]
fn without_its_process_a_running_machine_lacks_what_that_tells() {
    let mut stage = Stage::set("");
    let reading = stage.read();
    assert_eq!((reading.state, reading.run), (State::Running, None));
    assert_eq!(reading.values[Quantity::CpuSeconds], Err("its process was not found".into()));
    assert_eq!(reading.values[Quantity::Vcpus], Ok(2.0));
}

#[test]
fn who_hangs_delays_one_round_and_is_named() {
    let mut stage = Stage::set("sleep 600");
    stage.provider.limit = Duration::from_secs(2);
    let began = Instant::now();
    let (answer, _) = stage.read_within(Duration::from_millis(300));
    assert_eq!(doubt(answer), "VBoxManage has not answered yet");
    assert!(began.elapsed() >= Duration::from_millis(200), "the first answer is waited for");
    let began = Instant::now();
    stage.read_within(Duration::from_secs(600));
    assert!(began.elapsed() < Duration::from_secs(60), "the same call is not waited for again");
    let reason = "VBoxManage did not answer within 2 s";
    stage.read_until(|reading| reading.doubt.as_deref() == Some(reason));
    assert_eq!(stage.read_within(Duration::from_secs(30)).1, [reason]);
}

fn doubt(answer: Answer) -> String {
    match answer {
        Answer::Reading(reading) => reading.doubt.map(String::from).unwrap_or_default(),
        Answer::Gone => panic!("gone"),
    }
}

#[test]
fn one_hung_machine_does_not_keep_others_waiting_for_ever() {
    let mut stage = Stage::set(&format!("case $2 in {OTHER}) sleep 600 ;; esac"));
    stage.provider.limit = Duration::from_millis(500);
    let mut hung = stage.machines[0].clone();
    hung.id = Some(OTHER.into());
    stage.machines.push(hung);
    stage.machines.reverse();
    let until = Instant::now() + Duration::from_secs(30);
    let (mut said, mut lines) = (Said::default(), Vec::new());
    let mut rounds_after = 0;
    loop {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut notes = Notes::default();
        let answers = stage.provider.read(&stage.machines, deadline, &mut notes);
        lines.extend(said.news(&mut notes).into_iter().map(|(_, line)| line));
        let [hung, well] = &answers[..] else { panic!("{answers:?}") };
        let Answer::Reading(well) = well else { panic!("gone") };
        if well.state == State::Running {
            assert!(doubt(hung.clone()).starts_with("VBoxManage did not answer"), "{hung:?}");
            rounds_after += 1;
        }
        if rounds_after == 3 {
            let line = format!("VirtualBox machine web ({OTHER}): VBoxManage did not answer within 0.5 s");
            assert_eq!(lines, [line], "said once, also beside one that is well");
            return;
        }
        assert!(Instant::now() < until, "{answers:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn garbage_is_no_state() {
    let mut stage = Stage::set("head -c 5000 /dev/urandom; exit 0");
    assert_eq!(stage.read().doubt.as_deref(), Some("VBoxManage told no state"));
    let mut stage = Stage::set("exit 0");
    assert_eq!(stage.read().doubt.as_deref(), Some("VBoxManage told no state"));
}

#[test]
fn only_a_machine_that_virtualbox_does_not_know_is_gone() {
    let complaint = "echo \"VBoxManage: error: Could not find a registered machine with UUID {$2}\" >&2";
    let mut stage = Stage::set(&format!(
        "{complaint}; echo 'VBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)' >&2; exit 1"
    ));
    assert_eq!(stage.read_within(Duration::from_secs(30)).0, Answer::Gone);
    let mut stage = Stage::set(&format!("{complaint}; exit 1"));
    assert!(doubt(stage.read_within(Duration::from_secs(30)).0).starts_with("VBoxManage failed: Could not"));
    // the machine is there, one of its disks is not
    let mut stage = Stage::set(
        "case $1 in showmediuminfo) echo 'code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)' >&2; exit 1 ;; esac",
    );
    let missing = Err("VirtualBox does not know a disk".into());
    let reading = stage.read_until(|reading| reading.values[Quantity::DiskUsed] == missing);
    assert_eq!(reading.state, State::Running);
}

#[test]
fn answers_are_asked_for_anew_when_they_are_old() {
    let mut stage = Stage::set("");
    stage.provider.refresh = Duration::from_millis(50);
    stage.says("paused");
    assert_eq!(stage.read().state, State::Paused);
    stage.says("saved");
    stage.read_until(|reading| reading.state == State::Saved);
}

#[test]
fn an_id_that_is_no_uuid_never_reaches_the_program() {
    let mut stage = Stage::set("");
    stage.machines[0].id = Some("--help".into());
    assert_eq!(stage.read().doubt.as_deref(), Some("its id is no UUID"));
    assert_eq!(stage.calls(), [""; 0]);
}

#[test]
fn without_virtualbox_nothing_is_asked() {
    let mut stage = Stage::set("");
    stage.provider.program = Program::new(&stage.root.path().join("none"));
    for _ in 0..2 {
        let (answer, notes) = stage.read_within(Duration::from_secs(30));
        assert_eq!(doubt(answer), "VirtualBox is not installed");
        assert_eq!(notes, ["is not installed: there is no VBoxManage"]);
    }
    assert!(stage.provider.workers.is_empty() && stage.provider.known.is_empty());
}

#[test]
fn who_is_no_more_is_forgotten() {
    let mut stage = Stage::set("");
    stage.read();
    stage.machines.clear();
    stage.provider.read(&[], Instant::now() + Duration::from_secs(1), &mut Notes::default());
    let VirtualBox { workers, known, outstanding, .. } = &stage.provider;
    assert!(workers.is_empty() && known.is_empty() && outstanding.is_empty());
}

#[test]
fn the_process_is_known_by_its_option() {
    let is = |line: &str| is_of(&line.split(' ').map(String::from).collect::<Vec<_>>(), ID);
    assert!(is(&format!("/usr/lib/virtualbox/VBoxHeadless --comment web --startvm {ID} --vrde config")));
    assert!(is(&format!("VirtualBoxVM --comment web --startvm {ID} --no-startvm-errormsgbox")));
    for line in [
        format!("VBoxManage showvminfo {ID}"),
        format!("VBoxHeadless --comment {ID} --startvm {OTHER}"),
        format!("VBoxHeadless --startvm {ID}0"),
        format!("tail --startvm {ID}"),
        "VBoxHeadless --startvm".into(),
    ] {
        assert!(!is(&line), "{line}");
    }
}
