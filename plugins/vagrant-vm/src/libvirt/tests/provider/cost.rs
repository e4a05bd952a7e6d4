//! What a poll costs: run with `--ignored --nocapture`, optimised.

use super::super::real::{self, own_cpu};
use super::*;

#[test]
#[ignore = "measures"]
fn prints_what_a_poll_costs() {
    for count in [2, 20, 200] {
        let mut lab = Lab::with(count);
        lab.readings();
        let rounds = 50;
        let (start, cpu) = (Instant::now(), own_cpu());
        for _ in 0..rounds {
            let (answers, _) = lab.poll();
            assert!(answers.iter().all(|answer| reading(answer).state == State::Running));
        }
        println!(
            "{count} machines: {:?} cpu, {:?} wall a poll",
            (own_cpu() - cpu) / rounds,
            start.elapsed() / rounds
        );
    }
}

/// The same of the real machines that `VAGRANT_VM_REAL` names: one poll after the other, and a second apart.
#[test]
#[ignore = "measures"]
fn prints_what_a_poll_of_real_machines_costs() {
    let mut libvirt = Libvirt::new(&config(Path::new("/")));
    let machines = real::machines();
    read(&mut libvirt, &machines, TIMEOUT);
    for (rounds, pause) in [(100, Duration::ZERO), (10, Duration::from_secs(1))] {
        let mut cpu = Duration::ZERO;
        for _ in 0..rounds {
            std::thread::sleep(pause);
            let before = all_cpu();
            read(&mut libvirt, &machines, TIMEOUT);
            cpu += all_cpu() - before;
        }
        println!("{} machines, {pause:?} apart: {:?} cpu a poll", machines.len(), cpu / rounds);
    }
}

/// Processor time of all threads: the disks are looked at on one of their own.
fn all_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("processor time is not negative")
}
