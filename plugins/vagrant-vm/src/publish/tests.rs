#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{
    machine::{Owner, Values, VmInfo},
    provider::{Note, Said},
};
use std::{cell::RefCell, rc::Rc};
use twarga_plugin_api::{
    Collector,
    abi::glue,
    testing::{Collected, Harness},
};

type Script = Rc<RefCell<Vec<(Machine, Reading)>>>;

thread_local! {
    static SCRIPT: Script = Script::default();
    /// What was said at the last collection.
    static NOTES: RefCell<Vec<Note>> = RefCell::default();
}

/// Publishes what the test's thread put into [`SCRIPT`].
struct Scripted(Publisher);

impl Collector for Scripted {
    type Config = crate::Config;
    const NAMESPACES: &'static [&'static str] = &["vm_"];
    const METRICS: &'static [Metric<'static>] = metrics::METRICS;

    fn new(_: crate::Config, _: &mut Host<'_>) -> Result<Self> {
        Ok(Self(Publisher::default()))
    }

    fn collect(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let script = SCRIPT.with(|script| script.borrow().clone());
        let told = script.iter().map(|(machine, reading)| Told {
            vm: machine.vm(),
            machine,
            reading: reading.clone(),
        });
        let mut notes = Notes::default();
        self.0.publish(told.collect(), sink, &mut notes);
        NOTES.with(|told| *told.borrow_mut() = notes.take());
        Ok(())
    }
}

fn harness() -> Harness {
    Harness::new(glue::module::<Scripted>("scripted", "1.0.0", "", ""), "{}").unwrap()
}

fn collect(harness: &mut Harness, script: &[(Machine, Reading)]) -> Collected {
    SCRIPT.with(|told| *told.borrow_mut() = script.to_vec());
    harness.collect().unwrap()
}

fn machine() -> Machine {
    Machine {
        index_id: "index-id".into(),
        id: Some("u".into()),
        name: "web".into(),
        provider: "libvirt".into(),
        project: "/project".into(),
        box_name: "tiny".into(),
        owner: Owner { name: "me".into(), uid: 1000, gid: 1000, home: "/home/me".into() },
        unread: None,
        vm_info: None,
    }
}

fn reading(state: State, pid: u32, at: Instant) -> Reading {
    let run = state.lives().then_some(Run { pid, start: 7 });
    let values = Values::none(state.absence().unwrap_or("not told"));
    Reading { state, doubt: None, run, at, ip_address: None, values }
}

fn counting(at: Instant, pid: u32, cpu: f64, received: f64) -> Reading {
    let mut reading = reading(State::Running, pid, at);
    reading.values[Quantity::Vcpus] = Ok(2.0);
    reading.values[Quantity::CpuSeconds] = Ok(cpu);
    reading.values[Quantity::NetworkReceived] = Ok(received);
    reading
}

const RECEIVED: &str = "vm_network_receive_bytes_total{vm=\"u\"}";
const CPU: &str = "vm_cpu_seconds_total{vm=\"u\"}";
const USAGE: &str = "vm_cpu_usage_ratio{vm=\"u\"}";

fn reset(collected: &Collected, series: &str) -> bool {
    collected.readings.iter().any(|reading| reading.series == series && reading.reset)
}

#[test]
fn every_value_is_there_or_has_its_reason() {
    let at = Instant::now();
    let mut reading = counting(at, 1, 10.0, 100.0);
    reading.ip_address = Some("192.0.2.7".into());
    let text = collect(&mut harness(), &[(machine(), reading)]).to_text();
    assert_eq!(
        text,
        r#"vm_cpu_seconds_total{vm="u"} 10
vm_info{vm="u",name="web",provider="libvirt",project="/project",box="tiny",ip_address="192.0.2.7",owner="me"} 1
vm_network_receive_bytes_total{vm="u"} 100
vm_state{vm="u",state="crashed"} 0
vm_state{vm="u",state="destroyed"} 0
vm_state{vm="u",state="not_created"} 0
vm_state{vm="u",state="paused"} 0
vm_state{vm="u",state="running"} 1
vm_state{vm="u",state="saved"} 0
vm_state{vm="u",state="shutoff"} 0
vm_state{vm="u",state="unknown"} 0
vm_vcpus{vm="u"} 2
# unavailable vm_cpu_usage_ratio{vm="u"}: first_reading
# unavailable vm_disk_capacity_bytes{vm="u"}: not told
# unavailable vm_disk_read_bytes_total{vm="u"}: not told
# unavailable vm_disk_used_bytes{vm="u"}: not told
# unavailable vm_disk_written_bytes_total{vm="u"}: not told
# unavailable vm_memory_total_bytes{vm="u"}: not told
# unavailable vm_memory_used_bytes{vm="u"}: not told
# unavailable vm_network_transmit_bytes_total{vm="u"}: not told
# unavailable vm_uptime_seconds{vm="u"}: not told
"#
    );
}

