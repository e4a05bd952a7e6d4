//! All outputs of the real tools in `tests/vagrant/captures`: what libvirt's statistics are read as is held against what
//! virsh said of the same machine at the same time, every index is read, and no reader takes another's text for its own.

use super::{
    super::{
        stats::{Extent, Known, Stats, removable},
        wire,
    },
    captures::stats,
    *,
};
use crate::vagrant::index;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vagrant/captures")
}

fn all(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => all(&path, files),
            path => files.push(path),
        }
    }
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The number after a title: `Capacity:       1073741824`.
fn number(text: &str, title: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(title))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What virsh said of a machine in one of the states.
struct Said {
    state: State,
    vcpus: f64,
    memory: f64,
    capacity: f64,
    allocation: f64,
    /// When the balloon told last, and what is used, where it told at all.
    balloon: Option<(f64, f64)>,
}

fn said(folder: &Path, name: &str) -> Said {
    let of = |command: &str| text(folder.join(format!("virsh-{command}-{name}.out")));
    let (about, disk, memory) = (of("dominfo"), of("domblkinfo-vda"), of("dommemstat"));
    // with its reason: `running (booted)`
    let state = match of("domstate").split(" (").next().unwrap_or_default().trim() {
        "running" => State::Running,
        "paused" => State::Paused,
        "shut off" => State::Shutoff,
        other => panic!("a state {other}"),
    };
    let balloon = || {
        let used = number(&memory, "available ")? - number(&memory, "usable ")?;
        Some((number(&memory, "last_update ")?, used * 1024.0))
    };
    Said {
        state,
        vcpus: number(&about, "CPU(s):").expect("processors"),
        memory: number(&about, "Used memory:").expect("memory") * 1024.0,
        capacity: number(&disk, "Capacity:").expect("a size"),
        allocation: number(&disk, "Allocation:").expect("what it takes"),
        balloon: balloon(),
    }
}

#[test]
fn statistics_are_what_virsh_says() {
    for (folder, states) in [
        ("A-both-running", [State::Running, State::Running]),
        ("B-db-halted", [State::Running, State::Shutoff]),
        ("E-web-paused", [State::Paused, State::Shutoff]),
    ] {
        let folder = captures().join(folder);
        let raw = text(folder.join("virsh-domstats-raw.out"));
        for (name, state) in ["project_web", "project_db"].into_iter().zip(states) {
            let said = said(&folder, name);
            assert_eq!(said.state, state, "{name}");
            let told: Stats = stats(&raw, name);
            assert_eq!(told.state(None), Ok(said.state), "{name}");
            let (clock, used) = said.balloon.unwrap_or_default();
            let allocation = said.allocation as u64;
            let drives = BTreeSet::new();
            let known = Known {
                process: None,
                host_age: None,
                ticks_per_second: 100.0,
                wall_clock: clock as u64 + 1,
                removable: Ok(&drives),
                silent: None,
                extent: Box::new(move |_| Ok(Extent::File(allocation))),
            };
            let values = told.values(said.state, &known);
            let expect =
                |quantity, expected: f64| assert_eq!(values[quantity], Ok(expected), "{name} {quantity:?}");
            expect(Quantity::Vcpus, said.vcpus);
            expect(Quantity::MemoryTotal, said.memory);
            expect(Quantity::DiskCapacity, said.capacity);
            expect(Quantity::DiskUsed, said.allocation);
            match (said.state, said.balloon) {
                (State::Running, Some(_)) => expect(Quantity::MemoryUsed, used),
                (State::Shutoff, balloon) => {
                    assert_eq!((balloon, &values[Quantity::MemoryUsed]), (None, &Err("shut off".into())));
                }
                _ => assert!(values[Quantity::MemoryUsed].as_ref().is_ok_and(|told| *told == used), "{name}"),
            }
        }
    }
}

#[test]
fn every_index_is_read_and_nothing_else_is_taken_for_one() {
    let (mut files, mut read) = (Vec::new(), 0);
    all(&captures(), &mut files);
    assert!(files.len() > 230, "{} captures", files.len());
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let bytes = fs::read(&file).expect("a file");
        let parsed = index::parse(&bytes);
        let is_index = name.contains("index") && name.ends_with(".json");
        assert_eq!(parsed.is_ok(), is_index, "{}", file.display());
        if let Ok(index) = parsed {
            read += 1;
            let mut names: Vec<&str> = index.entries.iter().map(|entry| entry.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["db", "web"], "{}", file.display());
        }
    }
    assert!(read >= 8, "{read} indexes");
}

#[test]
fn no_capture_is_too_much_for_any_reader() {
    let mut files = Vec::new();
    all(&captures(), &mut files);
    for file in files {
        let bytes = fs::read(&file).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        let is_definition =
            text.trim_start().starts_with("<domain ") && text.trim_end().ends_with("</domain>");
        let drives = removable(&text);
        assert!(
            drives.as_ref().is_none_or(BTreeSet::is_empty),
            "no machine has a CD-ROM: {}",
            file.display()
        );
        assert!(!is_definition || drives.is_some(), "{}", file.display());
        wire::read_as_everything(&bytes);
    }
}
