//! What a user may put in the place of a file, and homes that don't answer.

use super::testing::{Lab, index_id};
use crate::machine::MAX_OF_OWNER;
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// What is put in the place of a file, and what is said of it.
type Trick = (&'static str, fn(&Path), &'static str);

const TRICKS: [Trick; 5] = [
    ("a pipe", pipe, "it is no regular file"),
    ("a link", |path| symlink("/etc/shadow", path).unwrap(), "it is no regular file"),
    ("a link to nothing", |path| symlink("/nowhere", path).unwrap(), "it is no regular file"),
    ("a folder", |path| fs::create_dir(path).unwrap(), "it is no regular file"),
    ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()), "it is no regular file"),
];

#[test]
fn an_index_that_is_no_file_is_refused_at_once() {
    for (name, put, reason) in TRICKS {
        let mut lab = Lab::new(&["bob"]);
        let path = lab.path(&lab.index_of("bob"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        put(&path);
        let mut scanner = lab.scanner();
        for _ in 0..2 {
            let scan = lab.scan(&mut scanner);
            assert!(scan.machines.is_empty(), "{name}");
            assert!(scan.missing.unwrap().ends_with(reason), "{name}");
        }
        lab.scan(&mut scanner);
        assert_eq!(lab.lines, [format!("Warn /{}: {reason}", lab.index_of("bob"))], "{name}");
    }
}

#[test]
fn an_id_that_is_none_is_never_taken_for_one() {
    let texts: [(&str, &[u8], &str); 7] = [
        ("1 MB", &[b'a'; 1 << 20], "it is too large"),
        ("65 letters", &[b'a'; 65], "the file holds something else"),
        ("a path", b"../../etc/shadow", "the file holds something else"),
        ("two lines", b"id-1\nid-2", "the file holds something else"),
        ("no text", b"\xff\xfe", "the file holds something else"),
        ("nothing", b"", "the file is empty"),
        ("spaces", b" \n\t", "the file is empty"),
    ];
    let texts = texts.map(|(name, bytes, reason)| (name, Some(bytes), None, reason));
    let tricks = TRICKS.map(|(name, put, reason)| (name, None, Some(put), reason));
    for (name, bytes, put, reason) in texts.into_iter().chain(tricks) {
        let mut lab = Lab::new(&["bob"]);
        lab.machines("bob", &[1, 2]);
        let path = lab.path(&lab.id_of("bob", 1));
        let mut before = lab.scanner();
        lab.scan(&mut before);
        fs::remove_file(&path).unwrap();
        match (bytes, put) {
            (Some(bytes), _) => fs::write(&path, bytes).unwrap(),
            (None, put) => put.unwrap()(&path),
        }
        let mut scanner = lab.scanner();
        for _ in 0..2 {
            let scan = lab.scan(&mut scanner);
            assert_eq!((Lab::shown(&scan).as_str(), &*Lab::indexes(&scan)), ("web2=id-2", "bob=0"), "{name}");
            assert!(scan.missing.unwrap().ends_with("its id is not known"), "{name}");
        }
        for lines in [1, 0] {
            let scan = lab.scan(&mut scanner);
            assert_eq!((Lab::shown(&scan).as_str(), &*Lab::indexes(&scan)), ("web2=id-2", "bob=0"), "{name}");
            assert_eq!(scan.missing, None, "{name}");
            let line =
                format!("Warn machine web1 in /home/bob/project/.vagrant: its id is not known: {reason}");
            assert_eq!(lab.lines, vec![line; lines], "{name}");
        }
        // who knew the id keeps it
        let scan = lab.scan(&mut before);
        assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1 web2=id-2", &None), "{name}");
        assert_eq!(Lab::indexes(&scan), "bob=1", "{name}");
    }
}

#[test]
fn other_files_that_are_none_cost_their_values_alone() {
    for (name, put, reason) in TRICKS {
        let mut lab = Lab::new(&["bob"]);
        lab.machines("bob", &[1]);
        put(&lab.path("home/bob/project/.vm_info"));
        let mut scanner = lab.scanner();
        let scan = lab.scan(&mut scanner);
        assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1", &None), "{name}");
        assert_eq!(scan.machines[0].vm_info, None, "{name}");
        assert_eq!(lab.lines, [format!("Info /home/bob/project/.vm_info: {reason}")], "{name}");
    }
}

/// Of the users of this host that are nobody's: only what root shows to everybody.
#[test]
fn what_belongs_to_others_is_not_read() {
    let mut lab = Lab::new(&[]);
    lab.machines("bob", &[1]);
    lab.write("etc/passwd", "bob:x:4242:4242::/home/bob:/bin/sh\n");
    for path in [lab.index_of("bob"), lab.id_of("bob", 1)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(lab.path(&path), mode).unwrap();
    }
    let mut scanner = lab.scanner();
    let scan = lab.scan(&mut scanner);
    assert!(scan.machines.is_empty());
    assert!(scan.missing.unwrap().ends_with("it belongs to another user"));
}

#[test]
fn an_index_of_10_mb_is_refused() {
    let mut lab = Lab::new(&["bob"]);
    lab.write(&lab.index_of("bob"), vec![b'{'; 10 << 20]);
    let mut scanner = lab.scanner();
    assert!(lab.scan(&mut scanner).missing.unwrap().ends_with("it is too large"));
}

#[test]
fn a_closed_home_is_expected_of_everybody_but_not_of_who_is_named() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("bob", &[1]);
    let path = lab.path(&lab.index_of("bob"));
    lab.probe.deny(&path);
    let mut scanner = lab.scanner();
    for _ in 0..3 {
        let scan = lab.scan(&mut scanner);
        assert!(scan.machines.is_empty() && scan.missing.is_none());
        // there may be machines in it nevertheless
        assert_eq!(Lab::indexes(&scan), "bob=0");
    }
    assert_eq!(lab.lines, [format!("Info /{}: the agent may not read it", lab.index_of("bob"))]);
    let mut config = lab.config();
    config.users = Some(vec!["bob".into()]);
    let mut named = lab.scanner_of(&config);
    for _ in 0..4 {
        assert!(lab.scan(&mut named).missing.unwrap().ends_with("the agent may not read it"));
    }
    lab.probe.allow(&path);
    let scan = lab.scan(&mut named);
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1", &None));
    // closed again, it is as it was
    lab.probe.deny(&path);
    let scan = lab.scan(&mut named);
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1", &None));
}

/// A user of another uid can't own files of a test that root does not run.
fn as_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn give(lab: &Lab, path: &str, uid: u32) {
    std::os::unix::fs::lchown(lab.path(path), Some(uid), Some(uid)).unwrap();
}

/// Everything below that folder, and it itself.
fn give_all(lab: &Lab, path: &str, uid: u32) {
    give(lab, path, uid);
    for entry in fs::read_dir(lab.path(path)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{path}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() { give_all(lab, &path, uid) } else { give(lab, &path, uid) }
    }
}

const MALLORY_AND_VICTIM: &str =
    "mallory:x:1001:1001::/home/mallory:/bin/sh\nvictim:x:1002:1002::/home/victim:/bin/sh\n";

#[test]
fn a_link_to_the_index_of_another_hides_nothing_of_it() {
    if !as_root() {
        return;
    }
    for of_root in [false, true] {
        let mut lab = Lab::new(&[]);
        lab.write("etc/passwd", MALLORY_AND_VICTIM);
        lab.machines("victim", &[1]);
        give_all(&lab, "home/victim", 1002);
        fs::create_dir_all(lab.path("home/mallory")).unwrap();
        symlink(lab.path("home/victim/.vagrant.d"), lab.path("home/mallory/.vagrant.d")).unwrap();
        if of_root {
            // one that root shows to everybody is read as everybody's, and counts for whose it is
            lab.write("etc/passwd", format!("{MALLORY_AND_VICTIM}boss:x:0:0::/home/victim:/bin/sh\n"));
            give_all(&lab, "home/victim", 0);
        }
        let mut config = lab.config();
        config.users = of_root.then(|| vec!["mallory".into(), "boss".into()]).or(config.users);
        let mut scanner = lab.scanner_of(&config);
        for _ in 0..2 {
            let scan = lab.scan(&mut scanner);
            let owners: Vec<_> = scan.machines.iter().map(|machine| &*machine.owner.name).collect();
            assert_eq!(owners, [if of_root { "boss" } else { "victim" }]);
        }
        if !of_root {
            assert_eq!(Lab::indexes(&lab.scan(&mut scanner)), "mallory=0 victim=1");
        }
    }
}

/// Whether a folder is there that nobody but root can see: an entry that names it tells nothing of it.
#[test]
fn folders_of_others_are_not_given_away() {
    if !as_root() {
        return;
    }
    let scans = [false, true].map(|there| {
        let mut lab = Lab::new(&[]);
        lab.write("etc/passwd", MALLORY_AND_VICTIM);
        lab.index("mallory", &[1, 2]);
        fs::create_dir_all(lab.path("home/mallory/project/.vagrant")).unwrap();
        give_all(&lab, "home/mallory", 1001);
        let text = fs::read_to_string(lab.path(&lab.index_of("mallory"))).unwrap();
        let text = text.replacen("/home/mallory/project/.vagrant", "/root/secret", 1);
        lab.write(&lab.index_of("mallory"), text);
        if there {
            fs::create_dir_all(lab.path("root/secret")).unwrap();
        }
        let mut scanner = lab.scanner();
        let scans: Vec<_> = (0..4).map(|_| lab.scan(&mut scanner)).collect();
        scans
            .into_iter()
            .map(|scan| (Lab::shown(&scan), Lab::indexes(&scan), scan.missing.is_some()))
            .collect()
    });
    let [absent, there]: [Vec<(String, String, bool)>; 2] = scans;
    assert_eq!(absent, there);
    assert_eq!(absent[3], ("web2=-".into(), "mallory=0".into(), false));
}

/// `sudo vagrant destroy` leaves a folder of root in a user's project.
#[test]
fn a_folder_of_root_in_ones_own_project_is_ones_own() {
    if !as_root() {
        return;
    }
    let mut lab = Lab::new(&[]);
    lab.write("etc/passwd", MALLORY_AND_VICTIM);
    lab.index("victim", &[1]);
    fs::create_dir_all(lab.path("home/victim/project/.vagrant")).unwrap();
    give_all(&lab, "home/victim", 1002);
    give(&lab, "home/victim/project/.vagrant", 0);
    let mut scanner = lab.scanner();
    assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web1=-");
}

#[test]
fn an_index_of_too_many_machines_is_read_in_part() {
    let mut lab = Lab::new(&["bob"]);
    let most = u32::try_from(MAX_OF_OWNER).unwrap();
    lab.machines("bob", &(1..=most + 2).collect::<Vec<_>>());
    let mut scanner = lab.scanner();
    let scan = lab.scan(&mut scanner);
    assert_eq!((scan.machines.len(), &*Lab::indexes(&scan)), (MAX_OF_OWNER, "bob=0"));
    let (path, first) = (lab.index_of("bob"), index_id(most + 1));
    let why = "its index has too many machines, and 1 more";
    assert_eq!(lab.lines, [format!("Info /{path} (entries): the machine {first} is left out: {why}")]);
}

const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn a_home_that_hangs_delays_nobody() {
    let mut lab = Lab::new(&["alice", "bob", "carol"]);
    lab.machines("alice", &[1]);
    lab.machines("bob", &[2]);
    lab.machines("carol", &[3]);
    lab.probe.hang(&lab.path("home/alice"));
    let mut config = lab.config();
    config.timeout = PATIENCE;
    let mut scanner = lab.scanner_of(&config);
    let scan = lab.scan_for(&mut scanner, PATIENCE);
    assert_eq!(Lab::shown(&scan), "web2=id-2 web3=id-3");
    assert!(scan.missing.unwrap().ends_with("it does not answer"));
    let line = format!("Warn /{}: it does not answer", lab.index_of("alice"));
    assert_eq!(lab.lines, [line]);
    // it is not asked again, and nobody waits for it, however long the deadline is
    let before = Instant::now();
    for _ in 0..3 {
        lab.machines("bob", &[2, 4]);
        assert_eq!(Lab::shown(&lab.scan(&mut scanner)), "web2=id-2 web4=id-4 web3=id-3");
    }
    assert!(before.elapsed() < Duration::from_secs(30));
    assert_eq!((lab.probe.hanging(), scanner.crew.threads()), (1, 2));
    assert_eq!(Lab::indexes(&lab.scan(&mut scanner)), "alice=0 bob=1 carol=1");
    lab.probe.free();
    let bound = Instant::now() + Duration::from_secs(60);
    let mut scan = lab.scan(&mut scanner);
    let mut lines = lab.lines.clone();
    while Lab::shown(&scan) != "web1=id-1 web2=id-2 web4=id-4 web3=id-3" {
        assert!(Instant::now() < bound, "{}", Lab::shown(&scan));
        std::thread::yield_now();
        scan = lab.scan(&mut scanner);
        lines.append(&mut lab.lines);
    }
    assert_eq!(lines, [format!("Info /{}: well again", lab.index_of("alice"))]);
}

#[test]
fn a_home_that_hangs_later_keeps_its_machines() {
    let mut lab = Lab::new(&["alice", "bob"]);
    lab.machines("alice", &[1]);
    lab.machines("bob", &[2]);
    let mut config = lab.config();
    config.timeout = PATIENCE;
    let mut scanner = lab.scanner_of(&config);
    let first = lab.scan(&mut scanner);
    lab.probe.hang(&lab.path("home/alice/project"));
    for _ in 0..4 {
        let scan = lab.scan_for(&mut scanner, PATIENCE);
        assert!(Arc::ptr_eq(&scan.machines, &first.machines) && scan.missing.is_none());
    }
    lab.probe.free();
}

#[test]
fn users_that_can_not_be_told_leave_oneself() {
    let mut lab = Lab::new(&["alice"]);
    lab.machines("alice", &[1]);
    let mut config = lab.config();
    config.users = Some(vec!["alice".into()]);
    lab.probe.deny(&lab.path("etc/passwd"));
    let mut scanner = lab.scanner_of(&config);
    let scan = lab.scan(&mut scanner);
    assert_eq!(
        scan.missing.unwrap(),
        format!("{}: the agent may not read it", lab.path("etc/passwd").display())
    );
    assert_eq!(lab.lines, ["Warn users: /etc/passwd: the agent may not read it"]);
    lab.probe.allow(&lab.path("etc/passwd"));
    let scan = lab.scan(&mut scanner);
    assert_eq!((Lab::shown(&scan).as_str(), &scan.missing), ("web1=id-1", &None));
}