#[test]
fn usage_is_of_the_virtual_processors_and_of_one_run() {
    let at = Instant::now();
    let mut harness = harness();
    let after = |seconds: f64| at + Duration::from_secs_f64(seconds);
    let mut usage = |reading| {
        let collected = collect(&mut harness, &[(machine(), reading)]);
        collected.value(USAGE).ok_or_else(|| collected.unavailable[USAGE].clone())
    };
    assert_eq!(usage(counting(at, 1, 10.0, 0.0)), Err("first_reading".into()));
    assert_eq!(usage(counting(after(5.0), 1, 15.0, 0.0)), Ok(0.5));
    assert_eq!(usage(counting(after(5.05), 1, 15.0, 0.0)), Err("interval_too_short".into()));
    // over the whole time since the last one that counted
    assert_eq!(usage(counting(after(10.0), 1, 17.5, 0.0)), Ok(0.25));
    // what the emulator needs beside its virtual processors is not theirs
    assert_eq!(usage(counting(after(11.0), 1, 27.5, 0.0)), Ok(1.0));
    assert_eq!(usage(counting(after(12.0), 2, 28.0, 0.0)), Err("first_reading".into()));
    assert_eq!(usage(reading(State::Shutoff, 0, after(13.0))), Err("shut off".into()));
    assert_eq!(usage(counting(after(14.0), 2, 29.0, 0.0)), Err("first_reading".into()));
}

#[test]
fn counters_begin_anew_with_another_run_only() {
    let at = Instant::now();
    let mut harness = harness();
    let mut put = |reading| {
        let collected = collect(&mut harness, &[(machine(), reading)]);
        (collected.value(RECEIVED), reset(&collected, RECEIVED), reset(&collected, CPU))
    };
    assert_eq!(put(counting(at, 1, 1.0, 100.0)), (Some(100.0), false, false));
    // a network card was unplugged: it is the same run, nothing was received
    assert_eq!(put(counting(at, 1, 1.0, 40.0)), (Some(100.0), false, false));
    assert_eq!(put(counting(at, 1, 1.0, 45.0)), (Some(105.0), false, false));
    // another process, also where it has counted further already
    assert_eq!(put(counting(at, 2, 1.0, 400.0)), (Some(400.0), true, true));
    // a time without words is not an end
    let unknown = || Reading::unknown("libvirt does not answer");
    assert_eq!(put(unknown()), (None, false, false));
    assert_eq!(put(counting(at, 2, 1.0, 500.0)), (Some(500.0), false, false));
    // off and on, and the first value of the new run comes late
    assert_eq!(put(reading(State::Shutoff, 0, at)), (None, false, false));
    assert_eq!(put(unknown()), (None, false, false));
    assert_eq!(put(reading(State::Running, 3, at)), (None, false, false));
    assert_eq!(put(counting(at, 3, 2.0, 600.0)), (Some(600.0), true, true));
    assert_eq!(put(counting(at, 3, 2.0, 601.0)), (Some(601.0), false, false));
}

#[test]
fn a_fall_in_a_run_that_nobody_knows_is_a_reset() {
    let at = Instant::now();
    let mut harness = harness();
    let mut put = |received| {
        let reading = Reading { run: None, ..counting(at, 0, 1.0, received) };
        let collected = collect(&mut harness, &[(machine(), reading)]);
        (collected.value(RECEIVED), reset(&collected, RECEIVED))
    };
    assert_eq!(put(100.0), (Some(100.0), false));
    assert_eq!(put(50.0), (Some(50.0), true));
    assert_eq!(put(60.0), (Some(60.0), false));
}

