//! Replies that are cut, lie, or are no replies; and what else a service may do.

use super::*;
use twarga_fake_libvirt::Behaviour;

/// What the poll says while the service behaves so.
fn under(lab: &mut Lab, behaviour: Behaviour) -> Reading {
    lab.fake.behave(behaviour);
    let told = lab.first();
    lab.fake.behave(Behaviour::Honest);
    told
}

/// No value of libvirt's, and the reason.
#[track_caller]
fn assert_refused(told: &Reading, expected: &str) {
    // the process is the same, so its last state stands
    assert_eq!(told.state, State::Running);
    for quantity in [Quantity::MemoryUsed, Quantity::DiskRead, Quantity::NetworkReceived] {
        assert_eq!(reason(&told.values[quantity]), expected);
    }
    assert_eq!(told.values[Quantity::CpuSeconds], Ok(3.0));
}

#[test]
fn a_reply_that_is_cut_at_any_byte_says_nothing() {
    let mut lab = Lab::with(1);
    assert_full(&lab.first());
    let mut cut = 0;
    loop {
        let told = under(&mut lab, Behaviour::CutAt(cut));
        if told.values[Quantity::DiskRead].is_ok() {
            break;
        }
        assert_refused(&told, "libvirt closed the connection");
        // the next poll is well again
        cut += 1;
    }
    assert!(cut > 900, "{cut}");
    assert_full(&lab.first());
}

#[test]
fn lengths_that_lie_say_nothing() {
    let mut lab = Lab::with(1);
    assert_full(&lab.first());
    let lies = [
        (0, 0_u32, "a reply of 0 bytes"),
        (0, 27, "a reply of 27 bytes"),
        (0, 9 << 20, "a reply of 9437184 bytes"),
        (0, u32::MAX, "a reply of 4294967295 bytes"),
        (28, u32::MAX, "a reply that holds a length of 4294967295"),
        (28, 0x1000_0000, "a reply that holds a length of 268435456"),
        (32, u32::MAX, "a reply that holds a length of 4294967295"),
        (32, 4 << 20, "a reply that ends early"),
        (28, 0, "a reply that is longer than it says"),
        (24, 9, "a reply with a kind 9 of something"),
    ];
    for (at, word, expected) in lies {
        let told = under(&mut lab, Behaviour::Overwrite(at, word.to_be_bytes().to_vec()));
        assert_refused(&told, &format!("libvirt sent {expected}"));
        assert_full(&lab.first());
    }
}

/// A frame that announces more than comes is waited for, not believed.
#[test]
fn a_length_of_more_than_comes_is_no_reply() {
    let mut lab = Lab::with(1);
    assert_full(&lab.first());
    let told = under(&mut lab, Behaviour::Overwrite(0, (8_u32 << 20).to_be_bytes().to_vec()));
    assert_refused(&told, "libvirt does not answer");
}

#[test]
fn whatever_a_word_says_there_is_an_answer() {
    let mut lab = Lab::with(1);
    assert_full(&lab.first());
    for at in (4..2000).step_by(4) {
        for word in [0_u32, 1, 7, 0x7fff_ffff, u32::MAX] {
            let told = under(&mut lab, Behaviour::Overwrite(at, word.to_be_bytes().to_vec()));
            let values = Quantity::ALL.iter().filter_map(|quantity| told.values[*quantity].as_ref().ok());
            assert!(values.into_iter().all(|value| value.is_finite() && *value >= 0.0));
        }
    }
    assert_full(&lab.first());
}

