use super::testing::{Lab, index_id};
use super::*;
use crate::machine::State;
use std::{fs, path::Path};

#[test]
fn the_captured_project_is_read() {
    let mut lab = Lab::new(&["root"]);
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("testcases");
    let index = fs::read(cases.join("machine-index/A-both-running-index.json")).unwrap();
    lab.write(&lab.index_of("root"), index);
    for name in ["web", "db"] {
        for file in ["id", "box_meta", "creator_uid", "index_uuid"] {
            let path = format!("machines/{name}/libvirt/{file}");
            let bytes = fs::read(cases.join("dotvagrant").join(&path)).unwrap();
            lab.write(&format!("srv/lab/project/.vagrant/{path}"), bytes);
        }
    }
    let mut scanner = lab.scanner();
    let scan = lab.scan(&mut scanner);
    let expected = "db=1a1753e4-b759-4043-98db-c9d5767ff333 web=9d08d6a8-abbd-4816-ad78-13c49b8cd6cd";
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), (expected, &None));
    let machine = &scan.machines[0];
    assert_eq!(machine.index_id, "ec1b18f0ae41491196577ba25f87e85c");
    assert_eq!((machine.provider.as_str(), machine.project.as_str()), ("libvirt", "/srv/lab/project"));
    assert_eq!((machine.box_name.as_str(), machine.owner.name.as_str()), ("tiny", "root"));
    assert_eq!(lab.lines, [""; 0]);
}

#[test]
fn where_nobody_has_machines_it_is_silent_and_reads_nothing() {
    let mut lab = Lab::new(&["root", "alice", "bob"]);
    let mut scanner = lab.scanner();
    let scan = lab.scan(&mut scanner);
    assert!(scan.machines.is_empty() && scan.missing.is_none() && lab.lines.is_empty());
    lab.probe.counted();
    lab.scan(&mut scanner);
    assert_eq!(lab.probe.counted(), (4, Vec::new()), "/etc/passwd, and one for each user");
}

const LONG: Duration = Duration::from_secs(3600);