#[test]
fn an_unknown_state_says_why() {
    let collected = collect(&mut harness(), &[(machine(), Reading::unknown("libvirt does not answer"))]);
    assert_eq!(collected.value("vm_state{vm=\"u\",state=\"unknown\"}"), Some(1.0));
    let reason = &collected.unavailable["vm_state{vm=\"u\",state=\"running\"}"];
    assert_eq!(reason, "libvirt does not answer");
}

#[test]
fn series_come_and_go_with_machines_and_their_names() {
    let at = Instant::now();
    let mut harness = harness();
    let mut other = machine();
    other.id = Some("v".into());
    let two = [(machine(), counting(at, 1, 1.0, 1.0)), (other, counting(at, 2, 1.0, 1.0))];
    let each = 2 + State::ALL.len() + Quantity::ALL.len();
    collect(&mut harness, &two);
    assert_eq!(harness.series_count(), 2 * each);
    let mut renamed = two[0].clone();
    renamed.0.name = "www".into();
    let collected = collect(&mut harness, std::slice::from_ref(&renamed));
    assert_eq!(harness.series_count(), each);
    let info: Vec<_> = collected.readings.iter().filter(|one| one.series.starts_with("vm_info")).collect();
    assert_eq!(info.len(), 1);
    assert!(info[0].series.contains("name=\"www\""));
    collect(&mut harness, &[]);
    assert_eq!(harness.series_count(), 0);
}

#[test]
fn what_only_vm_info_knows_is_taken_from_it() {
    let mut machine = machine();
    machine.vm_info = Some(VmInfo {
        name: None,
        owner: Some("user7".into()),
        memory_bytes: Some(1024.0),
        disk_bytes: Some(4096.0),
        vcpus: Some(8.0),
    });
    let reading = counting(Instant::now(), 1, 1.0, 1.0);
    let collected = collect(&mut harness(), &[(machine, reading)]);
    assert_eq!(collected.value("vm_vcpus{vm=\"u\"}"), Some(2.0));
    assert_eq!(collected.value("vm_memory_total_bytes{vm=\"u\"}"), Some(1024.0));
    assert_eq!(collected.value("vm_disk_capacity_bytes{vm=\"u\"}"), Some(4096.0));
    assert!(collected.readings.iter().any(|reading| reading.series.contains("owner=\"user7\"")));
}

fn info_of(collected: &Collected) -> String {
    let infos: Vec<_> =
        collected.readings.iter().filter(|reading| reading.series.starts_with("vm_info")).collect();
    assert_eq!(infos.len(), 1);
    infos[0].series.clone()
}

fn old_systems() -> VmInfo {
    VmInfo { name: None, owner: None, memory_bytes: Some(1024.0), disk_bytes: Some(4096.0), vcpus: Some(8.0) }
}

#[test]
fn vm_info_never_stands_in_for_a_hypervisor_that_is_silent() {
    let at = Instant::now();
    let mut harness = harness();
    let mut machine = machine();
    machine.vm_info = Some(old_systems());
    let mut put = |reading| collect(&mut harness, &[(machine.clone(), reading)]);
    let vcpus = "vm_vcpus{vm=\"u\"}";
    let memory = "vm_memory_total_bytes{vm=\"u\"}";
    // from the start: it would tell, if it spoke
    let collected = put(Reading::unknown("libvirt is not running"));
    assert_eq!(collected.unavailable[vcpus], "libvirt is not running");
    // it speaks, but of its processors alone
    let collected = put(counting(at, 1, 10.0, 0.0));
    assert_eq!((collected.value(vcpus), collected.value(memory)), (Some(2.0), Some(1024.0)));
    // the process alone is seen: no share of 8 processors that it never had
    let mut alone = counting(at + Duration::from_secs(10), 1, 15.0, 0.0);
    alone.values[Quantity::Vcpus] = Err("libvirt is not running".into());
    let collected = put(alone);
    assert_eq!(collected.unavailable[vcpus], "libvirt is not running");
    assert_eq!(collected.unavailable[USAGE], "libvirt is not running");
    assert_eq!(collected.value(memory), Some(1024.0));
}

