//! QEMUs that hang, and a service that does.

use super::*;
use twarga_fake_libvirt::Behaviour;

/// What is held up takes nearly half of the time-out; what is not, far less than this.
const QUICK: Duration = Duration::from_millis(750);

fn timed(lab: &mut Lab) -> (Vec<Reading>, Vec<Note>, Duration) {
    let start = Instant::now();
    let (answers, notes) = lab.poll();
    (answers.iter().map(|answer| reading(answer).clone()).collect(), notes, start.elapsed())
}

/// Polls until it is well again, for ten seconds at most.
#[track_caller]
fn recovers(lab: &mut Lab) {
    let until = Instant::now() + Duration::from_secs(10);
    while lab.readings().iter().any(|told| told.values[Quantity::DiskRead].is_err()) {
        assert!(Instant::now() < until, "it does not recover");
    }
    lab.readings().iter().for_each(assert_full);
    one_connection(lab);
}

/// Connections that are of no more use are closed: with the first poll after their last replies.
#[track_caller]
fn one_connection(lab: &mut Lab) {
    let until = Instant::now() + Duration::from_secs(10);
    while lab.fake.connections() > 1 {
        assert!(Instant::now() < until, "{} connections stay", lab.fake.connections());
        lab.poll();
    }
}

/// A rate is of the time between two readings of the processor time, not between the ends of two polls.
#[test]
fn how_long_libvirt_takes_is_not_in_the_time_of_the_reading() {
    let mut lab = Lab::with(2);
    lab.readings();
    lab.change(0, |domain| domain.hangs = true);
    let (told, _, took) = timed(&mut lab);
    let end = Instant::now();
    assert!(took > QUICK, "it was held up for {took:?}");
    for told in told {
        assert_eq!(told.values[Quantity::CpuSeconds], Ok(3.0));
        assert!(end - told.at > QUICK, "read before libvirt was asked, {:?} before the end", end - told.at);
    }
}

#[test]
fn one_that_hangs_holds_up_nobody_else() {
    let mut lab = Lab::with(5);
    lab.readings();
    lab.change(2, |domain| domain.hangs = true);
    for round in 0..5 {
        let (told, notes, took) = timed(&mut lab);
        assert!(took < if round == 0 { TIMEOUT } else { QUICK }, "{round}: {took:?}");
        for (number, told) in told.iter().enumerate().filter(|(number, _)| *number != 2) {
            assert_eq!(told.state, State::Running, "{number}");
            assert_full(told);
        }
        let hung = &told[2];
        assert_eq!(hung.state, State::Running);
        assert_eq!(hung.values[Quantity::CpuSeconds], Ok(3.0));
        assert_eq!(hung.values[Quantity::DiskUsed], Ok(WRITTEN as f64));
        assert_eq!(hung.values[Quantity::NetworkReceived], Ok(14_562.0));
        for quantity in [Quantity::MemoryUsed, Quantity::DiskRead, Quantity::DiskWritten] {
            assert_eq!(reason(&hung.values[quantity]), "qemu does not answer");
        }
        let named = notes.iter().find(|note| note.subject == "libvirt machine project_m2").expect("a note");
        assert_eq!(named.said.as_ref().expect("said").1, "qemu does not answer");
    }
    assert!(lab.fake.connections() <= 2, "{}", lab.fake.connections());
    lab.change(2, |domain| domain.hangs = false);
    recovers(&mut lab);
}

#[test]
fn a_second_one_that_hangs_later_holds_up_nobody_either() {
    let mut lab = Lab::with(5);
    lab.readings();
    for hung in [1, 3] {
        lab.change(hung, |domain| domain.hangs = true);
        for round in 0..3 {
            let (told, _, took) = timed(&mut lab);
            assert!(took < if round == 0 { TIMEOUT } else { QUICK }, "{round}: {took:?}");
            [0, 2, 4].iter().for_each(|well| assert_full(&told[*well]));
            assert_eq!(reason(&told[hung].values[Quantity::DiskRead]), "qemu does not answer");
        }
    }
    assert!(lab.fake.connections() <= 3);
    lab.fake.domains(|domains| domains.iter_mut().for_each(|domain| domain.hangs = false));
    recovers(&mut lab);
}

#[test]
fn many_that_hang_take_few_connections() {
    let mut lab = Lab::with(8);
    lab.readings();
    lab.fake.domains(|domains| domains.iter_mut().for_each(|domain| domain.hangs = true));
    for _ in 0..6 {
        let (told, _, took) = timed(&mut lab);
        assert!(took < TIMEOUT);
        for told in &told {
            assert_eq!((told.state, &told.values[Quantity::CpuSeconds]), (State::Running, &Ok(3.0)));
            assert!(told.values[Quantity::DiskRead].is_err());
        }
    }
    assert!(lab.fake.connections() <= 4, "{}", lab.fake.connections());
    let (_, _, took) = timed(&mut lab);
    assert!(took < QUICK, "{took:?}");
    lab.fake.domains(|domains| domains.iter_mut().for_each(|domain| domain.hangs = false));
    recovers(&mut lab);
}