#[test]
fn answers_to_other_questions_are_refused() {
    let mut lab = Lab::with(1);
    assert_full(&lab.first());
    for behaviour in [Behaviour::WrongSerial, Behaviour::WrongProcedure] {
        let told = under(&mut lab, behaviour);
        assert_refused(&told, "libvirt answered something else than was asked");
    }
    let told = under(&mut lab, Behaviour::Closes);
    assert_refused(&told, "libvirt closed the connection");
    let refuses = Behaviour::Refuses { code: 1, message: "internal error\nof\u{7} sorts".into() };
    let told = under(&mut lab, refuses);
    assert_refused(&told, "libvirt refuses: internal error (error 1)");
    // an error is an answer, so the connection is kept
    lab.fake.asked();
    assert_full(&lab.first());
    assert_eq!(procedures(&lab.fake.asked()), [344]);
}

#[test]
fn events_are_passed_over_and_pings_answered() {
    let mut lab = Lab::with(1);
    lab.fake.behave(Behaviour::Chatty);
    assert_full(&lab.first());
    assert_full(&lab.first());
    let until = Instant::now() + Duration::from_secs(10);
    while lab.fake.pongs() < 2 {
        assert!(Instant::now() < until, "a ping was not answered");
        std::thread::yield_now();
    }
}

#[test]
fn polkit_lets_in_or_not() {
    let mut lab = Lab::with(1);
    lab.fake.demand_polkit(Some(true));
    assert_full(&lab.first());
    assert!(procedures(&lab.fake.asked()).contains(&70));
    let mut lab = Lab::with(1);
    lab.fake.demand_polkit(Some(false));
    let told = lab.first();
    let expected = "libvirt refuses: authentication failed: no agent is available (error 45)";
    assert_eq!((told.state, told.doubt.as_deref()), (State::Unknown, Some(expected)));
}

#[test]
fn a_definition_that_is_none_costs_the_disks_alone() {
    let mut nested = "<a>".repeat(30_000);
    nested.push_str(&"</a>".repeat(30_000));
    let bomb = "<!DOCTYPE d [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><domain>&b;</domain>";
    for definition in ["", "<domain>", "no XML", bomb, &nested] {
        let mut lab = Lab::with(1);
        lab.change(0, |domain| definition.clone_into(&mut domain.xml));
        let told = lab.first();
        assert_eq!(told.values[Quantity::NetworkReceived], Ok(14_562.0));
        assert_eq!(reason(&told.values[Quantity::DiskCapacity]), "its definition can't be read");
        assert_eq!(reason(&told.values[Quantity::DiskUsed]), "its definition can't be read");
    }
}

/// A provider's thread has a small stack.
#[test]
fn a_deeply_nested_definition_needs_no_deep_stack() {
    let nested = format!("{}{}", "<a>".repeat(45_000), "</a>".repeat(45_000));
    let read = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        let definition = format!("<domain><devices>{nested}</devices></domain>");
        crate::libvirt::stats::removable(&definition)
    });
    assert_eq!(read.expect("a thread").join().expect("no panic"), Some(std::collections::BTreeSet::new()));
}

#[test]
fn statistics_that_contradict_themselves_give_reasons() {
    let mut lab = Lab::with(1);
    let now = super::super::super::host::wall_clock();
    lab.change(0, |domain| {
        domain.put("net.count", twarga_fake_libvirt::Value::Uint(3));
        domain.put("block.count", twarga_fake_libvirt::Value::Uint(u32::MAX));
        domain.set("block.4000000000.capacity", 1);
        domain.set("balloon.usable", 1 << 40);
        domain.set("balloon.last-update", now);
        domain.put("vcpu.current", twarga_fake_libvirt::Value::Text("many".into()));
    });
    let told = lab.first();
    for (quantity, expected) in [
        (Quantity::Vcpus, "not told by libvirt"),
        (Quantity::NetworkReceived, "an interface without counters"),
        (Quantity::DiskCapacity, "not told by libvirt"),
        (Quantity::MemoryUsed, "the guest says that more is usable than there is"),
    ] {
        assert_eq!(reason(&told.values[quantity]), expected, "{quantity:?}");
    }
    lab.change(0, |domain| domain.state(0, 0));
    assert_eq!(lab.first().doubt.as_deref(), Some("libvirt tells a state 0"));
}
