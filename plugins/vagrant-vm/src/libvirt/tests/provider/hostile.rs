//! Users who claim what is not theirs, and who take their time.

use super::*;
use std::{
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use twarga_fake_libvirt::Behaviour;

const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// The service of the user who runs the tests.
fn session(lab: &Lab) -> FakeLibvirt {
    let folder = lab.path(&format!("run/user/{}/libvirt", own()));
    fs::create_dir_all(&folder).expect("a folder");
    let fake = FakeLibvirt::start(&folder.join("libvirt-sock")).expect("a socket");
    fake.serve("qemu:///session");
    fake
}

fn own() -> u32 {
    rustix::process::getuid().as_raw()
}

/// A claim of somebody else to the machine.
fn claimed(machine: &Machine) -> Machine {
    let mut machine = machine.clone();
    machine.id = machine.id.map(|id| id.to_ascii_uppercase());
    machine.owner.uid += 1;
    machine
}

#[test]
fn who_names_anothers_machine_takes_nothing_from_it() {
    let mut lab = Lab::with(2);
    lab.machines.insert(0, claimed(&lab.machines[0]));
    for _ in 0..2 {
        lab.readings().iter().for_each(assert_full);
    }
    let asked = lab.fake.asked();
    assert!(
        asked.iter().filter(|asked| asked.procedure == GET_ALL_DOMAIN_STATS).all(|asked| asked.domains == 2)
    );
    // each has its own memory of it
    lab.machines.swap(0, 1);
    lab.readings().iter().for_each(assert_full);
}

#[test]
fn a_users_service_has_no_machine_of_the_systems() {
    let mut lab = Lab::with(1);
    lab.fake.stop();
    let fake = session(&lab);
    let mut lie = Domain::running(0);
    lie.shut_off(3);
    fake.domains(|domains| domains.push(lie));
    for _ in 0..2 {
        assert_eq!(lab.first().state, State::Crashed, "nobody else says anything");
    }
    lab.fake.resume().expect("a socket");
    for _ in 0..2 {
        assert_full(&lab.first());
    }
    // and now it is known whose it is
    lab.fake.stop();
    assert_eq!(lab.first().state, State::Running);
}

#[test]
fn a_machine_of_a_users_service_is_asked_for_at_the_systems_until_that_has_answered() {
    let mut lab = Lab::with(1);
    let fake = session(&lab);
    let moved = lab.fake.domains(|domains| domains.remove(0));
    fake.domains(|domains| domains.push(moved));
    lab.fake.stop();
    lab.first();
    lab.fake.resume().expect("a socket");
    lab.first();
    assert!(procedures(&lab.fake.asked()).contains(&GET_ALL_DOMAIN_STATS));
    lab.first();
    assert_eq!(lab.fake.asked(), []);
}

/// Anybody may give any program these arguments.
#[test]
fn no_process_of_somebody_else_is_taken_for_the_machines() {
    for (program, uid) in [(QEMU, 1001), (QEMU, 165_536), (QEMU, 65_534), ("/usr/bin/sleep", QEMUS_UID)] {
        let mut lab = Lab::with(1);
        lab.fake.stop();
        lab.machines[0].owner.uid = 1000;
        lab.runs(1000, program, &Domain::running(0), uid);
        let told = lab.first();
        assert_eq!((told.state, told.run), (State::Unknown, None), "{program} {uid}");
        // its name is known now, and so is its pid file; which only root writes
        lab.fake.resume().expect("a socket");
        assert_eq!(lab.first().run.is_some(), program == QEMU, "{program} {uid}");
    }
    for uid in [QEMUS_UID, 107, 0, 1000] {
        let mut lab = Lab::with(1);
        lab.fake.stop();
        lab.machines[0].owner.uid = 1000;
        lab.runs(1000, QEMU, &Domain::running(0), uid);
        assert!(lab.first().run.is_some(), "{uid}");
    }
}

#[test]
fn a_process_that_was_found_while_nobody_told_has_to_prove_itself() {
    let mut lab = Lab::with(1);
    lab.fake.stop();
    // the owner's own, who claims the machine
    lab.machines[0].owner.uid = 1000;
    lab.process(1500, &Domain::running(0), 'S');
    lab.runs(1500, QEMU, &Domain::running(0), 1000);
    lab.end_process(1000);
    assert_eq!(lab.first().run.map(|run| run.pid), Some(1500));
    lab.fake.resume().expect("a socket");
    let told = lab.first();
    assert_eq!((told.state, told.run), (State::Running, None), "none of the system's");
    lab.process(1000, &Domain::running(0), 'S');
    assert_eq!(lab.first().run.map(|run| run.pid), Some(1000), "that of the pid file");
}

#[test]
fn a_pid_file_that_is_a_link_is_none() {
    let mut lab = Lab::with(1);
    let file = lab.path("run/libvirt/qemu/project_m0.pid");
    fs::rename(&file, lab.path("elsewhere")).expect("a pid file");
    symlink(lab.path("elsewhere"), &file).expect("a link");
    lab.runs(1000, QEMU, &Domain::running(0), 1000);
    assert_eq!(lab.first().run, None);
}

#[test]
fn a_socket_that_is_a_link_is_not_even_connected_to() {
    let mut lab = Lab::with(1);
    lab.fake.domains(Vec::clear);
    lab.end_process(1000);
    let listener = std::os::unix::net::UnixListener::bind(lab.path("roots")).expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    let folder = lab.path(&format!("run/user/{}/libvirt", own()));
    fs::create_dir_all(&folder).expect("a folder");
    symlink(lab.path("roots"), folder.join("libvirt-sock")).expect("a link");
    let told = lab.first();
    let expected = "the socket's service belongs to another user";
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some(expected)));
    assert!(listener.accept().is_err(), "it was connected to");
}

