//! The real libvirt of this host, where there is one with machines: run with `--ignored --nocapture`.

use super::*;

/// The machines of this host's libvirt, named in `VAGRANT_VM_REAL` by their UUIDs, separated by commas.
fn machines() -> Vec<Machine> {
    let ids = std::env::var("VAGRANT_VM_REAL").unwrap_or_default();
    ids.split(',').filter(|id| !id.is_empty()).map(machine).collect()
}

/// Prints what is read below `VAGRANT_VM_ROOT`, so often as `VAGRANT_VM_POLLS` says, a second apart.
#[test]
#[ignore = "needs libvirt with machines"]
fn prints_the_machines_of_this_host() {
    let root = std::env::var("VAGRANT_VM_ROOT").unwrap_or_else(|_| "/".to_owned());
    let mut libvirt = Libvirt::new(&config(Path::new(&root)));
    let machines = machines();
    let polls = std::env::var("VAGRANT_VM_POLLS").ok().and_then(|polls| polls.parse().ok()).unwrap_or(1);
    for poll in 0..polls {
        let (start, cpu) = (Instant::now(), own_cpu());
        let (answers, notes) = read(&mut libvirt, &machines, Duration::from_secs(1));
        println!("poll {poll}: {:?} wall, {:?} cpu, notes {notes:?}", start.elapsed(), own_cpu() - cpu);
        for answer in &answers {
            match answer {
                Answer::Gone => println!("  gone"),
                Answer::Reading(told) => {
                    println!("  {:?} {:?} {:?} {:?}", told.state, told.doubt, told.run, told.ip_address);
                    let values = Quantity::ALL.map(|quantity| match &told.values[quantity] {
                        Ok(value) => format!("{quantity:?}={value}"),
                        Err(reason) => format!("{quantity:?}: {reason}"),
                    });
                    println!("    {}", values.join("\n    "));
                }
            }
        }
        if poll + 1 < polls {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// Processor time of this thread.
pub(super) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("processor time is not negative")
}