/// Who has machines, or something amiss, is looked at with each poll.
#[test]
fn a_home_without_an_index_is_left_alone_for_a_while() {
    let mut lab = Lab::new(&["alice", "bob", "carol"]);
    lab.machines("alice", &[1]);
    lab.write(&lab.index_of("carol"), "garbage");
    let mut scanner = lab.scanner_with(&lab.config(), [Duration::ZERO, LONG]);
    lab.scan(&mut scanner);
    lab.probe.counted();
    lab.machines("alice", &[1, 2]);
    lab.machines("bob", &[3]);
    lab.machines("carol", &[4]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2 web4=id-4");
    // two indexes, which have changed, and so for each machine its id and .vm_info
    assert_eq!(lab.probe.counted().0, 2 + 3 * 2);
    // its time has come
    scanner.pauses.bare = Duration::ZERO;
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2 web3=id-3 web4=id-4");
    // from then on it is looked at, whatever it is like
    scanner.pauses.bare = LONG;
    lab.machines("bob", &[]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2 web4=id-4");
    lab.machines("bob", &[3]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2 web3=id-3 web4=id-4");
}

#[test]
fn a_home_in_which_nothing_changes_is_left_alone_unless_there_is_a_hurry() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("alice", &[1]);
    lab.machines("bob", &[]);
    lab.index("bob", &[2]);
    let mut scanner = lab.scanner_with(&lab.config(), [LONG; 2]);
    lab.scan(&mut scanner);
    lab.probe.counted();
    // bob's machine has neither an id nor a project: that is looked at again and again
    lab.machines("alice", &[1, 3]);
    lab.machines("bob", &[2]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2");
    lab.scan(&mut scanner);
    lab.probe.counted();
    let rested = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&rested).as_str(), lab.probe.counted()), ("web1=id-1 web2=id-2", (0, Vec::new())));
    scanner.hurry();
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web3=id-3 web2=id-2");
    // a half-written index is read again at once, though it keeps what it said
    lab.write(&lab.index_of("bob"), "");
    scanner.hurry();
    lab.scan(&mut scanner);
    lab.machines("bob", &[]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web3=id-3");
}

/// Vagrant rewrites the index with each of them.
#[test]
fn files_of_machines_that_exist_are_looked_at_when_their_index_changed() {
    let mut lab = Lab::new(&["alice"]);
    lab.machines("alice", &[1, 2]);
    lab.index("alice", &[1, 2, 3]);
    fs::create_dir_all(lab.path("home/alice/project/.vagrant")).unwrap();
    let mut scanner = lab.scanner_with(&lab.config(), [Duration::ZERO, LONG]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2 web3=-");
    lab.probe.counted();
    fs::remove_file(lab.path(&lab.id_of("alice", 1))).unwrap();
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2 web3=-");
    // the index, and of the machine that is not created its id, its project and .vm_info
    assert_eq!(lab.probe.counted().0, 1 + 3);
    lab.write(&lab.id_of("alice", 3), "id-3");
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2 web3=id-3");
    // the same words, written anew
    lab.index("alice", &[1, 2, 3]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=- web2=id-2 web3=id-3");
    lab.write(&lab.id_of("alice", 2), "id-22");
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=- web2=id-2 web3=id-3");
    scanner.hurry();
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=- web2=id-22 web3=id-3");
}

/// Polled each second, every other look is spared, and no more.
#[test]
fn a_new_machine_is_seen_within_two_seconds() {
    let mut lab = Lab::new(&["alice"]);
    lab.machines("alice", &[1]);
    let Pauses { calm, bare } = Pauses::default();
    let mut scanner = lab.scanner_with(&lab.config(), [calm, bare]);
    lab.scan(&mut scanner);
    lab.machines("alice", &[1, 2]);
    let a_second_later = |scanner: &mut Scanner| {
        let home = &mut scanner.homes[0];
        home.looked = home.looked.map(|looked| looked.checked_sub(Duration::from_secs(1)).unwrap());
    };
    a_second_later(&mut scanner);
    a_second_later(&mut scanner);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2");
}

#[test]
fn while_nothing_changes_nothing_is_read_and_the_machines_are_the_same() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("alice", &[1, 2, 3]);
    lab.machines("bob", &[4]);
    lab.write("home/bob/project/.vm_info", r#"{"ram_mb":512}"#);
    let mut scanner = lab.scanner();
    let first = lab.scan(&mut scanner);
    assert_eq!(Lab::shown(&first), "web1=id-1 web2=id-2 web3=id-3 web4=id-4");
    let owners: Vec<_> = first.machines.iter().map(|machine| machine.owner.name.as_str()).collect();
    assert_eq!(owners, ["alice", "alice", "alice", "bob"]);
    lab.probe.counted();
    for _ in 0..3 {
        let again = lab.scan(&mut scanner);
        assert!(Arc::ptr_eq(&again.machines, &first.machines));
        // /etc/passwd, two indexes, and for each machine its id and .vm_info
        assert_eq!(lab.probe.counted(), (3 + 4 * 2, Vec::new()));
    }
    // one id changes: it alone is read
    lab.write(&lab.id_of("alice", 2), "another");
    let changed = lab.scan(&mut scanner);
    assert_eq!(Lab::shown(&changed), "web1=id-1 web2=another web3=id-3 web4=id-4");
    assert_eq!(lab.probe.counted().1, [lab.path(&lab.id_of("alice", 2))]);
}

/// Created, halted and destroyed: the id comes after the entry, and goes before it.
#[test]
fn ids_come_and_go() {
    let mut lab = Lab::new(&["alice"]);
    lab.index("alice", &[1]);
    fs::create_dir_all(lab.path("home/alice/project/.vagrant/machines")).unwrap();
    let mut scanner = lab.scanner();
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=-");
    lab.write(&lab.id_of("alice", 1), "b0000000-0000-4000-8000-000000000001");
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=b0000000-0000-4000-8000-000000000001");
    fs::remove_file(lab.path(&lab.id_of("alice", 1))).unwrap();
    let scan = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=-", &None));
    lab.index("alice", &[]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "");
    fs::remove_file(lab.path(&lab.index_of("alice"))).unwrap();
    let scan = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("", &None));
    assert_eq!(lab.lines, [""; 0]);
}

/// `rm -r` of a project, a move, a disk that is not mounted: none of it says that the machine is not created.
#[test]
fn a_project_that_is_gone_says_nothing_of_its_machine() {
    let mut lab = Lab::new(&["alice"]);
    lab.machines("alice", &[1]);
    let mut scanner = lab.scanner();
    lab.scan(&mut scanner);
    fs::remove_dir_all(lab.path("home/alice/project")).unwrap();
    for _ in 0..4 {
        let scan = lab.scan(&mut scanner);
        assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1", &None));
    }
    // one that never knew the id: too early to tell, then it is known to be missing
    let mut late = lab.scanner();
    for early in [true, true, false, false] {
        let scan = lab.scan(&mut late);
        assert_eq!((Lab::shown(&scan).as_str(), Lab::indexes(&scan).as_str()), ("", "alice=0"));
        assert_eq!(scan.missing.is_some_and(|why| why.ends_with("its id is not known")), early);
    }
    // it comes back
    lab.machines("alice", &[1]);
    let scan = lab.scan(&mut late);
    assert_eq!((Lab::shown(&scan).as_str(), Lab::indexes(&scan).as_str()), ("web1=id-1", "alice=1"));
}

/// What is known by its index id stays, in doubt: it may have been created meanwhile.
#[test]
fn a_machine_that_was_not_created_stays_while_its_project_is_away() {
    let mut lab = Lab::new(&["alice"]);
    lab.index("alice", &[1]);
    fs::create_dir_all(lab.path("home/alice/project/.vagrant")).unwrap();
    let mut scanner = lab.scanner();
    let shown = |scan: &Scan| (Lab::shown(scan), Lab::indexes(scan));
    assert_eq!(shown(&lab.scan(&mut scanner)), ("web1=-".into(), "alice=1".into()));
    fs::rename(lab.path("home/alice/project"), lab.path("home/alice/moved")).unwrap();
    for _ in 0..2 {
        assert_eq!(shown(&lab.scan(&mut scanner)), ("web1=-".into(), "alice=1".into()), "too early");
    }
    let scan = lab.scan(&mut scanner);
    assert_eq!(shown(&scan), ("web1=?".into(), "alice=0".into()));
    let mut roster = crate::roster::Roster::new(lab.config(), Arc::clone(&scanner.crew));
    let told = roster.ask(&scan.machines, Instant::now(), &mut Notes::default());
    assert_eq!((told[0].vm, told[0].reading.state), (&*index_id(1), State::Unknown));
    assert_eq!(told[0].reading.doubt.as_deref(), Some("its id is not known"));
    fs::rename(lab.path("home/alice/moved"), lab.path("home/alice/project")).unwrap();
    assert_eq!(shown(&lab.scan(&mut scanner)), ("web1=-".into(), "alice=1".into()));
}

/// A home that is mounted later: nothing says that there is an index, nor that there is none.
#[test]
fn a_user_without_an_index_is_not_told_of() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("alice", &[1]);
    let mut scanner = lab.scanner();
    assert_eq!(Lab::indexes(&lab.scan(&mut scanner)), "alice=1");
    fs::rename(lab.path("home/alice"), lab.path("home/alices")).unwrap();
    let scan = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&scan), Lab::indexes(&scan)), (String::new(), String::new()));
    fs::rename(lab.path("home/alices"), lab.path("home/alice")).unwrap();
    assert_eq!(Lab::indexes(&lab.scan(&mut scanner)), "alice=1");
}

