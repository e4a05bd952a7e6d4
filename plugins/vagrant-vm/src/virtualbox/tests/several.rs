//! Machines of several users, and in several places; and several machines.

use super::*;

const UNKNOWN_TO_IT: &str = "echo 'code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)' >&2; exit 1";

impl Stage {
    /// Vagrant noted this in the machine's folder.
    fn note(&self, creator: &str) {
        let folder = self.root.path().join("srv/lab/project/.vagrant/machines/web/virtualbox");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("creator_uid"), creator).unwrap();
    }
}

#[test]
fn a_machine_that_somebody_else_made_is_not_gone() {
    let own = rustix::process::getuid().as_raw();
    let other = "another user made it, whose VirtualBox is not asked";
    let unread = "VBoxManage does not know it, and who made it can't be read";
    for (creator, expected) in [
        (own.to_string(), None),
        (format!("{own}\n"), None),
        ((own + 1).to_string(), Some(other)),
        ("nobody".into(), Some(unread)),
        (String::new(), Some(unread)),
    ] {
        let mut stage = Stage::set(UNKNOWN_TO_IT);
        stage.note(&creator);
        let (answer, _) = stage.read_within(Duration::from_secs(30));
        match expected {
            None => assert_eq!(answer, Answer::Gone, "{creator:?}"),
            Some(expected) => assert_eq!(doubt(answer), expected, "{creator:?}"),
        }
    }
    // a note that is a link to one
    let mut stage = Stage::set(UNKNOWN_TO_IT);
    stage.note(&own.to_string());
    let note = stage.root.path().join("srv/lab/project/.vagrant/machines/web/virtualbox/creator_uid");
    fs::rename(&note, stage.root.path().join("note")).unwrap();
    std::os::unix::fs::symlink(stage.root.path().join("note"), note).unwrap();
    assert_eq!(doubt(stage.read_within(Duration::from_secs(30)).0), unread);
}

/// As with `VBOX_USER_HOME`, or where root started it.
#[test]
fn a_machine_that_ran_while_virtualbox_did_not_know_it_is_not_gone() {
    let mut stage = Stage::set(&format!("[ -e knows ] || {{ {UNKNOWN_TO_IT}; }}"));
    stage.start(7);
    for _ in 0..3 {
        assert_eq!(
            stage.read().doubt.as_deref(),
            Some("VBoxManage does not know it, though its process runs")
        );
    }
    stage.end(7);
    for _ in 0..3 {
        assert_eq!(
            stage.read().doubt.as_deref(),
            Some("VBoxManage does not know it, though its process ran")
        );
    }
    // once it is known, it is in the right place; and what is removed then is gone
    stage.provider.refresh = Duration::ZERO;
    fs::write(stage.folder.path().join("knows"), "").unwrap();
    stage.says("poweroff");
    stage.read_until(|reading| reading.state == State::Shutoff);
    fs::remove_file(stage.folder.path().join("knows")).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while stage.read_within(Duration::from_secs(30)).0 != Answer::Gone {
        assert!(Instant::now() < until, "it is not gone");
    }
}

/// The process is seen, then all is removed, and only then VBoxManage answers.
#[test]
fn a_machine_that_is_just_being_removed_is_gone() {
    let mut stage = Stage::set(UNKNOWN_TO_IT);
    stage.start(7);
    assert_eq!(stage.read().doubt.as_deref(), Some("VBoxManage does not know it, though its process runs"));
    stage.end(7);
    assert_eq!(stage.read_within(Duration::from_secs(30)).0, Answer::Gone);
}

#[test]
fn two_users_who_name_one_machine_have_an_answer_each() {
    let mut stage =
        Stage::set("[ $USER = lab ] || { echo 'code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)' >&2; exit 1; }");
    let mut claim = stage.machines[0].clone();
    (claim.owner.uid, claim.owner.gid, claim.owner.name) = (65_533, 65_533, "other".into());
    stage.machines.insert(0, claim);
    fs::set_permissions(stage.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let deadline = Instant::now() + Duration::from_secs(30);
        let answers = stage.provider.read(&stage.machines, deadline, &mut Notes::default());
        let [claim, machine] = &answers[..] else { panic!("{answers:?}") };
        // only root can ask for somebody else
        assert!(!matches!(claim, Answer::Reading(reading) if reading.state != State::Unknown), "{claim:?}");
        match machine {
            Answer::Reading(reading) if reading.state == State::Running => return,
            Answer::Reading(_) => assert!(Instant::now() < until, "{machine:?}"),
            Answer::Gone => panic!("the claim's answer"),
        }
    }
}

/// Processor time is of when the process was read, though another machine delayed the answer.
#[test]
fn a_delay_makes_no_processor_time() {
    let mut stage = Stage::set(&format!("case $2 in {OTHER}) sleep 2 ;; esac"));
    stage.start(7);
    assert_eq!(stage.read().state, State::Running);
    let mut slow = stage.machines[0].clone();
    slow.id = Some(OTHER.into());
    stage.machines.push(slow);
    let began = Instant::now();
    let reading = stage.read();
    assert!(began.elapsed() >= Duration::from_secs(2), "it was waited for");
    assert!(reading.at < began + Duration::from_secs(1));
}
