//! The provider against a stand-in for libvirt's service, and against the real one.

mod captures;
mod every_capture;
mod provider;
mod real;
mod replies;

use super::Libvirt;
use crate::{
    config::Config,
    machine::{Machine, Owner, Quantity, Reading, State, Value},
    provider::{Answer, Note, Notes, Provider},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A machine of the user who runs the tests.
fn machine(id: &str) -> Machine {
    let uid = rustix::process::getuid().as_raw();
    Machine {
        index_id: "0".repeat(32),
        id: Some(id.to_owned()),
        name: "m".to_owned(),
        provider: "libvirt".to_owned(),
        project: "/srv/lab/project".to_owned(),
        box_name: "tiny".to_owned(),
        owner: Owner { name: "somebody".to_owned(), uid, gid: uid, home: "/home/somebody".into() },
        unread: None,
        vm_info: None,
    }
}

fn config(root: &Path) -> Config {
    Config { root: root.to_owned(), ..Config::default() }
}

fn read(libvirt: &mut Libvirt, machines: &[Machine], timeout: Duration) -> (Vec<Answer>, Vec<Note>) {
    let mut notes = Notes::default();
    let answers = libvirt.read(machines, Instant::now() + timeout, &mut notes);
    assert_eq!(answers.len(), machines.len());
    (answers, notes.take())
}

#[track_caller]
fn reading(answer: &Answer) -> &Reading {
    match answer {
        Answer::Reading(reading) => reading,
        Answer::Gone => panic!("gone"),
    }
}