#[test]
fn a_uuid_is_the_same_in_capitals() {
    let mut lab = Lab::new(&["alice"]);
    lab.machines("alice", &[1, 2]);
    lab.write(&lab.id_of("alice", 1), "3CD62CAD-25AF-45D2-90A8-171A56A7FF12");
    lab.write(&lab.id_of("alice", 2), "vq_Ab-3_dEf");
    let mut scanner = lab.scanner();
    let expected = "web1=3cd62cad-25af-45d2-90a8-171a56a7ff12 web2=vq_Ab-3_dEf";
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), expected);
}

#[test]
fn an_index_that_is_being_rewritten_keeps_what_it_said() {
    let mut lab = Lab::new(&["alice"]);
    lab.machines("alice", &[1, 2]);
    let mut scanner = lab.scanner();
    let good = lab.scan(&mut scanner);
    let whole = fs::read(lab.path(&lab.index_of("alice"))).unwrap();
    for bytes in [&b""[..], &whole[..whole.len() / 2]] {
        lab.write(&lab.index_of("alice"), bytes);
        let scan = lab.scan(&mut scanner);
        assert!(Arc::ptr_eq(&scan.machines, &good.machines) && scan.missing.is_none());
        assert_eq!(lab.lines, [""; 0], "too early to complain");
    }
    lab.scan(&mut scanner);
    let path = format!("/{}", lab.index_of("alice"));
    assert_eq!(lab.lines, [format!("Warn {path}: it breaks off in the middle; what it said before is used")]);
    // said once
    lab.scan(&mut scanner);
    assert_eq!(lab.lines, [""; 0]);
    lab.index("alice", &[2]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web2=id-2");
    assert_eq!(lab.lines, [format!("Info {path}: well again")]);
}

#[test]
fn machines_are_missing_while_their_index_was_never_read() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.write(&lab.index_of("alice"), r#"{"version":1,"mach"#);
    let mut scanner = lab.scanner();
    for _ in 0..5 {
        let missing = lab.scan(&mut scanner).missing.unwrap();
        assert!(
            missing.ends_with(".vagrant.d/data/machine-index/index: it breaks off in the middle"),
            "{missing}"
        );
    }
    lab.machines("alice", &[1]);
    let scan = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1", &None));
}

#[test]
fn a_broken_index_is_counted_until_it_is_read_or_gone() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("alice", &[1]);
    lab.write(&lab.index_of("bob"), "garbage");
    let mut scanner = lab.scanner();
    for _ in 0..4 {
        let scan = lab.scan(&mut scanner);
        assert_eq!((Lab::shown(&scan).as_str(), &*Lab::indexes(&scan)), ("web1=id-1", "alice=1 bob=0"));
    }
    for content in ["", "{", "[]"] {
        fs::remove_file(lab.path(&lab.index_of("bob"))).unwrap();
        assert_eq!(Lab::indexes(&lab.scan(&mut scanner)), "alice=1");
        lab.write(&lab.index_of("bob"), content);
        assert_eq!(Lab::indexes(&lab.scan(&mut scanner)), "alice=1 bob=0", "{content}");
    }
    lab.machines("bob", &[2]);
    let scan = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&scan).as_str(), &*Lab::indexes(&scan)), ("web1=id-1 web2=id-2", "alice=1 bob=1"));
    lab.write(&lab.index_of("bob"), "garbage");
    assert_eq!(Lab::indexes(&lab.scan(&mut scanner)), "alice=1 bob=1", "what it said before is used");
}