#[test]
fn a_share_is_of_what_the_hypervisor_tells() {
    let at = Instant::now();
    let mut harness = harness();
    let mut machine = machine();
    machine.vm_info = Some(old_systems());
    for seconds in [0.0, 10.0] {
        let mut reading = counting(at + Duration::from_secs_f64(seconds), 1, 10.0 + seconds, 0.0);
        reading.values[Quantity::Vcpus] = Err("QEMU's command line does not say".into());
        let collected = collect(&mut harness, &[(machine.clone(), reading)]);
        assert_eq!(collected.value("vm_vcpus{vm=\"u\"}"), Some(8.0));
        assert_eq!(collected.unavailable[USAGE], "QEMU's command line does not say");
    }
}

#[test]
fn an_address_stays_while_the_state_is_in_doubt() {
    let mut harness = harness();
    let mut running = counting(Instant::now(), 1, 1.0, 1.0);
    running.ip_address = Some("192.0.2.7".into());
    let known = info_of(&collect(&mut harness, &[(machine(), running.clone())]));
    assert!(known.contains("192.0.2.7"));
    let doubted = collect(&mut harness, &[(machine(), Reading::unknown("libvirt does not answer"))]);
    assert_eq!(info_of(&doubted), known);
    running.ip_address = None;
    assert!(info_of(&collect(&mut harness, &[(machine(), running)])).contains("ip_address=\"\""));
}

/// Processor time of another source (a control group, for one poll) is a little more than that of the process.
#[test]
fn processor_time_that_another_source_told_adds_up_to_nothing() {
    let at = Instant::now();
    let mut harness = harness();
    let told = [100.0, 105.0, 101.0, 104.0, 106.0].map(|cpu| {
        let collected = collect(&mut harness, &[(machine(), counting(at, 1, cpu, 0.0))]);
        assert!(!reset(&collected, CPU));
        collected.value(CPU).unwrap()
    });
    assert_eq!(told, [100.0, 105.0, 105.0, 105.0, 106.0]);
}

#[test]
fn labels_are_as_long_as_they_may_be() {
    let mut long = machine();
    // of two bytes each, so that the limit is within a letter
    long.project = format!("/{}", "é".repeat(2000));
    let collected = collect(&mut harness(), &[(long, counting(Instant::now(), 1, 1.0, 1.0))]);
    assert!(info_of(&collected).contains(&format!("project=\"/{}\"", "é".repeat(511))));
}

#[test]
fn a_machine_that_can_have_no_series_costs_the_others_nothing() {
    let at = Instant::now();
    let mut harness = harness();
    let mut odd = machine();
    odd.id = Some("x".repeat(2000));
    let mut other = machine();
    other.id = Some("v".into());
    let three = [machine(), odd, other].map(|machine| (machine, counting(at, 1, 1.0, 1.0)));
    // it is said as long as it is so, also where it is not tried
    for _ in 0..RETRY + 2 {
        let collected = collect(&mut harness, &three);
        assert_eq!(collected.value(RECEIVED), Some(1.0));
        assert_eq!(collected.value("vm_network_receive_bytes_total{vm=\"v\"}"), Some(1.0));
        let notes = NOTES.with(RefCell::take);
        let said: Vec<_> =
            notes.iter().filter_map(|note| Some((&*note.subject, note.said.as_ref()?.0))).collect();
        assert_eq!(said, [(UNREGISTERED, Level::Warn)]);
    }
    // by another id there is room
    let mut all = three.clone();
    all[1].0.id = Some("w".into());
    collect(&mut harness, &all);
    assert_eq!(harness.series_count(), 3 * (2 + State::ALL.len() + Quantity::ALL.len()));
}

#[test]
fn nothing_more_is_to_be_said_of_a_machine_that_is_no_more() {
    let mut harness = harness();
    let mut said = Said::default();
    let mut lines = |script: &[(Machine, Reading)]| {
        collect(&mut harness, script);
        let mut notes = Notes::default();
        for Note { subject, said } in NOTES.with(RefCell::take) {
            match said {
                Some((level, text)) => notes.say(level, subject, text),
                None => notes.over(subject),
            }
        }
        said.news(&mut notes).len()
    };
    let doubted = [(machine(), Reading::unknown("libvirt does not answer"))];
    assert_eq!((lines(&doubted), lines(&doubted)), (1, 0));
    lines(&[]);
    assert_eq!(lines(&doubted), 1, "it was forgotten");
}
