//! Without a service, with another one, and with several.

use super::*;

/// The folder of the service of the user who runs the tests.
fn session(lab: &Lab) -> PathBuf {
    let folder = lab.path(&format!("run/user/{}/libvirt", lab.machines[0].owner.uid));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn while_the_service_is_down_the_process_tells() {
    let mut lab = Lab::with(2);
    lab.change(1, |domain| domain.shut_off(5));
    lab.end_process(1001);
    let before = lab.readings();
    assert_full(&before[0]);
    lab.fake.stop();
    for _ in 0..2 {
        let told = lab.readings();
        assert_eq!((told[0].state, told[0].run), (State::Running, before[0].run));
        assert_eq!(told[0].ip_address, before[0].ip_address);
        for quantity in [Quantity::CpuSeconds, Quantity::Uptime, Quantity::DiskUsed] {
            assert_eq!(told[0].values[quantity], before[0].values[quantity]);
        }
        // they can't have changed in the same run
        for quantity in [Quantity::Vcpus, Quantity::MemoryTotal, Quantity::DiskCapacity] {
            assert_eq!(told[0].values[quantity], before[0].values[quantity]);
        }
        for quantity in [Quantity::MemoryUsed, Quantity::DiskRead, Quantity::NetworkReceived] {
            assert_eq!(reason(&told[0].values[quantity]), "libvirt is not running");
        }
        assert_eq!(told[1].state, State::Saved);
        assert_eq!(reason(&told[1].values[Quantity::Uptime]), "saved");
    }
    // its process ends, and nobody can tell how: that is no stop, and no crash
    lab.end_process(1000);
    for _ in 0..2 {
        let told = lab.first();
        let expected = "its process ended, and libvirt has not said how";
        assert_eq!((told.state, told.doubt.as_deref(), told.run), (State::Unknown, Some(expected), None));
        assert_eq!(reason(&told.values[Quantity::CpuSeconds]), "libvirt is not running");
        assert_eq!(reason(&told.values[Quantity::Vcpus]), "libvirt is not running");
    }
    // another process of it: nobody has said what state it is in
    lab.process(1005, &Domain::running(0), 'S');
    lab.write("run/libvirt/qemu/project_m0.pid", "1005");
    let told = lab.first();
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some("libvirt is not running")));
    assert_eq!(told.values[Quantity::CpuSeconds], Ok(3.0));
    lab.fake.resume().expect("a socket");
    assert_full(&lab.first());
    // and one of which libvirt says afterwards that it crashed
    lab.fake.stop();
    lab.end_process(1005);
    assert_eq!(lab.first().state, State::Unknown);
    lab.change(0, |domain| domain.shut_off(3));
    lab.fake.resume().expect("a socket");
    assert_eq!(lab.first().state, State::Crashed);
}

#[test]
fn a_paused_machine_stays_paused_while_the_service_is_down() {
    let mut lab = Lab::with(1);
    lab.change(0, |domain| domain.state(3, 1));
    assert_eq!(lab.first().state, State::Paused);
    lab.fake.stop();
    assert_eq!(lab.first().state, State::Paused);
}

#[test]
fn a_service_that_was_restarted_is_asked_with_the_next_poll() {
    let mut lab = Lab::with(2);
    for _ in 0..3 {
        lab.readings().iter().for_each(assert_full);
        lab.fake.restart().expect("a socket");
    }
}

#[test]
fn where_nobody_has_libvirt_the_process_tells() {
    let mut lab = Lab::with(1);
    lab.fake.stop();
    fs::remove_dir_all(lab.path("run/libvirt")).expect("a folder");
    let told = lab.first();
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some("libvirt is not installed")));
    assert_eq!(told.values[Quantity::CpuSeconds], Ok(3.0));
    assert_eq!(told.values[Quantity::Uptime], Ok(500.0));
    lab.end_process(1000);
    // nobody has ever said that there is such a machine
    let mut other = Libvirt::new(&config(lab.root.path()));
    let (answers, _) = read(&mut other, &lab.machines, TIMEOUT);
    assert_eq!(reading(&answers[0]).state, State::Unknown);
}

