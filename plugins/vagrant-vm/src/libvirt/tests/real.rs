//! The real libvirt of this host, where there is one with machines: run with `--ignored --nocapture`.

use super::*;

/// The machines of this host's libvirt, named in `VAGRANT_VM_REAL` by their UUIDs, separated by commas; of the user whose
/// number is `VAGRANT_VM_OWNER`, or who runs this.
pub(super) fn machines() -> Vec<Machine> {
    let ids = std::env::var("VAGRANT_VM_REAL").unwrap_or_default();
    let mut machines: Vec<Machine> = ids.split(',').filter(|id| !id.is_empty()).map(machine).collect();
    if let Some(uid) = std::env::var("VAGRANT_VM_OWNER").ok().and_then(|uid| uid.parse().ok()) {
        machines.iter_mut().for_each(|machine| machine.owner.uid = uid);
    }
    machines
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

/// Records the replies that are fixtures of other tests, into the folder that `VAGRANT_VM_RECORD` names.
#[test]
#[ignore = "needs libvirt with machines"]
fn records_replies() {
    use super::super::wire::{Domain, Encoder, frame};
    use std::io::{Read, Write};

    let folder = std::env::var("VAGRANT_VM_RECORD").expect("VAGRANT_VM_RECORD names a folder");
    let mut socket =
        std::os::unix::net::UnixStream::connect("/run/libvirt/libvirt-sock-ro").expect("libvirt");
    let mut ask = |call: Encoder, file: Option<&str>| {
        socket.write_all(&call.finish(1)).expect("a call");
        let mut reply = Vec::new();
        while frame(&reply).expect("a frame").is_none() {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a reply");
            reply.extend(byte);
        }
        if let Some(file) = file {
            std::fs::write(Path::new(&folder).join(file), &reply).expect("a file");
        }
        reply
    };
    ask(Encoder::call(66), None);
    let mut open = Encoder::call(1);
    open.u32(1).text("qemu:///system").u32(1);
    ask(open, None);
    let mut all = Encoder::call(344);
    all.u32(0).u32(0x3f).u32(1 << 29);
    let told = ask(all, Some("9.0-all-domain-stats.bin"));
    let mut uuid = [0; 16];
    super::super::wire::domain_stats(&told[28..], |domain, _| uuid = domain.uuid).expect("statistics");
    for (procedure, uuid, file) in
        [(353, uuid, "9.0-interface-addresses.bin"), (14, [1; 16], "9.0-error-no-domain.bin")]
    {
        let mut call = Encoder::call(procedure);
        Domain { name: "-", uuid, id: -1 }.encode(&mut call);
        call.u32(0);
        if procedure == 353 {
            call.u32(0);
        }
        ask(call, Some(file));
    }
}