#[test]
fn entries_that_are_left_out_are_said() {
    let mut lab = Lab::new(&["alice"]);
    let (one, two) = (index_id(1), index_id(2));
    lab.write(&lab.index_of("alice"), format!(r#"{{"version":1,"machines":{{"{one}":{{}},"{two}":7}}}}"#));
    let mut scanner = lab.scanner();
    assert!(lab.scan(&mut scanner).machines.is_empty());
    let path = lab.index_of("alice");
    let line = format!("Info /{path} (entries): the machine {one} is left out: it has no name, and 1 more");
    assert_eq!(lab.lines, [line]);
}

#[test]
fn users_come_and_go_and_who_never_was_is_said_once() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("alice", &[1]);
    lab.machines("carol", &[2]);
    let mut config = lab.config();
    config.users = Some(vec!["alice".into(), "carol".into()]);
    let mut scanner = lab.scanner_of(&config);
    let scan = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1", &None));
    assert_eq!(lab.lines, ["Warn user carol: there is no such user"]);
    lab.scan(&mut scanner);
    assert_eq!(lab.lines, [""; 0]);
    lab.passwd(&["carol", "alice"]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=id-1 web2=id-2");
    assert_eq!(lab.lines, ["Info user carol: well again"]);
    lab.passwd(&["carol"]);
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web2=id-2");
}

#[test]
fn an_index_that_is_reached_on_two_ways_counts_once() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("alice", &[1]);
    std::os::unix::fs::symlink(lab.path("home/alice"), lab.path("home/bob")).unwrap();
    let mut config = lab.config();
    config.index = vec![lab.path(&lab.index_of("alice")), lab.path(&lab.index_of("bob"))];
    let mut scanner = lab.scanner_of(&config);
    let scan = lab.scan(&mut scanner);
    assert_eq!(Lab::shown(&scan), "web1=id-1");
    assert_eq!(scan.machines[0].owner.name, "alice");
}

#[test]
fn a_configured_index_belongs_to_whom_its_file_belongs() {
    let mut lab = Lab::new(&["ci"]);
    lab.machines("elsewhere", &[1]);
    let mut config = lab.config();
    config.users = Some(Vec::new());
    config.index = vec![lab.path(&lab.index_of("elsewhere"))];
    let mut scanner = lab.scanner_of(&config);
    let scan = lab.scan(&mut scanner);
    assert_eq!(Lab::shown(&scan), "web1=id-1");
    assert_eq!(scan.machines[0].owner.name, "ci");
}

#[test]
fn the_box_and_the_old_systems_values_come_from_the_project() {
    let mut lab = Lab::new(&["alice"]);
    let project = "home/alice/vms/user7-shop";
    let entry = format!(
        r#"{{"local_data_path":"/{project}/.vagrant","name":"default","provider":"virtualbox","vagrantfile_path":"/{project}"}}"#
    );
    lab.write(&lab.index_of("alice"), format!(r#"{{"version":1,"machines":{{"{}":{entry}}}}}"#, index_id(1)));
    let folder = format!("{project}/.vagrant/machines/default/virtualbox");
    lab.write(&format!("{folder}/id"), "0d8ae4b7-56e4-44a4-b84f-5a9e3cf9c7ea");
    lab.write(&format!("{folder}/creator_uid"), "1000");
    lab.write(&format!("{folder}/box_meta"), r#"{"name":"debian/bookworm64","version":"12"}"#);
    lab.write(
        &format!("{project}/.vm_info"),
        r#"{"name":"shop","ram_mb":1024,"disk_gb":"10","cpu_cores":1}"#,
    );
    let mut scanner = lab.scanner();
    let scan = lab.scan(&mut scanner);
    let machine = &scan.machines[0];
    assert_eq!(machine.id.as_deref(), Some("0d8ae4b7-56e4-44a4-b84f-5a9e3cf9c7ea"));
    assert_eq!((machine.box_name.as_str(), machine.owner_name()), ("debian/bookworm64", "user7"));
    assert_eq!((machine.name.as_str(), machine.shown_name()), ("default", "shop"));
    let info = machine.vm_info.as_ref().unwrap();
    assert_eq!((info.memory_bytes, info.disk_bytes, info.vcpus), (Some(1_073_741_824.0), None, Some(1.0)));
    assert_eq!(
        lab.lines,
        [format!("Info /{project}/.vm_info: no such value can be, it is ignored: disk_gb")]
    );
    // half-written, it keeps what it said; removed, it says nothing
    lab.write(&format!("{project}/.vm_info"), r#"{"name":"sh"#);
    let again = lab.scan(&mut scanner);
    assert_eq!(again.machines[0].vm_info.as_ref(), Some(info));
    fs::remove_file(lab.path(&format!("{project}/.vm_info"))).unwrap();
    assert_eq!(lab.scan(&mut scanner).machines[0].vm_info, None);
}
