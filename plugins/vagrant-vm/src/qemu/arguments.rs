//! What QEMU's command line says of a machine. See qemu(1).

use crate::machine::{Reason, Value};
use std::collections::HashMap;

/// What a machine was started with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) vcpus: Value,
    pub(super) memory_bytes: Value,
    /// The files of its disks.
    pub(super) disks: Result<Vec<String>, Reason>,
}

const NOT_TOLD: Reason = Reason::Borrowed("QEMU's command line does not say");
const NOT_PLAIN: Reason = Reason::Borrowed("QEMU's command line does not say it plainly");

/// Whether this is QEMU, and runs the machine with this id: vagrant-qemu has it in the paths of the disks, of the monitor's
/// socket and of the pid file.
pub(super) fn is_of(arguments: &[String], id: &str) -> bool {
    let Some((program, arguments)) = arguments.split_first() else { return false };
    let program = program.rsplit('/').next().unwrap_or_default();
    if !(program.starts_with("qemu-system-") || ["qemu", "qemu-kvm", "kvm"].contains(&program)) {
        return false;
    }
    // another machine may have a disk of this one attached; its pid file is in its own folder
    let pid_file = options(arguments).filter(|(option, _)| *option == "pidfile").last();
    if let Some((_, path)) = pid_file
        && path.split('/').any(|part| part.starts_with("vq_"))
    {
        return holds(path, id);
    }
    arguments.iter().any(|argument| holds(argument, id))
}

/// Whether the id is the argument, one of its parts between commas, the value of one, or a component of such a path.
fn holds(argument: &str, id: &str) -> bool {
    let parts = argument.split(',').flat_map(|part| {
        let value = part.split_once('=').map_or(part, |(_, value)| value);
        std::iter::once(part).chain(value.split('/'))
    });
    !id.is_empty() && parts.into_iter().any(|part| part == id)
}

/// The options, without their dashes, and what follows each.
fn options(arguments: &[String]) -> impl Iterator<Item = (&str, &str)> {
    arguments.windows(2).filter_map(|pair| {
        let option = pair[0].strip_prefix('-')?;
        Some((option.strip_prefix('-').unwrap_or(option), pair[1].as_str()))
    })
}

/// `a,b=c,d=e,,f` as `("", "a")`, `("b", "c")` and `("d", "e,f")`.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match fields.last_mut() {
            Some(field) if letter != ',' || letters.next_if_eq(&',').is_some() => field.push(letter),
            _ => fields.push(String::new()),
        }
    }
    let pair = |field: String| match field.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (String::new(), field),
    };
    fields.into_iter().map(pair).collect()
}

/// Reads the arguments after the program's name.
pub(super) fn shape(arguments: &[String]) -> Shape {
    let (mut smp, mut memory) = (HashMap::new(), HashMap::new());
    let mut disks = Ok(Vec::new());
    let mut from_file = false;
    for (option, value) in options(arguments) {
        match option {
            "smp" => smp.extend(keyed(value, "cpus")),
            "m" => memory.extend(keyed(value, "size")),
            "machine" | "M" => {
                for (key, value) in fields(value) {
                    if let Some(key) = key.strip_prefix("smp.") {
                        smp.insert(key.to_owned(), value);
                    } else if let Some(key) = key.strip_prefix("memory.") {
                        memory.insert(key.to_owned(), value);
                    }
                }
            }
            "drive" => add(&mut disks, drive(&fields(value))),
            "hda" | "hdb" | "hdc" | "hdd" => add(&mut disks, path(value).map(Some)),
            "blockdev" => disks = Err(NOT_PLAIN),
            "readconfig" => from_file = true,
            _ => {}
        }
    }
    if from_file {
        return Shape { vcpus: Err(NOT_PLAIN), memory_bytes: Err(NOT_PLAIN), disks: Err(NOT_PLAIN) };
    }
    let disks = disks.and_then(|disks| if disks.is_empty() { Err(NOT_TOLD) } else { Ok(disks) });
    Shape { vcpus: vcpus(&smp), memory_bytes: memory_bytes(&memory), disks }
}

fn keyed(text: &str, bare: &str) -> Vec<(String, String)> {
    let key = |key: String| if key.is_empty() { bare.to_owned() } else { key };
    fields(text).into_iter().map(|(name, value)| (key(name), value)).collect()
}

/// Without a number of processors, it is the product of the parts of the topology.
fn vcpus(smp: &HashMap<String, String>) -> Value {
    let count = |key: &str| smp.get(key).map(|text| text.parse::<u16>().ok().filter(|count| *count > 0));
    if let Some(cpus) = count("cpus") {
        return cpus.map(f64::from).ok_or(NOT_PLAIN);
    }
    if smp.is_empty() {
        return Err(NOT_TOLD);
    }
    let levels = ["drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads"];
    if smp.keys().any(|key| !levels.contains(&key.as_str())) {
        return Err(NOT_PLAIN);
    }
    let counts: Option<Vec<u16>> = levels.into_iter().filter_map(count).collect();
    Ok(counts.ok_or(NOT_PLAIN)?.into_iter().map(f64::from).product())
}