/// Fast in one poll and silent in the next, a user's service sorts before others now and then.
#[test]
fn a_users_service_takes_no_time_of_the_systems() {
    let mut lab = Lab::with(3);
    let fake = session(&lab);
    let moved = lab.fake.domains(|domains| domains.remove(2));
    fake.domains(|domains| domains.push(moved));
    lab.readings();
    for round in 0..6 {
        fake.behave(if round % 2 == 0 { Behaviour::Silent } else { Behaviour::Honest });
        let began = Instant::now();
        let told = lab.readings();
        assert!(began.elapsed() < TIMEOUT / 2, "{round}: {:?}", began.elapsed());
        assert_full(&told[0]);
        assert_full(&told[1]);
    }
    // one that is asked about its definition alone, too
    fake.behave(Behaviour::Honest);
    while lab.readings()[2].values[Quantity::DiskRead].is_err() {}
    fake.domains(|domains| (domains[0].id, domains[0].hangs_at_xml) = (99, true));
    lab.change(0, |domain| domain.id = 98);
    let began = Instant::now();
    assert_full(&lab.first());
    assert!(began.elapsed() < TIMEOUT / 2, "{:?}", began.elapsed());
}

#[test]
fn the_systems_service_is_asked_first_and_then_the_quick_ones() {
    let mut lab = Lab::with(3);
    for (number, machine) in lab.machines.iter_mut().enumerate() {
        machine.owner.uid = 2000 + number as u32;
    }
    lab.readings();
    let key = |number: u32| super::super::super::Key::Session(2000 + number);
    let system = super::super::super::Key::System;
    let mut takes = |key, millis| {
        lab.libvirt.places.get_mut(&key).expect("a place").took = Duration::from_millis(millis);
    };
    takes(system, 800);
    takes(key(0), 100);
    takes(key(1), 200);
    takes(key(2), 0);
    assert_eq!(lab.libvirt.order(), [system, key(2), key(0), key(1)]);
    // who was slow once is not quick at once
    lab.machines.iter_mut().for_each(|machine| machine.id = machine.id.take().map(|id| id.replace('a', "b")));
    lab.poll();
    assert_eq!(lab.libvirt.order(), [system, key(2), key(0), key(1)]);
    assert!(lab.libvirt.places[&key(1)].took > Duration::from_millis(100));
}