#[test]
fn a_process_that_was_stopped_is_seen_before_anybody_is_held_up() {
    let mut lab = Lab::with(2);
    lab.readings();
    lab.fake.asked();
    lab.process(1001, &Domain::running(1), 'T');
    lab.change(1, |domain| domain.hangs = true);
    let (told, notes, took) = timed(&mut lab);
    assert!(took < QUICK, "{took:?}");
    assert_full(&told[0]);
    assert_eq!(told[1].state, State::Running);
    // they can't have changed
    assert_eq!(told[1].values[Quantity::Vcpus], Ok(1.0));
    assert_eq!(told[1].values[Quantity::DiskCapacity], Ok(1_073_741_824.0));
    for quantity in [Quantity::MemoryUsed, Quantity::DiskRead] {
        assert_eq!(reason(&told[1].values[quantity]), "qemu does not answer: its process is stopped");
    }
    assert!(notes.iter().any(|note| note.subject == "libvirt machine project_m1" && note.said.is_some()));
    let masks: Vec<u32> = lab.fake.asked().iter().map(|asked| asked.mask).collect();
    assert_eq!(masks, [0x3f, 0x11]);
    lab.process(1001, &Domain::running(1), 'S');
    lab.change(1, |domain| domain.hangs = false);
    recovers(&mut lab);
}

#[test]
fn a_service_that_answers_nothing_is_waited_for_in_the_background() {
    let mut lab = Lab::with(3);
    lab.readings();
    lab.fake.behave(Behaviour::Silent);
    for _ in 0..3 {
        let (told, notes, took) = timed(&mut lab);
        assert!(took < TIMEOUT, "{took:?}");
        for told in &told {
            // of the same process the last word stands
            assert_eq!((told.state, &told.doubt), (State::Running, &None));
            assert_eq!(told.values[Quantity::CpuSeconds], Ok(3.0));
            assert_eq!(told.values[Quantity::Uptime], Ok(500.0));
            assert_eq!(told.values[Quantity::DiskUsed], Ok(WRITTEN as f64));
            assert_eq!(reason(&told.values[Quantity::DiskRead]), "libvirt does not answer");
        }
        let note = notes.iter().find(|note| note.subject.ends_with("libvirt-sock-ro")).expect("a note");
        assert_eq!(note.said.as_ref().expect("said").1, "libvirt does not answer");
    }
    let (_, _, took) = timed(&mut lab);
    assert!(took < QUICK, "{took:?}");
    assert_eq!(lab.fake.connections(), 2);
    lab.fake.behave(Behaviour::Honest);
    recovers(&mut lab);
}

#[test]
fn a_service_that_never_answered_makes_no_state() {
    let mut lab = Lab::with(1);
    lab.fake.behave(Behaviour::Silent);
    let told = lab.first();
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some("libvirt does not answer")));
    // its process is found all the same, without its name
    assert_eq!(told.values[Quantity::CpuSeconds], Ok(3.0));
}

/// As libvirt does while it clears up after a machine whose process was killed.
#[test]
fn one_that_is_being_stopped_holds_up_nobody_else() {
    let mut lab = Lab::with(4);
    lab.readings();
    lab.change(1, |domain| domain.locked = true);
    lab.end_process(1001);
    for _ in 0..3 {
        let (told, _, took) = timed(&mut lab);
        assert!(took < QUICK, "{took:?}");
        [0, 2, 3].iter().for_each(|well| assert_full(&told[*well]));
        // libvirt will say how it ended: until then nobody knows
        let expected = "its process ended, and libvirt has not said how";
        assert_eq!((told[1].state, told[1].doubt.as_deref()), (State::Unknown, Some(expected)));
    }
    assert!(lab.fake.connections() <= 3, "{}", lab.fake.connections());
    lab.change(1, |domain| {
        domain.shut_off(3);
        domain.locked = false;
    });
    let until = Instant::now() + Duration::from_secs(10);
    while lab.readings()[1].state != State::Crashed {
        assert!(Instant::now() < until, "it is not seen");
    }
    lab.readings();
    one_connection(&mut lab);
}

#[test]
fn one_that_is_locked_while_its_process_lives_holds_up_nobody_else() {
    let mut lab = Lab::with(4);
    lab.readings();
    lab.change(1, |domain| domain.locked = true);
    for round in 0..5 {
        let (told, _, took) = timed(&mut lab);
        assert!(took < if round == 0 { TIMEOUT } else { QUICK }, "{round}: {took:?}");
        [0, 2, 3].iter().for_each(|well| assert_full(&told[*well]));
        // of the same process the last word stands
        assert_eq!((told[1].state, &told[1].values[Quantity::CpuSeconds]), (State::Running, &Ok(3.0)));
        assert_eq!(reason(&told[1].values[Quantity::DiskRead]), "libvirt does not answer");
    }
    assert!(lab.fake.connections() <= 4, "{}", lab.fake.connections());
    lab.change(1, |domain| domain.locked = false);
    recovers(&mut lab);
}

/// After a restart the service may take a machine for running that died meanwhile.
#[test]
fn a_machine_without_its_process_does_not_run_whatever_the_service_says() {
    let mut lab = Lab::with(1);
    assert_full(&lab.first());
    lab.end_process(1000);
    let told = lab.first();
    let expected = "its process ended, and libvirt has not said how";
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some(expected)));
    assert_eq!(reason(&told.values[Quantity::CpuSeconds]), expected);
    lab.change(0, |domain| domain.shut_off(3));
    assert_eq!(lab.first().state, State::Crashed);
    // and again
    lab.change(0, |domain| *domain = Domain::running(0));
    lab.process(1000, &Domain::running(0), 'S');
    assert_full(&lab.first());
}