#[test]
fn a_machine_is_found_at_its_owners_service() {
    let mut lab = Lab::with(2);
    let fake = FakeLibvirt::start(&session(&lab).join("libvirt-sock")).expect("a socket");
    fake.serve("qemu:///session");
    let moved = lab.fake.domains(|domains| domains.remove(1));
    fake.domains(|domains| domains.push(moved));
    let uid = lab.machines[0].owner.uid;
    lab.write(&format!("run/user/{uid}/libvirt/qemu/run/project_m1.pid"), "1001");
    lab.runs(1001, "/usr/bin/qemu-system-x86_64", &Domain::running(1), uid);
    lab.readings().iter().for_each(assert_full);
    lab.fake.asked();
    fake.asked();
    // now each is asked where it is
    lab.readings().iter().for_each(assert_full);
    let counts = |asked: Vec<Asked>| asked.iter().map(|asked| asked.domains).collect::<Vec<_>>();
    assert_eq!((counts(lab.fake.asked()), counts(fake.asked())), (vec![1], vec![1]));
    // while the owner's is down it is not gone, whatever the system's says
    drop(fake);
    assert_eq!(lab.readings()[1].state, State::Running);
    lab.end_process(1001);
    assert_eq!(lab.readings()[1].state, State::Unknown);
}

#[test]
fn a_machine_that_the_owners_idle_service_may_have_is_not_gone() {
    let mut lab = Lab::with(1);
    lab.end_process(1000);
    lab.fake.domains(Vec::clear);
    lab.machines[0].owner.home = lab.path("home/somebody");
    let definition = lab.path("home/somebody/.config/libvirt/qemu/m.xml");
    let text = format!("<domain><uuid>{}</uuid></domain>", lab.machines[0].vm());
    lab.write("home/somebody/.config/libvirt/qemu/m.xml", text);
    let told = lab.first();
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some("libvirt is not running")));
    // another's definition is none of it
    fs::write(&definition, "<domain/>").expect("a file");
    let mut other = Libvirt::new(&config(lab.root.path()));
    let (answers, _) = read(&mut other, &lab.machines, TIMEOUT);
    assert_eq!(answers[0], Answer::Gone);
}

#[test]
fn a_socket_of_somebody_else_is_not_believed() {
    let mut lab = Lab::with(1);
    lab.fake.domains(Vec::clear);
    lab.end_process(1000);
    lab.machines[0].owner.uid += 1;
    let fake = FakeLibvirt::start(&session(&lab).join("libvirt-sock")).expect("a socket");
    fake.serve("qemu:///session");
    fake.domains(|domains| domains.push(Domain::running(0)));
    let told = lab.first();
    let expected = "the socket's service belongs to another user";
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some(expected)));
}

#[test]
fn the_newer_services_socket_comes_first_and_a_stale_one_is_passed_over() {
    let mut lab = Lab::with(1);
    // left over by a service that was killed
    drop(
        std::os::unix::net::UnixListener::bind(lab.path("run/libvirt/virtqemud-sock-ro")).expect("a socket"),
    );
    assert_full(&lab.first());
    fs::remove_file(lab.path("run/libvirt/virtqemud-sock-ro")).expect("a socket");
    let newer = FakeLibvirt::start(&lab.path("run/libvirt/virtqemud-sock-ro")).expect("a socket");
    newer.domains(|domains| domains.push(Domain::running(0)));
    let mut other = Libvirt::new(&config(lab.root.path()));
    let (answers, _) = read(&mut other, &lab.machines, TIMEOUT);
    assert_full(reading(&answers[0]));
    assert!(newer.asked().len() > 2);
}

#[test]
fn sockets_that_were_named_are_asked_and_no_others() {
    let mut lab = Lab::with(1);
    let path = lab.path("elsewhere");
    let fake = FakeLibvirt::start(&path).expect("a socket");
    fake.serve("qemu:///session");
    fake.domains(|domains| domains.push(Domain::running(0)));
    let mut config = config(lab.root.path());
    config.libvirt.sockets = vec![path];
    lab.libvirt = Libvirt::new(&config);
    assert_full(&lab.first());
    assert!(lab.fake.asked().is_empty());
}