/// Processor time is of when the process was read, though another machine delayed the answer.
#[test]
fn a_delay_makes_no_processor_time() {
    let mut lab = Lab::with(2);
    lab.readings();
    let began = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let busy = {
        let (over, folder) = (Arc::clone(&over), lab.path("proc/1000"));
        std::thread::spawn(move || {
            let ticks = rustix::param::clock_ticks_per_second();
            while !over.load(Ordering::Relaxed) {
                let used = (began.elapsed().as_secs_f64() * ticks as f64) as u64;
                let stat =
                    format!("1000 (q) S 1 1 1 0 -1 0 0 0 0 0 {used} 0 0 0 20 0 5 0 {} 0 1 0\n", 500 * ticks);
                fs::write(folder.join("draft"), stat).expect("a file");
                fs::rename(folder.join("draft"), folder.join("stat")).expect("a file");
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    // the first figures are its own
    while lab.first().values[Quantity::CpuSeconds] == Ok(3.0) {}
    for hangs in [false, true, true, false, false] {
        lab.change(1, |domain| domain.hangs = hangs);
        let told = lab.first();
        let used = told.values[Quantity::CpuSeconds].as_ref().expect("a value");
        let at = told.at.duration_since(began).as_secs_f64();
        assert!((used - at).abs() < 0.8, "{used} s were used up to {at} s");
    }
    over.store(true, Ordering::Relaxed);
    busy.join().expect("no panic");
}

#[test]
fn what_was_off_may_be_on_where_no_process_can_be_seen() {
    let mut lab = Lab::with(1);
    lab.change(0, |domain| domain.shut_off(1));
    lab.end_process(1000);
    assert_eq!(lab.first().state, State::Shutoff);
    lab.fake.stop();
    assert_eq!(lab.first().state, State::Shutoff);
    lab.end_process(1);
    let told = lab.first();
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some("libvirt is not running")));
}

/// With `XDG_CONFIG_HOME`, a user's definitions lie elsewhere; while the service idles, nobody tells of them.
#[test]
fn a_machine_of_a_user_who_has_a_libvirt_somewhere_is_not_gone() {
    let mut lab = Lab::with(1);
    lab.end_process(1000);
    lab.fake.domains(Vec::clear);
    lab.machines[0].owner.home = lab.path("home/somebody");
    fs::create_dir_all(lab.path("home/somebody/.cache/libvirt")).expect("a folder");
    let told = lab.first();
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some("libvirt is not running")));
    // who never had one has no machine there
    fs::remove_dir_all(lab.path("home/somebody/.cache")).expect("a folder");
    let mut other = Libvirt::new(&config(lab.root.path()));
    let (answers, _) = read(&mut other, &lab.machines, TIMEOUT);
    assert_eq!(answers[0], Answer::Gone);
}

#[test]
fn a_machine_that_the_system_had_is_gone_whatever_its_owner_has() {
    let mut lab = Lab::with(1);
    lab.machines[0].owner.home = lab.path("home/somebody");
    fs::create_dir_all(lab.path("home/somebody/.cache/libvirt")).expect("a folder");
    assert_full(&lab.first());
    lab.end_process(1000);
    lab.fake.domains(Vec::clear);
    for _ in 0..3 {
        assert_eq!(lab.poll().0[0], Answer::Gone);
    }
}

#[test]
fn a_name_that_is_none_stands_in_no_line() {
    for name in ["a\nb", "\u{1b}[2J", &"x".repeat(256)] {
        let mut lab = Lab::with(1);
        lab.change(0, |domain| name.clone_into(&mut domain.name));
        lab.process(1000, &Domain::running(0), 'T');
        lab.change(0, |domain| ["block.", "balloon.last"].into_iter().for_each(|what| domain.remove(what)));
        let (_, notes) = lab.poll();
        let subject = format!("libvirt machine {}", lab.machines[0].vm());
        assert!(notes.iter().any(|note| note.subject == subject && note.said.is_some()), "{notes:?}");
        assert!(notes.iter().all(|note| !note.subject.contains(name)));
    }
}

/// Root's agent tells nobody which files there are.
#[test]
fn disks_of_a_users_service_are_all_the_same_but_the_users_own() {
    let mut lab = Lab::with(1);
    let fake = session(&lab);
    let moved = lab.fake.domains(|domains| domains.remove(0));
    fake.domains(|domains| domains.push(moved));
    lab.write("etc/secret", "x");
    let expected = "a disk image is not there, or is no file of its owner's";
    let mut told = HashSet::new();
    for path in ["/etc/none", "/etc", "/etc/secret/none"] {
        fake.domains(|domains| domains[0].put("block.0.path", twarga_fake_libvirt::Value::Text(path.into())));
        told.insert(reason(&lab.first().values[Quantity::DiskUsed]).to_owned());
    }
    assert_eq!(told, HashSet::from([expected.to_owned()]));
    let host = super::super::super::host::Host::below(lab.root.path());
    assert_eq!(host.extent("/etc/secret".as_ref(), Some(own() + 1)), Err(expected.into()));
    assert!(host.extent("/etc/secret".as_ref(), Some(own())).is_ok());
}

/// libvirt's number is -1 whenever a machine is off, and a restarted service begins to count anew.
#[test]
fn another_process_is_another_run_though_libvirts_number_is_the_same() {
    let mut lab = Lab::with(1);
    assert_full(&lab.first());
    lab.end_process(1000);
    lab.process(1001, &Domain::running(0), 'S');
    lab.write("run/libvirt/qemu/project_m0.pid", "1001");
    lab.change(0, |domain| {
        domain.addresses = vec!["192.168.121.99".into()];
        domain.xml = domain.xml.replace("device='disk'", "device='cdrom'");
    });
    let told = lab.first();
    assert_eq!(told.ip_address.as_deref(), Some("192.168.121.99"));
    assert_eq!(reason(&told.values[Quantity::DiskCapacity]), "no disks");
}