/// In MiB where no other unit is given.
fn memory_bytes(memory: &HashMap<String, String>) -> Value {
    let Some(text) = memory.get("size") else { return Err(NOT_TOLD) };
    let (number, shift) = match text.char_indices().last().filter(|(_, unit)| unit.is_ascii_alphabetic()) {
        None => (text.as_str(), 20),
        Some((at, unit)) => {
            let shift = match unit.to_ascii_lowercase() {
                'b' => 0,
                'k' => 10,
                'm' => 20,
                'g' => 30,
                't' => 40,
                _ => return Err(NOT_PLAIN),
            };
            (&text[..at], shift)
        }
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse::<u64>().ok().filter(|number| digits && *number > 0);
    let bytes = number.and_then(|number| number.checked_mul(1 << shift)).filter(|bytes| *bytes < 1 << 52);
    bytes.map(|bytes| bytes as f64).ok_or(NOT_PLAIN)
}

fn add(disks: &mut Result<Vec<String>, Reason>, disk: Result<Option<String>, Reason>) {
    match (disks.as_mut(), disk) {
        (Ok(disks), Ok(disk)) => disks.extend(disk),
        (Ok(_), Err(reason)) => *disks = Err(reason),
        (Err(_), _) => {}
    }
}

/// The file of a drive; none where it is no disk, such as the firmware and CDs.
fn drive(fields: &[(String, String)]) -> Result<Option<String>, Reason> {
    let field =
        |key: &str| fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    if matches!(field("if"), Some("pflash" | "floppy" | "mtd" | "sd")) || field("media") == Some("cdrom") {
        return Ok(None);
    }
    match field("file") {
        Some(file) => path(file).map(Some),
        None => Err(NOT_PLAIN),
    }
}

/// Only a path from the root: where QEMU was started, nobody can tell, and `nbd:…` is no file.
fn path(text: &str) -> Result<String, Reason> {
    if text.starts_with('/') { Ok(text.into()) } else { Err(NOT_PLAIN) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arguments(line: &str) -> Vec<String> {
        line.split(' ').map(String::from).collect()
    }

    /// As vagrant-qemu 0.3 starts a machine.
    const LINE: &str = "qemu-system-x86_64 -machine q35 -cpu max -smp 2 -m 4G \
        -device virtio-net-device,netdev=net0 -netdev user,id=net0,hostfwd=tcp::50022-:22 \
        -drive if=virtio,id=disk0,format=qcow2,file=/srv/lab/.vagrant/machines/web/qemu/vq_Ab-3_dEf/linked-box.img \
        -drive if=pflash,format=raw,file=/srv/lab/.vagrant/machines/web/qemu/vq_Ab-3_dEf/code.fd,readonly=on \
        -drive file=/srv/lab/tools.iso,index=1,media=cdrom \
        -chardev socket,id=mon0,path=/home/lab/.vagrant.d/tmp/vagrant-qemu/vq_Ab-3_dEf/qemu_socket,server=on,wait=off \
        -mon chardev=mon0,mode=readline -pidfile /home/lab/.vagrant.d/tmp/vagrant-qemu/vq_Ab-3_dEf/qemu.pid -daemonize";

    #[test]
    fn the_machine_of_vagrant_qemu_is_known_by_its_whole_id() {
        assert!(is_of(&arguments(LINE), "vq_Ab-3_dEf"));
        for other in ["vq_Ab-3_dE", "q_Ab-3_dEf", "vq_", "", "web", "disk0"] {
            assert!(!is_of(&arguments(LINE), other), "{other}");
        }
    }

    #[test]
    fn only_qemu_runs_machines() {
        for program in ["qemu-img", "tail", "ssh", "/usr/bin/vim", "xqemu-system-x86_64", ""] {
            let line = LINE.replacen("qemu-system-x86_64", program, 1);
            assert!(!is_of(&arguments(&line), "vq_Ab-3_dEf"), "{program}");
        }
        for program in ["/usr/bin/qemu-system-aarch64", "/usr/libexec/qemu-kvm", "kvm"] {
            let line = LINE.replacen("qemu-system-x86_64", program, 1);
            assert!(is_of(&arguments(&line), "vq_Ab-3_dEf"), "{program}");
        }
        assert!(!is_of(&[], "vq_Ab-3_dEf"));
    }

    #[test]
    fn a_borrowed_disk_does_not_make_it_the_other_machine() {
        let line = format!("{LINE} -drive file=/srv/lab/.vagrant/machines/db/qemu/vq_other/linked-box.img");
        assert!(!is_of(&arguments(&line), "vq_other"));
        assert!(is_of(&arguments(&line), "vq_Ab-3_dEf"));
    }

    #[test]
    fn an_id_is_an_argument_or_a_part_of_one() {
        for line in
            ["kvm -uuid a-1", "kvm -name guest=a-1,x=y", "kvm -drive file=/x/a-1/d.img", "kvm -name a-1,x"]
        {
            assert!(is_of(&arguments(line), "a-1"), "{line}");
        }
        for line in ["kvm -name guest=a-12", "kvm -drive file=/x/a-1.img", "kvm -name xa-1", "a-1", "kvm"] {
            assert!(!is_of(&arguments(line), "a-1"), "{line}");
        }
    }

    #[test]
    fn the_shape_is_told() {
        let shape = shape(&arguments(LINE));
        assert_eq!((shape.vcpus, shape.memory_bytes), (Ok(2.0), Ok(4.0 * f64::from(1 << 30))));
        let disk = "/srv/lab/.vagrant/machines/web/qemu/vq_Ab-3_dEf/linked-box.img";
        assert_eq!(shape.disks, Ok(vec![disk.to_owned()]));
    }

    #[test]
    fn libvirts_command_line_names_its_disks_in_another_way() {
        let captured = include_str!("../../tests/fixtures/process/cmdline");
        let arguments: Vec<String> = captured.lines().map(String::from).collect();
        let shape = shape(&arguments);
        assert_eq!((shape.vcpus, shape.memory_bytes), (Ok(2.0), Ok(f64::from(128 << 20))));
        assert_eq!(shape.disks, Err(NOT_PLAIN));
    }

    #[test]
    fn processors_in_all_their_forms() {
        for (line, expected) in [
            ("-smp 4", Ok(4.0)),
            ("--smp cpus=3,maxcpus=8", Ok(3.0)),
            ("-smp 2,sockets=2,cores=1,threads=1", Ok(2.0)),
            ("-smp sockets=2,cores=3,threads=2", Ok(12.0)),
            ("-smp 2 -smp 6", Ok(6.0)),
            ("-machine q35,smp.cpus=5", Ok(5.0)),
            ("-smp maxcpus=8,cores=2", Err(NOT_PLAIN)),
            ("-smp 0", Err(NOT_PLAIN)),
            ("-smp -1", Err(NOT_PLAIN)),
            ("-smp 99999", Err(NOT_PLAIN)),
            ("-smp two", Err(NOT_PLAIN)),
            ("-smp cores=x", Err(NOT_PLAIN)),
            ("-smp 2 -readconfig /etc/vm.cfg", Err(NOT_PLAIN)),
            ("-smp", Err(NOT_TOLD)),
            ("-m 4", Err(NOT_TOLD)),
        ] {
            assert_eq!(shape(&arguments(line)).vcpus, expected, "{line}");
        }
    }

    #[test]
    fn memory_in_all_its_units() {
        let mib = f64::from(1 << 20);
        for (line, expected) in [
            ("-m 512", Ok(512.0 * mib)),
            ("-m 512M", Ok(512.0 * mib)),
            ("-m 2g", Ok(2048.0 * mib)),
            ("-m size=1G,slots=2,maxmem=4G", Ok(1024.0 * mib)),
            ("-m 1024k", Ok(mib)),
            ("-m 1048576b", Ok(mib)),
            ("-m 1.5G", Err(NOT_PLAIN)),
            ("-m +5", Err(NOT_PLAIN)),
            ("-m 0", Err(NOT_PLAIN)),
            ("-m G", Err(NOT_PLAIN)),
            ("-m 5x", Err(NOT_PLAIN)),
            ("-m 99999999999T", Err(NOT_PLAIN)),
            ("-m 5é", Err(NOT_PLAIN)),
            ("-smp 1", Err(NOT_TOLD)),
        ] {
            assert_eq!(shape(&arguments(line)).memory_bytes, expected, "{line}");
        }
    }

    #[test]
    fn disks_are_files_or_nobody_knows() {
        let disks = |line: &str| shape(&arguments(line)).disks;
        assert_eq!(disks("-hda /a -drive file=/b,,c,if=ide"), Ok(vec!["/a".into(), "/b,c".into()]));
        assert_eq!(disks("-cdrom /a"), Err(NOT_TOLD));
        for line in ["-drive file=nbd:unix:/x", "-drive if=none,id=a", "-hda a.img", "-hda /a -blockdev {}"] {
            assert_eq!(disks(line), Err(NOT_PLAIN), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in proptest::collection::vec("(-smp|-m|-drive|-M|[-,=a-z0-9/é]{0,12})", 0..8)) {
            let _ = (shape(&line), is_of(&line, "a"));
        }
    }
}
