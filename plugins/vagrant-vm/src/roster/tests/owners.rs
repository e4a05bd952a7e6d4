//! Machines that several owners claim, and owners with too many.

use super::*;
use crate::machine::MAX_OF_OWNER;

/// Another user's, who stands before everybody else in the index.
pub(super) fn mallorys(index_id: &str, id: Option<&str>, provider: &str) -> Machine {
    let owner = Owner { name: "mallory".into(), uid: 1001, gid: 1001, home: "/home/mallory".into() };
    Machine { owner, ..machine(index_id, id, provider) }
}

/// `owner vm state` of all that is told.
pub(super) fn owned(bench: &mut Bench) -> Vec<String> {
    let told = bench.roster.ask(
        &bench.scan.clone(),
        Instant::now() + Duration::from_secs(20),
        &mut Notes::default(),
    );
    told.iter()
        .map(|told| format!("{} {} {}", told.machine.owner.name, told.vm, told.reading.state.word()))
        .collect()
}

#[test]
fn nobody_takes_over_the_machine_of_another() {
    for fake in ["virtualbox", "qemu", "docker", "libvirt"] {
        let mut bench = Bench::new(Duration::ZERO);
        let victim = machine("a", Some("1"), "libvirt");
        bench.scan(std::slice::from_ref(&victim)).says("me 1 libvirt", State::Running);
        assert_eq!(owned(&mut bench), ["me 1 running"], "{fake}");
        // processes are all that tells of machines of qemu and others: there is none
        if matches!(fake, "qemu" | "docker") {
            bench.says(&format!("mallory 1 {fake}"), State::Shutoff);
        }
        bench.scan(&[mallorys("m", Some("1"), fake), victim.clone()]);
        for _ in 0..3 {
            assert_eq!(owned(&mut bench), ["me 1 running"], "{fake}");
        }
        // neither while its hypervisor is silent
        bench.doubts("me 1 libvirt");
        assert_eq!(owned(&mut bench), ["me 1 unknown"], "{fake}");
        // nor when the plugin begins in that moment
        bench.roster = bench.again();
        owned(&mut bench);
        bench.says("me 1 libvirt", State::Running);
        assert_eq!(owned(&mut bench), ["me 1 running"], "{fake}");
        // it left the index of its owner, and is there still
        bench.scan(&[mallorys("m", Some("1"), fake)]);
        assert_eq!(owned(&mut bench), ["me 1 running"], "{fake}");
        assert_eq!(owned(&mut bench), ["me 1 running"], "{fake}");
    }
}

#[test]
fn who_has_a_machine_for_sure_is_shown_once_the_other_has_none() {
    let mut bench = Bench::new(LONG);
    let both = [mallorys("m", Some("1"), "virtualbox"), machine("a", Some("1"), "virtualbox")];
    bench.scan(&both).says("mallory 1 virtualbox", State::Running).says("me 1 virtualbox", State::Saved);
    assert_eq!(owned(&mut bench), ["mallory 1 running"], "the first one");
    assert_eq!(owned(&mut bench), ["mallory 1 running"]);
    bench.forgets("mallory 1 virtualbox");
    assert_eq!(owned(&mut bench), ["me 1 saved"]);
    bench.says("mallory 1 virtualbox", State::Running);
    assert_eq!(owned(&mut bench), ["me 1 saved"]);
    bench.forgets("mallory 1 virtualbox").forgets("me 1 virtualbox");
    assert_eq!(owned(&mut bench), [""; 0]);
}

/// The index ids are copied: what one user's entry had is not what another's has.
#[test]
fn an_index_id_is_of_its_owner() {
    let mut bench = Bench::new(LONG);
    let victim = machine("a", Some("1"), "libvirt");
    bench.scan(std::slice::from_ref(&victim)).says("me 1 libvirt", State::Running);
    assert_eq!(owned(&mut bench), ["me 1 running"]);
    bench.scan(&[mallorys("a", None, "libvirt"), victim.clone()]);
    assert_eq!(owned(&mut bench), ["mallory a not_created", "me 1 running"]);
    // nor is there a second series of one name where both are not created
    bench.scan(&[mallorys("a", None, "libvirt"), machine("a", None, "libvirt")]);
    assert_eq!(owned(&mut bench), ["mallory a not_created", "me 1 running"]);
    bench.roster.settled = Duration::ZERO;
    assert_eq!(owned(&mut bench), ["mallory a not_created"]);
}

#[test]
fn no_owner_floods_the_others() {
    let mut bench = Bench::new(LONG);
    let mut all: Vec<Machine> =
        (0..2 * MAX_OF_OWNER).map(|number| mallorys(&format!("m{number}"), None, "libvirt")).collect();
    all.push(machine("a", None, "libvirt"));
    let deadline = Instant::now() + Duration::from_secs(20);
    bench.scan(&all);
    let (told, notes) = told_by(&mut bench.roster, &bench.scan.clone(), deadline);
    assert_eq!(told.len(), MAX_OF_OWNER + 1);
    assert_eq!(told.last().unwrap(), "a not_created");
    assert_eq!(["mallory", "me"].map(|owner| bench.roster.follows_all_of(owner)), [false, true]);
    let line = "machines of mallory: name-of-m500 in /project is left out: its owner has too many machines; others, too";
    assert_eq!(notes, [line]);
    // another index of other machines, at once: those that are known stay
    let mut others: Vec<Machine> =
        (300..900).map(|number| mallorys(&format!("m{number}"), None, "libvirt")).collect();
    others.reverse();
    bench.scan(&others);
    let (told, notes) = told_by(&mut bench.roster, &bench.scan.clone(), deadline);
    assert_eq!(told.len(), 200);
    assert!(notes[0].contains("too many new machines within an hour"), "{notes:?}");
    // destroyed and created, a machine is one new one; destroyed again, none
    bench.scan(&[machine("a", Some("1"), "libvirt")]).says("me 1 libvirt", State::Running);
    assert_eq!(owned(&mut bench), ["me 1 running"]);
    assert!(bench.roster.follows_all_of("mallory"));
    bench.scan(&[machine("a", None, "libvirt")]);
    assert_eq!(owned(&mut bench), ["me 1 running"]);
    bench.roster.settled = Duration::ZERO;
    assert_eq!(owned(&mut bench), ["me a not_created"]);
}
